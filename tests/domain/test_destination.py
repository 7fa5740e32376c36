"""Where an organisation may have its data sent: forms of endpoints, and addresses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.spellings import spellings
from tollway.domain.destination import (
    Destination,
    is_localhost,
    parse_endpoint,
    parse_networks,
    refusal,
    spelling_refusal,
)
from tollway.domain.ids import OrgId
from tollway.domain.token import Secret

HTTPS = parse_endpoint("https://metrics.example.com/api/prom/push")
HTTP = parse_endpoint("http://metrics.example.com/api/prom/push")


@pytest.mark.parametrize(
    ("url", "host", "port", "encrypted"),
    [
        ("https://prom.example.com/api/prom/push", "prom.example.com", 443, True),
        ("http://prom.example.com/api/v1/write", "prom.example.com", 80, False),
        ("https://prom.example.com:9090/x?y=z", "prom.example.com", 9090, True),
        ("https://prom.example.com", "prom.example.com", 443, True),
        ("https://prom.example.com:/x", "prom.example.com", 443, True),
        ("HTTPS://PROM.Example.com/X", "prom.example.com", 443, True),
        ("http://127.0.0.1:9090/api/v1/write", "127.0.0.1", 9090, False),
        ("http://[::1]:9090/api/v1/write", "::1", 9090, False),
        ("https://bücher.example/push", "bücher.example", 443, True),
    ],
)
def test_an_absolute_url_is_an_endpoint(url: str, host: str, port: int, encrypted: bool) -> None:
    endpoint = parse_endpoint(url)
    assert (endpoint.url, endpoint.host, endpoint.port, endpoint.encrypted) == (url, host, port, encrypted)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "an absolute URL"),
        ("prom.example.com/push", "an absolute URL"),
        ("//prom.example.com/push", "an absolute URL"),
        ("/push", "an absolute URL"),
        ("https:", "an absolute URL"),
        ("https:///push", "an absolute URL"),
        ("https://:443/push", "an absolute URL"),
        ("ftp://prom.example.com/", "an absolute URL"),
        ("file:///etc/passwd", "an absolute URL"),
        ("gopher://prom.example.com/", "an absolute URL"),
        ("https://user:password@prom.example.com/", "id and token"),
        ("https://user@prom.example.com/", "id and token"),
        ("https://@prom.example.com/", "id and token"),
        ("https://:@prom.example.com/", "id and token"),
        ("https://prom.example.com@127.0.0.1/", "id and token"),
        ("https://prom.example.com/#part", "fragment"),
        ("https://prom.example.com/#", "fragment"),
        ("https://prom.example.com /", "no spaces"),
        (" https://prom.example.com/", "no spaces"),
        ("https://prom.example.com/\r\nX-Evil: 1", "no spaces"),
        ("https://prom.example.com/\n", "no spaces"),
        ("https://prom.exa\tmple.com/", "no spaces"),
        ("https://prom.example.com/\x00", "no spaces"),
        ("https://prom.example.com/\u200b", "no spaces"),
        ("https://prom.example.com/\u00a0", "no spaces"),
        ("https://prom.example.com\\@127.0.0.1/", "backslashes"),
        ("https://prom.example.com:99999/", "not a URL"),
        ("https://prom.example.com:-1/", "not a URL"),
        ("https://prom.example.com:http/", "not a URL"),
        ("https://prom.example.com:0/", "port 0"),
        ("https://[::1/", "not a URL"),
        ("https://[nonsense]/", "not a URL"),
        ("https://[v1.fe]/", "not a URL"),
        ("https://[127.0.0.1]/", "not a URL"),
        ("https://exam\u2100ple.com/", "not a URL"),
        ("https://prom.example.com/" + "x" * 2_048, "at most 2048"),
    ],
)
def test_anything_else_is_none_and_the_reason_is_said(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_endpoint(url)


@given(st.text(max_size=60), st.sampled_from(["", "https://", "http://", "https://[", "https://a:"]))
@settings(deadline=None)
def test_any_text_is_an_endpoint_or_a_value_error(text: str, start: str) -> None:
    try:
        endpoint = parse_endpoint(start + text)
    except ValueError:
        return
    assert endpoint.host
    assert 1 <= endpoint.port <= 65_535


PRIVATE = {
    "0.0.0.0": "unspecified",  # noqa: S104 - an address that is refused
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "100.64.0.1": "carrier-grade NAT",
    "100.100.100.200": "a cloud's metadata in it",
    "100.127.255.255": "carrier-grade NAT",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "a cloud's services for its machines",
    "169.254.169.254": "link-local, metadata",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "protocol assignments",
    "192.0.0.192": "a cloud's metadata in it",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4 relays",
    "192.168.1.1": "private",
    "198.18.0.1": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::7f00:1": "IPv4-compatible loopback",
    "::ffff:0:127.0.0.1": "IPv4-translated loopback",
    "::ffff:127.0.0.1": "mapped loopback",
    "::ffff:10.0.0.1": "mapped private",
    "::ffff:169.254.169.254": "mapped metadata",
    "::ffff:100.64.0.1": "mapped carrier-grade NAT",
    "2002:7f00:1::": "6to4 of loopback",
    "2002:a00:1::1": "6to4 of private",
    "2002:c0a8:101::1": "6to4 of private",
    "64:ff9b::7f00:1": "NAT64 of loopback",
    "64:ff9b::a9fe:a9fe": "NAT64 of metadata",
    "64:ff9b:1::a00:1": "local NAT64",
    "100::1": "discard",
    "2001::1": "Teredo",
    "2001:0:7f00:1::": "Teredo of loopback",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "5f00::1": "segment routing",
    "fc00::1": "unique local",
    "fd00:ec2::254": "unique local, metadata",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local with a zone",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "ff0e::1": "multicast",
    "::1%lo": "loopback with a zone",
}


@pytest.mark.parametrize("address", PRIVATE, ids=lambda address: f"{address} {PRIVATE[address]}")
def test_an_address_that_is_not_the_world_s_is_refused_even_over_https(address: str) -> None:
    reason = refusal(HTTPS, address, ())
    assert reason is not None
    assert "metrics.example.com is at" in reason
    assert "TOLLWAY_PUSH_ALLOW_CIDRS" in reason


PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached_by_https_and_never_by_http(address: str) -> None:
    assert refusal(HTTPS, address, ()) is None
    assert "not sent unencrypted to metrics.example.com" in (refusal(HTTP, address, ()) or "")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("10.1.2.3", "192.168.0.0/16, 10.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd12::1", "fd00::/8"),
        ("fe80::1%eth0", "fe80::/10"),
        ("8.8.8.8", "8.8.8.8"),
        ("2606:4700:4700::1111", "::/0"),
        # The IPv4 address behind an IPv6 one is what counts.
        ("::ffff:127.0.0.1", "127.0.0.0/8"),
        ("64:ff9b::a00:1", "10.0.0.0/8"),
    ],
)
def test_in_a_range_that_the_operator_allows_plain_http_is_allowed_too(address: str, allowed: str) -> None:
    assert refusal(HTTP, address, parse_networks(allowed)) is None
    assert refusal(HTTPS, address, parse_networks(allowed)) is None


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.0.0.1", "127.0.0.0/8"),
        ("127.0.0.1", "::/0"),
        ("::1", "0.0.0.0/0"),
        ("::ffff:10.0.0.1", "::ffff:0:0/96"),
        ("2002:7f00:1::", "2002::/16"),
        ("192.168.0.1", "10.0.0.0/8, fd00::/8"),
    ],
)
def test_a_range_allows_nothing_beside_itself(address: str, allowed: str) -> None:
    assert refusal(HTTPS, address, parse_networks(allowed)) is not None


@given(st.ip_addresses())
@settings(deadline=None)
def test_whatever_the_address_http_needs_a_range_and_the_answer_is_the_same_for_a_mapped_one(
    address: object,
) -> None:
    text = str(address)
    assert refusal(HTTP, text, ()) is not None
    assert refusal(HTTP, text, parse_networks("0.0.0.0/0,::/0")) is None
    if ":" not in text:
        assert refusal(HTTPS, f"::ffff:{text}", ()) == refusal(HTTPS, text, ())


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "example.com.",
        "1.example.com",
        "0x7f.example",
        "a1",
        "0x7g",
        "1-1",
        "bücher.example",
        "☃" * 64,
        "a..b",
        "*",
        "127.0.0.1",
        "8.8.8.8",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_a_name_or_a_plain_address_is_no_disguise(host: str) -> None:
    assert spelling_refusal(parse_endpoint(f"https://{host}/")) is None


@given(spellings(st.integers(0, 2**32 - 1)))
@settings(deadline=None, max_examples=200)
def test_an_ipv4_address_is_written_in_one_way_only(drawn: tuple[str, str]) -> None:
    plain, spelling = drawn
    refused = spelling_refusal(parse_endpoint(f"https://{spelling}/"))
    assert (refused is None) == (spelling == plain)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.b.localhost", True),
        ("localhost。", True),
        ("\uff4cocalhost", True),
        ("notlocalhost", False),
        ("localhost.example.com", False),
        ("127.0.0.1", False),
    ],
)
def test_names_of_the_loopback_are_known(host: str, is_one: bool) -> None:
    assert is_localhost(parse_endpoint(f"https://{host}/")) == is_one


def test_ranges_are_separated_by_commas_and_blanks_are_none() -> None:
    assert [str(network) for network in parse_networks(" 10.0.0.0/8,, ::1/128 ,127.0.0.1")] == [
        "10.0.0.0/8",
        "::1/128",
        "127.0.0.1/32",
    ]
    assert parse_networks("") == ()


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "localhost", "10.0.0.1/8", "10.0.0.0/8;::1", "10.0.0.0/8 ::1"]
)
def test_a_range_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text.partition("/")[0]):
        parse_networks(text)


def test_a_destination_does_not_show_its_token() -> None:
    destination = Destination(
        org_id=OrgId("o"),
        kind="prom",
        user="123456",
        token=Secret("glc_do-not-show-this"),
        endpoint="https://prom.example.com/push",
    )
    assert "do-not-show" not in repr(destination)
