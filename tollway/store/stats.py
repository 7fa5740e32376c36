"""Sums of an organisation's rows over stretches of time: from hours where they are whole, else from rows.

Owns the queries; does not own which stretches are asked for, or what becomes of the sums
(`control/stats.py`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
)

from tollway.domain.graph import HOUR_US, NOTHING, Amounts, Interval, Metric
from tollway.domain.ids import AppId, OrgId
from tollway.domain.ledger import EntryKind, Outcome
from tollway.domain.log import USER
from tollway.store.log_schema import usage_hours
from tollway.store.schema import app_keys, apps, ledger

By = Literal["app", "key", "model", "user", "label"]

Sums = Mapping[tuple[int, str | None], Amounts]
"""By the start of a stretch and the group; None where the rows have no such."""

_COLUMNS = {"app": "app_id", "key": "key_id", "model": "model"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What rows are told apart by; `label` is the name of one."""

    by: By
    label: str = ""

    @property
    def facet(self) -> str:
        """Where the hours of these groups are; empty: with those of all calls."""
        return {"user": USER, "label": f"label:{self.label}"}.get(self.by, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Rows that ended in [from_us, to_us), of these apps (None: of all)."""

    from_us: int
    to_us: int
    app_ids: tuple[AppId, ...] | None = None


def top_groups(
    db: Connection, org: OrgId, span: Span, group: Group, metric: Metric, limit: int
) -> Sequence[str]:
    """The groups with most of a metric in the span's hours, most first."""
    name = _hour_column(group)
    ordered = {
        "requests": func.sum(usage_hours.c.num_requests),
        "tokens": func.sum(usage_hours.c.tokens),
        "cost": func.sum(usage_hours.c.cost_nano),
        "savings": func.sum(usage_hours.c.savings_nano),
        "latency": func.sum(usage_hours.c.num_requests),
    }[metric]
    found = select(name).where(*_hours_in(org, span, group)).group_by(name)
    return list(db.execute(found.order_by(ordered.desc(), name).limit(limit)).scalars())


def sum_hours(
    db: Connection,
    org: OrgId,
    span: Span,
    interval: Interval,
    group: Group | None = None,
    names: Collection[str] = (),
) -> Sums:
    """Sums of whole hours; of these groups, if rows are to be told apart."""
    if span.from_us >= span.to_us:
        return {}
    at = _start(usage_hours.c.hour_us, interval.step_us, interval)
    name: ColumnElement[Any] = null() if group is None else _hour_column(group)
    where = _hours_in(org, span, group)
    if group is not None:
        where.append(name.in_(names))
    hours = usage_hours.c
    rows = db.execute(
        select(
            at.label("at"),
            name.label("name"),
            func.sum(hours.num_requests),
            func.sum(hours.tokens),
            func.sum(hours.cost_nano),
            func.sum(hours.savings_nano),
            func.sum(hours.num_timed),
            func.sum(hours.duration_us),
        )
        .where(*where)
        .group_by("at", *([] if group is None else ["name"]))
    )
    return _added((interval.start_of(int(row[0])), row[1], _amounts(row[2:])) for row in rows)


def sum_rows(db: Connection, org: OrgId, span: Span, interval: Interval, group: Group | None = None) -> Sums:
    """Sums of the ledger's rows, of all groups."""
    if span.from_us >= span.to_us:
        return {}
    at = _start(ledger.c.ended_us, HOUR_US if interval.is_of_hours else interval.step_us, interval)
    rows = ledger.c
    cost = func.coalesce(rows.cost_prompt_nano + rows.cost_completion_nano, 0)
    benchmark = func.coalesce(rows.benchmark_prompt_nano + rows.benchmark_completion_nano, cost)
    is_request = and_(rows.final, rows.kind == EntryKind.USAGE.value)
    is_timed = and_(is_request, rows.outcome != Outcome.UNSETTLED.value)
    took = and_(is_timed, rows.ended_us > rows.started_us)
    where = [rows.org_id == org, rows.ended_us >= span.from_us, rows.ended_us < span.to_us]
    if span.app_ids is not None:
        where.append(rows.app_id.in_(span.app_ids))
    found = db.execute(
        select(
            at.label("at"),
            _row_column(group).label("name"),
            func.sum(case((is_request, 1), else_=0)),
            func.sum(rows.prompt_tokens + rows.completion_tokens),
            func.sum(cost),
            func.sum(benchmark - cost),
            func.sum(case((is_timed, 1), else_=0)),
            func.sum(case((took, rows.ended_us - rows.started_us), else_=0)),
        )
        .where(*where)
        .group_by("at", *([] if group is None else ["name"]))
    )
    return _added(
        (interval.start_of(int(row[0])), _name_in(row[1], group), _amounts(row[2:])) for row in found
    )


def names_of(db: Connection, org: OrgId, group: Group, ids: Iterable[str]) -> dict[str, str]:
    """What people know apps and keys by: an app's name, the end of a key; others by themselves."""
    found = {id_: id_ for id_ in ids}
    query = {
        "app": select(apps.c.id, apps.c.name).where(apps.c.org_id == org, apps.c.id.in_(found)),
        "key": select(app_keys.c.id, app_keys.c.key_end).where(
            app_keys.c.org_id == org, app_keys.c.id.in_(found)
        ),
    }.get(group.by)
    if query is not None:
        found |= {row[0]: row[1] for row in db.execute(query)}
    return found


def _hour_column(group: Group) -> ColumnElement[Any]:
    return usage_hours.c[_COLUMNS.get(group.by, "value")]


def _row_column(group: Group | None) -> ColumnElement[Any]:
    if group is None:
        return null()
    if group.by == "label":
        return cast(ledger.c.labels, Text)  # a path into JSON could not hold every name
    return ledger.c[_COLUMNS.get(group.by, "end_user")]


def _name_in(value: str | None, group: Group | None) -> str | None:
    if group is None or group.by != "label" or value is None:
        return value
    labels: dict[str, str] = msgspec.json.decode(value)
    return labels.get(group.label)


def _hours_in(org: OrgId, span: Span, group: Group | None) -> list[ColumnElement[bool]]:
    hours = usage_hours.c
    where = [
        hours.org_id == org,
        hours.facet == (group.facet if group else ""),
        hours.hour_us >= span.from_us,
        hours.hour_us < span.to_us,
    ]
    if span.app_ids is not None:
        where.append(hours.app_id.in_(span.app_ids))
    return where


def _start(us: ColumnElement[int], step_us: int, interval: Interval) -> ColumnElement[int]:
    """The start of a stretch that lies in one of the interval's, and of no more than the step."""
    return us - (us - literal(interval.start_of(0), BigInteger)) % literal(step_us, BigInteger)


def _amounts(sums: Sequence[Any]) -> Amounts:
    return Amounts(*map(int, sums))


def _added(sums: Iterable[tuple[int, str | None, Amounts]]) -> Sums:
    added: dict[tuple[int, str | None], Amounts] = {}
    for at, name, amounts in sums:
        added[at, name] = added.get((at, name), NOTHING).plus(amounts)
    return added
