"""What each kind of receiver that the double can be makes of remote write 1.0 and 2.0."""

import base64
from typing import Literal

import aiohttp
import pytest

from tests.demo.wire import (
    COUNTER,
    HEADERS,
    NOW_MS,
    STALE,
    UP,
    V2_HEADERS,
    a_receiver,
    a_series,
    packed,
    symbols,
    v1_metadata,
    v2_metadata,
    v2_request,
    v2_series,
)
from tollway.demo.prometheus import PrometheusReceiver, is_stale
from tollway.demo.remote_write import Labels, Metadata

MINUTE_MS = 60_000
OTHER: Labels = (("__name__", "other"),)
NAMELESS: Labels = (("job", "tollway"),)


def a_newer_receiver(window_s: float = 0.0) -> PrometheusReceiver:
    receiver = a_receiver(window_s)
    receiver.accepts = "2.0"
    return receiver


def written(samples: int) -> dict[str, str]:
    return {
        "X-Prometheus-Remote-Write-Samples-Written": str(samples),
        "X-Prometheus-Remote-Write-Histograms-Written": "0",
        "X-Prometheus-Remote-Write-Exemplars-Written": "0",
    }


def push(
    receiver: PrometheusReceiver, *series: tuple[Labels, tuple[int, float]]
) -> tuple[int, str, dict[str, str]]:
    status, text, headers = receiver.answer(packed(v2_request(*series)), V2_HEADERS)
    return status, text, dict(headers)


def test_a_receiver_that_does_not_know_2_0_answers_204_and_stores_nothing() -> None:
    receiver = a_receiver()
    assert receiver.accepts == "1.0"
    assert push(receiver, (UP, (NOW_MS, 1.0))) == (204, "", {})
    assert receiver.series() == {}
    assert receiver.silently_dropped == []


def test_a_receiver_that_knows_2_0_stores_it_and_says_how_much() -> None:
    receiver = a_newer_receiver()
    assert push(receiver, (UP, (NOW_MS, 1.0)), (OTHER, (NOW_MS, 2.0))) == (204, "", written(2))
    assert receiver.series() == {UP: [(NOW_MS, 1.0)], OTHER: [(NOW_MS, 2.0)]}
    assert receiver.receive(packed(v2_request((UP, (NOW_MS + 1, 1.0)))), V2_HEADERS) == (204, "")


def test_a_receiver_that_knows_2_0_takes_1_0_as_before_and_says_nothing_of_it() -> None:
    receiver = a_newer_receiver()
    assert receiver.answer(packed(a_series(UP, (NOW_MS, 1.0))), HEADERS) == (204, "", {})
    twice = packed(a_series(OTHER, (NOW_MS, 5.0)), a_series(UP, (NOW_MS, 2.0)))
    assert receiver.answer(twice, HEADERS) == (400, "duplicate sample for timestamp\n", {})
    assert receiver.series() == {UP: [(NOW_MS, 1.0)]}


def test_cortex_says_that_it_does_not_take_2_0_and_answers_200_to_1_0() -> None:
    receiver = a_receiver()
    receiver.accepts = "415"
    status, text, headers = push(receiver, (UP, (NOW_MS, 1.0)))
    assert (status, headers) == (415, {})
    assert "io.prometheus.write.v2.Request" in text
    assert receiver.series() == {}
    assert receiver.receive(packed(a_series(UP, (NOW_MS, 1.0))), HEADERS) == (200, "")
    assert receiver.series() == {UP: [(NOW_MS, 1.0)]}


def test_cortex_keeps_the_good_part_of_1_0() -> None:
    receiver = a_receiver()
    receiver.accepts = "415"
    good, bad = a_series(UP, (NOW_MS, 1.0)), a_series(NAMELESS, (NOW_MS, 1.0))
    assert receiver.receive(packed(bad, good), HEADERS) == (400, "no __name__\n")
    assert receiver.series() == {UP: [(NOW_MS, 1.0)]}
    assert receiver.silently_dropped == []


def test_what_a_receiver_accepts_may_change_as_servers_are_replaced() -> None:
    receiver = a_receiver()
    answers: list[tuple[Literal["1.0", "2.0", "415"], int, bool]] = [
        ("1.0", 204, False),
        ("2.0", 204, True),
        ("415", 415, False),
    ]
    for accepts, status, is_said in answers:
        receiver.accepts = accepts
        answer = push(receiver, (UP, (NOW_MS, 1.0)))
        assert (answer[0], bool(answer[2])) == (status, is_said)


def test_the_same_value_at_the_same_time_is_taken_again_in_2_0_and_counted() -> None:
    receiver = a_newer_receiver()
    push(receiver, (UP, (NOW_MS, 1.0)))
    assert push(receiver, (UP, (NOW_MS, 1.0))) == (204, "", written(1))


@pytest.mark.parametrize(
    ("labels", "sample", "text"),
    [
        (UP, (NOW_MS, 2.0), "duplicate sample for timestamp\n"),
        (UP, (NOW_MS - 1, 1.0), "out of order sample\n"),
        (OTHER, (NOW_MS - 60 * MINUTE_MS - 1, 1.0), "out of bounds\n"),
        (OTHER, (NOW_MS + 20 * MINUTE_MS, 1.0), "out of bounds: timestamp is too far in the future\n"),
        (NAMELESS, (NOW_MS, 1.0), "no __name__\n"),
        ((("__name__", "up"), ("a.b", "x")), (NOW_MS, 1.0), "bad label name 'a.b'\n"),
        ((("__name__", "up"), ("job", "a"), ("job", "b")), (NOW_MS, 1.0), "repeated label name\n"),
        ((("__name__", "up"), ("job", "")), (NOW_MS, 1.0), "empty label job\n"),
        ((("job", "x"), ("__name__", "up")), (NOW_MS, 1.0), "labels not sorted by name\n"),
    ],
)
def test_2_0_keeps_the_good_part_of_a_request_and_says_how_much_that_was(
    labels: Labels, sample: tuple[int, float], text: str
) -> None:
    receiver = a_newer_receiver()
    push(receiver, (UP, (NOW_MS, 1.0)))
    good: Labels = (("__name__", "good"),)
    assert push(receiver, (labels, sample), (good, (NOW_MS, 3.0))) == (400, text, written(1))
    assert receiver.series() == {UP: [(NOW_MS, 1.0)], good: [(NOW_MS, 3.0)]}
    assert receiver.silently_dropped == []


def test_each_fault_of_a_2_0_request_is_named() -> None:
    receiver = a_newer_receiver()
    push(receiver, (UP, (NOW_MS, 1.0)))
    status, text, headers = push(receiver, (UP, (NOW_MS, 2.0)), (NAMELESS, (NOW_MS, 1.0)))
    assert (status, headers) == (400, written(0))
    assert text == "duplicate sample for timestamp\nno __name__\n"


def test_an_older_sample_inside_the_window_is_taken_in_2_0_and_one_before_it_is_not() -> None:
    receiver = a_newer_receiver(window_s=1800)
    push(receiver, (UP, (NOW_MS, 2.0)))
    assert push(receiver, (UP, (NOW_MS - 30 * MINUTE_MS, 1.0)))[0] == 204
    late = push(receiver, (UP, (NOW_MS - 30 * MINUTE_MS - 1, 1.0)))
    assert late == (400, "too old sample\n", written(0))


def test_a_stale_marker_ends_a_series_in_2_0_too() -> None:
    receiver = a_newer_receiver()
    push(receiver, (UP, (NOW_MS - 1, 1.0)))
    assert push(receiver, (UP, (NOW_MS, STALE))) == (204, "", written(1))
    assert receiver.total("up") == 0.0
    assert [is_stale(value) for _, value in receiver.series()[UP]] == [False, True]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        v2_series([1, 2], (NOW_MS, 1.0)),
        symbols("", "__name__", "up") + v2_series([1, 2], (NOW_MS, 1.0)) + v2_series([1, 3], (NOW_MS, 1.0)),
        symbols("", "__name__", "up") + v2_series([1, 2], (NOW_MS, 1.0)) + v2_series([1], (NOW_MS, 1.0)),
    ],
)
def test_a_malformed_2_0_message_is_answered_400_and_nothing_of_it_is_stored(message: bytes) -> None:
    receiver = a_newer_receiver()
    status, _, headers = receiver.answer(packed(message), V2_HEADERS)
    assert (status, headers) == (400, {})
    assert receiver.series() == {}


def test_a_1_0_message_under_the_name_of_2_0_is_malformed() -> None:
    receiver = a_newer_receiver()
    assert receiver.receive(packed(a_series(UP, (NOW_MS, 1.0))), V2_HEADERS)[0] == 400
    assert receiver.series() == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
    ],
)
def test_another_encoding_or_message_is_answered_415_where_2_0_is_known(changed: dict[str, str]) -> None:
    receiver = a_newer_receiver()
    good = packed(v2_request((UP, (NOW_MS, 1.0))))
    status, _, headers = receiver.answer(good, V2_HEADERS | changed)
    assert (status, headers) == (415, {})
    assert receiver.series() == {}


def test_a_body_that_is_not_snappy_is_answered_400_in_2_0_too() -> None:
    assert a_newer_receiver().receive(v2_request((UP, (NOW_MS, 1.0))), V2_HEADERS)[0] == 400


def test_what_is_said_of_families_is_kept_by_family_and_the_latest_counts() -> None:
    receiver = a_newer_receiver()
    up = a_series(UP, (NOW_MS, 1.0))
    receiver.receive(packed(up, v1_metadata(COUNTER, "up", "Old.", "")), HEADERS)
    assert receiver.metadata == {"up": Metadata("counter", "Old.", "")}
    texts = symbols("", "__name__", "up", "New.", "seconds")
    newer = v2_series([1, 2], (NOW_MS, 1.0), more=v2_metadata(COUNTER, 3, 4))
    assert receiver.receive(packed(texts, newer), V2_HEADERS) == (204, "")
    assert receiver.metadata == {"up": Metadata("counter", "New.", "seconds")}


def test_what_a_refused_request_says_of_families_is_not_kept() -> None:
    receiver = a_receiver()
    late = a_series(UP, (NOW_MS, 1.0), (NOW_MS - 1, 1.0))
    nameless = a_series(NAMELESS, (NOW_MS, 1.0))
    assert receiver.receive(packed(nameless, late, v1_metadata(COUNTER, "up", "", "")), HEADERS)[0] == 400
    assert receiver.metadata == {}
    # Nothing of it was answered with a 204, so nothing was lost silently.
    assert receiver.silently_dropped == []


async def test_the_written_headers_go_out_over_http() -> None:
    credentials = "Basic " + base64.b64encode(b"123456:secret").decode()
    body = packed(v2_request((UP, (NOW_MS, 1.0)), (NAMELESS, (NOW_MS, 1.0))))
    async with a_newer_receiver() as receiver, aiohttp.ClientSession() as client:
        headers = V2_HEADERS | {"Authorization": credentials}
        async with client.post(receiver.url + "/api/v1/write", data=body, headers=headers) as answer:
            assert (answer.status, await answer.text()) == (400, "no __name__\n")
            assert written(1).items() <= dict(answer.headers).items()
