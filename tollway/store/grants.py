"""Grants: what an organisation was given for its trial. A balance is granted minus spent, never a number.

Owns the table `grants`, whose rows never change; does not own what was spent (`store/usage.py`).
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select

from tollway.domain.ids import OrgId, new_id
from tollway.domain.money import Nano
from tollway.store.database import all_orgs
from tollway.store.schema import grants, org_totals


def add_grant(db: Connection, org: OrgId, amount: Nano, reason: str, now_us: int) -> None:
    """Give so many nano-dollars, or take them back."""
    db.execute(
        insert(grants).values(
            id=new_id(now_us), org_id=org, amount_nano=amount, reason=reason, added_us=now_us
        )
    )


_GRANTED = (
    select(grants.c.org_id, func.sum(grants.c.amount_nano).label("nano"))
    .where(grants.c.org_id.in_(bindparam("wanted", expanding=True)))
    .group_by(grants.c.org_id)
)
_SPENT = select(org_totals.c.org_id, org_totals.c.trial_nano.label("nano")).where(
    org_totals.c.org_id.in_(bindparam("wanted", expanding=True))
)


def granted(db: Connection, org: OrgId) -> int:
    """All that was given, in nano-dollars."""
    return _sums(db, _GRANTED, [org]).get(org, 0)


def trial_spent(db: Connection, org: OrgId) -> int:
    """What the trial has paid, in nano-dollars, with what is held for unsettled calls."""
    return _sums(db, _SPENT, [org]).get(org, 0)


def free_balance(db: Connection, org: OrgId) -> Nano:
    """Granted minus spent; below 0 where more was spent than granted."""
    return free_balances(db, [org])[org]


@all_orgs
def free_balances(db: Connection, wanted: Collection[OrgId]) -> dict[OrgId, Nano]:
    """The balance of each, in as many queries for all as for one."""
    given, spent = _sums(db, _GRANTED, wanted), _sums(db, _SPENT, wanted)
    return {org: Nano(given.get(org, 0) - spent.get(org, 0)) for org in wanted}


def _sums(db: Connection, query: Select[Any], wanted: Collection[OrgId]) -> dict[OrgId, int]:
    # PostgreSQL adds up to a decimal.
    rows = db.execute(query, {"wanted": list(wanted)})
    return {OrgId(row.org_id): int(row.nano or 0) for row in rows}
