"""Requests that cannot be accepted: each is answered in its shape, and leaves nothing half done."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, select, update

from tests.control.people import in_no_organisation
from tests.gateway.scripts import entries, only_entry
from tests.world.stage import OPERATOR_TOKEN, RECEIVER_TOKEN, RECEIVER_USER, Answer, Stage, Tenant
from tollway.demo.offer import CHEAP_MODEL
from tollway.domain.ledger import Outcome
from tollway.domain.token import Bearer, mint
from tollway.settings import Settings
from tollway.store.schema import members, orgs, users

CHAT = "/v1/chat/completions"
INTEGRATIONS = "/v1/orgs/integrations"


def told(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """An inference error, in OpenAI's shape."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-request-id"]) == 36
    (error,) = answer.json.values()
    assert sorted(error) == ["code", "message", "param", "type"]
    assert error["message"]
    assert error["code"] == code
    shape: dict[str, Any] = error
    return shape


def faults(answer: Answer) -> list[tuple[str, ...]]:
    """Where a request of the control plane is wrong."""
    assert answer.status == 422, answer.body
    assert set(answer.json) == {"detail"}
    assert all(set(fault) == {"loc", "msg", "type"} for fault in answer.json["detail"])
    return [tuple(fault["loc"]) for fault in answer.json["detail"]]


async def test_a_call_that_is_refused_leaves_no_row(stage: Stage) -> None:
    acme = await stage.tenant()

    async def ask(data: bytes | None = None, token: str | None = acme.app_key, **fields: object) -> Answer:
        body = {"model": CHEAP_MODEL, "messages": [], **fields} if data is None else None
        return await stage.request("POST", CHAT, token=token, data=data, body=body)

    told(await ask(token=None), 401, "missing_api_key")
    told(await ask(token="junk"), 401, "invalid_api_key")
    told(await ask(token=mint(Bearer.APP)), 401, "invalid_api_key")
    told(await ask(token=acme.user_token), 401, "invalid_api_key")
    told(await ask(token=OPERATOR_TOKEN), 401, "invalid_api_key")
    for data in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 50_000):
        told(await ask(data), 400, "invalid_json")
    assert told(await ask(b"{}"), 400, "missing_required_parameter")["param"] == "model"
    assert told(await ask(model=None), 400, "invalid_type")["param"] == "model"
    assert told(await ask(b'{"model": "a"}'), 400, "missing_required_parameter")["param"] == "messages"
    assert told(await ask(stream="yes"), 400, "invalid_type")["param"] == "stream"
    for model in ("gone", "demo/gone", "gone/gone", "/", "a\x00b"):
        assert told(await ask(model=model), 404, "model_not_found")["param"] == "model"

    assert await entries(stage, acme) == []
    assert (stage.vendor.requests, stage.world.folder.waiting) == ([], 0)
    record = await stage.record(acme)
    assert (record["num_requests"], record["total_tokens_cost"]) == (0, 0)


async def test_a_vendor_that_is_down_is_one_failed_row_of_cost_0(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.vendor.stop()
    shape = told(await stage.chat(acme), 502, "vendor_unreachable")
    assert shape["message"] == "demo cannot be reached: the connection was refused"
    told(await stage.chat(acme, stream=True), 502, "vendor_unreachable")
    first, second = await entries(stage, acme)
    assert (first.outcome, first.status, first.cost.total) == (Outcome.FAILED, 502, 0)
    assert (second.outcome, second.streamed, second.units) == (Outcome.FAILED, True, {})


async def test_a_revoked_app_is_refused(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    path = f"/v1/apps/{acme.app_id}"
    for wrong in (path.upper(), f"{path}0", "/v1/apps/junk", "/v1/apps/%00"):
        assert (await stage.request("DELETE", wrong, token=acme.user_token)).status == 404
    strange = await stage.request("DELETE", path, token=other.user_token)
    assert (strange.status, list(strange.json)) == (404, ["detail"])
    revoked = await stage.request("DELETE", path, token=acme.user_token)
    assert (revoked.status, revoked.json) == (200, {"id": acme.app_id})
    assert (await stage.request("DELETE", path, token=acme.user_token)).status == 404
    told(await stage.chat(acme), 403, "app_revoked")
    assert (await stage.record(acme))["num_apps"] == 0


async def put(stage: Stage, acme: Tenant, body: object) -> Answer:
    return await stage.request("PUT", INTEGRATIONS, token=acme.user_token, body=body)


def receivers(stage: Stage, **prom: object) -> dict[str, dict[str, object]]:
    """Two good receivers; `prom` changes the first."""
    basic = {"id": RECEIVER_USER, "token": RECEIVER_TOKEN}
    return {
        "prom": {**basic, "endpoint": f"{stage.prometheus.url}/api/v1/write", **prom},
        "loki": {**basic, "endpoint": f"{stage.loki.url}/loki/api/v1/push"},
    }


async def test_a_receiver_that_is_wrong_stores_nothing_at_all(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.record(acme)
    secret = "glc_a-secret-that-is-never-echoed"
    for field, values in {
        "endpoint": [
            "not a url",
            "",
            "/api/v1/write",
            "ftp://127.0.0.1/x",
            "https://",
            "https://user:password@example.com/x",
            "https://example.com/x#y",
            "https://example.com:99999/x",
            "https://exa mple.com/",
            "https://example.com/\x00",
            "https://example.com/" + "x" * 3_000,
            "http://10.1.2.3/api/v1/write",
            "https://169.254.169.254/latest",
            "https://[::ffff:10.0.0.1]/x",
            None,
            7,
        ],
        "id": ["", "a:b", "a\x00b", "a\nb", "x" * 300, None, 7],
        "token": ["", "a\x00b", "a\nb", "••••", "••••iver", None, 7],
    }.items():
        for value in values:
            body = receivers(stage, **{"token": secret, field: value})
            refused = await put(stage, acme, body)
            assert faults(refused) == [("body", "prom", field)], value
            assert secret not in refused.body.decode()
    assert await stage.record(acme) == before


async def test_a_private_address_is_refused_with_the_setting_that_allows_it(stage: Stage) -> None:
    acme = await stage.tenant()
    for endpoint in ("http://10.1.2.3/x", "https://192.168.0.1/x", "https://[fd00::1]/x"):
        refused = await put(stage, acme, receivers(stage, endpoint=endpoint))
        assert faults(refused) == [("body", "prom", "endpoint")]
        assert "TOLLWAY_PUSH_ALLOW_CIDRS" in refused.json["detail"][0]["msg"]
    assert (await stage.record(acme))["loki_endpoint"] is None


async def test_keys_that_are_unknown_or_missing_are_named(stage: Stage) -> None:
    acme = await stage.tenant()
    secret = "glc_a-secret-that-is-never-echoed"
    good = receivers(stage, token=secret)
    cases: list[tuple[object, list[tuple[str, ...]]]] = [
        ({**good, "tempo": good["loki"]}, [("body", "tempo")]),
        (receivers(stage, password=secret), [("body", "prom", "password")]),
        ({"prom": {"token": secret}}, [("body", "prom", "id"), ("body", "prom", "endpoint")]),
        ({"prom": secret}, [("body", "prom")]),
        ([secret], [("body",)]),
        ({"prom": [good["prom"]]}, [("body", "prom")]),
    ]
    for body, wrong in cases:
        refused = await put(stage, acme, body)
        assert faults(refused) == wrong
        assert secret not in refused.body.decode()
    odd = [b"{", b"", b'{"\\ud800": 1}', b'{"prom": {"id": "\\ud800"}}', b"[" * 50_000, b"\xff"]
    for data in odd:
        answer = await stage.request("PUT", INTEGRATIONS, token=acme.user_token, data=data)
        assert (answer.status in (400, 422), list(answer.json)) == (True, ["detail"])
    assert (await stage.record(acme))["prom_endpoint"] is None


async def test_a_masked_token_keeps_the_stored_one_only_where_it_was_stored(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.integrate(acme)
    assert before["prom_token"] == "••••iver"
    same = receivers(stage, token=before["prom_token"])
    same["loki"]["token"] = before["loki_token"]
    kept = await put(stage, acme, same)
    assert kept.status == 200
    assert kept.json["prom_token"] == before["prom_token"]

    moved = f"{stage.prometheus.url}/api/prom/push"
    for changed in ({"endpoint": moved}, {"id": "another"}, {"token": "••••abcd"}, {"token": "••••"}):
        refused = await put(stage, acme, {**same, **receivers(stage, **{"token": "••••iver", **changed})})
        assert faults(refused) == [("body", "prom", "token")]
    assert await stage.record(acme) == kept.json

    await stage.chat(acme)
    await stage.settled()
    assert stage.prometheus.total("tollway_requests_total", org="acme") == 1
    assert len(stage.loki.lines(org="acme")) == 1


async def test_null_removes_and_what_is_left_out_stays(stage: Stage) -> None:
    acme = await stage.tenant()
    before = await stage.integrate(acme)
    assert (await put(stage, acme, {})).json == before
    removed = (await put(stage, acme, {"prom": None})).json
    assert [removed[f"prom_{name}"] for name in ("id", "token", "endpoint")] == [None, None, None]
    assert removed["loki_endpoint"] == before["loki_endpoint"]
    assert faults(await put(stage, acme, receivers(stage, token="••••iver"))) == [("body", "prom", "token")]


async def test_a_stranger_meets_closed_doors(stage: Stage) -> None:
    acme = await stage.tenant()
    control = [
        ("GET", "/v1/orgs/current", None),
        ("POST", "/v1/orgs", {"org_name": "another"}),
        ("PUT", INTEGRATIONS, {}),
        ("POST", "/v1/apps/create", {"name": "another"}),
        ("DELETE", f"/v1/apps/{acme.app_id}", None),
    ]
    for method, path, body in control:
        for token in (None, "", "junk", "é", acme.app_key, OPERATOR_TOKEN, mint(Bearer.USER)):
            refused = await stage.request(method, path, token=token, body=body)
            assert (refused.status, list(refused.json)) == (401, ["detail"])
            assert refused.headers["www-authenticate"] == "Bearer"
    user = {"email": "eve@example.com", "name": "Eve"}
    for token, status in ((None, 401), ("junk", 401), (acme.user_token, 403), (acme.app_key, 403)):
        refused = await stage.request("POST", "/v1/users", token=token, body=user)
        assert (refused.status, list(refused.json)) == (status, ["detail"])
    assert (await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=user)).status == 201


async def test_a_member_may_do_what_their_permissions_say(stage: Stage) -> None:
    acme = await stage.tenant()

    def demote(db: Connection) -> None:
        db.execute(update(members).values(permissions="viewer:app viewer:members"))

    await stage.world.database.write(demote)
    assert (await stage.record(acme))["org_name"] == "acme"
    refused = [
        await put(stage, acme, {"prom": None}),
        await stage.request("POST", "/v1/apps/create", token=acme.user_token, body={"name": "another"}),
        await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token),
    ]
    assert [answer.status for answer in refused] == [403, 403, 403]
    assert "editor:org" in refused[0].json["detail"]
    assert (await stage.chat(acme)).status == 200


async def test_a_user_of_no_organisation_is_told_so(stage: Stage) -> None:
    token = await in_no_organisation(stage)
    for method, path, body in (
        ("GET", "/v1/orgs/current", None),
        ("PUT", INTEGRATIONS, {}),
        ("POST", "/v1/apps/create", {"name": "an app"}),
    ):
        answer = await stage.request(method, path, token=token, body=body)
        assert (answer.status, "POST /v1/orgs" in answer.json["detail"]) == (404, True)


async def test_names_that_are_taken_or_wrong_are_refused(stage: Stage) -> None:
    acme = await stage.tenant()
    token = await stage.user("eve@example.com")
    taken = await stage.request("POST", "/v1/orgs", token=token, body={"org_name": "acme"})
    assert (taken.status, list(taken.json)) == (409, ["detail"])
    wrong: list[object] = [
        "abc",
        "x" * 64,
        "Acme",
        "a cme",
        "acme-",
        "-acme",
        "ac--me",
        "acmé",
        "acme\n",
        "",
        7,
    ]
    for name in [*wrong, None, "a/../b", "acme\x00"]:
        refused = await stage.request("POST", "/v1/orgs", token=token, body={"org_name": name})
        assert faults(refused) == [("body", "org_name")], name
    current = await stage.request("GET", "/v1/orgs/current", token=token)
    assert current.json["is_personal"]

    doubled = {"email": "eve@example.com", "name": "Eve"}
    taken = await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=doubled)
    assert (taken.status, list(taken.json)) == (409, ["detail"])
    people: dict[str, list[object]] = {
        "email": ["eve", "", "@", "a@b@c", "a b@example.com", "a@example.com\n", "a\x00@example.com"],
        "name": ["", "a\x00", "a\nb", "\u202e", "x" * 201, None],
    }
    for field, values in people.items():
        for value in values:
            body = {"email": "new@example.com", "name": "New", field: value}
            refused = await stage.request("POST", "/v1/users", token=OPERATOR_TOKEN, body=body)
            assert faults(refused) == [("body", field)], value

    apps: dict[str, list[object]] = {
        "name": ["", "a\x00b", "x" * 201, None],
        "description": ["a\x00b", "x" * 4_001, 7],
        "app_logo": ["a\nb", "x" * 2_049],
        "benchmark_model": ["gone", "demo/gone", "", "a\x00b", 7],
        "unknown": ["x"],
    }
    for field, values in apps.items():
        for value in values:
            body = {"name": "an app", field: value}
            refused = await stage.request("POST", "/v1/apps/create", token=acme.user_token, body=body)
            assert faults(refused) == [("body", field)], value

    def count(db: Connection) -> tuple[int, int]:
        return len(db.execute(select(orgs.c.id)).all()), len(db.execute(select(users.c.id)).all())

    assert await stage.world.database.read(count) == (1 + 2, 2)  # each user has one of their own
    assert (await stage.record(acme))["num_apps"] == 1


async def test_line_breaks_are_welcome_in_prose_only(stage: Stage) -> None:
    acme = await stage.tenant()
    body = {"name": "An app", "description": "one\n\ttwo\r\nthree"}
    made = await stage.request("POST", "/v1/apps/create", token=acme.user_token, body=body)
    assert (made.status, made.json["description"]) == (201, body["description"])


class TestBounds:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, request_max_bytes=1_000, client_idle_s=0.1)

    async def test_a_body_over_the_cap_is_refused(self, stage: Stage) -> None:
        acme = await stage.tenant()
        told(await stage.chat(acme, "x" * 1_000), 413, "request_too_large")
        assert (await stage.chat(acme, "x" * 500)).status == 200
        assert (await only_entry(stage, acme)).status == 200

    async def test_a_body_over_the_cap_is_refused_where_its_size_was_not_announced(
        self, stage: Stage
    ) -> None:
        acme = await stage.tenant()
        refused = await in_parts(stage, CHAT, acme.app_key, b"x" * 600, b"x" * 600)
        assert refused.startswith(b"HTTP/1.1 413 ")
        assert b"request_too_large" in refused

    async def test_a_body_that_does_not_come_is_not_waited_for(self, stage: Stage) -> None:
        acme = await stage.tenant()
        refused = await in_parts(stage, CHAT, acme.app_key, b'{"model": ')
        assert refused.startswith(b"HTTP/1.1 400 ")
        assert b"request_timeout" in refused
        refused = await in_parts(stage, "/v1/orgs", acme.user_token, b'{"org_name": ')
        assert refused.startswith(b"HTTP/1.1 408 ")
        assert b'{"detail":' in refused
        assert await entries(stage, acme) == []

    async def test_the_control_plane_has_a_cap_of_its_own(self, stage: Stage) -> None:
        acme = await stage.tenant()
        half = b"x" * 600_000
        refused = await in_parts(stage, "/v1/orgs", acme.user_token, half, half)
        assert refused.startswith(b"HTTP/1.1 413 ")
        assert b'{"detail":' in refused


async def in_parts(stage: Stage, path: str, token: str, *parts: bytes) -> bytes:
    """The start of the answer to a chunked body of these parts, which never ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.base.rpartition(":")[2]))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n"
    )
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode())
    for part in parts:
        writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    try:
        answer = await reader.readuntil(b"}")
    finally:
        writer.transport.abort()
    return answer
