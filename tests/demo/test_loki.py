"""What the Loki double takes, refuses and limits, and how a double starts and stops."""

import base64
from collections.abc import Mapping

import aiohttp
import cramjam
import msgspec
import pytest

from tollway.demo.loki import Line, LokiReceiver

NOW_S = 1_790_000_000.0
NOW_NS = 1_790_000_000 * 10**9
MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
JSON = {"Content-Type": "application/json"}
LABELS = {"app": "tollway", "level": "info", "org": "acme"}
STORED_LABELS = {"service_name": "tollway", **LABELS}

Entry = tuple[str, str] | tuple[str, str, dict[str, str]]


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def a_receiver(clock: Clock | None = None) -> LokiReceiver:
    return LokiReceiver(user="123456", token="secret", now=clock or Clock())


def a_stream(*values: Entry, labels: Mapping[str, str] = LABELS) -> dict[str, object]:
    return {"stream": labels, "values": values}


def an_entry(text: str, timestamp_ns: int = NOW_NS, **metadata: str) -> Entry:
    return (str(timestamp_ns), text, metadata) if metadata else (str(timestamp_ns), text)


HELLO = msgspec.json.encode({"streams": [a_stream(an_entry("hello"))]})


def push(receiver: LokiReceiver, *streams: object) -> tuple[int, str]:
    return receiver.receive(msgspec.json.encode({"streams": streams}), JSON)


def texts(receiver: LokiReceiver, **labels: str) -> list[str]:
    return [line.text for line in receiver.lines(**labels)]


def test_a_good_push_is_answered_204_and_stored_with_its_metadata() -> None:
    receiver = a_receiver()
    assert push(receiver, a_stream(an_entry("hello", NOW_NS, request_id="r1"))) == (204, "")
    assert receiver.lines() == [
        Line(labels=STORED_LABELS, timestamp_ns=NOW_NS, text="hello", metadata={"request_id": "r1"})
    ]


def test_a_gzip_body_is_taken() -> None:
    receiver = a_receiver()
    body = bytes(cramjam.gzip.compress(HELLO))
    assert receiver.receive(body, JSON | {"Content-Encoding": "gzip"}) == (204, "")
    assert texts(receiver) == ["hello"]


def test_a_content_type_with_a_charset_is_taken() -> None:
    assert a_receiver().receive(HELLO, {"Content-Type": "application/json; charset=utf-8"}) == (204, "")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-protobuf"},
        JSON | {"Content-Encoding": "br"},
        JSON | {"Content-Encoding": "gzip"},
    ],
)
def test_another_content_type_or_encoding_or_broken_gzip_is_answered_400(headers: dict[str, str]) -> None:
    receiver = a_receiver()
    assert receiver.receive(HELLO, headers)[0] == 400
    assert receiver.lines() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b'{"streams":[{"stream":{"app":"a"},"values":[["1790000000000000000","\xff"]]}]}',
        b'{"streams":[{"stream":{"app":"a"}}]}',
    ],
)
def test_broken_json_is_answered_400(body: bytes) -> None:
    assert a_receiver().receive(body, JSON)[0] == 400


@pytest.mark.parametrize(
    "entry",
    [
        (NOW_NS, "a timestamp that is a JSON number"),
        (f"{NOW_NS}.0", "a timestamp with a fraction"),
        ("", "no timestamp"),
        (str(NOW_NS), "a metadata value that is a number", {"tokens": 5}),
        (str(NOW_NS), "a fourth element", {}, "?"),
        (str(NOW_NS),),
    ],
)
def test_an_entry_that_cannot_be_read_refuses_the_whole_push(entry: object) -> None:
    receiver = a_receiver()
    broken = {"stream": LABELS, "values": [entry]}
    assert push(receiver, a_stream(an_entry("good")), broken)[0] == 400
    assert receiver.lines() == []


@pytest.mark.parametrize("name", ["", "a.b", "9a", "a-b", "é"])
def test_an_invalid_label_name_in_one_stream_refuses_the_whole_push(name: str) -> None:
    receiver = a_receiver()
    bad = a_stream(an_entry("bad"), labels={name: "x"})
    assert push(receiver, a_stream(an_entry("good")), bad)[0] == 400
    assert receiver.lines() == []


@pytest.mark.parametrize("body", [b'{"streams":[]}', b"{}"])
def test_a_push_without_streams_is_answered_422(body: bytes) -> None:
    assert a_receiver().receive(body, JSON)[0] == 422


def test_a_stream_without_entries_is_taken_and_stores_nothing() -> None:
    receiver = a_receiver()
    assert push(receiver, a_stream()) == (204, "")
    assert receiver.lines() == []


def test_an_entry_seven_days_old_is_taken_and_an_older_one_refused_and_the_good_ones_are_stored() -> None:
    receiver = a_receiver()
    old = a_stream(an_entry("old", NOW_NS - 7 * DAY_NS), an_entry("too old", NOW_NS - 7 * DAY_NS - 1000))
    status, text = push(receiver, old, a_stream(an_entry("good"), labels={"app": "other"}))
    assert status == 400
    assert "timestamp too old" in text
    assert texts(receiver) == ["old", "good"]


def test_milliseconds_in_place_of_nanoseconds_are_too_old() -> None:
    status, text = push(a_receiver(), a_stream(an_entry("hello", NOW_NS // 10**6)))
    assert status == 400
    assert "timestamp too old" in text


def test_an_entry_ten_minutes_ahead_is_taken_and_one_further_ahead_is_refused() -> None:
    receiver = a_receiver()
    ahead = an_entry("ahead", NOW_NS + 10 * MINUTE_NS)
    status, text = push(receiver, a_stream(ahead, an_entry("too far", NOW_NS + 10 * MINUTE_NS + 1000)))
    assert status == 400
    assert "timestamp too new" in text
    assert texts(receiver) == ["ahead"]


def test_an_entry_thirty_minutes_back_in_a_live_stream_is_taken_and_put_in_its_place() -> None:
    receiver = a_receiver()
    push(receiver, a_stream(an_entry("now")))
    assert push(receiver, a_stream(an_entry("before", NOW_NS - 30 * MINUTE_NS))) == (204, "")
    assert texts(receiver) == ["before", "now"]


def test_an_entry_more_than_an_hour_behind_its_stream_is_refused_and_its_neighbours_are_stored() -> None:
    receiver = a_receiver()
    push(receiver, a_stream(an_entry("newest")))
    status, text = push(
        receiver,
        a_stream(an_entry("an hour", NOW_NS - HOUR_NS), an_entry("too far", NOW_NS - HOUR_NS - 1)),
    )
    assert status == 400
    assert "entry too far behind" in text
    assert texts(receiver) == ["an hour", "newest"]


def test_another_stream_may_be_more_than_an_hour_behind() -> None:
    receiver = a_receiver()
    push(receiver, a_stream(an_entry("newest")))
    late = a_stream(an_entry("late", NOW_NS - 2 * HOUR_NS), labels={"app": "tollway"})
    assert push(receiver, late) == (204, "")


def test_an_exact_duplicate_is_taken_and_stored_once() -> None:
    receiver = a_receiver()
    push(receiver, a_stream(an_entry("hello", NOW_NS, request_id="r1")))
    assert push(receiver, a_stream(an_entry("hello", NOW_NS, request_id="r2"))) == (204, "")
    assert [line.metadata for line in receiver.lines()] == [{"request_id": "r1"}]


def test_other_lines_at_the_same_time_are_kept_in_the_order_they_came() -> None:
    receiver = a_receiver()
    push(receiver, a_stream(an_entry("b"), an_entry("a"), an_entry("b")))
    assert texts(receiver) == ["b", "a"]


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"org": "acme"}, "unknown_service"),
        ({"job": "j", "app": "a"}, "a"),
        ({"service_name": "mine", "app": "a"}, "mine"),
    ],
)
def test_a_stream_gets_a_service_name_unless_it_has_one(labels: dict[str, str], service: str) -> None:
    receiver = a_receiver()
    push(receiver, a_stream(an_entry("hello"), labels=labels))
    assert receiver.lines()[0].labels == {**labels, "service_name": service}


def test_fourteen_labels_are_taken_and_fifteen_refused_since_service_name_counts() -> None:
    receiver = a_receiver()
    labels = {f"label_{number}": "x" for number in range(14)}
    assert push(receiver, a_stream(an_entry("good"), labels=labels)) == (204, "")
    one_more = a_stream(an_entry("bad"), labels={**labels, "label_14": "x"})
    status, text = push(receiver, one_more, a_stream(an_entry("neighbour")))
    assert (status, text) == (400, "stream has 16 label names; limit 15\n")
    assert texts(receiver) == ["good", "neighbour"]


def test_fifteen_labels_are_taken_if_service_name_is_one_of_them() -> None:
    labels = {"service_name": "mine", **{f"label_{number}": "x" for number in range(14)}}
    assert push(a_receiver(), a_stream(an_entry("good"), labels=labels)) == (204, "")


def test_a_stream_without_labels_is_refused() -> None:
    assert push(a_receiver(), a_stream(an_entry("bad"), labels={}))[0] == 400


def test_a_label_value_of_2048_bytes_is_taken_and_one_of_2049_refused() -> None:
    receiver = a_receiver()
    assert push(receiver, a_stream(an_entry("good"), labels={"org": "é" * 1024})) == (204, "")
    bad = a_stream(an_entry("bad"), labels={"org": "é" * 1024 + "x"})
    assert push(receiver, bad, a_stream(an_entry("neighbour")))[0] == 400
    assert texts(receiver) == ["good", "neighbour"]


def test_a_line_of_262144_bytes_is_taken() -> None:
    receiver = a_receiver()
    assert push(receiver, a_stream(an_entry("é" * 131_072))) == (204, "")
    assert len(receiver.lines()) == 1


def test_a_line_of_262145_bytes_is_refused_and_its_neighbours_are_stored() -> None:
    receiver = a_receiver()
    entries = an_entry("before"), an_entry("é" * 131_072 + "x"), an_entry("after")
    status, text = push(receiver, a_stream(*entries))
    assert (status, text) == (400, "max entry size 262144 bytes exceeded\n")
    assert texts(receiver) == ["before", "after"]


def test_the_limit_of_a_line_can_be_set_as_an_operator_of_loki_would() -> None:
    receiver = a_receiver()
    receiver.line_limit_bytes = 5
    status, text = push(receiver, a_stream(an_entry("hello"), an_entry("hellos")))
    assert (status, text) == (400, "max entry size 5 bytes exceeded\n")
    assert texts(receiver) == ["hello"]


def test_metadata_of_64_kib_is_taken_and_one_byte_more_refused() -> None:
    receiver = a_receiver()
    assert push(receiver, a_stream(an_entry("good", NOW_NS, k="x" * 65_535))) == (204, "")
    assert push(receiver, a_stream(an_entry("bad", NOW_NS, k="x" * 65_536), an_entry("after")))[0] == 400
    assert texts(receiver) == ["good", "after"]


def test_128_metadata_keys_are_taken_and_129_refused() -> None:
    receiver = a_receiver()
    keys = {f"key_{number}": "x" for number in range(128)}
    assert push(receiver, a_stream(an_entry("good", NOW_NS, **keys))) == (204, "")
    more = an_entry("bad", NOW_NS, more="x", **keys)
    assert push(receiver, a_stream(more, an_entry("after")))[0] == 400
    assert texts(receiver) == ["good", "after"]


def test_dotted_metadata_keys_are_stored_with_underscores() -> None:
    receiver = a_receiver()
    push(receiver, a_stream((str(NOW_NS), "hello", {"gen_ai.request.model": "m"})))
    assert receiver.lines()[0].metadata == {"gen_ai_request_model": "m"}


def test_every_fault_of_a_push_is_named() -> None:
    stream = a_stream(an_entry("old", 0), an_entry("x" * 262_145))
    assert push(a_receiver(), stream)[1].count("\n") == 2


def test_more_than_four_megabytes_in_a_second_are_answered_429_and_not_stored() -> None:
    clock = Clock()
    receiver = a_receiver(clock)
    mebibyte = a_stream(*(an_entry(f"{number}" * 262_144) for number in range(4)))
    for _ in range(4):
        assert push(receiver, mebibyte) == (204, "")
    clock.now_s += 0.9
    assert push(receiver, a_stream(an_entry("x")))[0] == 429
    assert len(receiver.lines()) == 4
    clock.now_s += 0.1
    assert push(receiver, a_stream(an_entry("x"))) == (204, "")


def test_the_rate_limit_can_be_set_and_counts_text_and_metadata() -> None:
    receiver = a_receiver()
    receiver.rate_limit_bytes_per_s = 9
    assert push(receiver, a_stream(an_entry("hello", NOW_NS, a="12345")))[0] == 429
    assert push(receiver, a_stream(an_entry("hello", NOW_NS, a="123"))) == (204, "")
    assert push(receiver, a_stream(an_entry("x")))[0] == 429


def test_a_blocked_tenant_is_answered_260_and_nothing_is_stored() -> None:
    receiver = a_receiver()
    receiver.blocked = True
    assert push(receiver, a_stream(an_entry("hello")))[0] == 260
    assert receiver.lines() == []


def test_lines_are_found_by_some_of_their_labels() -> None:
    receiver = a_receiver()
    info = a_stream(an_entry("i1"), an_entry("i0", NOW_NS - 1))
    error = a_stream(an_entry("e", NOW_NS - 2), labels={**LABELS, "level": "error"})
    push(receiver, info, error)
    assert texts(receiver, org="acme") == ["i0", "i1", "e"]
    assert texts(receiver, org="acme", level="error") == ["e"]
    assert texts(receiver, org="other") == []


async def post(receiver: LokiReceiver, body: bytes, token: str) -> tuple[int, bytes, list[str]]:
    credentials = base64.b64encode(f"123456:{token}".encode()).decode()
    headers = JSON | {"Authorization": f"Basic {credentials}"}
    url = receiver.url + "/loki/api/v1/push"
    async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.read(), list(answer.headers)


async def test_a_push_over_http_is_answered_204_with_nothing_in_it() -> None:
    async with a_receiver() as receiver:
        assert (await post(receiver, HELLO, "secret"))[:2] == (204, b"")
    assert texts(receiver) == ["hello"]
    assert receiver.requests[0].body_bytes == len(HELLO)


async def test_wrong_credentials_are_answered_401() -> None:
    async with a_receiver() as receiver:
        assert (await post(receiver, HELLO, "wrong"))[0] == 401
    assert receiver.lines() == []


async def test_a_429_over_http_names_no_time_to_retry_after() -> None:
    async with a_receiver() as receiver:
        receiver.rate_limit_bytes_per_s = 1
        status, _, names = await post(receiver, HELLO, "secret")
    assert status == 429
    assert "Retry-After" not in names


async def test_a_260_goes_over_http_as_such() -> None:
    async with a_receiver() as receiver:
        receiver.blocked = True
        assert (await post(receiver, HELLO, "secret"))[0] == 260


async def test_a_receiver_comes_back_on_the_same_port_with_what_it_had() -> None:
    receiver = a_receiver()
    push(receiver, a_stream(an_entry("hello")))
    url = await receiver.start()
    await receiver.stop()
    assert await receiver.start(port=int(url.rpartition(":")[2])) == url
    assert texts(receiver) == ["hello"]
    await receiver.stop()


async def test_starting_twice_is_an_error_and_stopping_twice_is_not() -> None:
    async with a_receiver() as receiver:
        with pytest.raises(RuntimeError, match="already"):
            await receiver.start()
    await receiver.stop()


async def test_a_stopped_receiver_has_no_url() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = a_receiver().url


async def test_a_port_in_use_is_an_error_and_leaves_the_receiver_stopped() -> None:
    other = a_receiver()
    async with a_receiver() as receiver:
        with pytest.raises(OSError, match="address already in use"):
            await other.start(port=int(receiver.url.rpartition(":")[2]))
    with pytest.raises(RuntimeError, match="not running"):
        _ = other.url
