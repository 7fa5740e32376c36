"""The door of the hot path, with clients that stall, leave or send too much."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from msgspec.structs import replace

from tests.world.stage import Stage
from tollway.domain.errors import BadRequest, Forbidden, TooLarge
from tollway.domain.ids import is_id
from tollway.gateway.call import Call, Reply
from tollway.settings import Settings
from tollway.web.hot import Handler, serve

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Message = MutableMapping[str, Any]
OK = Reply(status=200, headers=(), body=b"ok")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, client_idle_s=0.02, request_max_bytes=10)


class Parts:
    """A stream of three parts."""

    def __init__(self) -> None:
        self.left = [b"a", b"b", b"c"]
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left:
            yield self.left.pop(0)

    async def aclose(self) -> None:
        self.closed += 1


async def nothing() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def answers(
    stage: Stage,
    handler: Handler,
    *messages: Message,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    send: Callable[[Message], Awaitable[None]] | None = None,
) -> list[Message]:
    """What a client gets that sends these messages."""
    waiting, got = list(messages), []

    async def receive() -> Message:
        return waiting.pop(0) if waiting else await nothing()

    async def keep(message: Message) -> None:
        got.append(message)

    await serve(handler, stage.world, {"headers": list(headers)}, receive, send or keep)
    return got


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


async def test_an_answer_has_its_length_and_its_id(stage: Stage) -> None:
    seen: list[Call] = []

    async def handler(call: Call) -> Reply:
        seen.append(call)
        return OK

    head, only = await answers(stage, handler)
    headers = dict(head["headers"])
    assert (head["status"], headers[b"content-length"], only["body"]) == (200, b"2", b"ok")
    assert is_id(headers[b"x-request-id"].decode())
    assert (seen[0].request_id.encode(), seen[0].received_us) == (
        headers[b"x-request-id"],
        stage.clock.now_us(),
    )


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer  abc ", "abc"),
        (b"BEARER abc", "abc"),
        (b"Bearer ", ""),
        (b"Bearer \xff", "\xff"),
        (b"Basic abc", None),
        (b"abc", None),
        (b"", None),
    ],
)
async def test_the_token_is_the_bearer_one(stage: Stage, header: bytes, token: str | None) -> None:
    seen: list[str | None] = []

    async def handler(call: Call) -> Reply:
        seen.append(call.token)
        return OK

    await answers(stage, handler, headers=((b"accept", b"Bearer no"), (b"authorization", header)))
    assert seen == [token]


async def read_all(call: Call) -> Reply:
    return Reply(status=200, headers=(), body=await call.read_body())


async def test_a_body_in_parts_is_read_whole(stage: Stage) -> None:
    got = await answers(stage, read_all, body(b"abc", more=True), body(b"de"))
    assert got[1]["body"] == b"abcde"
    assert (await answers(stage, read_all, {"type": "http.request"}))[1]["body"] == b""


@pytest.mark.parametrize(
    ("messages", "headers", "error"),
    [
        ([], ((b"content-length", b"11"),), TooLarge),
        ([body(b"x" * 11)], (), TooLarge),
        ([body(b"x" * 6, more=True), body(b"x" * 5, more=True)], ((b"content-length", b"x"),), TooLarge),
        ([body(b"x", more=True)], (), BadRequest),
        ([body(b"x", more=True), {"type": "http.disconnect"}], (), BadRequest),
    ],
)
async def test_a_body_that_is_too_much_too_slow_or_cut_off_is_refused(
    stage: Stage, messages: list[Message], headers: tuple[tuple[bytes, bytes], ...], error: type[BadRequest]
) -> None:
    head, _ = await answers(stage, read_all, *messages, headers=headers)
    assert head["status"] == error.status


async def test_a_body_is_not_read_before_somebody_wants_it(stage: Stage) -> None:
    async def refuse(_call: Call) -> Reply:
        raise Forbidden("no")

    head, _ = await answers(stage, refuse)
    assert head["status"] == 403


async def test_a_stream_is_sent_part_by_part_and_closed(stage: Stage) -> None:
    parts = Parts()

    async def handler(_call: Call) -> Reply:
        return Reply(status=200, headers=(), body=parts)

    head, *rest = await answers(stage, handler)
    assert b"content-length" not in dict(head["headers"])
    assert [(message["body"], message["more_body"]) for message in rest] == [
        (b"a", True),
        (b"b", True),
        (b"c", True),
        (b"", False),
    ]
    assert parts.closed == 1


@pytest.mark.parametrize("how", ["leaves", "stalls"])
@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_a_stream_is_read_to_its_end_for_a_client_that_takes_no_more(
    stage: Stage, how: str, taken: int
) -> None:
    parts, got = Parts(), []

    async def send(message: Message) -> None:
        got.append(message)
        if len(got) > taken:
            if how == "stalls":
                await nothing()
            raise ConnectionResetError

    async def handler(_call: Call) -> Reply:
        return Reply(status=200, headers=(), body=parts)

    await answers(stage, handler, send=send)
    assert (parts.left, parts.closed) == ([], 1)
    assert len(got) == taken + 1


async def test_a_stream_that_fails_is_closed_and_the_failure_goes_on(stage: Stage) -> None:
    class Broken(Parts):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"a"
            raise ZeroDivisionError

    parts = Broken()

    async def handler(_call: Call) -> Reply:
        return Reply(status=200, headers=(), body=parts)

    with pytest.raises(ZeroDivisionError):
        await answers(stage, handler)
    assert parts.closed == 1
