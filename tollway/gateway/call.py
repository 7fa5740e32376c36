"""A request and its answer as the gateway sees them, whatever carried them here.

Owns the two shapes between a door and the gateway; does not own HTTP (`web/`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tollway.domain.ids import RequestId

Header = tuple[bytes, bytes]


class Stream(Protocol):
    """The body of an answer that comes in parts. It settles its call when it ends or is closed."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Parts, each to be sent as soon as it is there."""
        ...

    async def aclose(self) -> None:
        """Done with it, at its end or before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `token` is the bearer token, if any; `received_us` when its head had arrived.

    `labels` is the Tollway-Labels header as it came. `read_body` is asked only once the caller is
    known: a stranger's body is not read. It raises TooLarge or BadRequest.
    """

    request_id: RequestId
    received_us: int
    token: str | None
    labels: bytes | None = None
    read_body: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer; header names in lower case. `body` is all of it, or a stream."""

    status: int
    headers: Sequence[Header]
    body: bytes | Stream

    def with_headers(self, more: Sequence[Header]) -> "Reply":
        """The same, with more headers."""
        return Reply(status=self.status, headers=(*self.headers, *more), body=self.body)
