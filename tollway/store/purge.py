"""The purge: what is left of deleted organisations, when it may go.

Owns which rows those are: all of an organisation, in whichever table; does not own when
(`domain/deletion.py`). The only place where ledger rows are removed.
"""

from sqlalchemy import Connection, delete, func, select

import tollway.store.apps_schema
import tollway.store.log_schema
import tollway.store.outbox_schema
import tollway.store.trail_schema  # noqa: F401 - its tables are of the same metadata
from tollway.domain.ids import OrgId
from tollway.store.database import all_orgs
from tollway.store.people_schema import deleted_orgs
from tollway.store.schema import changes, ledger, metadata, orgs

ROWS_PER_TURN = 10_000


@all_orgs
def list_deleted(db: Connection, upto_us: int | None = None) -> list[tuple[OrgId, str]]:
    """Ids and names of organisations that were deleted, until then or at any time; the first ones first."""
    query = (
        select(orgs.c.id, orgs.c.org_name)
        .join(deleted_orgs, deleted_orgs.c.org_id == orgs.c.id)
        .order_by(deleted_orgs.c.deleted_us, orgs.c.id)
    )
    if upto_us is not None:
        query = query.where(deleted_orgs.c.deleted_us <= upto_us)
    return [(OrgId(row.id), row.org_name) for row in db.execute(query)]


def purge_rows(db: Connection, org: OrgId, *, most: int = ROWS_PER_TURN) -> int:
    """Remove the organisation's oldest ledger rows, so many at most; returns how many, 0 after the last."""
    first = db.execute(select(func.min(ledger.c.seq)).where(ledger.c.org_id == org)).scalar()
    if first is None:
        return 0
    turn = (ledger.c.org_id == org, ledger.c.seq < first + most)
    return int(db.execute(delete(ledger).where(*turn)).rowcount)


def purge_org(db: Connection, org: OrgId) -> None:
    """Remove all else that is stored of the organisation, and itself: its name is free again."""
    for table in reversed(metadata.sorted_tables):
        # The feed of changes has no gaps, and forgets by itself.
        if "org_id" in table.c and table is not changes:
            db.execute(delete(table).where(table.c.org_id == org))
    db.execute(delete(orgs).where(orgs.c.id == org))
