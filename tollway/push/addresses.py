"""Which addresses pushes may go to, asked when a receiver is stored and again at each connection.

Owns looking names up, and the guard on the socket; does not own the rule (`domain/destination.py`).
The second question is for names that change their address: it is asked of the very address
that is about to be connected to. Names that are never answered hold up their own organisation's
receivers, and only as many threads as `MOST_LOOK_UPS`: the journal and the database have others.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import Any
from weakref import WeakValueDictionary

from aiohttp.abc import AbstractResolver, ResolveResult

from tollway.domain.destination import Endpoint, Network, is_localhost, refusal, spelling_refusal
from tollway.domain.ids import OrgId

MOST_LOOK_UPS = 64
"""At the same time, those included that nobody waits for any more."""
MOST_PER_ORG = 4

_CHECK_S = 3.0
_LOOPBACK = "127.0.0.1"

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]
"""One line of `getaddrinfo`."""

LookUp = Callable[[str], Sequence[str]]
"""The addresses of a host, however long that takes; OSError or UnicodeError if it has none."""


class AddressRefusedError(OSError):
    """The address that a receiver's name has now is one that pushes may not go to."""


def ask_the_system(host: str) -> list[str]:
    """Where the host is, by the system's resolver: addresses of the families that this machine has."""
    # With a port: without one glibc denies `*`, at which a connection would find the loopback.
    found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [str(address[0]) for *_, address in found]


class Resolver:
    """Where hosts are now, each look-up on a thread that no stop waits for.

    Every process has one. An organisation's look-ups wait for each other before others wait for them.
    """

    def __init__(self, deadline_s: float, ask: LookUp = ask_the_system) -> None:
        self._deadline_s = deadline_s
        self._ask = ask
        self._threads = asyncio.Semaphore(MOST_LOOK_UPS)
        self._shares: WeakValueDictionary[OrgId, asyncio.Semaphore] = WeakValueDictionary()

    async def addresses(self, host: str, org: OrgId) -> Sequence[str]:
        """Where the host is; OSError or UnicodeError if that is not known before the deadline."""
        if _is_address(host):
            return [host]
        found: Future[Sequence[str]] = Future()
        found.set_running_or_notify_cancel()  # a thread cannot be cancelled
        async with asyncio.timeout(self._deadline_s):
            taken = ExitStack()
            try:
                share = self._shares.setdefault(org, asyncio.Semaphore(MOST_PER_ORG))
                for places in (share, self._threads):
                    await places.acquire()
                    taken.callback(places.release)
                free = partial(asyncio.get_running_loop().call_soon_threadsafe, taken.close)
                Thread(target=self._look_up, args=(host, found, free), name="look-up", daemon=True).start()
            except BaseException:
                taken.close()
                raise
            return await asyncio.wrap_future(found)

    def _look_up(self, host: str, found: "Future[Sequence[str]]", free: Callable[[], object]) -> None:
        """On its thread, which has its places until it ends."""
        try:
            found.set_result(self._ask(host))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)
        finally:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                free()


class OrgResolver(AbstractResolver):
    """A resolver as the HTTP client wants one, for the connections of one organisation."""

    def __init__(self, resolver: Resolver, org: OrgId) -> None:
        self._resolver = resolver
        self._org = org

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - connections may be of any
    ) -> list[ResolveResult]:
        """Where the host is; OSError or UnicodeError."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._resolver.addresses(host, self._org)
        ]

    async def close(self) -> None:
        """Nothing: the resolver is everybody's."""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def reachable_refusal(
    endpoint: Endpoint, allowed: Sequence[Network], resolver: Resolver, org: OrgId
) -> str | None:
    """Why this endpoint is refused; None if it is not, or if its name has no address now."""
    refused = spelling_refusal(endpoint)
    if refused:
        return refused
    for address in await _addresses(endpoint, resolver, org):
        refused = refusal(endpoint, address, allowed)
        if refused:
            return refused
    return None


async def _addresses(endpoint: Endpoint, resolver: Resolver, org: OrgId) -> Sequence[str]:
    """Where the host is now; none if nobody knows."""
    try:
        async with asyncio.timeout(_CHECK_S):
            return await resolver.addresses(endpoint.host, org)
    except (OSError, UnicodeError):
        return [_LOOPBACK] if is_localhost(endpoint) else []


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
