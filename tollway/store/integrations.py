"""Each organisation's receivers: where its samples and lines go, and how that goes.

Owns the rows; does not own who pushes (`turns.py`) or sending (`push/`).
"""

import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from tollway.domain.destination import DestinationKind
from tollway.domain.ids import OrgId
from tollway.store.database import all_orgs
from tollway.store.schema import integrations, org_totals

_EPOCH_BITS = 62  # a BIGINT, with room to rise


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """One stored receiver; the token stays sealed."""

    kind: DestinationKind
    user: str
    endpoint: str
    token_sealed: str
    token_masked: str


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
        "state": None,
        "protocol": None,
        "told_us": None,
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
    return {(OrgId(org), kind, modified_us) for org, kind, modified_us in rows.all()}


def sealing_context(org: OrgId, kind: DestinationKind, user: str, endpoint: str) -> tuple[str, ...]:
    """What a receiver's token is bound to: it opens for this organisation, user and endpoint only."""
    return (org, kind, user, endpoint)
