"""Where an organisation wants its samples and log lines sent, and which endpoints may be.

Owns the rules for an endpoint's form and for addresses; does not own resolving names or
sending (`push/`). A private address is refused unless the operator allows its range: else an
organisation could make the gateway call what only the gateway can reach.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from tollway.domain.ids import OrgId
from tollway.domain.token import Secret

DestinationKind = Literal["prom", "loki"]
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_GLOBAL: tuple[Network, ...] = (
    # Python's own lists call these global, or do in some of its versions.
    IPv4Network("168.63.129.16/32"),  # a cloud's own services for its machines
    IPv4Network("192.0.0.0/24"),  # clouds keep their metadata here too
    IPv4Network("192.88.99.0/24"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("3fff::/20"),
    IPv6Network("fec0::/10"),
)
_MAX_ENDPOINT_CHARS = 2048
_ENDS_IN_A_NUMBER = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One receiver of one organisation. `user` and `token` are its HTTP basic auth."""

    org_id: OrgId
    kind: DestinationKind
    user: str
    token: Secret
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A push URL that has the right form; whether its address is allowed is another question."""

    url: str
    host: str
    port: int
    encrypted: bool


def parse_networks(text: str) -> tuple[Network, ...]:
    """Comma-separated CIDR ranges; ValueError names the one that is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def parse_endpoint(url: str) -> Endpoint:
    """An absolute http(s) URL with a host and without user info or fragment; else ValueError."""
    if len(url) > _MAX_ENDPOINT_CHARS:
        raise ValueError(f"an endpoint has at most {_MAX_ENDPOINT_CHARS} characters")
    if any(char.isspace() or not char.isprintable() for char in url) or "\\" in url:
        raise ValueError("an endpoint has no spaces, control characters or backslashes")
    parts = _split(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("an endpoint is an absolute URL: https://host/path")
    if parts.netloc.startswith("[v"):
        raise ValueError("not a URL: in brackets is an IPv6 address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("credentials go into id and token, not into the endpoint")
    if "#" in url:
        raise ValueError("an endpoint has no fragment")
    encrypted = parts.scheme == "https"
    if parts.port == 0:
        raise ValueError("an endpoint has no port 0")
    port = parts.port or (443 if encrypted else 80)
    return Endpoint(url=url, host=parts.hostname, port=port, encrypted=encrypted)


def spelling_refusal(endpoint: Endpoint) -> str | None:
    """Why the host is refused as it is written: an address in disguise; None if it is not.

    Resolvers and HTTP clients disagree on what such a host is, so that it could pass for one
    address and be called at another.
    """
    host = endpoint.host
    if "%" in host:
        return f"{host} has a percent sign: a host has no escapes, and an address no zone"
    plain = _ascii(host).rstrip(".")
    if ":" in host or not _ENDS_IN_A_NUMBER.search(plain) or _is_plain_ipv4(host):
        return None
    return f"{host} is not how an address is written: write it plainly, as 192.0.2.1 or [2001:db8::1]"


def is_localhost(endpoint: Endpoint) -> bool:
    """Whether the host is a name of the loopback, whatever a resolver says (RFC 6761)."""
    return f".{_ascii(endpoint.host).rstrip('.')}".endswith(".localhost")


def refusal(endpoint: Endpoint, address: str, allowed: Sequence[Network]) -> str | None:
    """Why a push to `endpoint` at this resolved `address` is refused; None if it is not."""
    ip = _embedded(ip_address(address.partition("%")[0]))
    if any(ip in network for network in allowed if network.version == ip.version):
        return None
    if not _is_public(ip):
        return (
            f"{endpoint.host} is at {ip}, a private, loopback or reserved address; "
            "the operator allows such ranges by TOLLWAY_PUSH_ALLOW_CIDRS"
        )
    if not endpoint.encrypted:
        return (
            f"credentials are not sent unencrypted to {endpoint.host}: use https, "
            "or let the operator allow its range by TOLLWAY_PUSH_ALLOW_CIDRS"
        )
    return None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise ValueError(f"not a URL: {error}") from None
    return parts


def _ascii(host: str) -> str:
    """The name that is looked up: other scripts' digits, letters and dots are those of ASCII."""
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:  # no name at all
        return host


def _is_plain_ipv4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except ValueError:
        return False


def _is_public(ip: Address) -> bool:
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    return not any(ip in network for network in _NOT_GLOBAL if network.version == ip.version)


def _embedded(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return ip.ipv4_mapped
        if ip.sixtofour:
            return ip.sixtofour
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip
