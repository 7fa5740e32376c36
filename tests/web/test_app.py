"""Which path leads where, and the last resort for errors."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace as with_part
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.gateway.scripts import only_entry
from tests.world.stage import OPERATOR_TOKEN, RECEIVER_TOKEN, VENDOR_KEY, Stage
from tollway.demo.offer import CHEAP_MODEL
from tollway.domain.ids import is_id
from tollway.web.app import App

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@sqlite_only
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_slash_at_the_end_changes_nothing(stage: Stage, slash: str) -> None:
    acme = await stage.tenant()
    body = {"model": CHEAP_MODEL, "messages": []}
    asked = [
        ("POST", "/v1/chat/completions", acme.app_key, body, 200),
        ("GET", "/v1/models", acme.app_key, None, 200),
        ("GET", "/v1/orgs/current", acme.user_token, None, 200),
        ("GET", "/v1/orgs/cycles", acme.user_token, None, 200),
        ("GET", "/v1/audit/ledger", OPERATOR_TOKEN, None, 200),
        ("PUT", "/v1/orgs/integrations", acme.user_token, {}, 200),
        ("POST", "/v1/apps/create", acme.user_token, {"name": "another"}, 201),
        ("POST", "/v1/orgs", acme.user_token, {"org_name": "another"}, 201),
        ("POST", "/v1/users", OPERATOR_TOKEN, {"email": "eve@example.com", "name": "Eve"}, 201),
        ("GET", "/healthz", None, None, 200),
        ("GET", "/docs", None, None, 200),
    ]
    for method, path, token, sent, status in asked:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with stage.client.request(
            method, stage.base + path + slash, json=sent, headers=headers, allow_redirects=False
        ) as answer:
            assert answer.status == status, path


@sqlite_only
async def test_a_wrong_method_and_an_unknown_path_are_told_so(stage: Stage) -> None:
    for method, path in (
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/chat/completions/"),
        ("DELETE", "/v1/models"),
        ("POST", "/v1/models/demo/small"),
    ):
        answer = await stage.request(method, path)
        assert (answer.status, answer.json["error"]["code"]) == (405, "method_not_allowed")
        assert is_id(answer.headers["x-request-id"])
    for method, path, status in (
        ("GET", "/v1/users", 405),
        ("POST", "/healthz", 405),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat", 404),
        ("POST", "/v1/modelsandmore", 404),
    ):
        answer = await stage.request(method, path)
        assert (answer.status, list(answer.json)) == (status, ["detail"])


@sqlite_only
async def test_every_inference_answer_has_an_id_of_its_own(stage: Stage) -> None:
    acme = await stage.tenant()
    answers = [
        await stage.chat(acme),
        await stage.chat(acme, stream=True),
        await stage.chat(acme, model="gone"),
        await stage.request("GET", "/v1/models", token=acme.app_key),
        await stage.request("GET", "/v1/models", headers={"x-request-id": "chosen-by-the-client"}),
    ]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)
    assert all(is_id(id_) for id_ in ids)


class Door:
    """A client of the application, without a socket."""

    def __init__(self, method: str, path: str, token: str | None = None) -> None:
        self.got: list[MutableMapping[str, Any]] = []
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        self.scope: MutableMapping[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": headers,
            "query_string": b"",
        }

    async def receive(self) -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b'{"model": "demo/small", "messages": []}'}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.got.append(message)

    async def ask(self, app: App) -> tuple[int, bytes]:
        await app(self.scope, self.receive, self.send)
        return self.got[0]["status"], self.got[1]["body"]


@sqlite_only
async def test_an_unforeseen_error_is_a_500_in_the_shape_of_its_path(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    acme = await stage.tenant()
    gateway = stage.world.gateway
    lacking = with_part(gateway, vendors={})
    app = App(with_part(stage.world, gateway=lacking))
    status, body = await Door("POST", "/v1/chat/completions", acme.app_key).ask(app)
    assert status == 500
    assert body == (
        b'{"error":{"message":"something went wrong here","type":"server_error","param":null,'
        b'"code":"internal_error"}}'
    )
    assert not stage.world.journal.open
    entry = await only_entry(stage, acme)
    assert (entry.status, entry.error_code, entry.cost.total) == (500, "internal_error", 0)

    broken = App(with_part(stage.world, database=None))  # type: ignore[arg-type]  # what nobody foresees
    status, body = await Door("GET", "/v1/orgs/current", acme.user_token).ask(broken)
    assert (status, body) == (500, b'{"detail":"something went wrong here"}')
    assert [record.message for record in caplog.records if record.name == "tollway.web.app"] == [
        "POST /v1/chat/completions failed",
        "GET /v1/orgs/current failed",
    ]


@sqlite_only
async def test_a_failure_before_the_control_plane_is_reached_has_its_shape(stage: Stage) -> None:
    class Unreadable(Door):
        async def receive(self) -> MutableMapping[str, Any]:
            raise ZeroDivisionError

    status, body = await Unreadable("GET", "/healthz").ask(App(stage.world))
    assert (status, body) == (500, b'{"detail":"something went wrong here"}')


@sqlite_only
async def test_a_failure_behind_the_first_byte_adds_nothing(stage: Stage) -> None:
    acme = await stage.tenant()

    class Failing(Door):
        async def send(self, message: MutableMapping[str, Any]) -> None:
            await super().send(message)
            raise ZeroDivisionError

    door = Failing("GET", "/v1/models", acme.app_key)
    await App(stage.world)(door.scope, door.receive, door.send)
    assert [message["type"] for message in door.got] == ["http.response.start"]


@sqlite_only
async def test_what_is_not_http_is_left_alone(stage: Stage) -> None:
    door = Door("GET", "/")
    await App(stage.world)({"type": "lifespan"}, door.receive, door.send)
    assert door.got == []


async def test_health_is_told_without_a_token(stage: Stage) -> None:
    assert (await stage.request("GET", "/healthz")).json == {"status": "ok"}
    ready = await stage.request("GET", "/readyz")
    assert (ready.status, ready.json) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "journal": "ok", "limits": "ok"}},
    )


@contextmanager
def away(url: str) -> Iterator[None]:
    """A PostgreSQL database that nobody reaches."""
    server, _, name = url.rpartition("/")
    database = sql.Identifier(name)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as db:
        db.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            db.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(database))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_while_the_database_is_away_known_keys_work_and_all_else_is_told_so(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    assert (await stage.chat(acme)).status == 200
    await stage.settled()
    with away(stage.world.settings.database_url):
        assert (await stage.chat(acme)).status == 200  # of what the process holds
        answered = 2
        while (unasked := await stage.chat(acme)).status == 200:
            answered += 1
        assert (unasked.status, unasked.json["error"]["code"]) == (503, "limits_unavailable")
        stage.clock.advance(int(unasked.headers["retry-after"]))
        assert (await stage.chat(acme)).status == 200  # of its share of the next full minute
        assert (await stage.chat(acme, stream=True)).status == 200
        assert (await stage.request("GET", "/v1/models", token="junk")).status == 401
        refused = await stage.chat(other)
        assert (refused.status, refused.json["error"]["code"]) == (503, "store_unavailable")
        shown = await stage.request("GET", "/v1/orgs/current", token=acme.user_token)
        assert (shown.status, list(shown.json)) == (503, ["detail"])
        ready = await stage.request("GET", "/readyz")
        assert (ready.status, ready.json["checks"]["journal"]) == (503, "ok")
        assert ready.json["checks"]["database"].startswith("the database is not available")
        assert ready.json["checks"]["limits"].startswith("the database does not answer")
        assert (await stage.request("GET", "/healthz")).status == 200
        assert stage.world.folder.waiting
    assert (await stage.request("GET", "/readyz")).status == 200
    await stage.settled()
    assert (await stage.record(acme))["num_requests"] == answered + 2


async def test_no_answer_holds_a_secret(stage: Stage) -> None:
    acme = await stage.tenant()
    record = await stage.integrate(acme)
    shown = [str(record), str((await stage.chat(acme)).headers), repr(stage.world.settings)]
    for secret in (VENDOR_KEY, RECEIVER_TOKEN, OPERATOR_TOKEN, acme.app_key, acme.user_token):
        assert all(secret not in text for text in shown)
