"""The organisation record, read from where each of its values is true.

Owns the reading; does not own a single value: totals are the ledger's, limits and
subscription the organisation's, receivers the integrations', the balance that of its grants.
Its cost does not grow with the ledger.
"""

from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from tollway.domain.clock import moment
from tollway.domain.cycle import Cycle, CycleRecord, cycle_among
from tollway.domain.ids import OrgId
from tollway.domain.money import Nano
from tollway.domain.org import AlertKind, Organisation
from tollway.store.alerts import raised_alerts
from tollway.store.cycles import current_cycle, stored_cycles
from tollway.store.grants import free_balance
from tollway.store.integrations import find_integrations
from tollway.store.orgs import count_apps
from tollway.store.schema import cycle_totals, orgs

_STORED_AS_IS = {field.name for field in fields(Organisation)} & set(orgs.c.keys())


def read_record(db: Connection, org: OrgId, now_us: int) -> Organisation:
    """The record of `org` as of `now_us`, whose cycle's totals it shows."""
    row = db.execute(select(orgs).where(orgs.c.id == org)).mappings().one()
    cycle_start_us = current_cycle(db, org, now_us).start_us
    return Organisation(
        **{name: row[name] for name in _STORED_AS_IS},
        **_totals(db, org, cycle_start_us),
        **_receivers(db, org),
        num_apps=count_apps(db, org),
        free_balance=free_balance(db, org),
        alert_emails=_alerts(db, org, cycle_start_us),
        spending_limit_soft=Nano(row["spending_limit_soft_nano"] or 0),
        spending_limit_hard=Nano(row["spending_limit_hard_nano"] or 0),
        added_on=moment(row["added_us"]),
        modified_on=moment(row["modified_us"]),
    )


def read_cycles(
    db: Connection, org: OrgId, now_us: int, *, before_us: int | None, limit: int
) -> list[CycleRecord]:
    """The current cycle and all that are stored, newest first, of those that start before `before_us`."""
    stored = stored_cycles(db, org)
    current = cycle_among(stored, now_us)
    counted = db.execute(select(cycle_totals.c.cycle_start_us).where(cycle_totals.c.org_id == org)).scalars()
    starts = {now_us, *counted, *(cycle.start_us for cycle in stored)}
    cycles = {cycle_among(stored, start) for start in starts}
    shown = sorted(
        (cycle for cycle in cycles if before_us is None or cycle.start_us < before_us),
        key=lambda cycle: cycle.start_us,
        reverse=True,
    )[:limit]
    rows = db.execute(
        select(cycle_totals).where(
            cycle_totals.c.org_id == org,
            cycle_totals.c.cycle_start_us.in_([cycle.start_us for cycle in shown]),
        )
    )
    totals = {row.cycle_start_us: row for row in rows}
    return [_cycle_record(cycle, cycle == current, totals.get(cycle.start_us)) for cycle in shown]


def _cycle_record(cycle: Cycle, is_current: bool, row: Any) -> CycleRecord:  # noqa: ANN401 - as in `_named`
    held = {"num_unsettled": row.num_unsettled, "held": Nano(row.held_nano)} if row is not None else {}
    return CycleRecord(
        start=moment(cycle.start_us), end=moment(cycle.end_us), is_current=is_current, **_named(row), **held
    )


def _totals(db: Connection, org: OrgId, cycle_start_us: int) -> dict[str, Any]:
    return _named(
        db.execute(
            select(cycle_totals).where(
                cycle_totals.c.org_id == org, cycle_totals.c.cycle_start_us == cycle_start_us
            )
        ).first()
    )


def _alerts(db: Connection, org: OrgId, cycle_start_us: int) -> dict[str, datetime | None] | None:
    """Every kind, with when it was raised; None while none is."""
    raised = raised_alerts(db, org, cycle_start_us)
    if not raised:
        return None
    return {kind.value: moment(raised[kind]) if kind in raised else None for kind in AlertKind}


def _named(row: Any) -> dict[str, Any]:  # noqa: ANN401 - SQLAlchemy's rows are typed by their query only
    """A cycle's totals by the record's names; nothing where no row was counted."""
    if row is None:
        return {}
    return {
        "num_requests": row.num_requests,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "total_tokens": row.prompt_tokens + row.completion_tokens,
        "prompt_tokens_cost": Nano(row.cost_prompt_nano),
        "completion_tokens_cost": Nano(row.cost_completion_nano),
        "total_tokens_cost": Nano(row.cost_prompt_nano + row.cost_completion_nano),
        "prompt_tokens_cost_savings": Nano(row.savings_prompt_nano),
        "completion_tokens_cost_savings": Nano(row.savings_completion_nano),
        "total_tokens_cost_savings": Nano(row.savings_prompt_nano + row.savings_completion_nano),
    }


def _receivers(db: Connection, org: OrgId) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for kind, integration in find_integrations(db, org).items():
        shown[f"{kind}_id"] = integration.user
        shown[f"{kind}_token"] = integration.token_masked
        shown[f"{kind}_endpoint"] = integration.endpoint
    return shown
