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
from tollway.push.delivery import Sender, Verdict

USER, TOKEN = "123456", "glc_a-token-of-some-length"
BASIC = b64encode(f"{USER}:{TOKEN}".encode()).decode()
LOOPBACK = "127.0.0.0/8"


@asynccontextmanager
async def sender(
    endpoint: str, *, allowed: str = LOOPBACK, deadline_s: float = 5, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Sender]:
    """A sender with the credentials above."""
    destination = Destination(org_id=ORG, kind="prom", user=USER, token=Secret(TOKEN), endpoint=endpoint)
    made = Sender(destination, parse_networks(allowed), deadline_s, tls)
    try:
        yield made
    finally:
        await made.close()


async def verdict_of(
    endpoint: str, *, allowed: str = LOOPBACK, deadline_s: float = 5, tls: ssl.SSLContext | None = None
) -> Verdict:
    """What one push comes to."""
    async with sender(endpoint, allowed=allowed, deadline_s=deadline_s, tls=tls) as made:
        return await made.post(b"body", {"Content-Type": "application/json"})


def listing(heads: list[bytes], answer: bytes = b"HTTP/1.1 204 No Content\r\n\r\n") -> Talk:
    """List each request's head, answer, close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(answer)
        await writer.drain()

    return talk
