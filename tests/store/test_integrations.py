"""Receivers, their cursors and turns: one pusher at a time, and nobody's secret for anybody else."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from tests.world.clock import NOON_US
from tests.world.entries import ON_POSTGRESQL, batch, entry, make_org
from tollway.domain.destination import DestinationKind
from tollway.domain.ids import OrgId
from tollway.domain.series import NO_TOTALS, Metric
from tollway.domain.token import masked
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.integrations import (
    Integration,
    find_integrations,
    list_destinations,
    put_integration,
    remove_integration,
    sealing_context,
)
from tollway.store.schema import integrations, series_totals
from tollway.store.turns import Asked, Note, Turn, note_pushes, take_turns
from tollway.store.usage import fold, read_entries
from tollway.store.vault import Vault, VaultError

VAULT = Vault([b"k" * 32])
URL = "https://receiver.example.com/push"
TOKEN = "a token of the receiver"
S = 1_000_000


@pytest.fixture
def org(database: Database) -> OrgId:
    database.write_here(lambda db: identify(db, NOON_US))
    return database.write_here(make_org)


def integration(org: OrgId, kind: DestinationKind = "prom", endpoint: str = URL) -> Integration:
    return Integration(
        kind=kind,
        user="123456",
        endpoint=endpoint,
        token_sealed=VAULT.seal(TOKEN, sealing_context(org, kind, "123456", endpoint)),
        token_masked=masked(TOKEN),
    )


def put(database: Database, org: OrgId, at_us: int = NOON_US, **changes: Any) -> None:  # noqa: ANN401 - columns by name
    database.write_here(lambda db: put_integration(db, org, integration(org, **changes), at_us))


def remove(database: Database, org: OrgId, kind: DestinationKind = "prom") -> None:
    database.write_here(lambda db: remove_integration(db, org, kind))


def turn(
    database: Database,
    org: OrgId,
    pusher: str = "one",
    at_us: int = NOON_US,
    vault: Vault = VAULT,
    kind: DestinationKind = "prom",
) -> Turn | None:
    asked = Asked(org=org, kind=kind, until_us=at_us + 10 * S)
    (found,) = database.write_here(lambda db: take_turns(db, [asked], vault, pusher=pusher, now_us=at_us))
    if isinstance(found, VaultError):
        raise found
    return found


def taken(database: Database, org: OrgId, pusher: str = "one", at_us: int = NOON_US) -> Turn:
    found = turn(database, org, pusher, at_us)
    assert found is not None
    return found


def note(
    database: Database,
    org: OrgId,
    epoch: int,
    now_us: int = NOON_US,
    **said: Any,  # noqa: ANN401 - columns by name
) -> bool:
    said = {"until_us": NOON_US + 10 * S, "state": "retrying" if said.get("error") else "ok", **said}
    made = Note(org=org, kind="prom", epoch=epoch, **said)
    (noted,) = database.write_here(lambda db: note_pushes(db, [made], now_us))
    return noted


def stored(database: Database) -> Any:  # noqa: ANN401 - a row
    return database.write_here(lambda db: db.execute(select(integrations)).one())


def fold_rows(database: Database, org: OrgId, first: int, count: int) -> None:
    records = [(first + number, entry(org_id=org)) for number in range(count)]
    database.write_here(lambda db: fold(db, batch(records), NOON_US))


def test_a_new_receiver_starts_at_the_newest_row(database: Database, org: OrgId) -> None:
    fold_rows(database, org, 0, 3)
    put(database, org)
    fold_rows(database, org, 3, 2)
    cursor = taken(database, org).cursor_seq
    assert cursor == 3
    rows = database.write_here(lambda db: read_entries(db, org, after_seq=cursor, limit=10))
    assert [row.seq for row in rows] == [4, 5]


def test_a_new_receiver_of_an_organisation_without_rows_starts_at_nothing(
    database: Database, org: OrgId
) -> None:
    put(database, org)
    assert taken(database, org).cursor_seq == 0


def test_a_changed_receiver_goes_on_from_the_cursor(database: Database, org: OrgId) -> None:
    put(database, org)
    fold_rows(database, org, 0, 5)
    assert note(database, org, taken(database, org).epoch, cursor_seq=2)
    put(database, org, endpoint=f"{URL}/other")
    changed = taken(database, org)
    assert (changed.cursor_seq, changed.destination.endpoint) == (2, f"{URL}/other")


def test_what_is_on_its_way_to_the_old_receiver_moves_no_cursor(database: Database, org: OrgId) -> None:
    put(database, org)
    before = taken(database, org)
    put(database, org, endpoint=f"{URL}/other")
    assert not note(database, org, before.epoch, cursor_seq=9)
    after = taken(database, org)
    assert not note(database, org, before.epoch, cursor_seq=9, error="late", refused=3)
    assert (after.cursor_seq, after.epoch != before.epoch) == (0, True)
    assert (stored(database).last_error, stored(database).dropped) == (None, 0)


def test_a_receiver_removed_and_made_again_starts_anew_although_the_clock_stands_still(
    database: Database, org: OrgId
) -> None:
    epochs = set()
    for made in range(4):
        put(database, org)
        fold_rows(database, org, made, 1)
        found = taken(database, org)
        assert found.cursor_seq == made
        epochs.add(found.epoch)
        remove(database, org)
        assert not note(database, org, found.epoch, cursor_seq=99)
        assert turn(database, org) is None
    assert len(epochs) == 4


def test_removing_one_kind_leaves_the_other(database: Database, org: OrgId) -> None:
    put(database, org)
    put(database, org, at_us=NOON_US + 1, kind="loki")
    both = database.write_here(list_destinations)
    assert both == {(org, "prom", NOON_US), (org, "loki", NOON_US + 1)}
    remove(database, org)
    remove(database, org)
    assert database.write_here(lambda db: find_integrations(db, org)).keys() == {"loki"}


def test_receivers_are_found_as_they_were_put(database: Database, org: OrgId) -> None:
    wanted = integration(org, "loki")
    database.write_here(lambda db: put_integration(db, org, wanted, NOON_US))
    assert database.write_here(lambda db: find_integrations(db, org)) == {"loki": wanted}
    other = database.write_here(lambda db: make_org(db, "other"))
    assert database.write_here(lambda db: find_integrations(db, other)) == {}


def test_a_turn_carries_what_is_needed_to_push(database: Database, org: OrgId) -> None:
    put(database, org)
    found = taken(database, org)
    assert (found.org_name, found.destination.user, found.destination.endpoint) == ("acme", "123456", URL)
    assert found.destination.token.reveal() == TOKEN
    assert TOKEN not in repr(found)


def test_one_process_pushes_at_a_time_and_hands_over_when_its_time_is_up(
    database: Database, org: OrgId
) -> None:
    put(database, org)
    first = taken(database, org, "one")
    assert turn(database, org, "two", NOON_US + 10 * S - 1) is None
    assert taken(database, org, "one", NOON_US + S).epoch == first.epoch  # now until 11 s
    assert turn(database, org, "two", NOON_US + 11 * S - 1) is None
    second = taken(database, org, "two", NOON_US + 11 * S)
    assert second.epoch > first.epoch
    assert turn(database, org, "one", NOON_US + 12 * S) is None


def test_an_old_pusher_that_wakes_up_can_move_nothing(database: Database, org: OrgId) -> None:
    put(database, org)
    first = taken(database, org, "one")
    second = taken(database, org, "two", NOON_US + 10 * S)
    assert note(database, org, second.epoch, cursor_seq=5)
    before = stored(database)
    assert not note(
        database, org, first.epoch, cursor_seq=2, error="x", refused=7, now_us=1, until_us=NOON_US * 2
    )
    assert stored(database) == before


def test_a_turn_that_comes_back_is_another_one(database: Database, org: OrgId) -> None:
    put(database, org)
    epochs = [taken(database, org, who, NOON_US + at * 10 * S).epoch for at, who in enumerate("aba")]
    assert epochs == sorted(set(epochs))
    assert not note(database, org, epochs[0], cursor_seq=1)


@pytest.mark.parametrize("steps_us", [[0, 0, 0], [0, -S, -2 * S], [0, 999, 1_000], [5 * S, 0, 6 * S]])
def test_sample_times_rise_with_every_turn_also_when_the_clock_does_not(
    database: Database, org: OrgId, steps_us: list[int]
) -> None:
    put(database, org)
    times = [taken(database, org, at_us=NOON_US + step).sampled_ms for step in steps_us]
    assert times == sorted(set(times))
    assert times[0] == (NOON_US + steps_us[0]) // 1000


def test_sample_times_rise_over_a_change_of_hands_and_of_the_endpoint(database: Database, org: OrgId) -> None:
    put(database, org)
    first = taken(database, org, "one").sampled_ms
    put(database, org, endpoint=f"{URL}/other")
    assert taken(database, org, "two", NOON_US - S).sampled_ms == first + 1


@ON_POSTGRESQL
def test_of_processes_that_ask_at_once_one_gets_the_turn(database: Database, org: OrgId) -> None:
    put(database, org)
    with ThreadPoolExecutor(6) as threads:
        turns = list(threads.map(lambda pusher: turn(database, org, str(pusher)), range(6)))
    assert sum(found is not None for found in turns) == 1


def test_nobody_gets_a_turn_for_what_is_not_there(database: Database, org: OrgId) -> None:
    assert turn(database, org) is None
    assert not note(database, org, 0)


def test_a_delivery_is_noted(database: Database, org: OrgId) -> None:
    put(database, org)
    epoch = taken(database, org).epoch
    assert note(database, org, epoch, error="401 from the receiver", refused=2)
    assert (stored(database).last_error, stored(database).last_success_us) == ("401 from the receiver", None)
    assert note(database, org, epoch, cursor_seq=4, refused=1, now_us=NOON_US + 5)
    row = stored(database)
    assert (row.last_error, row.last_success_us, row.cursor_seq, row.dropped) == (None, NOON_US + 5, 4, 3)


def test_a_sealed_token_copied_to_another_organisation_does_not_open(database: Database, org: OrgId) -> None:
    put(database, org)
    thief = database.write_here(lambda db: make_org(db, "thief"))
    row = dict(stored(database)._mapping)  # noqa: SLF001 - SQLAlchemy's documented access by name
    database.write_here(lambda db: db.execute(insert(integrations).values({**row, "org_id": thief})))
    with pytest.raises(VaultError):
        turn(database, thief)
    assert taken(database, org).destination.token.reveal() == TOKEN


@pytest.mark.parametrize(
    "changes", [{"endpoint": "https://attacker.example.com/push"}, {"user": "1"}, {"kind": "loki"}]
)
def test_a_token_does_not_open_in_a_row_that_was_tampered_with(
    database: Database, org: OrgId, changes: dict[str, str]
) -> None:
    put(database, org)
    database.write_here(lambda db: db.execute(update(integrations).values(changes)))

    kind: DestinationKind = "loki" if "kind" in changes else "prom"
    with pytest.raises(VaultError):
        turn(database, org, kind=kind)
    assert stored(database).pusher is None  # no turn was taken, so another process may try


def test_a_turn_with_another_key_is_refused(database: Database, org: OrgId) -> None:
    put(database, org)
    with pytest.raises(VaultError):
        turn(database, org, vault=Vault([b"x" * 32]))


def test_a_turn_has_the_totals_of_its_own_organisation_only(database: Database, org: OrgId) -> None:
    fold_rows(database, org, 0, 2)
    other = database.write_here(lambda db: make_org(db, "other"))
    put(database, org)
    put(database, other)
    found = taken(database, org).totals
    by_series = dict(zip(found.series(), found.values, strict=True))
    requests = {
        series.label: value for series, value in by_series.items() if series.metric is Metric.REQUESTS
    }
    assert requests == {"200": 2}
    assert taken(database, other).totals == NO_TOTALS


def test_totals_that_only_a_later_version_knows_stop_no_push(database: Database, org: OrgId) -> None:
    fold_rows(database, org, 0, 1)
    put(database, org)
    known = taken(database, org).totals
    row = {"app": "a", "model": "m", "provider": "p", "metric": "of tomorrow", "label": "", "value": 1}
    database.write_here(lambda db: db.execute(insert(series_totals).values(org_id=org, **row)))
    assert taken(database, org).totals == known


def test_a_clock_that_was_far_ahead_for_one_turn_stops_no_later_one(database: Database, org: OrgId) -> None:
    year_us = 365 * 86_400 * S
    put(database, org)
    taken(database, org, "wrong", NOON_US + year_us)
    for pusher in ("right", "wrong"):
        sampled_ms = taken(database, org, pusher, NOON_US + 60 * S).sampled_ms
        assert sampled_ms <= NOON_US // 1000 + 61_000
        taken(database, org, "wrong", NOON_US + year_us)


def test_a_clock_set_back_by_minutes_keeps_the_time_rising(database: Database, org: OrgId) -> None:
    put(database, org)
    before = taken(database, org).sampled_ms
    assert taken(database, org, at_us=NOON_US - 300 * S).sampled_ms == before + 1
