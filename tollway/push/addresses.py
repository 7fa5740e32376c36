"""Which addresses pushes may go to, asked when a receiver is stored and again at each connection.

Owns resolving, and the guard on the socket; does not own the rule (`domain/destination.py`).
The second question is for names that change their address: it is asked of the very address
that is about to be connected to.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from tollway.domain.destination import Endpoint, Network, is_localhost, refusal, spelling_refusal

_RESOLVE_S = 3.0
_LOOPBACK = "127.0.0.1"

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""One line of `getaddrinfo`."""


class AddressRefusedError(OSError):
    """The address that a receiver's name has now is one that pushes may not go to."""


async def reachable_refusal(endpoint: Endpoint, allowed: Sequence[Network]) -> str | None:
    """Why this endpoint is refused; None if it is not, or if its name has no address now."""
    refused = spelling_refusal(endpoint)
    if refused:
        return refused
    for address in await _addresses(endpoint):
        refused = refusal(endpoint, address, allowed)
        if refused:
            return refused
    return None


async def _addresses(endpoint: Endpoint) -> list[str]:
    """Where the host is now; empty if nobody knows."""
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(
                endpoint.host, endpoint.port, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError, UnicodeError):
        return [_LOOPBACK] if is_localhost(endpoint) else []
    return [str(address[0]) for *_, address in found]


def guarded(endpoint: Endpoint, allowed: Sequence[Network]) -> Callable[[AddressInfo], socket.socket]:
    """What makes the sockets of one receiver's connections: none to a refused address."""

    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _name, address = info
        try:
            refused = refusal(endpoint, str(address[0]), allowed)
        except ValueError:  # what is no address would be looked up once more, and unseen
            refused = f"{address[0]} is not an address"
        if refused:
            raise AddressRefusedError(refused)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return make
