"""At `PUT /v1/orgs/integrations`: every way to point the gateway at what only it can reach is a 422."""

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds

from tests.domain.spellings import private, spellings
from tests.push.forbidden import DISGUISED, FORMLESS, LOOPBACK, PRIVATE
from tests.world.entries import ON_SQLITE
from tests.world.names import Names
from tests.world.stage import Answer, Stage, Tenant
from tollway.settings import Settings

TOKEN = "a-token-of-somebody"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, push_allow_cidrs="")


@pytest.fixture
def tenants() -> list[Tenant]:
    """The one that examples share."""
    return []


async def put(stage: Stage, tenant: Tenant, **endpoints: str) -> Answer:
    body = {
        kind: {"id": "123456", "token": TOKEN, "endpoint": endpoint} for kind, endpoint in endpoints.items()
    }
    return await stage.request("PUT", "/v1/orgs/integrations", token=tenant.user_token, body=body)


async def refusals(stage: Stage, tenant: Tenant, host: str) -> list[tuple[str, str]]:
    """Type and text of why the host is refused: by https for metrics, by http for logs."""
    endpoints = {"prom": f"https://{host}:9090/api/v1/write", "loki": f"http://{host}:3100/loki/api/v1/push"}
    answer = await put(stage, tenant, **endpoints)
    assert answer.status == 422, host
    assert TOKEN not in answer.body.decode()
    faults = answer.json["detail"]
    assert [fault["loc"] for fault in faults] == [["body", kind, "endpoint"] for kind in endpoints], host
    return [(fault["type"], fault["msg"]) for fault in faults]


async def assert_nothing_is_stored(stage: Stage, tenant: Tenant) -> None:
    record = await stage.record(tenant)
    assert (record["prom_endpoint"], record["loki_endpoint"]) == (None, None)


@ON_SQLITE
async def test_private_addresses_and_names_of_the_loopback_are_refused(stage: Stage) -> None:
    acme = await stage.tenant()
    for host in LOOPBACK + PRIVATE:
        for type_, text in await refusals(stage, acme, host):
            assert type_ == "address_refused", host
            assert "private, loopback or reserved" in text, host
            assert "TOLLWAY_PUSH_ALLOW_CIDRS" in text, host
    await assert_nothing_is_stored(stage, acme)


@ON_SQLITE
async def test_addresses_in_disguise_are_refused(stage: Stage) -> None:
    acme = await stage.tenant()
    for host in DISGUISED:
        for type_, text in await refusals(stage, acme, host):
            assert type_ == "address_refused", host
            assert "write it plainly" in text or "percent sign" in text, host
    await assert_nothing_is_stored(stage, acme)


@ON_SQLITE
async def test_credentials_and_tricks_in_the_host_are_refused(stage: Stage) -> None:
    acme = await stage.tenant()
    for host in FORMLESS:
        for type_, text in await refusals(stage, acme, host):
            assert type_ in ("url_invalid", "value_error"), host
            assert text, host
    await assert_nothing_is_stored(stage, acme)


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700:4700::1111]", "loki.example.com"])
async def test_a_public_address_is_for_https_only(stage: Stage, names: Names, host: str) -> None:
    names.always("loki.example.com", ["8.8.8.8", "2606:4700:4700::1111"])
    acme = await stage.tenant()
    answer = await put(stage, acme, loki=f"http://{host}/loki/api/v1/push")
    assert answer.status == 422
    assert "not sent unencrypted" in answer.json["detail"][0]["msg"]
    await assert_nothing_is_stored(stage, acme)
    assert (await put(stage, acme, loki=f"https://{host}/loki/api/v1/push")).status == 200


@ON_SQLITE
@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["2606:4700::1", "fd00::1"], ["64:ff9b::a00:1"]]
)
async def test_a_name_with_a_private_address_is_refused(
    stage: Stage, names: Names, addresses: list[str]
) -> None:
    names.always("metadata.example.com", addresses)
    acme = await stage.tenant()
    found = await refusals(stage, acme, "metadata.example.com")
    assert {type_ for type_, _ in found} == {"address_refused"}
    assert found[0][1].startswith("metadata.example.com is at ")
    await assert_nothing_is_stored(stage, acme)


@ON_SQLITE
@bounds(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spelled=spellings(private()))
async def test_no_way_to_write_a_private_address_is_accepted(
    stage: Stage, tenants: list[Tenant], spelled: tuple[str, str]
) -> None:
    if not tenants:
        tenants.append(await stage.tenant())
    for type_, _ in await refusals(stage, tenants[0], spelled[1]):
        assert type_ == "address_refused"
