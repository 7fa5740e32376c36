"""The connection to one vendor: a pool, deadlines, and what its failures are called.

Owns bytes, time and size on the way to a vendor and back; does not own what the bytes mean
(`openai.py`). Redirects are not followed: a vendor's key goes to the vendor only.
"""

import io
from types import TracebackType
from typing import Self

import aiohttp

from tollway.domain.errors import VendorCutOff, VendorLate, VendorTimeout, VendorUnreachable
from tollway.domain.ids import RequestId
from tollway.domain.token import MASK, Secret

_KEEP_ALIVE_S = 15.0
"""Shorter than any vendor's own: a POST that meets a connection being closed is not repeatable."""

_CHUNK_BYTES = 64 * 1024
_AT_ONCE_BYTES = 512 * 1024

REQUEST_ID_HEADER = "X-Client-Request-Id"
"""OpenAI's name for an id that its client gives a request."""


class VendorAnswer:
    """An answer whose head has arrived. Read it whole, or chunk by chunk; then close it."""

    def __init__(
        self, vendor: str, response: aiohttp.ClientResponse, max_bytes: int, api_key: Secret | None
    ) -> None:
        self.status = response.status
        self.headers = response.headers
        self._vendor = vendor
        self._response = response
        self._left_bytes = max_bytes
        self._api_key = api_key

    async def read(self) -> bytes:
        """The whole body; VendorError if it is too large, breaks off or comes too slowly."""
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    async def chunk(self) -> bytes:
        """The next bytes; empty at the end. VendorError as in `read`."""
        try:
            chunk = await self._response.content.readany()
        except aiohttp.SocketTimeoutError:
            raise VendorTimeout(f"{self._vendor} stopped answering") from None
        except TimeoutError:
            raise VendorLate(f"the answer of {self._vendor} took longer than is waited for here") from None
        except aiohttp.ClientError as error:
            raise VendorUnreachable(f"{self._vendor} broke off its answer: {_said(error)}") from None
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise VendorCutOff(f"the answer of {self._vendor} is larger than is accepted here")
        return chunk

    def without_key(self, data: bytes) -> bytes:
        """`data` as it may be passed on: a vendor that repeats our key must not tell it to tenants."""
        if self._api_key is None:
            return data
        return data.replace(self._api_key.reveal().encode(), MASK.encode())

    def close(self) -> None:
        """Done with it: the connection is used again if the body was read to its end."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class VendorConnection:
    """Everything needed to call one vendor."""

    def __init__(
        self,
        *,
        vendor: str,
        base_url: str,
        api_key: Secret | None,
        connect_s: float,
        idle_s: float,
        total_s: float,
        max_bytes: int,
    ) -> None:
        self._vendor = vendor
        self._base_url = base_url.rstrip("/")
        self._max_bytes = max_bytes
        self._timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=connect_s, sock_read=idle_s)
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        self._api_key = api_key
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key.reveal()}"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeout,
            read_bufsize=_CHUNK_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, path: str, body: bytes, request_id: RequestId) -> VendorAnswer:
        """Send a JSON body; the answer once its head is here. VendorUnreachable, VendorTimeout.

        The vendor is told our id of the request, so that its bill and our ledger can be compared.
        """
        try:
            # A large body goes out in pieces, so that it does not hold up everyone else's.
            data = body if len(body) <= _AT_ONCE_BYTES else io.BytesIO(body)
            response = await self._session.post(
                self._base_url + path,
                data=data,
                headers={REQUEST_ID_HEADER: request_id},
                allow_redirects=False,
            )
        except TimeoutError:
            raise VendorTimeout(f"{self._vendor} did not answer in time") from None
        except UnicodeError:
            raise VendorUnreachable(
                f"{self._vendor} cannot be reached: its name is not one of a host"
            ) from None
        except aiohttp.ClientError as error:
            raise VendorUnreachable(f"{self._vendor} cannot be reached: {_said(error)}") from None
        return VendorAnswer(self._vendor, response, self._max_bytes, self._api_key)


def _said(error: aiohttp.ClientError) -> str:
    """The kind of failure in words; never the address or the headers of the vendor."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its name does not resolve"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its certificate was not accepted"
        case aiohttp.ClientConnectorError():
            return "the connection was refused"
        case _:
            return "the connection was lost"
