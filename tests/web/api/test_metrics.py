"""`/metrics`: who may ask, what is counted, and what is left when the database is away."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import psycopg
import pytest
from msgspec.structs import replace

from tests.control.scrapes import Page
from tests.gateway.scripts import delta, error, stream
from tests.push.rows import change_integration
from tests.web.test_app import away
from tests.world.entries import ON_POSTGRESQL, ON_SQLITE
from tests.world.stage import OPERATOR_TOKEN, Answer, Stage
from tests.world.waiting import until
from tollway.cli.serve import listen, serving_metrics
from tollway.control.exposition import CONTENT_TYPE
from tollway.domain.errors import StoreUnavailable
from tollway.domain.token import digest
from tollway.settings import Settings
from tollway.store.deployment import claim_operator
from tollway.web.api.metrics import Door

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def basic(password: str, user: str = "prometheus") -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


async def scrape(stage: Stage, path: str = "/metrics") -> Page:
    answer = await stage.request("GET", path, token=OPERATOR_TOKEN)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == CONTENT_TYPE
    return Page(answer.body.decode())


@asynccontextmanager
async def own_port(stage: Stage) -> AsyncIterator[str]:
    """The operator's own port of the stage's process."""
    with ExitStack() as stack:
        listener = listen("127.0.0.1", 0)
        stack.callback(listener.close)
        listener.listen()
        async with serving_metrics(stage.world, listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def asked(stage: Stage, url: str, token: str | None = None) -> Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with stage.client.get(url, headers=headers) as answer:
        return Answer(status=answer.status, headers=answer.headers, body=await answer.read())


@ON_SQLITE
class TestWhoMayAsk:
    async def test_the_operator_by_bearer_token_or_by_password(self, stage: Stage) -> None:
        for headers in (
            {"Authorization": f"Bearer {OPERATOR_TOKEN}"},
            {"Authorization": f"bearer {OPERATOR_TOKEN}"},
            basic(OPERATOR_TOKEN),
            basic(OPERATOR_TOKEN, user=""),
        ):
            assert (await stage.request("GET", "/metrics", headers=headers)).status == 200
        assert (await stage.request("GET", "/metrics/", token=OPERATOR_TOKEN)).status == 200

    async def test_nobody_else(self, stage: Stage) -> None:
        acme = await stage.tenant()
        headers = [
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer x"},
            {"Authorization": f"Bearer {acme.user_token}"},
            {"Authorization": f"Bearer {acme.app_key}"},
            {"Authorization": f"Bearer {digest(OPERATOR_TOKEN)}"},
            {"Authorization": f"Digest {OPERATOR_TOKEN}"},
            {"Authorization": f"Basic {OPERATOR_TOKEN}"},
            {"Authorization": "Basic \xff"},
            {"Authorization": "Basic " + b64encode(b"\xff:\xff").decode()},
            {"Authorization": "Basic " + b64encode(OPERATOR_TOKEN.encode()).decode()},
            basic(""),
            basic(acme.user_token),
            basic("x", user=OPERATOR_TOKEN),
        ]
        for each in headers:
            for path in ("/metrics", "/metrics?by=org"):
                answer = await stage.request("GET", path, headers=each)
                assert (answer.status, list(answer.json)) == (401, ["detail"]), each
                assert answer.headers["www-authenticate"] == "Bearer"

    async def test_nothing_but_reading(self, stage: Stage) -> None:
        assert (await stage.request("POST", "/metrics", token=OPERATOR_TOKEN)).status == 405
        assert (await stage.request("GET", "/metrics?by=app", token=OPERATOR_TOKEN)).status == 422

    async def test_the_operator_s_own_port_asks_for_no_token_but_for_names(self, stage: Stage) -> None:
        acme = await stage.tenant()
        await stage.integrate(acme)
        async with own_port(stage) as base:
            plain = await asked(stage, f"{base}/metrics")
            assert plain.status == 200
            told = Page(plain.body.decode())
            assert told.value("push_receivers", kind="prom", state="new") == 1
            assert told.labels("process") == {stage.world.journal.id}  # of the build alone
            assert told.labels("org") == set()
            assert (await asked(stage, f"{base}/metrics?by=org")).status == 401
            assert (await asked(stage, f"{base}/metrics?by=org", acme.user_token)).status == 401
            named = await asked(stage, f"{base}/metrics?by=org", OPERATOR_TOKEN)
            assert Page(named.body.decode()).labels("org") == {"acme"}
            for path in ("/", "/v1/users", "/healthz", "/docs", "/openapi.json"):
                assert (await asked(stage, base + path, OPERATOR_TOKEN)).status == 404

    async def test_without_a_port_of_its_own_there_is_none(self, stage: Stage) -> None:
        async with serving_metrics(stage.world, None):
            pass


@ON_SQLITE
class TestGeneratedToken:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, operator_token="")

    async def test_it_is_known_by_its_hash_once_there_is_one(self, stage: Stage) -> None:
        made = "two_a-generated-operator-token"
        assert (await stage.request("GET", "/metrics", token=made)).status == 401
        assert await stage.world.database.write(claim_operator, digest(made))
        assert (await stage.request("GET", "/metrics", token=made)).status == 200
        assert (await stage.request("GET", "/metrics", headers=basic(made))).status == 200
        assert (await stage.request("GET", "/metrics", token="two_another")).status == 401


@ON_POSTGRESQL
class TestGeneratedTokenAway:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return replace(settings, operator_token="")

    async def test_it_is_asked_for_once_and_serves_on_while_the_database_is_away(self, stage: Stage) -> None:
        made = "two_a-generated-operator-token"
        await stage.world.database.write(claim_operator, digest(made))
        url = stage.world.settings.database_url
        with away(url):
            assert (await stage.request("GET", "/metrics", token=made)).status == 503
        assert (await stage.request("GET", "/metrics", token=made)).status == 200
        with away(url):
            answer = await stage.request("GET", "/metrics", token=made)
            assert (answer.status, Page(answer.body.decode()).value("database_up")) == (200, 0)
            assert (await stage.request("GET", "/metrics", token="two_another")).status == 401


async def test_what_passes_is_counted_and_nobody_is_named(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    await stage.integrate(acme)
    before = await scrape(stage)
    for fields in ({}, {"stream": True}, {"model": "gone"}):
        await stage.chat(acme, **fields)
    await stage.request("GET", "/v1/models", token=other.app_key)
    await stage.request("GET", "/v1/nowhere")
    waiting = await scrape(stage)
    assert waiting.value("requests_total", route="chat", status="2xx") == 2
    assert waiting.value("requests_total", route="chat", status="4xx") == 1
    assert waiting.value("requests_total", route="models", status="2xx") == 1
    assert waiting.value("requests_total", route="control", status="4xx") == 1
    assert waiting.value("requests_in_flight", route="control") == 1  # the scrape itself
    assert waiting.value("requests_in_flight", route="chat") == 0
    assert waiting.value("request_duration_seconds_count", route="chat") == 3
    assert waiting.value("overhead_seconds_count") == 2
    assert waiting.value("vendor_calls_total", vendor="demo") == 2
    assert not waiting.all("vendor_errors_total")
    assert waiting.value("fold_waiting_records") > before.value("fold_waiting_records") == 0
    assert waiting.value("fold_waiting_bytes") > 0
    assert waiting.value("lease_orders_total") > 0
    assert waiting.value("lease_organisations") == 1
    await stage.settled()
    after = await scrape(stage)
    assert after.value("folded_rows_total") == 2
    assert after.value("fold_waiting_records") == after.value("fold_waiting_bytes") == 0
    assert after.value("push_receivers", kind="loki", state="ok") == 1
    assert after.value("open_journals") == 1
    assert after.value("journal_size_bytes") > 0
    assert after.value("database_up") == 1
    assert after.labels("process") == {stage.world.journal.id}
    for page in (waiting, after):
        assert not {"acme", "other", acme.org_id, other.org_id} & {
            value for name in ("org", "app", "model", "instance") for value in page.labels(name)
        }
        assert not any(secret in page.text for secret in ("acme", acme.app_id, acme.app_key))


async def test_names_are_told_to_who_asks_for_them(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    await stage.integrate(acme)
    await stage.integrate(other)
    await change_integration(stage.world.database, other, "loki", state="retrying", dropped=2, too_old=3)
    stage.clock.advance(90)
    told = await scrape(stage, "/metrics?by=org")
    assert told.labels("org") == {"acme", "other"}
    assert told.value("org_push_lag_seconds", org="acme", kind="prom", state="new") == 90
    assert told.value("org_push_dropped", org="other", kind="loki", state="retrying") == 5
    assert told.value("push_dropped", kind="loki", reason="too_old") == 3
    assert (await scrape(stage)).labels("org") == set()


@ON_SQLITE
async def test_what_a_vendor_does_wrong_is_told(stage: Stage) -> None:
    acme = await stage.tenant()
    stage.vendor.scripted += [error(429), error(401), stream(delta("Hi"), breaks_off=True)]
    for is_streamed in (False, False, True, False):
        await stage.chat(acme, stream=is_streamed)
    told = await scrape(stage)
    assert told.value("vendor_calls_total", vendor="demo") == 4
    errors = [("vendor_refused", "429"), ("vendor_credentials_refused", "502"), ("vendor_unreachable", "502")]
    for code, status in errors:
        assert told.value("vendor_errors_total", vendor="demo", code=code, status=status) == 1
    assert len(told.all("vendor_errors_total")) == len(errors)


@ON_POSTGRESQL
async def test_while_the_database_is_away_the_process_still_tells_of_itself(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await stage.chat(acme)).status == 200
    with away(stage.world.settings.database_url):
        stage.clock.advance(30)
        with pytest.raises(StoreUnavailable):
            await stage.world.folder.fold_all()
        told = await scrape(stage)
        assert told.value("database_up") == 0
        assert told.value("fold_lag_seconds") == 30
        assert told.value("requests_total", route="chat", status="2xx") == 1
        assert "push_receivers" not in told
    assert (await scrape(stage)).value("database_up") == 1


@contextmanager
def silent(url: str) -> Iterator[None]:
    """A PostgreSQL database that lets whoever asks for receivers wait."""
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE integrations")
        yield


@ON_POSTGRESQL
async def test_a_database_that_hangs_is_asked_once_and_not_waited_for(stage: Stage) -> None:
    door = Door(stage.world, is_open=True, patience_s=0.05)
    url = stage.world.settings.database_url
    with psycopg.connect(url, autocommit=True) as watcher:
        with silent(url):
            seen = await asyncio.gather(*(door.look(by_org=False) for _ in range(5)))
            seen.append(await door.look(by_org=False))
            assert [each.installation for each in seen] == [None] * 6
            asking = watcher.execute(WAITING).fetchone()
            assert asking == (1,)

        async def is_back() -> bool:
            return (await door.look(by_org=False)).installation is not None

        await until(is_back)
