"""A sender as the push makes it, to a receiver that may only be where `allowed` says."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.push.entries import ORG
from tests.push.receivers import Talk, read_head
from tollway.domain.destination import Destination, parse_networks
from tollway.domain.token import Secret
from tollway.push.addresses import LookUp, Resolver, ask_the_system
from tollway.push.delivery import Outbound, Sender, Verdict
from tollway.settings import Settings

USER, TOKEN = "123456", "glc_a-token-of-some-length"
BASIC = b64encode(f"{USER}:{TOKEN}".encode()).decode()
LOOPBACK = "127.0.0.0/8"
SYSTEM_TLS = Settings().push_tls


def outbound(
    *,
    allowed: str = LOOPBACK,
    deadline_s: float = 5,
    tls: ssl.SSLContext = SYSTEM_TLS,
    ask: LookUp = ask_the_system,
) -> Outbound:
    """How receivers are reached, with a resolver of its own."""
    return Outbound(
        allowed=parse_networks(allowed), resolver=Resolver(deadline_s, ask), tls=tls, deadline_s=deadline_s
    )


@asynccontextmanager
async def sender(endpoint: str, by: Outbound | None = None, *, token: str = TOKEN) -> AsyncIterator[Sender]:
    """A sender with the credentials above, to the loopback unless it is said otherwise."""
    destination = Destination(org_id=ORG, kind="prom", user=USER, token=Secret(token), endpoint=endpoint)
    made = Sender(destination, by or outbound())
    try:
        yield made
    finally:
        await made.close()


async def verdict_of(endpoint: str, by: Outbound | None = None, *, token: str = TOKEN) -> Verdict:
    """What one push comes to."""
    async with sender(endpoint, by, token=token) as made:
        return await made.post(b"body", {"Content-Type": "application/json"})


def listing(heads: list[bytes], answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> Talk:
    """List each request's head, answer, close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(answer)
        await writer.drain()

    return talk
