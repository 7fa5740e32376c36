"""The outbox: letters to organisations, written in the transaction that makes them true.

Owns how a letter gets in; does not own its text or its sending.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, insert

from tollway.domain.ids import OrgId, new_id
from tollway.store.schema import outbox

_ADD = insert(outbox)


def add_letter(
    db: Connection, org: OrgId, kind: str, content: Mapping[str, str | int | None], now_us: int
) -> None:
    """Add a letter of this kind (`alert.soft_limit`, …); `content` is what its text says."""
    letter = {"kind": kind, "content": dict(content), "added_us": now_us}
    db.execute(_ADD, {"id": new_id(now_us), "org_id": org, **letter})
