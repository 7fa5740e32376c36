"""Pages of the configured origins may use the control plane; all others may not."""

import msgspec
import pytest

from tests.world.entries import ON_SQLITE
from tests.world.stage import Stage
from tollway.settings import Settings

PAGE = "https://app.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


@ON_SQLITE
async def test_without_origins_no_page_may(stage: Stage) -> None:
    acme = await stage.tenant()
    answer = await stage.request("GET", "/v1/orgs/current", token=acme.user_token, headers={"Origin": PAGE})
    assert answer.status == 200
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


@ON_SQLITE
class TestConfigured:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, cors_origins=f"{PAGE}, http://localhost:3000")

    async def test_pages_of_the_origins_may_ask_and_read(self, stage: Stage) -> None:
        acme = await stage.tenant()
        for origin in (PAGE, "http://localhost:3000"):
            asked = await stage.request("OPTIONS", "/v1/orgs/update", headers={"Origin": origin, **PREFLIGHT})
            assert (asked.status, asked.headers["access-control-allow-origin"]) == (200, origin)
            assert "access-control-allow-credentials" not in asked.headers
            answer = await stage.request(
                "GET", "/v1/orgs/current", token=acme.user_token, headers={"Origin": origin}
            )
            assert answer.headers["access-control-allow-origin"] == origin
            assert "ETag" in answer.headers["access-control-expose-headers"]
            refused = await stage.request("POST", "/v1/orgs", headers={"Origin": origin})
            assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, origin)

    @pytest.mark.parametrize(
        "origin", ["https://app.example.com.evil.example", "https://APP.example.com", "null"]
    )
    async def test_others_may_not(self, stage: Stage, origin: str) -> None:
        asked = await stage.request("OPTIONS", "/v1/orgs/update", headers={"Origin": origin, **PREFLIGHT})
        assert asked.status == 400
        assert "access-control-allow-origin" not in asked.headers
