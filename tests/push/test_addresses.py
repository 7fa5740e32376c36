"""Addresses that pushes may not go to, however they are written, at PUT and at the socket."""

import socket
from contextlib import closing

import msgspec
import pytest

from tests.push.entries import ORG
from tests.push.forbidden import DISGUISED, LOOPBACK, PRIVATE
from tests.push.rows import integration_of
from tests.world.names import Names
from tests.world.stage import Stage
from tollway.domain.destination import parse_endpoint, parse_networks
from tollway.push.addresses import (
    AddressInfo,
    AddressRefusedError,
    LookUp,
    Resolver,
    ask_the_system,
    guarded,
    reachable_refusal,
)
from tollway.settings import Settings
from tollway.world import open_world


async def refusal_of(url: str, allowed: str = "", ask: LookUp = ask_the_system) -> str | None:
    return await reachable_refusal(parse_endpoint(url), parse_networks(allowed), Resolver(5, ask), ORG)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", LOOPBACK + PRIVATE)
async def test_private_addresses_are_refused_and_the_setting_is_named(scheme: str, host: str) -> None:
    refused = await refusal_of(f"{scheme}://{host}/api/v1/write")
    assert refused is not None
    assert "TOLLWAY_PUSH_ALLOW_CIDRS" in refused


@pytest.mark.parametrize("allowed", ["", "0.0.0.0/0, ::/0"])
@pytest.mark.parametrize("host", DISGUISED)
async def test_an_address_in_disguise_is_refused_whatever_the_operator_allows(
    host: str, allowed: str
) -> None:
    refused = await refusal_of(f"https://{host}/", allowed)
    assert refused is not None
    assert "write it plainly" in refused or "percent sign" in refused


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]"])
async def test_the_operator_may_allow_the_loopback(host: str) -> None:
    assert await refusal_of(f"http://{host}/", "127.0.0.0/8, ::1/128") is None


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "a" * 64 + ".invalid", "☃" * 64 + ".invalid"])
async def test_a_host_that_does_not_resolve_is_not_refused(host: str) -> None:
    assert await refusal_of(f"https://{host}/") is None


@pytest.mark.parametrize("host", ["localhost.", "api.localhost", "API.LOCALHOST.", "a.\uff4cocalhost\u3002"])
async def test_a_name_of_the_loopback_is_refused_also_where_nobody_knows_it(names: Names, host: str) -> None:
    names.unknown(parse_endpoint(f"https://{host}/").host)
    assert "is at 127.0.0.1" in str(await refusal_of(f"https://{host}/", ask=names))
    assert await refusal_of(f"https://{host}/", "127.0.0.0/8", ask=names) is None


@pytest.mark.parametrize(
    ("addresses", "refused"),
    [
        (["8.8.8.8"], False),
        (["2606:4700::1111", "8.8.8.8"], False),
        (["8.8.8.8", "10.0.0.1"], True),
        (["2606:4700::1111", "::1"], True),
        (["fe80::1%eth0"], True),
        (["64:ff9b::a00:1"], True),
    ],
)
async def test_a_name_is_refused_if_any_of_its_addresses_is(
    names: Names, addresses: list[str], refused: bool
) -> None:
    names.always("prometheus.example.com", addresses)
    found = await refusal_of("https://prometheus.example.com/", ask=names)
    assert (found is not None) == refused


async def test_a_public_address_is_for_https_only() -> None:
    assert await refusal_of("https://8.8.8.8/") is None
    refused = await refusal_of("http://8.8.8.8/")
    assert refused is not None
    assert "unencrypted" in refused


def info_of(address: str) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443)


@pytest.mark.parametrize("text", ["127.1", "2130706433", "8.8.8.8.", "dns.example.com", ""])
def test_the_guard_makes_no_socket_to_what_would_be_looked_up_once_more(text: str) -> None:
    make = guarded(parse_endpoint("https://example.com/"), parse_networks("0.0.0.0/0, ::/0"))
    with pytest.raises(AddressRefusedError, match="is not an address"):
        make(info_of(text))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "fe80::1%lo", "::ffff:10.0.0.1"])
def test_the_guard_makes_no_socket_to_a_name_that_has_moved_to_a_private_address(address: str) -> None:
    make = guarded(parse_endpoint("https://example.com/"), parse_networks("192.168.0.0/16"))
    with pytest.raises(AddressRefusedError, match=r"example\.com is at"):
        make(info_of(address))


def test_the_guard_makes_a_socket_that_does_not_block() -> None:
    make = guarded(parse_endpoint("https://example.com/"), ())
    with closing(make(info_of("8.8.8.8"))) as made:
        assert (made.family, made.type, made.getblocking()) == (socket.AF_INET, socket.SOCK_STREAM, False)


def body_for(endpoint: str) -> dict[str, object]:
    return {"prom": {"id": "123456", "token": "a-token-of-somebody", "endpoint": endpoint}}


async def test_at_put_a_host_that_does_not_resolve_is_accepted(stage: Stage) -> None:
    acme = await stage.tenant()
    endpoint = "https://prometheus.invalid/api/prom/push"
    put = await stage.request("PUT", "/v1/orgs/integrations", token=acme.user_token, body=body_for(endpoint))
    assert put.status == 200
    assert put.json["prom_endpoint"] == endpoint
    await stage.chat(acme)
    await stage.settled()
    stored = await integration_of(stage.world.database, acme, "prom")
    assert "no connection" in stored.last_error


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_receiver_stored_while_it_was_allowed_is_refused_at_push_once_it_is_not(
    stage: Stage, settings: Settings, host: str
) -> None:
    acme = await stage.tenant()
    port = stage.prometheus.url.rpartition(":")[2]
    endpoint = f"http://{host}:{port}/api/v1/write"
    put = await stage.request("PUT", "/v1/orgs/integrations", token=acme.user_token, body=body_for(endpoint))
    assert put.status == 200
    await stage.chat(acme)
    await stage.world.folder.fold_all()

    stricter = msgspec.structs.replace(settings, push_allow_cidrs="10.0.0.0/8")
    async with open_world(stricter, clock=stage.clock, runs_tasks=False) as world:
        await world.settled()
    stored = await integration_of(stage.world.database, acme, "prom")
    refused = await refusal_of(endpoint, stricter.push_allow_cidrs)
    assert stored.last_error == refused
    assert f"{host} is at 127.0.0.1" in stored.last_error
    assert stored.last_success_us is None
    assert stage.prometheus.requests == []
