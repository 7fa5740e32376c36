"""A receiver that floods, drips or never ends: what it can take of the gateway's memory and time."""

import asyncio
import itertools
import tracemalloc
import zlib

import pytest

from tests.push.receivers import Talk, answering, read_head, server
from tests.push.senders import TOKEN, outbound, sender, verdict_of
from tests.world.waiting import until

A_LITTLE = 4 * 1024 * 1024
"""What buffers of sockets on the way may hold; the floods are endless."""


class Flood:
    """Answers the start, then the same again and again until it is closed."""

    def __init__(self, start: bytes, again: bytes) -> None:
        self._start, self._again = start, again
        self.written = 0
        self.was_closed = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        await read_head(reader)
        writer.write(self._start)
        try:
            while True:
                writer.write(self._again)
                await writer.drain()
                self.written += len(self._again)
        except ConnectionError:
            self.was_closed = True


@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize(
    ("framing", "again"),
    [
        ("Content-Length: 10000000000", b"x" * 0x10000),
        ("Connection: close", b"x" * 0x10000),
        ("Transfer-Encoding: chunked", b"10000\r\n" + b"x" * 0x10000 + b"\r\n"),
        ("Transfer-Encoding: chunked", b"1\r\nx\r\n" * 1_000),
    ],
    ids=["10 GB", "no end", "big chunks", "small chunks"],
)
async def test_an_endless_answer_is_read_for_2_kb_and_closed(status: int, framing: str, again: bytes) -> None:
    flood = Flood(f"HTTP/1.1 {status} X\r\n{framing}\r\n\r\n".encode(), again)
    async with server(flood) as address, sender(f"http://{address}/") as made:
        verdict = await made.post(b"body", {})
        await until(lambda: flood.was_closed)
    assert verdict.outcome == {200: "sent", 400: "bad_content", 503: "retry"}[status]
    assert len(verdict.reason or "") <= 2_048 + len("503 ")
    assert flood.written < A_LITTLE


@pytest.mark.parametrize(
    "again",
    [b"X: " + b"x" * 1_000_000, b"X: x\r\n" * 10_000, b" folded\r\n" * 10_000],
    ids=["1 MB in one", "very many", "folded"],
)
async def test_endless_headers_are_a_broken_connection(again: bytes) -> None:
    flood = Flood(b"HTTP/1.1 204 No Content\r\nX: x\r\n", again)
    async with server(flood) as address:
        verdict = await verdict_of(f"http://{address}/")
        await until(lambda: flood.was_closed)
    assert verdict.outcome == "retry"
    assert flood.written < A_LITTLE


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    ],
    ids=["interim answers", "a chunk's extension"],
)
async def test_what_never_comes_to_an_answer_is_given_up_at_the_deadline(start: bytes, again: bytes) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(start)
        while True:
            writer.write(again)
            await asyncio.sleep(0.01)

    async with server(drip) as address:
        verdict = await verdict_of(f"http://{address}/", outbound(deadline_s=0.15))
    assert verdict.outcome == "retry"


async def test_a_few_bytes_that_would_become_a_hundred_megabytes_stay_a_few_bytes() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    assert len(bomb) < 200_000
    head = f"HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
    async with server(answering(head.encode() + bomb)) as address, sender(f"http://{address}/") as made:
        tracemalloc.start()
        verdict = await made.post(b"body", {})
        _, most_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert verdict.outcome == "bad_content"
    assert len(verdict.reason or "") <= 2_048 + len("400 ")
    assert most_bytes < A_LITTLE


async def test_a_packed_answer_is_not_asked_for_and_one_that_comes_cannot_hurt() -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(b"HTTP/1.1 401 No\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope")

    async with server(talk) as address:
        verdict = await verdict_of(f"http://{address}/")
    assert (verdict.outcome, verdict.reason) == ("refused", "401 nope")
    assert b"Accept-Encoding: identity\r\n" in heads[0]


async def test_at_most_two_connections_go_to_one_receiver() -> None:
    ends = asyncio.Event()
    here = itertools.count(1)
    most = 0

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        await read_head(reader)
        most = next(here)
        await ends.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    async with server(hold) as address, sender(f"http://{address}/") as made:
        posts = [asyncio.create_task(made.post(b"", {})) for _ in range(6)]
        await until(lambda: most >= 2)
        await asyncio.sleep(0.05)
        assert most == 2
        ends.set()
        verdicts = await asyncio.gather(*posts)
    assert {verdict.outcome for verdict in verdicts} == {"sent"}
    assert most == 6


def hanging() -> Talk:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await writer.drain()
        await asyncio.Event().wait()

    return hang


@pytest.mark.parametrize(
    "bad",
    [hanging(), Flood(b"HTTP/1.1 200 OK\r\n", b"X: " + b"x" * 1_000), answering(b"\x16\x03\x01")],
    ids=["hangs", "floods", "garbage"],
)
async def test_beside_a_bad_receiver_another_is_served(bad: Talk) -> None:
    async with (
        server(bad) as bad_address,
        server(answering(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")) as good_address,
        sender(f"http://{bad_address}/", outbound(deadline_s=0.2)) as one,
        sender(f"http://{good_address}/") as other,
    ):
        harmed = asyncio.create_task(one.post(b"body", {}))
        served = [await other.post(b"body", {}) for _ in range(3)]
        assert (await harmed).outcome == "retry"
    assert [verdict.outcome for verdict in served] == ["sent"] * 3


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_is_not_heeded(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        seen.append(await read_head(reader))

    async with (
        server(proxy) as elsewhere,
        server(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as address,
    ):
        monkeypatch.setenv(variable, f"http://{elsewhere}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        verdict = await verdict_of(f"http://{address}/")
    assert verdict.outcome == "sent"
    assert seen == []


async def test_a_netrc_of_the_process_changes_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", "utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

    async with server(talk) as address:
        assert (await verdict_of(f"http://{address}/")).outcome == "refused"
    assert heads[0].count(b"Authorization: Basic ") == 1
    assert TOKEN.encode() not in heads[0]
