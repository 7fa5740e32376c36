"""At the connection: nothing goes to an address that is refused, whatever the name said before."""

import asyncio

import msgspec
import pytest

from tests.push.forbidden import DISGUISED, FORMLESS, LOOPBACK, PRIVATE
from tests.push.receivers import server
from tests.push.rows import integration_of
from tests.push.senders import listing, outbound, sender, verdict_of
from tests.world.names import Names
from tests.world.stage import Stage
from tollway.domain.destination import parse_endpoint
from tollway.settings import Settings


@pytest.mark.parametrize("host", LOOPBACK + PRIVATE + DISGUISED)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nothing_is_connected_to(scheme: str, host: str) -> None:
    heads: list[bytes] = []
    async with server(listing(heads)) as address:
        verdict = await verdict_of(f"{scheme}://{host}:{address.rpartition(':')[2]}/", outbound(allowed=""))
    assert verdict.outcome == "refused"
    assert verdict.reason
    assert heads == []


@pytest.mark.parametrize("host", FORMLESS)
def test_what_is_no_endpoint_has_no_sender(host: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|not a URL"):
        parse_endpoint(f"https://{host}/api/prom/push")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
async def test_no_credentials_go_unencrypted_to_a_public_address(names: Names, address: str) -> None:
    names.always("prometheus.example.com", [address])
    verdict = await verdict_of("http://prometheus.example.com/api/prom/push", outbound(ask=names))
    assert verdict.outcome == "refused"
    assert "not sent unencrypted" in str(verdict.reason)


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["10.0.0.1", "127.0.0.1"],
        ["169.254.169.254", "fe80::1", "::1"],
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_each_address_that_a_name_has_is_asked_about(
    names: Names, scheme: str, answers: list[str]
) -> None:
    names.always("prometheus.example.com", answers)
    heads: list[bytes] = []
    async with server(listing(heads)) as address:
        port = address.rpartition(":")[2]
        verdict = await verdict_of(
            f"{scheme}://prometheus.example.com:{port}/", outbound(allowed="192.168.0.0/16", ask=names)
        )
    assert verdict.outcome == "refused"
    assert "prometheus.example.com is at" in str(verdict.reason)
    assert heads == []


async def test_a_name_that_moves_between_two_pushes_is_refused_at_the_second(
    names: Names,
) -> None:
    names.always("prometheus.example.com", ["127.0.0.1"])
    heads: list[bytes] = []
    closing = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    async with server(listing(heads, closing)) as address:
        endpoint = f"http://prometheus.example.com:{address.rpartition(':')[2]}/"
        async with sender(endpoint, outbound(allowed="127.0.0.1/32", ask=names)) as made:
            assert (await made.post(b"1", {})).outcome == "sent"
        names.always("prometheus.example.com", ["127.0.0.2"])
        async with sender(endpoint, outbound(allowed="127.0.0.1/32", ask=names)) as made:
            assert (await made.post(b"2", {})).outcome == "refused"
    assert len(heads) == 1


async def test_a_name_that_denies_its_private_addresses_when_asked_anew_got_nothing_all_the_same(
    names: Names,
) -> None:
    names.first_then("prometheus.example.com", ["127.0.0.1", "127.0.0.2"], ["8.8.8.8"])
    heads: list[bytes] = []
    async with server(listing(heads)) as address:
        port = address.rpartition(":")[2]
        verdict = await verdict_of(f"https://prometheus.example.com:{port}/", outbound(allowed="", ask=names))
    assert verdict.outcome in ("refused", "retry")
    assert heads == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    ["http://{0}/", "//{0}/", "https://{0}/", "http://169.254.169.254/latest/meta-data/", "/other"],
)
async def test_a_redirect_is_refused_and_nothing_is_sent_where_it_leads(status: int, location: str) -> None:
    led: list[bytes] = []
    heads: list[bytes] = []
    async with server(listing(led)) as elsewhere:
        target = location.format(elsewhere)
        answer = f"HTTP/1.1 {status} Away\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()
        async with server(listing(heads, answer)) as address:
            verdict = await verdict_of(f"http://{address}/")
    assert verdict.outcome == "refused"
    assert led == []
    assert len(heads) == 1


class TestAName:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, push_allow_cidrs="")

    @pytest.mark.parametrize("later", [["127.0.0.1"], ["::1", "127.0.0.1"]])
    async def test_that_is_public_at_put_and_private_at_the_push_gets_nothing(
        self, stage: Stage, names: Names, later: list[str]
    ) -> None:
        names.first_then("prometheus.example.com", ["8.8.8.8"], later)
        opened: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            opened.append(await reader.read(1))

        async with server(talk) as address:
            acme = await stage.tenant()
            endpoint = f"https://prometheus.example.com:{address.rpartition(':')[2]}/api/prom/push"
            body = {"prom": {"id": "123456", "token": "a-token-of-somebody", "endpoint": endpoint}}
            put = await stage.request("PUT", "/v1/orgs/integrations", token=acme.user_token, body=body)
            assert put.status == 200
            await stage.chat(acme)
            await stage.settled()
        assert names.asked.count("prometheus.example.com") >= 2
        stored = await integration_of(stage.world.database, acme, "prom")
        assert "prometheus.example.com is at" in stored.last_error
        assert stored.last_success_us is None
        assert opened == []
