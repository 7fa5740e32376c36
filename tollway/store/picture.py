"""The picture of organisations that their samples show: all-time totals, and how it is now.

Owns reading it for many organisations at once; does not own a single value of it, or names on the
wire (`push/samples.py`).
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Text, bindparam, cast, func, select, tuple_

from tollway.domain.body import PrivacyLevel
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import AppId, OrgId
from tollway.domain.series import NO_TOTALS, Gauges, Metric, Series, Totals
from tollway.store.cycles import SPENT, current_cycles
from tollway.store.database import all_orgs
from tollway.store.grants import free_balances
from tollway.store.schema import apps, cycle_totals, orgs, series_totals

DELETED_APP_US = 3_600 * US_PER_S
"""How long a deleted app still has series: its last calls end, and are folded, before that."""

_SPEND = select(cycle_totals.c.org_id, SPENT.label("nano")).where(
    tuple_(cycle_totals.c.org_id, cycle_totals.c.cycle_start_us).in_(bindparam("starts", expanding=True))
)
_SETTINGS = select(
    orgs.c.id, orgs.c.rate_limit, orgs.c.spending_limit_soft_nano, orgs.c.spending_limit_hard_nano
).where(orgs.c.id.in_(bindparam("wanted", expanding=True)))
_GONE = select(apps.c.org_id, apps.c.slug).where(
    apps.c.org_id.in_(bindparam("wanted", expanding=True)),
    ~apps.c.is_active,
    apps.c.modified_us < bindparam("before_us"),
)
_SERIES = series_totals.c
_ORDERED = (
    select(series_totals)
    .where(
        _SERIES.org_id.in_(bindparam("wanted", expanding=True)),
        _SERIES.metric.in_([metric.value for metric in Metric]),  # not those that only a later version knows
        tuple_(_SERIES.org_id, _SERIES.app).not_in(bindparam("gone", expanding=True)),
    )
    # The same order each time, so that the same series go together in each push.
    .order_by(*series_totals.primary_key)
    .subquery()
)


def _totals(array: str, collect: str) -> Select[Any]:
    """One row for each organisation: a row for each total would cost ten times as much."""
    name = getattr(func, array)(*(_ORDERED.c[part] for part in Series._fields))
    names, values = (cast(getattr(func, collect)(part), Text) for part in (name, _ORDERED.c.value))
    return select(_ORDERED.c.org_id, names, values).group_by(_ORDERED.c.org_id)


_TOTALS = {
    "sqlite": _totals("json_array", "json_group_array"),
    "postgresql": _totals("json_build_array", "json_agg"),
}
_decode_values = msgspec.json.Decoder(list[int]).decode


@all_orgs
def read_totals(db: Connection, wanted: Collection[OrgId], now_us: int) -> dict[OrgId, Totals]:
    """All-time totals, without those of apps that are long deleted, or that only a later version knows."""
    asked = {"wanted": list(wanted), "before_us": now_us - DELETED_APP_US}
    gone = [tuple(row) for row in db.execute(_GONE, asked).all()]
    rows = db.execute(_TOTALS[db.dialect.name], {"wanted": asked["wanted"], "gone": gone}).all()
    return dict.fromkeys(wanted, NO_TOTALS) | {
        OrgId(org): Totals(named=names, values=_decode_values(values)) for org, names, values in rows
    }


@all_orgs
def read_gauges(db: Connection, wanted: Collection[OrgId], now_us: int) -> dict[OrgId, Gauges]:
    """What samples say of now; of each organisation, in as many queries for all as for one."""
    starts = [(org, cycle.start_us) for org, cycle in current_cycles(db, wanted, now_us).items()]
    spent = db.execute(_SPEND, {"starts": starts})
    spend = {row.org_id: row.nano for row in spent}
    balances = free_balances(db, wanted)
    rows = db.execute(_SETTINGS, {"wanted": list(wanted)})
    return {
        OrgId(row.id): Gauges(
            spend=spend.get(row.id, 0),
            soft_limit=row.spending_limit_soft_nano or 0,
            hard_limit=row.spending_limit_hard_nano or 0,
            requests_per_minute=row.rate_limit,
            free_balance=balances[OrgId(row.id)],
        )
        for row in rows
    }


@all_orgs
def read_app_levels(
    db: Connection, wanted: Collection[OrgId]
) -> defaultdict[OrgId, dict[AppId, PrivacyLevel]]:
    """The privacy levels of apps that have one of their own, by organisation."""
    found: defaultdict[OrgId, dict[AppId, PrivacyLevel]] = defaultdict(dict)
    own = (apps.c.org_id.in_(wanted), apps.c.privacy_level.is_not(None))
    for row in db.execute(select(apps.c.org_id, apps.c.id, apps.c.privacy_level).where(*own)):
        found[OrgId(row.org_id)][AppId(row.id)] = row.privacy_level
    return found
