"""Bodies that an organisation asked to be kept: pieces of prompts and answers.

Owns the table `bodies`; does not own who may read them, or how long they stay. A piece is stored
once, however often its journal is folded.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from tollway.domain.body import BodyPiece, Part
from tollway.domain.ids import OrgId, RequestId
from tollway.store.database import all_orgs
from tollway.store.schema import bodies


@all_orgs
def keep_bodies(db: Connection, pieces: Iterable[BodyPiece]) -> None:
    """Store the pieces that are not stored yet."""
    rows = [
        {
            "org_id": piece.org_id,
            "request_id": piece.request_id,
            "attempt": piece.attempt,
            "part": piece.part.value,
            "at": piece.at,
            "data": piece.data,
            "written_us": piece.written_us,
        }
        for piece in pieces
    ]
    if rows:
        upsert = (postgresql if db.dialect.name == "postgresql" else sqlite).insert(bodies)
        db.execute(upsert.on_conflict_do_nothing(), rows)


def read_bodies(db: Connection, org: OrgId, request: RequestId) -> Mapping[tuple[int, Part], bytes]:
    """What is kept of a request of `org`, by attempt and part."""
    rows = db.execute(
        select(bodies.c.attempt, bodies.c.part, bodies.c.data)
        .where(bodies.c.org_id == org, bodies.c.request_id == request)
        .order_by(bodies.c.attempt, bodies.c.part, bodies.c.at)
    )
    found: dict[tuple[int, Part], bytes] = {}
    for row in rows:
        key = row.attempt, Part(row.part)
        found[key] = found.get(key, b"") + row.data
    return found
