"""The bound on the control plane's bodies, seen from inside."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from tollway.web.body import MAX_BODY_BYTES, Bounded
from tollway.web.hot import Receive, Scope, Send

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": []}


def part(body: bytes, *, more: bool = False) -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Client:
    """Sends these messages, then nothing; keeps what it is sent."""

    def __init__(self, *messages: MutableMapping[str, Any]) -> None:
        self.messages = list(messages)
        self.got: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        if self.messages:
            return self.messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.got.append(message)


class Behind:
    """The application behind the bound."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.next: MutableMapping[str, Any] = {}

    async def __call__(self, _scope: Scope, receive: Receive, _send: Send) -> None:
        self.bodies.append((await receive())["body"])
        self.next = await receive()


async def test_a_body_in_parts_arrives_whole_and_then_what_comes_after_it() -> None:
    client, behind = Client(part(b"ab", more=True), part(b"c"), {"type": "http.disconnect"}), Behind()
    await Bounded(behind, 1)(SCOPE, client.receive, client.send)
    assert (behind.bodies, behind.next) == ([b"abc"], {"type": "http.disconnect"})


async def test_the_largest_body_passes_and_one_more_byte_does_not() -> None:
    largest = part(b"x" * MAX_BODY_BYTES, more=True)
    client, behind = Client(dict(largest), part(b""), {"type": "http.disconnect"}), Behind()
    await Bounded(behind, 1)(SCOPE, client.receive, client.send)
    assert len(behind.bodies) == 1
    client = Client(dict(largest), part(b"x"))
    await Bounded(behind, 1)(SCOPE, client.receive, client.send)
    assert client.got[0]["status"] == 413
    assert len(behind.bodies) == 1


@pytest.mark.parametrize("sent", [[], [part(b"a", more=True)]])
async def test_silence_is_answered_408(sent: list[MutableMapping[str, Any]]) -> None:
    client, behind = Client(*sent), Behind()
    await Bounded(behind, 0.01)(SCOPE, client.receive, client.send)
    assert client.got[0]["status"] == 408
    assert (b"connection", b"close") in [(name.lower(), value) for name, value in client.got[0]["headers"]]
    assert behind.bodies == []


async def test_a_client_that_leaves_is_forgotten() -> None:
    client, behind = Client(part(b"a", more=True), {"type": "http.disconnect"}), Behind()
    await Bounded(behind, 1)(SCOPE, client.receive, client.send)
    assert (client.got, behind.bodies) == ([], [])
