"""What the Prometheus double takes, refuses and loses, over HTTP and by scripted fault too."""

import asyncio
import base64
import time
from collections.abc import Mapping

import aiohttp
import cramjam
import pytest

from tests.demo.wire import HEADERS, NOW_MS, STALE, UP, a_receiver, a_series, packed, push
from tollway.demo.prometheus import DroppedSeries, PrometheusReceiver, is_stale
from tollway.demo.receiver import ScriptedAnswer
from tollway.demo.remote_write import Labels

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def authorization(credentials: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


AUTHORIZED = HEADERS | authorization("123456:secret")
GOOD = packed(a_series(UP, (NOW_MS, 1.0)))


def test_a_good_push_is_answered_204_and_stored() -> None:
    receiver = a_receiver()
    assert push(receiver, a_series(UP, (NOW_MS - 1, 1.0), (NOW_MS, 2.0))) == (204, "")
    assert receiver.series() == {UP: [(NOW_MS - 1, 1.0), (NOW_MS, 2.0)]}
    assert receiver.silently_dropped == []


def test_a_series_without_samples_stores_nothing() -> None:
    receiver = a_receiver()
    assert push(receiver, a_series(UP)) == (204, "")
    assert receiver.series() == {}


def test_the_same_value_at_the_same_time_is_taken_again() -> None:
    receiver = a_receiver()
    assert push(receiver, a_series(UP, (NOW_MS, 1.0), (NOW_MS, 1.0))) == (204, "")
    assert push(receiver, a_series(UP, (NOW_MS, 1.0))) == (204, "")
    assert receiver.series() == {UP: [(NOW_MS, 1.0)]}


def test_another_value_at_the_same_time_refuses_the_whole_request() -> None:
    receiver = a_receiver()
    push(receiver, a_series(UP, (NOW_MS, 1.0)))
    other: Labels = (("__name__", "other"),)
    status, text = push(receiver, a_series(other, (NOW_MS, 5.0)), a_series(UP, (NOW_MS, 2.0)))
    assert (status, text) == (400, "duplicate sample for timestamp\n")
    assert receiver.series() == {UP: [(NOW_MS, 1.0)]}


def test_another_value_at_the_same_time_is_refused_within_one_request() -> None:
    receiver = a_receiver()
    assert push(receiver, a_series(UP, (NOW_MS, 1.0)), a_series(UP, (NOW_MS, 2.0)))[0] == 400
    assert receiver.series() == {}


def test_an_older_sample_is_refused_where_there_is_no_window() -> None:
    receiver = a_receiver()
    push(receiver, a_series(UP, (NOW_MS, 1.0)))
    assert push(receiver, a_series(UP, (NOW_MS - 1, 1.0))) == (400, "out of order sample\n")
    assert receiver.series() == {UP: [(NOW_MS, 1.0)]}


def test_samples_of_one_series_out_of_order_in_one_request_are_refused() -> None:
    assert push(a_receiver(), a_series(UP, (NOW_MS, 1.0), (NOW_MS - 1, 1.0)))[0] == 400


def test_sending_an_old_sample_again_is_refused_once_a_newer_one_is_stored() -> None:
    receiver = a_receiver()
    push(receiver, a_series(UP, (NOW_MS - 1, 1.0), (NOW_MS, 2.0)))
    assert push(receiver, a_series(UP, (NOW_MS - 1, 1.0)))[0] == 400


def test_an_older_sample_inside_the_window_is_taken_and_put_in_its_place() -> None:
    receiver = a_receiver(window_s=1800)
    push(receiver, a_series(UP, (NOW_MS, 2.0)))
    assert push(receiver, a_series(UP, (NOW_MS - 30 * MINUTE_MS, 1.0))) == (204, "")
    assert receiver.series() == {UP: [(NOW_MS - 30 * MINUTE_MS, 1.0), (NOW_MS, 2.0)]}
    assert receiver.value("up") == 2.0


def test_a_sample_older_than_the_window_refuses_the_whole_request() -> None:
    receiver = a_receiver(window_s=1800)
    push(receiver, a_series(UP, (NOW_MS - 1, 2.0)))
    late = a_series(UP, (NOW_MS, 3.0), (NOW_MS - 30 * MINUTE_MS - 1, 1.0))
    assert push(receiver, late) == (400, "too old sample\n")
    assert receiver.series() == {UP: [(NOW_MS - 1, 2.0)]}


def test_a_new_series_may_begin_at_most_an_hour_behind_the_newest_sample_of_all() -> None:
    receiver = a_receiver()
    push(receiver, a_series(UP, (NOW_MS, 1.0)))
    late: Labels = (("__name__", "late"),)
    assert push(receiver, a_series(late, (NOW_MS - HOUR_MS - 1, 1.0))) == (400, "out of bounds\n")
    assert push(receiver, a_series(late, (NOW_MS - HOUR_MS, 1.0))) == (204, "")


def test_that_hour_counts_from_the_first_sample_where_the_server_is_empty() -> None:
    first, late = a_series(UP, (NOW_MS, 1.0)), a_series((("__name__", "late"),), (NOW_MS - 2 * HOUR_MS, 1.0))
    assert push(a_receiver(), first, late) == (400, "out of bounds\n")
    assert push(a_receiver(), late, first) == (204, "")


def test_a_window_of_more_than_an_hour_lets_a_new_series_begin_further_back() -> None:
    receiver = a_receiver(window_s=7200)
    push(receiver, a_series(UP, (NOW_MS, 1.0)))
    late: Labels = (("__name__", "late"),)
    assert push(receiver, a_series(late, (NOW_MS - 2 * HOUR_MS - 1, 1.0))) == (400, "too old sample\n")
    assert push(receiver, a_series(late, (NOW_MS - 2 * HOUR_MS, 1.0))) == (204, "")


def test_a_sample_ten_minutes_ahead_is_taken_and_one_further_ahead_is_not() -> None:
    receiver = a_receiver()
    assert push(receiver, a_series(UP, (NOW_MS + 10 * MINUTE_MS, 1.0))) == (204, "")
    status, text = push(receiver, a_series(UP, (NOW_MS + 10 * MINUTE_MS + 1, 1.0)))
    assert (status, text) == (400, "out of bounds: timestamp is too far in the future\n")


def test_a_time_before_1970_is_read_as_negative() -> None:
    receiver = a_receiver()
    push(receiver, a_series(UP, (-5, 1.0)))
    assert receiver.series() == {UP: [(-5, 1.0)]}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((("job", "tollway"),), "no __name__"),
        ((("__name__", "up"), ("job", "a"), ("job", "b")), "repeated label name"),
        ((("__name__", "up"), ("job", "a"), ("instance", "b")), "labels not sorted by name"),
        ((("__name__", "up"), ("job", "")), "empty label job"),
        ((("", "x"), ("__name__", "up")), "bad label name ''"),
        ((("__name__", "up"), ("a.b", "x")), "bad label name 'a.b'"),
        ((("__name__", "up:total"), ("a:b", "x")), "bad label name 'a:b'"),
        ((("__name__", "9up"),), "bad metric name '9up'"),
    ],
)
def test_a_series_with_faulty_labels_is_lost_behind_a_204_and_its_neighbours_are_stored(
    labels: Labels, reason: str
) -> None:
    receiver = a_receiver()
    assert push(receiver, a_series(labels, (NOW_MS, 1.0)), a_series(UP, (NOW_MS, 2.0))) == (204, "")
    assert receiver.silently_dropped == [DroppedSeries(labels=labels, reason=reason)]
    assert receiver.series() == {UP: [(NOW_MS, 2.0)]}


@pytest.mark.parametrize(
    "changed",
    [
        {"Content-Encoding": "gzip"},
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-protobuf;proto=prometheus.ReadRequest"},
    ],
)
def test_another_encoding_or_content_type_is_answered_415(changed: dict[str, str]) -> None:
    receiver = a_receiver()
    assert receiver.receive(GOOD, HEADERS | changed)[0] == 415
    assert receiver.series() == {}


@pytest.mark.parametrize("missing", ["Content-Encoding", "Content-Type"])
def test_a_missing_required_header_is_answered_415(missing: str) -> None:
    headers = {name: value for name, value in HEADERS.items() if name != missing}
    assert a_receiver().receive(packed(), headers)[0] == 415


def test_the_content_type_may_name_the_message() -> None:
    named = HEADERS | {"Content-Type": "application/x-protobuf;proto=prometheus.WriteRequest"}
    receiver = a_receiver()
    assert receiver.receive(GOOD, named) == (204, "")
    assert receiver.value("up") == 1.0


def test_a_body_that_is_not_snappy_is_answered_400() -> None:
    assert a_receiver().receive(b"", HEADERS)[0] == 400
    assert a_receiver().receive(GOOD[:-4], HEADERS)[0] == 400


def test_value_wants_exactly_one_series() -> None:
    receiver = a_receiver()
    one: Labels = (("__name__", "up"), ("name", "one"))
    two: Labels = (("__name__", "up"), ("name", "two"))
    push(receiver, a_series(one, (NOW_MS, 1.0)), a_series(two, (NOW_MS - 1, 9.0), (NOW_MS, 2.0)))
    assert receiver.value("up", name="two") == 2.0
    with pytest.raises(LookupError, match="2 series match up"):
        receiver.value("up")
    with pytest.raises(LookupError, match="0 series match up"):
        receiver.value("up", name="three")


def test_total_adds_the_latest_values_of_all_series_that_match() -> None:
    receiver = a_receiver()
    labels: list[Labels] = [
        (("__name__", "requests_total"), ("code", code), ("job", "tollway")) for code in ("200", "429")
    ]
    push(
        receiver,
        a_series(labels[0], (NOW_MS - 1, 1.0), (NOW_MS, 10.0)),
        a_series(labels[1], (NOW_MS, 5.0)),
        a_series(UP, (NOW_MS, 1.0)),
    )
    assert receiver.total("requests_total") == 15.0
    assert receiver.total("requests_total", code="429", job="tollway") == 5.0
    assert receiver.total("requests_total", code="500") == 0.0


def test_a_stale_marker_ends_a_series_for_value_and_total_and_stays_in_series() -> None:
    receiver = a_receiver()
    ended = a_series(UP, (NOW_MS - 1, 1.0), (NOW_MS, STALE))
    assert push(receiver, ended) == (204, "")
    assert push(receiver, a_series(UP, (NOW_MS, STALE))) == (204, "")
    assert receiver.total("up") == 0.0
    with pytest.raises(LookupError):
        receiver.value("up")
    assert [is_stale(value) for _, value in receiver.series()[UP]] == [False, True]


def test_a_plain_nan_is_not_the_stale_marker() -> None:
    assert not is_stale(float("nan"))


async def post(
    receiver: PrometheusReceiver, body: bytes, headers: Mapping[str, str], path: str = "/api/v1/write"
) -> tuple[int, str, Mapping[str, str]]:
    url = receiver.url + path
    async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers


@pytest.mark.parametrize("path", ["/api/v1/write", "/api/prom/push"])
async def test_a_push_over_http_is_stored_and_listed(path: str) -> None:
    async with a_receiver() as receiver:
        status, text, headers = await post(receiver, GOOD, AUTHORIZED, path)
    assert (status, text) == (204, "")
    assert not [name for name in headers if name.endswith("-Written")]
    assert receiver.value("up") == 1.0
    (request,) = receiver.requests
    assert (request.method, request.path, request.body_bytes) == ("POST", path, len(GOOD))
    assert request.headers["content-encoding"] == "snappy"


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        authorization("123456:wrong"),
        authorization("654321:secret"),
        {"Authorization": "Bearer secret"},
        {"Authorization": "Basic \udcff"},
    ],
)
async def test_no_or_wrong_credentials_are_answered_401_and_listed(credentials: dict[str, str]) -> None:
    async with a_receiver() as receiver:
        status, _, headers = await post(receiver, GOOD, HEADERS | credentials)
    assert (status, headers["WWW-Authenticate"]) == (401, "Basic")
    assert receiver.series() == {}
    assert len(receiver.requests) == 1


async def test_another_path_is_answered_404() -> None:
    async with a_receiver() as receiver:
        assert (await post(receiver, GOOD, AUTHORIZED, "/api/v1/push"))[0] == 404


async def test_another_method_is_answered_405() -> None:
    async with a_receiver() as receiver, aiohttp.ClientSession(headers=AUTHORIZED) as client:
        answer = await client.get(receiver.url + "/api/v1/write")
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_gzip_reaches_the_receiver_as_it_was_sent() -> None:
    body = bytes(cramjam.gzip.compress(b"x" * 1000))
    async with a_receiver() as receiver:
        status, text, _ = await post(receiver, body, AUTHORIZED | {"Content-Encoding": "gzip"})
    assert (status, text) == (415, "gzip encoding (compression) is not accepted\n")
    assert receiver.requests[0].body_bytes == len(body)


async def test_scripted_answers_are_used_up_first_one_per_request() -> None:
    receiver = a_receiver()
    retry_later = {"Retry-After": "7", "Content-Type": "text/plain"}
    receiver.scripted.append(ScriptedAnswer(status=503))
    receiver.scripted.append(ScriptedAnswer(status=429, headers=retry_later, body="slow down", delay_s=0.05))
    async with receiver:
        assert (await post(receiver, GOOD, AUTHORIZED))[:2] == (503, "")
        before_s = time.monotonic()
        status, text, headers = await post(receiver, GOOD, {})
        assert time.monotonic() - before_s >= 0.05
        assert (status, text, headers["Retry-After"]) == (429, "slow down", "7")
        assert receiver.series() == {}
        assert (await post(receiver, GOOD, AUTHORIZED))[0] == 204
    assert receiver.value("up") == 1.0
    assert len(receiver.requests) == 3


async def test_a_delayed_answer_does_not_keep_the_receiver_from_stopping() -> None:
    receiver = a_receiver()
    receiver.scripted.append(ScriptedAnswer(status=204, delay_s=3600))
    await receiver.start()
    pending = asyncio.ensure_future(post(receiver, GOOD, AUTHORIZED))
    await asyncio.wait([pending], timeout=0.2)
    async with asyncio.timeout(10):
        await receiver.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await pending
