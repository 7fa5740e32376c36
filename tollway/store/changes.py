"""The feed of changes: what every process must forget from its cache, in commit order.

Owns the order: the counter's row is locked until its transaction ends, so no change can
become visible behind one that was already read. Does not own what is cached (`gateway/live.py`).
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from tollway.domain.ids import OrgId
from tollway.store.database import all_orgs
from tollway.store.schema import changes, deployment

PRICE_LIST = OrgId("")
"""Stands in the feed for the imported prices, which are of no organisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Whose views are stale. `complete` is false where some were pruned unread: forget all."""

    upto: int
    org_ids: frozenset[OrgId]
    complete: bool

    @property
    def are_of_prices(self) -> bool:
        """Whether the imported prices may have changed."""
        return PRICE_LIST in self.org_ids or not self.complete


_COUNT = (
    update(deployment).values(changes_seq=deployment.c.changes_seq + 1).returning(deployment.c.changes_seq)
)
_TELL = insert(changes)


def announce(db: Connection, org: OrgId, now_us: int) -> None:
    """Tell every process, at commit, that something of this organisation changed."""
    seq = db.execute(_COUNT).scalar_one()
    db.execute(_TELL, {"seq": seq, "org_id": org, "added_us": now_us})


@all_orgs
def position(db: Connection) -> int:
    """How far the feed has come."""
    return int(db.execute(select(deployment.c.changes_seq)).scalar_one())


@all_orgs
def since(db: Connection, seen: int) -> Changes:
    """What changed after position `seen`."""
    upto = position(db)
    rows = (
        db.execute(select(changes.c.org_id).where(changes.c.seq > seen, changes.c.seq <= upto))
        .scalars()
        .all()
    )
    return Changes(
        upto=upto,
        org_ids=frozenset(OrgId(org_id) for org_id in rows),
        complete=len(rows) == upto - seen,
    )


@all_orgs
def prune(db: Connection, before_us: int) -> int:
    """Remove changes announced before `before_us`; returns how many."""
    rows = select(func.count()).select_from(changes).where(changes.c.added_us < before_us)
    count = db.execute(rows).scalar_one()
    db.execute(delete(changes).where(changes.c.added_us < before_us))
    return int(count)
