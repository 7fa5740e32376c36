"""What a line says: exact money, no more than its privacy level allows, and never too long for Loki."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.push.entries import entries
from tests.world.clock import NOON_US
from tests.world.entries import cost, entry, lost
from tests.world.entries import entries as any_entries
from tollway.demo.loki import LABEL_VALUE_LIMIT_BYTES, LINE_LIMIT_BYTES, LokiReceiver
from tollway.domain.body import Part, PrivacyLevel
from tollway.domain.clock import moment
from tollway.domain.ledger import NOTHING, Entry, correction
from tollway.domain.money import parse_usd
from tollway.push import loki
from tollway.push.lines import Bodies, Line, line_of, stream_of
from tollway.store.usage import StoredEntry

LEVELS: list[PrivacyLevel] = [1, 2, 3]
ODD = '"\\\n\x00\u2028é€😀 a'
"""Characters of each length in UTF-8 and in JSON."""

odd_texts = st.builds(
    lambda text, times: text * times,
    st.text(st.sampled_from(ODD), min_size=1, max_size=9),
    st.integers(0, 50_000),
)


def line(
    made: Entry, *, seq: int = 1, org: str = "acme", level: PrivacyLevel = 2, bodies: Bodies | None = None
) -> Line:
    row = StoredEntry(seq=seq, entry=made)
    return line_of(row, stream_of(made, org), made.ended_us, privacy_level=level, bodies=bodies or {})


def said(made: Line) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(made.text)
    return found


def bodies_of(made: Entry, request: bytes, response: bytes) -> Bodies:
    return {
        (made.request_id, made.attempt, Part.REQUEST): request,
        (made.request_id, made.attempt, Part.RESPONSE): response,
    }


def is_taken(made: Line) -> bool:
    """Whether a strict Loki stores it as it is."""
    double = LokiReceiver(user="u", token="t", now=lambda: NOON_US / 1e6)
    answer = double.receive(loki.body([made._replace(at_us=NOON_US)]), loki.HEADERS)
    (stored,) = double.lines()
    return answer == (204, "") and stored.text.encode() == made.text and stored.size_bytes == made.size_bytes


@settings(deadline=None, max_examples=100)
@given(any_entries, st.integers(1, 2**60), st.sampled_from(LEVELS))
def test_money_in_a_line_is_exact(made: Entry, seq: int, level: PrivacyLevel) -> None:
    found = line(made, seq=seq, level=level)
    money = msgspec.json.decode(found.text, type=dict[str, msgspec.Raw])
    assert msgspec.json.decode(money["seq"]) == seq
    assert b"\n" not in found.text
    if not made.is_known:
        assert bytes(money["cost_usd"]) == bytes(money["savings_usd"]) == b"null"
        assert not {"cost_usd", "savings_usd"} & set(found.metadata)
        return
    for name, nano in (("cost_usd", made.cost.total), ("savings_usd", made.savings)):
        assert parse_usd(bytes(money[name]).decode()) == nano
        assert parse_usd(found.metadata[name]) == nano


@settings(deadline=None, max_examples=100)
@given(entries(), st.sampled_from(LEVELS))
def test_metadata_are_strings_without_exception(made: Entry, level: PrivacyLevel) -> None:
    found = line(made, level=level).metadata
    assert all(isinstance(value, str) for value in found.values())
    assert found["request_id"] == made.request_id
    assert found["status"] == str(made.status)


def test_a_line_has_the_true_time_of_its_row_whatever_time_it_is_sent_with() -> None:
    made = entry(ended_us=NOON_US - 1)
    sent = line_of(
        StoredEntry(seq=1, entry=made), stream_of(made, "acme"), NOON_US, privacy_level=2, bodies={}
    )
    assert sent.at_us == NOON_US
    assert said(sent)["time"] == moment(NOON_US - 1).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(("status", "level"), [(200, "info"), (399, "info"), (400, "error"), (502, "error")])
def test_a_stream_is_an_app_and_whether_it_went_well(status: int, level: str) -> None:
    assert line(entry(status=status, app="shop")).stream.labels == {
        "job": "tollway",
        "org": "acme",
        "app": "shop",
        "level": level,
    }


def test_what_a_lost_call_may_cost_is_not_told_as_if_it_cost_that() -> None:
    found = line(lost(entry(end_user="user-7"), held=987_654_321))
    assert b"987654321" not in found.text.replace(b".", b"")
    assert (said(found)["end_user"], said(found)["cost_usd"]) == ("user-7", None)
    assert (said(found)["outcome"], found.stream.level) == ("unsettled", "error")


def test_a_late_end_is_a_line_of_its_own_with_its_money() -> None:
    found = line(correction(entry(benchmark=cost(3_000, 50_000))), seq=2)
    assert (said(found)["kind"], said(found)["outcome"]) == ("correction", "correction")
    assert (said(found)["cost_usd"], said(found)["savings_usd"]) == (0.0000424, 0.0000106)
    assert (found.metadata["cost_usd"], found.metadata["savings_usd"]) == ("0.0000424", "0.0000106")


def test_a_call_that_cost_nothing_says_so() -> None:
    found = line(entry(cost=NOTHING, vendor_cost=NOTHING))
    assert (said(found)["cost_usd"], said(found)["savings_usd"]) == (0, 0)
    assert found.metadata["cost_usd"] == "0"


def test_prompt_and_answer_are_sent_at_level_1_only() -> None:
    made = entry()
    kept = bodies_of(made, b'{"messages": ["XYZZY"]}', b"XYZZY \xff")
    full = said(line(made, level=1, bodies=kept))
    assert (full["request"], full["response"]) == ('{"messages": ["XYZZY"]}', "XYZZY \ufffd")
    for level in LEVELS[1:]:
        assert b"XYZZY" not in line(made, level=level, bodies=kept).text


def test_only_the_bodies_of_that_attempt_are_sent_and_only_those_that_were_kept() -> None:
    made = entry(attempt=2)
    kept = {(made.request_id, 1, Part.REQUEST): b"first", (made.request_id, 2, Part.RESPONSE): b"second"}
    found = said(line(made, level=1, bodies=kept))
    assert "request" not in found
    assert found["response"] == "second"


def test_nothing_that_leads_to_a_person_is_sent_at_level_3() -> None:
    made = entry(key_id="KEY-XYZZY", end_user="USER-XYZZY", labels={"LABEL-XYZZY": "VALUE-XYZZY"})
    found = line(made, level=3)
    assert b"XYZZY" not in found.text
    assert "XYZZY" not in repr(found)
    assert (said(found)["cost_usd"], said(found)["prompt_tokens"], said(found)["status"]) == (
        4.24e-05,
        6,
        200,
    )
    assert set(said(line(made))) - set(said(found)) == {"key_id", "end_user", "labels"}
    assert set(line(made).metadata) - set(found.metadata) == {"key_id"}


@settings(deadline=None, max_examples=100)
@given(odd_texts, odd_texts, odd_texts, odd_texts)
def test_a_line_is_never_longer_than_loki_takes(user: str, label: str, request: str, response: str) -> None:
    made = entry(end_user=user, labels={"note": label, "team": "search"})
    found = line(made, level=1, bodies=bodies_of(made, request.encode(), response.encode()))
    assert is_taken(found)
    told = said(found)
    whole = {"end_user": user, "labels": label, "request": request, "response": response}
    left = {**told, "labels": told["labels"]["note"]}
    cut = told.get("original_bytes", {})
    assert told.get("truncated", False) == bool(cut)
    for name, text in whole.items():
        assert text.startswith(left[name])
        assert (left[name] != text) == (name in cut)
    for name in cut:  # the whole of a field is counted: of labels, names and other values too
        assert cut[name] == len(whole[name].encode()) + (len("noteteamsearch") if name == "labels" else 0)
    if cut:
        assert len(found.text) > LINE_LIMIT_BYTES // 2
    assert (told["request_id"], told["labels"]["team"]) == (made.request_id, "search")
    assert told["cost_usd"] == 4.24e-05


@pytest.mark.parametrize("size", [LINE_LIMIT_BYTES - 2_000, LINE_LIMIT_BYTES, 5_000_000])
def test_of_a_line_that_is_too_long_only_the_longest_texts_are_cut(size: int) -> None:
    made = entry(end_user="u" * 256, labels={"note": "n" * 256})
    found = line(made, level=1, bodies=bodies_of(made, b"p" * size, b"a" * 1_000))
    told = said(found)
    assert (told["end_user"], told["labels"], told["response"]) == (
        "u" * 256,
        {"note": "n" * 256},
        "a" * 1_000,
    )
    assert told["truncated"] is True
    assert told["original_bytes"] == {"request": size}
    assert LINE_LIMIT_BYTES - 2_048 < len(found.text) < LINE_LIMIT_BYTES


def test_a_line_that_just_fits_is_not_cut() -> None:
    made = entry()
    shortest = len(line(made, level=1, bodies=bodies_of(made, b"", b"")).text)
    fits = line(made, level=1, bodies=bodies_of(made, b"p" * (LINE_LIMIT_BYTES - 1 - shortest), b""))
    assert len(fits.text) == LINE_LIMIT_BYTES - 1
    assert "truncated" not in said(fits)
    longer = line(made, level=1, bodies=bodies_of(made, b"p" * (LINE_LIMIT_BYTES - shortest), b""))
    assert said(longer)["truncated"] is True


def test_any_number_of_labels_with_names_of_any_length_fits() -> None:
    many = {f"{number}-{'é' * 50}": str(number) for number in range(20_000)}
    long = {"é" * 300_000 + str(number): "x" for number in range(2)}
    for labels in (many, long):
        assert is_taken(line(entry(labels=labels)))


def test_long_names_fit_into_labels_and_metadata() -> None:
    name = "é" * 20_000
    made = entry(app=name, model=name, provider=name, app_id=name, key_id=name)
    found = line(made, org=name)
    assert is_taken(found)
    labels = found.stream.labels
    assert labels["app"] == labels["org"] == "é" * 1_023
    assert len(labels["app"].encode()) < LABEL_VALUE_LIMIT_BYTES
    assert found.metadata["model"] == "é" * 1_024
    assert said(found)["model"] == name
