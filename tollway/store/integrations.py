"""Each organisation's receivers, and how far each has been served.

Owns the rows, the cursor into the ledger and the election of the one process that pushes
(an epoch that rises with each change of hands). Does not own sending (`push/`).
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from tollway.domain.clock import US_PER_MS, US_PER_S
from tollway.domain.destination import Destination, DestinationKind
from tollway.domain.ids import OrgId
from tollway.domain.series import Metric, Series
from tollway.store.database import all_orgs
from tollway.store.schema import integrations, org_totals, orgs, series_totals
from tollway.store.vault import Vault

_EPOCH_BITS = 62  # a BIGINT, with room to rise
_LONGEST_TURN_US = 2 * 3600 * US_PER_S
"""Longer than the longest pause between two pushes."""

_FARTHEST_AHEAD_MS = 10 * 60 * 1000
"""Receivers refuse samples that are farther in the future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One stored receiver; the token stays sealed."""

    kind: DestinationKind
    user: str
    endpoint: str
    token_sealed: str
    token_masked: str


@dataclass(frozen=True, slots=True, kw_only=True)
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
    totals: Mapping[Series, int]


def find_integrations(db: Connection, org: OrgId) -> dict[str, Integration]:
    """The organisation's receivers by kind."""
    rows = db.execute(select(integrations).where(integrations.c.org_id == org))
    return {
        row.kind: Integration(
            kind=row.kind,
            user=row.user,
            endpoint=row.endpoint,
            token_sealed=row.token_sealed,
            token_masked=row.token_masked,
        )
        for row in rows
    }


def put_integration(db: Connection, org: OrgId, integration: Integration, now_us: int) -> None:
    """Store a receiver. A new one is served from this moment on, a changed one from its cursor."""
    values = {
        "user": integration.user,
        "endpoint": integration.endpoint,
        "token_sealed": integration.token_sealed,
        "token_masked": integration.token_masked,
        "modified_us": now_us,
        "last_error": None,
        "pusher": None,
    }
    where = (integrations.c.org_id == org, integrations.c.kind == integration.kind)
    # A new epoch: what is on its way to the old receiver no longer moves the cursor.
    changed = update(integrations).where(*where).values(**values, epoch=integrations.c.epoch + 1)
    if not db.execute(changed).rowcount:
        seq = db.execute(select(org_totals.c.seq).where(org_totals.c.org_id == org)).scalar() or 0
        # Epochs begin anywhere, so that one removed and made again does not repeat any, whatever the clock.
        epoch = secrets.randbits(_EPOCH_BITS)
        place = {"org_id": org, "kind": integration.kind, "cursor_seq": seq, "epoch": epoch}
        db.execute(insert(integrations).values(**place, **values))


def remove_integration(db: Connection, org: OrgId, kind: DestinationKind) -> None:
    """Forget a receiver and its cursor."""
    db.execute(delete(integrations).where(integrations.c.org_id == org, integrations.c.kind == kind))


@all_orgs
def list_destinations(db: Connection) -> set[tuple[OrgId, DestinationKind, int]]:
    """Every receiver there is, with when it was last changed (µs), for the process that serves them."""
    rows = db.execute(select(integrations.c.org_id, integrations.c.kind, integrations.c.modified_us))
    return {(OrgId(row.org_id), row.kind, row.modified_us) for row in rows}


def take_turn(
    db: Connection,
    org: OrgId,
    kind: DestinationKind,
    vault: Vault,
    *,
    pusher: str,
    now_us: int,
    until_us: int,
) -> Turn | None:
    """Become, or stay, the pusher of this destination; None if another is, or if it is gone.

    The sample time rises with every turn, whoever takes it: no two samples of a series bear
    one time. What a process with a clock far ahead left behind is passed over: no receiver takes
    such times. VaultError if the token does not open.
    """
    where = (integrations.c.org_id == org, integrations.c.kind == kind)
    row = db.execute(
        select(integrations, orgs.c.org_name)
        .join(orgs, orgs.c.id == integrations.c.org_id)
        .where(*where)
        .with_for_update(of=integrations)
    ).first()
    if row is None:
        return None
    is_others = row.pusher not in (None, pusher)
    if is_others and now_us < row.pusher_until_us < now_us + _LONGEST_TURN_US:
        return None
    epoch = row.epoch + (row.pusher != pusher)
    sampled_ms = now_us // US_PER_MS
    if row.sampled_ms < sampled_ms + _FARTHEST_AHEAD_MS:
        sampled_ms = max(sampled_ms, row.sampled_ms + 1)
    db.execute(
        update(integrations)
        .where(*where)
        .values(pusher=pusher, epoch=epoch, pusher_until_us=until_us, sampled_ms=sampled_ms)
    )
    token = vault.open(row.token_sealed, sealing_context(org, kind, row.user, row.endpoint))
    destination = Destination(org_id=org, kind=kind, user=row.user, token=token, endpoint=row.endpoint)
    return Turn(
        destination=destination,
        org_name=row.org_name,
        epoch=epoch,
        sampled_ms=sampled_ms,
        cursor_seq=row.cursor_seq,
        totals=_read_totals(db, org) if kind == "prom" else {},
    )


def note_delivery(
    db: Connection,
    org: OrgId,
    kind: DestinationKind,
    *,
    epoch: int,
    now_us: int,
    until_us: int,
    error: str | None = None,
    cursor_seq: int | None = None,
    dropped: int = 0,
) -> bool:
    """Record how a push went and keep the turn; False, and nothing changes, if the epoch is not ours."""
    values: dict[str, object] = {
        "last_error": error,
        "pusher_until_us": until_us,
        "dropped": integrations.c.dropped + dropped,
    }
    if error is None:
        values["last_success_us"] = now_us
    if cursor_seq is not None:
        values["cursor_seq"] = cursor_seq
    noted = db.execute(
        update(integrations)
        .where(integrations.c.org_id == org, integrations.c.kind == kind, integrations.c.epoch == epoch)
        .values(values)
    )
    return bool(noted.rowcount)


def sealing_context(org: OrgId, kind: DestinationKind, user: str, endpoint: str) -> tuple[str, ...]:
    """What a receiver's token is bound to: it opens for this organisation, user and endpoint only."""
    return (org, kind, user, endpoint)


def _read_totals(db: Connection, org: OrgId) -> dict[Series, int]:
    """The organisation's all-time totals, without those that only a later version knows."""
    rows = db.execute(
        select(series_totals).where(series_totals.c.org_id == org, series_totals.c.metric.in_(list(Metric)))
    )
    return {
        Series(row.app, row.model, row.provider, Metric(row.metric), row.label): row.value for row in rows
    }
