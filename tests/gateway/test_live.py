"""The views of keys: found once, kept in memory, forgotten when something changes, bounded."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import Connection, update

from tests.world.clock import TurningClock
from tests.world.stage import Stage
from tollway.domain.caller import Caller, KeyPermission
from tollway.domain.errors import Forbidden, StoreUnavailable, Unauthenticated
from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.token import Bearer, digest, mint
from tollway.gateway.live import Live, require_on
from tollway.store.changes import announce
from tollway.store.schema import app_keys, orgs

CLOCK = TurningClock()


def caller(
    org: str = "org-1", *, key_is_active: bool = True, app_is_active: bool = True, org_is_active: bool = True
) -> Caller:
    return Caller(
        org_id=OrgId(org),
        org="acme",
        org_is_active=org_is_active,
        app_id=AppId("app-1"),
        app="app",
        app_is_active=app_is_active,
        key_id=KeyId("key-1"),
        key_is_active=key_is_active,
        benchmark_model=None,
    )


class Keys:
    """Where views are loaded from."""

    def __init__(self, *callers: Caller) -> None:
        self.tokens = [mint(Bearer.APP) for _ in callers]
        self.by_hash = dict(zip(map(digest, self.tokens), callers, strict=True))
        self.position = 0
        self.asked: list[str] = []
        self.is_away = False
        self.gate: asyncio.Event | None = None

    async def load(self, key_hash: str) -> tuple[Caller | None, int]:
        self.asked.append(key_hash)
        if self.is_away:
            raise StoreUnavailable("the database is away")
        found = self.by_hash.get(key_hash), self.position
        if self.gate:
            await self.gate.wait()
        return found


async def test_a_key_is_looked_up_once_by_its_hash() -> None:
    keys = Keys(caller())
    live = Live(keys.load, 0, CLOCK.now_us)
    (token,) = keys.tokens
    assert live.known(token) is None
    assert await live.identify(token) == caller()
    assert await live.identify(token) is live.known(token)
    assert keys.asked == [digest(token)]


async def test_a_known_key_works_while_the_database_is_away() -> None:
    keys = Keys(caller(), caller())
    live = Live(keys.load, 0, CLOCK.now_us)
    await live.identify(keys.tokens[0])
    keys.is_away = True
    await live.identify(keys.tokens[0])
    with pytest.raises(StoreUnavailable):
        await live.identify(keys.tokens[1])


@pytest.mark.parametrize(
    "junk",
    [
        "junk",
        mint(Bearer.USER),
        mint(Bearer.OPERATOR),
        mint(Bearer.APP)[:-1],
        mint(Bearer.APP) + "0",
        "twk_" + "0" * 38,
        "twk_" + "é" * 38,
        "\udcff" * 42,
    ],
    ids=["junk", "user's", "operator's", "cut", "longer", "wrong check", "no ASCII", "no Unicode"],
)
async def test_junk_never_reaches_the_database(junk: str) -> None:
    keys = Keys()
    with pytest.raises(Unauthenticated):
        await Live(keys.load, 0, CLOCK.now_us).identify(junk)
    assert keys.asked == []


@pytest.mark.parametrize("missing", [None, ""])
async def test_without_a_token_nobody_is_identified(missing: str | None) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await Live(Keys().load, 0, CLOCK.now_us).identify(missing)
    assert refused.value.code == "missing_api_key"


async def test_a_key_that_nobody_has_is_not_remembered() -> None:
    keys = Keys()
    live = Live(keys.load, 0, CLOCK.now_us)
    token = mint(Bearer.APP)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await live.identify(token)
    assert len(keys.asked) == 2
    keys.by_hash[digest(token)] = caller()
    assert await live.identify(token) == caller()


@pytest.mark.parametrize(
    ("view", "error", "code"),
    [
        (caller(key_is_active=False), Unauthenticated, "key_revoked"),
        (caller(app_is_active=False), Forbidden, "app_revoked"),
        (caller(org_is_active=False), Forbidden, "organisation_inactive"),
    ],
)
async def test_what_was_switched_off_is_refused_each_time(
    view: Caller, error: type[Unauthenticated | Forbidden], code: str
) -> None:
    keys = Keys(view)
    live = Live(keys.load, 0, CLOCK.now_us)
    for _ in range(2):
        with pytest.raises(error) as refused:
            await live.identify(keys.tokens[0])
        assert refused.value.code == code


async def test_only_what_changed_is_forgotten() -> None:
    keys = Keys(caller("org-1"), caller("org-2"))
    live = Live(keys.load, 0, CLOCK.now_us)
    for token in keys.tokens:
        await live.identify(token)
    live.forget(1, {OrgId("org-1")})
    assert [live.known(token) is None for token in keys.tokens] == [True, False]
    live.forget(2, set())
    assert live.known(keys.tokens[1]) is not None
    live.forget(3, None)
    assert live.known(keys.tokens[1]) is None
    assert live.position == 3


async def test_a_view_read_before_a_change_answers_once_and_is_not_kept() -> None:
    keys = Keys(caller())
    live = Live(keys.load, 0, CLOCK.now_us)
    keys.gate = asyncio.Event()
    asking = asyncio.create_task(live.identify(keys.tokens[0]))
    await asyncio.sleep(0)
    assert keys.asked
    live.forget(1, {OrgId("org-1")})
    keys.gate.set()
    await asking
    assert live.known(keys.tokens[0]) is None


async def test_the_number_of_views_is_bounded_and_the_oldest_goes() -> None:
    async def load(_hash: str) -> tuple[Caller | None, int]:
        return caller(), 0

    live = Live(load, 0, CLOCK.now_us, max_views=3)
    tokens = [mint(Bearer.APP) for _ in range(5)]
    for token in tokens:
        await live.identify(token)
    assert [live.known(token) is not None for token in tokens] == [False, False, True, True, True]


async def test_a_revoked_app_is_refused_after_one_reading_of_the_feed(stage: Stage) -> None:
    acme, other = await stage.tenant("acme"), await stage.tenant("other")
    for tenant in (acme, other):
        assert (await stage.chat(tenant)).status == 200
    revoked = await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    assert revoked.status == 200
    live = stage.world.gateway.live
    assert live.known(acme.app_key) is not None
    await stage.world.refresh()
    assert live.known(acme.app_key) is None
    assert live.known(other.app_key) is not None
    refused = await stage.chat(acme)
    assert (refused.status, refused.json["error"]["code"]) == (403, "app_revoked")
    assert (await stage.chat(other)).status == 200


async def test_a_revoked_key_is_refused_after_one_reading_of_the_feed(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await stage.chat(acme)).status == 200

    def revoke(db: Connection) -> None:
        db.execute(update(app_keys).values(revoked_us=1))
        announce(db, OrgId(acme.org_id), 1)

    await stage.world.database.write(revoke)
    await stage.world.refresh()
    refused = await stage.chat(acme)
    assert (refused.status, refused.json["error"]["code"]) == (401, "key_revoked")


async def test_an_inactive_organisation_is_refused_everything_but_reading(stage: Stage) -> None:
    acme = await stage.tenant()
    assert (await stage.chat(acme)).status == 200

    def switch_off(db: Connection) -> None:
        db.execute(update(orgs).values(is_active=False))
        announce(db, OrgId(acme.org_id), 1)

    await stage.world.database.write(switch_off)
    await stage.world.refresh()
    refused = await stage.chat(acme)
    assert (refused.status, refused.json["error"]["code"]) == (403, "organisation_inactive")
    models = await stage.request("GET", "/v1/models", token=acme.app_key)
    assert models.status == 403
    changes = [
        await stage.request("PUT", "/v1/orgs/integrations", token=acme.user_token, body={"prom": None}),
        await stage.request("POST", "/v1/apps/create", token=acme.user_token, body={"name": "another"}),
        await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token),
    ]
    assert [change.status for change in changes] == [403, 403, 403]
    record = await stage.record(acme)
    assert (record["is_active"], record["num_apps"]) == (False, 1)


async def test_calls_of_an_inactive_organisation_are_counted_and_no_other_refusals() -> None:
    views = (caller(org_is_active=False), caller(app_is_active=False), caller(key_is_active=False))
    keys = Keys(*views)
    counted: list[tuple[str, str, str]] = []
    live = Live(keys.load, 0, CLOCK.now_us, turned_away=lambda *call: counted.append(call))
    for token in keys.tokens:
        for _ in range(2):
            with pytest.raises((Forbidden, Unauthenticated)):
                await live.identify(token)
    assert counted == [(views[0].org_id, views[0].app, "organisation_inactive")] * 2


async def test_a_key_ends_by_itself_with_no_look_up() -> None:
    clock = TurningClock()
    keys = Keys(replace(caller(), expires_us=clock.now_us() + 1_000_000))
    live = Live(keys.load, 0, clock.now_us)
    (token,) = keys.tokens
    await live.identify(token)
    clock.advance(0.999999)
    await live.identify(token)
    keys.is_away = True
    clock.advance(0.000001)
    for _ in range(2):
        with pytest.raises(Unauthenticated) as refused:
            await live.identify(token)
        assert refused.value.code == "key_expired"
    assert len(keys.asked) == 1


async def test_a_key_is_only_for_what_it_is_permitted() -> None:
    keys = Keys(replace(caller(), key_permissions=frozenset({KeyPermission.LOGS})))
    live = Live(keys.load, 0, CLOCK.now_us)
    (token,) = keys.tokens
    with pytest.raises(Forbidden) as refused:
        await live.identify(token)
    assert refused.value.code == "key_not_permitted"
    assert (await live.identify(token, KeyPermission.LOGS)).key_id == "key-1"


def test_a_model_that_is_switched_off_is_refused_and_others_are_not() -> None:
    view = replace(caller(), models_off=frozenset({"demo/small"}))
    require_on(view, "demo/large")
    with pytest.raises(Forbidden) as refused:
        require_on(view, "demo/small")
    assert (refused.value.code, refused.value.param) == ("model_switched_off", "model")
