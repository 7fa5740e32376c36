"""The other end that answers at once, always the same: what is measured is never its speed.

Owns two canned answers over HTTP/1.1 with kept connections: a vendor's chat completion, and a
receiver's that took what it was pushed. Run: `python -m bench.instant [receiver]`; it prints its port.
"""

import asyncio
import sys
from functools import partial
from typing import cast

import uvloop

_BODY = (
    b'{"id":"chatcmpl-0","object":"chat.completion","created":1767225600,"model":"instant",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"Hello! How can I help?"},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":7,'
    b'"total_tokens":16}}'
)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY)
) + _BODY
_TAKEN = b"HTTP/1.1 204 No Content\r\nx-prometheus-remote-write-samples-written: 50\r\n\r\n"
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Instant(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its class
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._seen += data
        while (head_end := self._seen.find(_HEAD_END)) >= 0:
            head = self._seen[:head_end].lower()
            at = head.index(_LENGTH) + len(_LENGTH)
            size = head_end + len(_HEAD_END) + int(head[at:].split(b"\r\n", 1)[0])
            if len(self._seen) < size:
                return
            self._seen = self._seen[size:]
            self._transport.write(self._answer)


async def main(answer: bytes) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(partial(Instant, answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(_TAKEN if sys.argv[1:] == ["receiver"] else _ANSWER))
