"""Turns: which process pushes to a receiver now, what it is to send, and how that went.

An epoch rises with each change of hands, and whoever notes a push of an older epoch is told that the
turn is not its own any more. Turns of many receivers are taken, and noted, in one transaction.
Owns the election and the cursor; does not own the receivers (`integrations.py`) or sending (`push/`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection, RowMapping, bindparam, select, tuple_, update

from tollway.domain.body import PrivacyLevel
from tollway.domain.clock import US_PER_MS, US_PER_S
from tollway.domain.destination import Destination, DestinationKind
from tollway.domain.ids import AppId, OrgId
from tollway.domain.series import NO_GAUGES, NO_TOTALS, Gauges, Totals
from tollway.store.database import all_orgs
from tollway.store.deployment import read_instance
from tollway.store.integrations import sealing_context
from tollway.store.outbox import add_letter
from tollway.store.picture import read_app_levels, read_gauges, read_totals
from tollway.store.schema import integrations, ledger, org_totals, orgs
from tollway.store.vault import Vault, VaultError

State = Literal["ok", "retrying", "refused"]

_LONGEST_TURN_US = 2 * 3600 * US_PER_S
"""Longer than the longest pause between two pushes."""
_FARTHEST_AHEAD_MS = 10 * 60 * 1000
"""Receivers refuse samples that are farther in the future."""

_KEY = (integrations.c.org_id == bindparam("b_org"), integrations.c.kind == bindparam("b_kind"))
_TAKE = (
    update(integrations)
    .where(*_KEY)
    .values(
        pusher=bindparam("b_pusher"),
        epoch=bindparam("b_epoch"),
        pusher_until_us=bindparam("b_until_us"),
        sampled_ms=bindparam("b_sampled_ms"),
    )
)
_NOTE = (
    update(integrations)
    .where(*_KEY)
    .values(
        state=bindparam("b_state"),
        last_error=bindparam("b_error"),
        pusher_until_us=bindparam("b_until_us"),
        last_success_us=bindparam("b_success_us"),
        told_us=bindparam("b_told_us"),
        cursor_seq=bindparam("b_cursor_seq"),
        protocol=bindparam("b_protocol"),
        dropped=integrations.c.dropped + bindparam("b_refused"),
        too_old=integrations.c.too_old + bindparam("b_too_old"),
    )
)
_LOCKED = (
    select(integrations, orgs.c.org_name, orgs.c.privacy_level)
    .join(orgs, orgs.c.id == integrations.c.org_id)
    .where(tuple_(integrations.c.org_id, integrations.c.kind).in_(bindparam("places", expanding=True)))
    .order_by(integrations.c.org_id, integrations.c.kind)
    .with_for_update(of=integrations)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One process that wants to push to one receiver, until then at least."""

    org: OrgId
    kind: DestinationKind
    until_us: int


@dataclass(slots=True, kw_only=True)
class Turn:
    """The right to push to one destination, as long as nobody else took it.

    `totals` are the all-time totals as of `sampled_ms`: read in the transaction that took the turn,
    so that a later time never bears an earlier total. A log's turn has none.
    """

    destination: Destination
    org_name: str
    epoch: int
    sampled_ms: int
    cursor_seq: int
    protocol: str | None
    state: State | None
    """How the last push went; None before the first one."""
    privacy_level: PrivacyLevel
    app_levels: Mapping[AppId, PrivacyLevel] = field(default_factory=dict)
    """Of a log's apps that have one of their own."""
    totals: Totals = NO_TOTALS
    gauges: Gauges = NO_GAUGES
    instance: str = ""
    """Which deployment's totals they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """How a push went: without a `state` nothing was sent, and else without an `error` it succeeded.

    The others stay as they are where they are None.
    """

    org: OrgId
    kind: DestinationKind
    epoch: int
    until_us: int
    state: State | None
    error: str | None = None
    cursor_seq: int | None = None
    protocol: str | None = None
    refused: int = 0
    """Lines, or pictures, that the receiver did not want."""
    too_old: int = 0
    """Lines that it would not have taken any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How one receiver is served. `protocol` is the one that it proved to understand."""

    state: State
    last_success_us: int | None
    last_error: str | None
    protocol: str | None
    put_us: int
    waiting_rows: int
    waiting_since_us: int | None
    """When the oldest of these rows was stored."""
    refused: int
    too_old: int


def read_status(db: Connection, org: OrgId) -> dict[DestinationKind, Status]:
    """How the organisation's receivers are served; without those that there are not."""
    rows = db.execute(
        select(integrations, org_totals.c.seq)
        .outerjoin(org_totals, org_totals.c.org_id == integrations.c.org_id)
        .where(integrations.c.org_id == org)
    ).all()
    found: dict[DestinationKind, Status] = {}
    for row in rows:
        waiting = max(0, (row.seq or 0) - row.cursor_seq) if row.kind == "loki" else 0
        found[row.kind] = Status(
            state=row.state or "retrying",
            last_success_us=row.last_success_us,
            last_error=row.last_error,
            protocol=row.protocol,
            put_us=row.modified_us,
            waiting_rows=waiting,
            waiting_since_us=_stored_us(db, org, row.cursor_seq) if waiting else None,
            refused=row.dropped,
            too_old=row.too_old,
        )
    return found


def _stored_us(db: Connection, org: OrgId, after_seq: int) -> int | None:
    """When the row after this one was stored."""
    query = select(ledger.c.folded_us).where(ledger.c.org_id == org, ledger.c.seq > after_seq)
    return db.execute(query.order_by(ledger.c.seq).limit(1)).scalar()


@all_orgs
def take_turns(
    db: Connection, asked: Sequence[Asked], vault: Vault, *, pusher: str, now_us: int
) -> list[Turn | VaultError | None]:
    """Become, or stay, the pusher of these; None where another is, or where the receiver is gone.

    The sample time rises with every turn, whoever takes it: no two samples of a series bear
    one time. What a process with a clock far ahead left behind is passed over: no receiver takes
    such times. VaultError in the place of a turn whose token does not open.
    """
    rows = _locked(db, asked)
    found: dict[tuple[OrgId, DestinationKind], Turn | VaultError] = {}
    for one in asked:
        row = rows.get((one.org, one.kind))
        if row is not None and not _is_others(row, pusher, now_us):
            try:
                found[one.org, one.kind] = _turn(row, vault, pusher, now_us)
            except VaultError as error:
                found[one.org, one.kind] = error
    turns = {key: turn for key, turn in found.items() if isinstance(turn, Turn)}
    until_us = {(one.org, one.kind): one.until_us for one in asked}
    if turns:
        db.execute(
            _TAKE,
            [
                {
                    "b_org": org,
                    "b_kind": kind,
                    "b_pusher": pusher,
                    "b_epoch": turn.epoch,
                    "b_until_us": until_us[org, kind],
                    "b_sampled_ms": turn.sampled_ms,
                }
                for (org, kind), turn in turns.items()
            ],
        )
    _add_pictures(db, turns, now_us)
    return [found.get((one.org, one.kind)) for one in asked]


@all_orgs
def note_pushes(db: Connection, notes: Sequence[Note], now_us: int) -> list[bool]:
    """Record how pushes went and keep the turns; False, and nothing changes, where the epoch is not ours.

    Of a receiver that begins to refuse, the organisation is told once.
    """
    rows = _locked(db, notes)
    ours = [note for note in notes if _is_ours(note, rows)]
    if ours:
        db.execute(_NOTE, [_noted(note, rows[note.org, note.kind], now_us) for note in ours])
    for note in ours:
        row = rows[note.org, note.kind]
        if note.state == "refused" and row["told_us"] is None:
            content = {"kind": note.kind, "endpoint": row["endpoint"], "answer": note.error}
            add_letter(db, note.org, "integration.refused", content, now_us)
    return [_is_ours(note, rows) for note in notes]


def _is_ours(note: Note, rows: Mapping[tuple[str, str], RowMapping]) -> bool:
    row = rows.get((note.org, note.kind))
    return row is not None and row["epoch"] == note.epoch


def _noted(note: Note, row: RowMapping, now_us: int) -> dict[str, object]:
    state, error, told_us, success_us = (
        row[name] for name in ("state", "last_error", "told_us", "last_success_us")
    )
    if note.state is not None:
        state, error = note.state, note.error
        if error is None:
            told_us, success_us = None, now_us
        elif note.state == "refused" and told_us is None:
            told_us = now_us
    return {
        "b_org": note.org,
        "b_kind": note.kind,
        "b_state": state,
        "b_error": error,
        "b_until_us": note.until_us,
        "b_success_us": success_us,
        "b_told_us": told_us,
        "b_cursor_seq": row["cursor_seq"] if note.cursor_seq is None else note.cursor_seq,
        "b_protocol": note.protocol or row["protocol"],
        "b_refused": note.refused,
        "b_too_old": note.too_old,
    }


def _locked(db: Connection, named: Sequence[Asked | Note]) -> dict[tuple[str, str], RowMapping]:
    """The receivers' rows, locked in one order."""
    rows = db.execute(_LOCKED, {"places": [(one.org, one.kind) for one in named]}).mappings().all()
    return {(row["org_id"], row["kind"]): row for row in rows}


def _is_others(row: RowMapping, pusher: str, now_us: int) -> bool:
    is_their_time = now_us < row["pusher_until_us"] < now_us + _LONGEST_TURN_US
    return row["pusher"] not in (None, pusher) and is_their_time


def _turn(row: RowMapping, vault: Vault, pusher: str, now_us: int) -> Turn:
    org, kind = OrgId(row["org_id"]), row["kind"]
    token = vault.open(row["token_sealed"], sealing_context(org, kind, row["user"], row["endpoint"]))
    sampled_ms = now_us // US_PER_MS
    if row["sampled_ms"] < sampled_ms + _FARTHEST_AHEAD_MS:
        sampled_ms = max(sampled_ms, row["sampled_ms"] + 1)
    return Turn(
        destination=Destination(
            org_id=org, kind=kind, user=row["user"], token=token, endpoint=row["endpoint"]
        ),
        org_name=row["org_name"],
        epoch=row["epoch"] + (row["pusher"] != pusher),
        sampled_ms=sampled_ms,
        cursor_seq=row["cursor_seq"],
        protocol=row["protocol"],
        state=row["state"],
        privacy_level=row["privacy_level"],
    )


def _add_pictures(db: Connection, turns: Mapping[tuple[OrgId, DestinationKind], Turn], now_us: int) -> None:
    """Give the turns of samples what they are to show, and those of logs what they may show."""
    pictured = [org for org, kind in turns if kind == "prom"]
    if pictured:
        totals, gauges = read_totals(db, pictured, now_us), read_gauges(db, pictured, now_us)
        instance = read_instance(db)
        for org in pictured:
            turn = turns[org, "prom"]
            turn.totals, turn.gauges, turn.instance = totals[org], gauges[org], instance
    logged = [org for org, kind in turns if kind == "loki"]
    if logged:
        levels = read_app_levels(db, logged)
        for org in logged:
            turns[org, "loki"].app_levels = levels[org]
