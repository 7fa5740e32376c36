"""The page that a scrape gets, read back by the library's own parser."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.control.scrapes import page
from tests.world.clock import NOON_US
from tollway.control.exposition import process_families
from tollway.control.metrics import METRICS, PREFIX, Distribution
from tollway.domain.limit import Kind
from tollway.domain.traffic import Traffic
from tollway.store.gauges import Installation, Pushed

PROM = Pushed(kind="prom", state="ok", since_us=NOON_US, behind_rows=0, refused=0, too_old=0)
LOKI = replace(PROM, kind="loki")


def test_every_metric_is_announced_with_its_type_even_before_it_has_a_value() -> None:
    told = page()
    for each in METRICS:
        kind = "histogram" if isinstance(each, Distribution) else each.type
        assert told.types[each.name.removesuffix("_total")] == kind
    assert "org_push_lag_seconds" not in told.types
    assert "org_push_lag_seconds" in page(by_org=True).types


def test_the_process_itself_is_told_of() -> None:
    told = page()
    for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"):
        assert told.value(f"process_{name}") > 0


def test_requests_are_told_by_class_of_status_and_histograms_are_summed_up() -> None:
    traffic = Traffic()
    for status, us in ((200, 40_000), (201, 60_000), (429, 300_000_000)):
        traffic.chat.ended(status, us)
    traffic.models.in_flight += 1
    told = page(traffic=traffic)
    assert told.value("requests_total", route="chat", status="2xx") == 2
    assert told.value("requests_total", route="chat", status="4xx") == 1
    assert told.value("requests_total", route="chat", status="5xx") == 0
    assert told.value("requests_in_flight", route="models") == 1
    name = "request_duration_seconds"
    counts = [told.value(f"{name}_bucket", route="chat", le=le) for le in ("0.05", "0.1", "120", "+Inf")]
    assert counts == [1, 2, 2, 3]
    assert told.value(f"{name}_count", route="chat") == 3
    assert told.value(f"{name}_sum", route="chat") == pytest.approx(300.1)


def test_a_vendor_s_calls_are_told_with_what_it_did_wrong() -> None:
    traffic = Traffic()
    traffic.vendor_calls.update(
        {
            ("demo", 200, None): 5,
            ("demo", 504, "vendor_timeout"): 2,
            ("demo", 429, "vendor_refused"): 3,
            ("demo", 499, "client_gone"): 4,
            ("other", 503, "metering_unavailable"): 1,
        }
    )
    told = page(traffic=traffic)
    assert told.value("vendor_calls_total", vendor="demo") == 14
    assert told.value("vendor_calls_total", vendor="other") == 1
    assert sorted(told.all("vendor_errors_total").values()) == [2, 3]
    assert told.value("vendor_errors_total", code="vendor_refused", status="429") == 3


def test_journal_folder_and_leases_are_told_in_the_units_of_their_names() -> None:
    told = page(
        journal_bytes=5,
        journal_is_troubled=True,
        sync_s=1.5,
        lag_us=2_500_000,
        waiting_bytes=7,
        folded_rows=9,
        refusals=Counter(rate_limit_exceeded=3),
        in_hand=Counter({Kind.REQUESTS: 4, Kind.PLAN: 5, Kind.SPEND: 1_500_000_000}),
    )
    wanted = {
        "journal_size_bytes": 5,
        "journal_trouble": 1,
        "journal_damaged": 0,
        "journal_sync_seconds_total": 1.5,
        "fold_lag_seconds": 2.5,
        "fold_waiting_bytes": 7,
        "folded_rows_total": 9,
        "lease_requests": 4,
    }
    assert {name: told.value(name) for name in wanted} == wanted
    assert told.value("limit_refusals_total", code="rate_limit_exceeded") == 3
    assert told.value("lease_tokens", limit="plan") == 5
    assert told.value("lease_usd", limit="spend") == 1.5
    assert told.value("lease_usd", limit="trial") == 0


def test_receivers_are_told_by_state_and_every_state_is_there() -> None:
    found = Installation(
        open_journals=3,
        pushed=[
            replace(LOKI, count=4, since_us=NOON_US - 3_000_000, behind_rows=20, refused=1, too_old=2),
            replace(LOKI, state="retrying", refused=5),
            replace(PROM, state="refused", since_us=NOON_US + 1_000_000),
        ],
    )
    told = page(installation=found)
    assert told.value("open_journals") == 3
    assert len(told.all("push_receivers")) == 8
    assert told.value("push_receivers", kind="loki", state="ok") == 4
    assert told.value("push_receivers", kind="prom", state="ok") == 0
    assert told.value("push_lag_seconds", kind="loki", state="ok") == 3
    assert told.value("push_lag_seconds", kind="prom", state="refused") == 0  # another one's clock is ahead
    assert told.value("push_lag_rows", kind="loki", state="ok") == 20
    assert told.value("push_dropped", kind="loki", reason="refused") == 6
    assert told.value("push_dropped", kind="loki", reason="too_old") == 2
    assert told.value("push_dropped", kind="prom", reason="refused") == 0


def test_letters_are_told_by_what_becomes_of_them() -> None:
    told = page(installation=Installation(open_journals=1, pushed=[], letters_waiting=3, letters_given_up=2))
    assert told.value("letters", state="waiting") == 3
    assert told.value("letters", state="given_up") == 2


def test_without_the_database_its_part_is_left_out_and_that_is_said() -> None:
    told = page(installation=None, by_org=True)
    assert told.value("database_up") == 0
    assert told.value("requests_in_flight", route="chat") == 0
    absent = ("database_read_seconds", "open_journals", "letters", "push_receivers", "push_lag_seconds")
    assert not [name for name in (*absent, "push_dropped", "org_push_lag_seconds") if name in told]
    back = page()
    assert (back.value("database_up"), back.value("database_read_seconds")) == (1, 0.25)


def test_with_a_process_every_sample_bears_it_and_without_one_the_build_alone() -> None:
    told = page(process="journal-1")
    lines = [line for line in told.text.splitlines() if not line.startswith("#")]
    assert lines
    assert all('process="journal-1"' in line for line in lines)
    plain = page()
    assert [line.partition("{")[0] for line in plain.text.splitlines() if 'process="' in line] == [
        f"{PREFIX}build_info"
    ]


# Not "\r": the parser, unlike Prometheus, takes it for the end of a line.
@given(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=30))
@settings(deadline=None, max_examples=100)
def test_whatever_a_name_holds_it_stays_one_label(name: str) -> None:
    found = Installation(open_journals=0, pushed=[], pushed_by_org=[replace(PROM, org=name)])
    assert page(installation=found, by_org=True).labels("org") == {name}


def test_each_scrape_is_written_anew() -> None:
    traffic = Traffic()
    for count in (1, 2):
        traffic.chat.ended(200, 0)
        assert page(traffic=traffic).value("requests_total", route="chat", status="2xx") == count
    assert [each.name for each in process_families()] == [each.name for each in process_families()]
