"""What the tests read of, and do to, the rows below the API."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from tests.push.entries import cost_of_units
from tests.world.entries import batch
from tests.world.stage import Stage, Tenant
from tollway.domain.destination import DestinationKind
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId, RequestId, new_id
from tollway.domain.ledger import Entry, Outcome
from tollway.domain.usage import Unit
from tollway.store.database import Database
from tollway.store.schema import integrations
from tollway.store.usage import fold


async def integration_of(database: Database, tenant: Tenant, kind: DestinationKind) -> Any:  # noqa: ANN401 - a row
    """The tenant's stored receiver: every column; None without one."""

    def read(db: Connection) -> Any:  # noqa: ANN401 - a row
        where = (integrations.c.org_id == tenant.org_id, integrations.c.kind == kind)
        return db.execute(select(integrations).where(*where)).first()

    return await database.read(read)


async def change_integration(
    database: Database, tenant: Tenant, kind: DestinationKind, **values: object
) -> None:
    """Write columns of the tenant's stored receiver, as a fault or an attacker would."""

    def write(db: Connection) -> None:
        where = (integrations.c.org_id == tenant.org_id, integrations.c.kind == kind)
        db.execute(update(integrations).where(*where).values(**values))

    await database.write(write)


def plain_entry(tenant: Tenant, ended_us: int, **fields: Any) -> Entry:  # noqa: ANN401 - columns by name
    """An entry of the tenant's app: ten tokens in, five out."""
    cost = cost_of_units({Unit.INPUT: 100, Unit.OUTPUT: 200})
    values: dict[str, Any] = {
        "request_id": RequestId(new_id(ended_us)),
        "outcome": Outcome.SETTLED,
        "status": 200,
        "org_id": OrgId(tenant.org_id),
        "app_id": AppId(tenant.app_id),
        "app": f"{tenant.org_name}-app",
        "key_id": KeyId("key"),
        "provider": "demo",
        "model": "demo/small",
        "units": {Unit.INPUT: 10, Unit.OUTPUT: 5},
        "cost": cost,
        "vendor_cost": cost,
        "started_us": ended_us - 1_000,
        "ended_us": ended_us,
    }
    return Entry(**{**values, **fields})


async def fold_entries(stage: Stage, entries: Sequence[Entry]) -> None:
    """Put entries into the ledger, as the folder does, from a journal of their own."""
    now_us = stage.clock.now_us()
    moved = batch(list(enumerate(entries)), JournalId(new_id(now_us)))
    assert await stage.world.database.write(fold, moved, now_us) == len(entries)
