"""The picture of organisations that their samples show: all-time totals, and how it is now.

Owns reading it for many organisations at once; does not own a single value of it, or names on the
wire (`push/samples.py`).
"""

from collections import defaultdict
from collections.abc import Collection
from sys import intern

from sqlalchemy import Connection, bindparam, select, tuple_

from tollway.domain.body import PrivacyLevel
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import AppId, OrgId
from tollway.domain.series import Gauges, Metric, Series
from tollway.store.cycles import SPENT, current_cycles
from tollway.store.database import all_orgs
from tollway.store.grants import free_balances
from tollway.store.schema import apps, cycle_totals, orgs, series_totals

DELETED_APP_US = 3_600 * US_PER_S
"""How long a deleted app still has series: its last calls end, and are folded, before that."""

_METRICS = {metric.value: metric for metric in Metric}
_SPEND = select(cycle_totals.c.org_id, SPENT.label("nano")).where(
    tuple_(cycle_totals.c.org_id, cycle_totals.c.cycle_start_us).in_(bindparam("starts", expanding=True))
)
_SETTINGS = select(
    orgs.c.id, orgs.c.rate_limit, orgs.c.spending_limit_soft_nano, orgs.c.spending_limit_hard_nano
).where(orgs.c.id.in_(bindparam("wanted", expanding=True)))


@all_orgs
def read_totals(
    db: Connection, wanted: Collection[OrgId], now_us: int
) -> defaultdict[OrgId, dict[Series, int]]:
    """All-time totals, without those of apps that are long deleted, or that only a later version knows."""
    found: defaultdict[OrgId, dict[Series, int]] = defaultdict(dict)
    rows = db.execute(
        select(apps.c.org_id, apps.c.slug).where(
            apps.c.org_id.in_(wanted), ~apps.c.is_active, apps.c.modified_us < now_us - DELETED_APP_US
        )
    )
    gone = {(row.org_id, row.slug) for row in rows}
    columns = series_totals.c
    totals = db.execute(
        select(
            columns.org_id,
            columns.app,
            columns.model,
            columns.provider,
            columns.metric,
            columns.label,
            columns.value,
        )
        .where(columns.org_id.in_(wanted), columns.metric.in_(_METRICS))
        # The same order each time, so that the same series go together in each push.
        .order_by(*series_totals.primary_key)
    )
    for org, app, model, provider, metric, label, value in totals:
        if (org, app) not in gone:
            place = (intern(app), intern(model), intern(provider))  # the same at each push
            found[OrgId(org)][Series(*place, _METRICS[metric], intern(label))] = value
    return found


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
