"""Alerts: that an organisation is to be told of something, once in each cycle.

An alert and its letter in the outbox are written in the transaction that makes them true; of many
that raise one at once, the row that comes first decides. Owns the table `alerts` and when a
spending limit counts as crossed; does not own letters' texts or their sending.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, or_, select, tuple_

from tollway.domain.cycle import Cycle
from tollway.domain.ids import OrgId
from tollway.domain.moment import iso
from tollway.domain.money import Nano, usd
from tollway.domain.org import AlertKind
from tollway.store.cycles import SPENT, current_cycle
from tollway.store.database import all_orgs
from tollway.store.outbox import add_letter
from tollway.store.schema import alerts, cycle_totals, orgs
from tollway.store.upsert import keeping

_LIMITS = {
    AlertKind.SOFT_LIMIT: orgs.c.spending_limit_soft_nano,
    AlertKind.HARD_LIMIT: orgs.c.spending_limit_hard_nano,
}
_FIRST = {name: insert.returning(alerts.c.kind) for name, insert in keeping(alerts).items()}


def _is_due(kind: AlertKind, limit: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the limit is set and reached, and nobody was told in this cycle."""
    told = exists().where(
        alerts.c.org_id == cycle_totals.c.org_id,
        alerts.c.cycle_start_us == cycle_totals.c.cycle_start_us,
        alerts.c.kind == kind.value,
    )
    return and_(limit > 0, limit <= SPENT, ~told)


_DUE = {kind: _is_due(kind, limit) for kind, limit in _LIMITS.items()}
_CROSSED = (
    select(
        orgs.c.id,
        cycle_totals.c.cycle_start_us,
        SPENT.label("spent_nano"),
        *_LIMITS.values(),
        *(is_due.label(kind) for kind, is_due in _DUE.items()),
    )
    .join(orgs, orgs.c.id == cycle_totals.c.org_id)
    .where(
        tuple_(cycle_totals.c.org_id, cycle_totals.c.cycle_start_us).in_(
            bindparam("touched", expanding=True)
        ),
        or_(*_DUE.values()),
    )
    # In one order, so that two that raise the same alerts do not wait for each other.
    .order_by(orgs.c.id, cycle_totals.c.cycle_start_us)
)


def raise_alert(
    db: Connection,
    org: OrgId,
    *,
    cycle_start_us: int,
    kind: AlertKind,
    content: Mapping[str, str | int | None],
    now_us: int,
) -> bool:
    """Write the alert and its letter, unless the cycle has this alert already; whether it was the first."""
    alert = {"org_id": org, "cycle_start_us": cycle_start_us, "kind": kind.value, "raised_us": now_us}
    if db.execute(_FIRST[db.dialect.name], alert).first() is None:
        return False
    add_letter(db, org, f"alert.{kind}", content, now_us)
    return True


@all_orgs
def raise_crossed(db: Connection, touched: Collection[tuple[OrgId, int]], now_us: int) -> None:
    """Raise what is due where the totals of these (organisation, cycle start) or its limits changed."""
    if not touched:
        return
    found = db.execute(_CROSSED, {"touched": sorted(touched)})
    for row in found.mappings().all():
        org = OrgId(row["id"])
        cycle = current_cycle(db, org, row["cycle_start_us"])
        for kind in _DUE:
            if row[kind]:
                content = told_of(row[_LIMITS[kind]], row["spent_nano"], cycle)
                start_us = row["cycle_start_us"]
                raise_alert(db, org, cycle_start_us=start_us, kind=kind, content=content, now_us=now_us)


def told_of(limit: int, spent: int, cycle: Cycle) -> dict[str, str | int | None]:
    """What a letter about a spending limit says: dollars as exact decimals, and the cycle."""
    return {
        "limit": usd(Nano(limit)),
        "spent": usd(Nano(spent)),
        "cycle_start": iso(cycle.start_us),
        "cycle_end": iso(cycle.end_us),
    }


def raised_alerts(db: Connection, org: OrgId, cycle_start_us: int) -> dict[AlertKind, int]:
    """When each alert of this cycle was raised, microseconds; without those that were not."""
    rows = db.execute(
        select(alerts.c.kind, alerts.c.raised_us).where(
            alerts.c.org_id == org, alerts.c.cycle_start_us == cycle_start_us
        )
    )
    return {AlertKind(row.kind): row.raised_us for row in rows}
