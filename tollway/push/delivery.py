"""One HTTP push, and what its answer means for what was sent.

Owns the request and the verdict; knows no wire format. Only 200 and 204 are success (Loki's
260 is a refusal). 400, 413 and 422 are about the content: sending it again cannot help. 429,
5xx, other 2xx and a broken connection are tried again. Anything else (401, 403, 404, a
redirect) is about the destination: nothing is lost, and it is tried slowly.
"""

import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Literal

import aiohttp

from tollway import __version__
from tollway.domain.destination import Destination, Network, parse_endpoint
from tollway.domain.token import MASK
from tollway.push.addresses import (
    AddressRefusedError,
    OrgResolver,
    Resolver,
    guarded,
    reachable_refusal,
)

Outcome = Literal["sent", "idle", "bad_content", "retry", "refused"]
"""`idle`: there was nothing to send, so nothing is known of the receiver that was not before."""

_SUCCESS = frozenset({200, 204})
_BAD_CONTENT = frozenset({400, 413, 422})
_TOO_MANY = 429
_SERVER_ERROR = 500
_MAX_REASON_BYTES = 2_048
_MAX_RETRY_AFTER_S = 3_600.0
_MIN_CUT_SECRET_CHARS = 4
_POOL = 2
_KEPT_S = 90.0
"""Longer than the interval, so that a push needs no new connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer means. `reason` is the receiver's, without secrets; `after_s` its Retry-After.

    `status` is None where nothing was answered.
    """

    outcome: Outcome
    reason: str | None = None
    after_s: float | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


SENT = Verdict(outcome="sent")
IDLE = Verdict(outcome="idle")


def judge(status: int, text: str, headers: Mapping[str, str]) -> Verdict:
    """The verdict on an HTTP answer; `headers` ignore case."""
    made = partial(Verdict, status=status, headers=headers)
    if status in _SUCCESS:
        return made(outcome="sent")
    reason = f"{status} {text}".strip()
    if status in _BAD_CONTENT:
        return made(outcome="bad_content", reason=reason)
    if status == _TOO_MANY or status >= _SERVER_ERROR or 200 <= status < 300:
        return made(outcome="retry", reason=reason, after_s=_seconds(headers))
    return made(outcome="refused", reason=reason)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds, an hour at most; None for what is neither seconds nor a date beside a Date."""
    said = headers.get("Retry-After", "")
    if said.isdecimal() and said.isascii():
        return min(float(said), _MAX_RETRY_AFTER_S)
    try:
        # By the receiver's own clock.
        now, until = parsedate_to_datetime(headers.get("Date", "")), parsedate_to_datetime(said)
    except ValueError:
        return None
    if None in (now.tzinfo, until.tzinfo):
        return None
    return min(max((until - now).total_seconds(), 0.0), _MAX_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """How receivers are reached: at allowed addresses only, with certificates that `tls` checks."""

    allowed: Sequence[Network]
    resolver: Resolver
    tls: ssl.SSLContext
    deadline_s: float


class Sender:
    """The connections to one destination."""

    def __init__(self, destination: Destination, outbound: Outbound) -> None:
        self.destination = destination
        self._endpoint = parse_endpoint(destination.endpoint)
        self._outbound = outbound
        token = destination.token.reveal()
        authorization = {"Authorization": _basic(destination.user, token)} if destination.user else {}
        self._secrets = [_basic(destination.user, token).removeprefix("Basic "), token] if token else []
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=_POOL,
                keepalive_timeout=_KEPT_S,
                ssl=outbound.tls,
                resolver=OrgResolver(outbound.resolver, destination.org_id),
                socket_factory=guarded(self._endpoint, outbound.allowed),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy would be all that the guard sees
            auto_decompress=False,  # a few bytes could become gigabytes
            headers={
                "Accept-Encoding": "identity",
                **authorization,
                "User-Agent": f"tollway/{__version__}",
            },
            timeout=aiohttp.ClientTimeout(total=outbound.deadline_s),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Verdict:
        """Push `body`; never raises for what the other end does."""
        try:
            async with self._session.post(
                self.destination.endpoint, data=body, headers=headers, allow_redirects=False
            ) as answer:
                text = await answer.content.read(_MAX_REASON_BYTES)
                return judge(answer.status, self._without_secrets(text), answer.headers)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressRefusedError):
                return Verdict(outcome="refused", reason=str(error.os_error))
            # A name with several addresses: their errors come as one text, so it is asked anew.
            reached = self._outbound
            refused = await reachable_refusal(
                self._endpoint, reached.allowed, reached.resolver, self.destination.org_id
            )
            if refused:
                return Verdict(outcome="refused", reason=refused)
            return Verdict(outcome="retry", reason=f"no connection: {error.os_error}")
        except TimeoutError:
            return Verdict(outcome="retry", reason="no answer in time")
        except (aiohttp.InvalidURL, UnicodeError):
            return Verdict(outcome="refused", reason="the endpoint is not a URL that can be called")
        except aiohttp.ClientError as error:
            return Verdict(outcome="retry", reason=f"the connection broke: {type(error).__name__}")

    def _without_secrets(self, text: bytes) -> str:
        if not text:
            return ""
        said = text.decode("utf-8", "replace").strip()
        said = "".join(char if char.isprintable() else " " for char in said)
        for secret in self._secrets:
            said = said.replace(secret, MASK)
            # What was read may end in the middle of one.
            for length in range(len(secret) - 1, _MIN_CUT_SECRET_CHARS - 1, -1):
                if said.endswith(secret[:length]):
                    said = said[:-length] + MASK
                    break
        return said


def _basic(user: str, password: str) -> str:
    """HTTP basic authentication in UTF-8, RFC 7617."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
