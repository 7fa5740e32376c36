"""What admins read of their organisation's audit trail. Owns who may; does not own the rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from tollway.control.access import permitted_org
from tollway.domain.caller import Person
from tollway.domain.clock import moment
from tollway.domain.operation import Operation
from tollway.store import trail


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, as it is told; `before` and `after` are rows by table, secrets masked."""

    number: int
    at: datetime
    operation: str
    who: str
    user_id: str | None
    address: str | None
    target: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    request_id: str


def list_changes(
    db: Connection, person: Person, *, before: int | None, operation: str | None, who: str | None, limit: int
) -> list[Change]:
    """Changes of the person's current organisation, newest first. Forbidden."""
    org = permitted_org(person, Operation.LIST_TRAIL)
    rows = trail.read_trail(db, org, before=before, operation=operation, who=who, limit=limit)
    return [told(row) for row in rows]


def told(row: trail.Change) -> Change:
    """A stored row as it is told."""
    return Change(
        number=row["seq"],
        at=moment(row["at_us"]),
        operation=row["operation"],
        who=row["who"],
        user_id=row["user_id"],
        address=row["address"],
        target=row["target"],
        before=row["before"],
        after=row["after"],
        request_id=row["request_id"],
    )
