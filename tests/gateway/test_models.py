"""`GET /v1/models` and `GET /v1/models/{name}`."""

import pytest

from tests.world.stage import Stage

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_a_key_lists_what_it_may_ask_for(stage: Stage) -> None:
    acme = await stage.tenant()
    for path in ("/v1/models", "/v1/models/"):
        listed = await stage.request("GET", path, token=acme.app_key)
        assert listed.status == 200
        assert [model["id"] for model in listed.json["data"]] == ["demo/small", "demo/large"]
        assert "x-request-id" in listed.headers


@pytest.mark.parametrize("path", ["demo/small", "demo%2Fsmall", "demo/small/"])
async def test_a_model_is_shown_by_its_name(stage: Stage, path: str) -> None:
    acme = await stage.tenant()
    shown = await stage.request("GET", f"/v1/models/{path}", token=acme.app_key)
    assert shown.json == {"id": "demo/small", "object": "model", "created": 0, "owned_by": "demo"}


@pytest.mark.parametrize("path", ["demo/gone", "small", "demo", "%00", "..%2F..%2Fetc"])
async def test_a_model_that_nobody_has_is_not_found(stage: Stage, path: str) -> None:
    acme = await stage.tenant()
    shown = await stage.request("GET", f"/v1/models/{path}", token=acme.app_key)
    assert (shown.status, shown.json["error"]["code"]) == (404, "model_not_found")


async def test_models_are_shown_to_keys_only(stage: Stage) -> None:
    acme = await stage.tenant()
    for path in ("/v1/models", "/v1/models/demo/small"):
        for token in (None, "junk", acme.user_token):
            refused = await stage.request("GET", path, token=token)
            assert (refused.status, refused.json["error"]["type"]) == (401, "authentication_error")
        assert (await stage.request("POST", path, token=acme.app_key, body={})).status == 405
