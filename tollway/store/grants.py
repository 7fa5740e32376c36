"""Grants: what an organisation was given for its trial. A balance is granted minus spent, never a number.

Owns the table `grants`, whose rows never change; does not own what was spent (`store/usage.py`).
"""

from sqlalchemy import Connection, bindparam, func, insert, select

from tollway.domain.ids import OrgId, new_id
from tollway.domain.money import Nano
from tollway.store.schema import grants, org_totals


def add_grant(db: Connection, org: OrgId, amount: Nano, reason: str, now_us: int) -> None:
    """Give so many nano-dollars, or take them back."""
    db.execute(
        insert(grants).values(
            id=new_id(now_us), org_id=org, amount_nano=amount, reason=reason, added_us=now_us
        )
    )


_GRANTED = select(func.coalesce(func.sum(grants.c.amount_nano), 0)).where(grants.c.org_id == bindparam("org"))


def granted(db: Connection, org: OrgId) -> int:
    """All that was given, in nano-dollars."""
    return int(db.execute(_GRANTED, {"org": org}).scalar_one())


_SPENT = select(org_totals.c.trial_nano).where(org_totals.c.org_id == bindparam("org"))


def trial_spent(db: Connection, org: OrgId) -> int:
    """What the trial has paid, in nano-dollars, with what is held for unsettled calls."""
    return int(db.execute(_SPENT, {"org": org}).scalar() or 0)


def free_balance(db: Connection, org: OrgId) -> Nano:
    """Granted minus spent; below 0 where more was spent than granted."""
    return Nano(granted(db, org) - trial_spent(db, org))
