"""Bodies that an organisation asked to be kept: pieces of prompts and answers.

Owns the table `bodies`; does not own who may read them, or how long they stay. A piece is stored
once, however often its journal is folded.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, select

from tollway.domain.body import BodyPiece, Part
from tollway.domain.ids import OrgId, RequestId
from tollway.store.database import all_orgs
from tollway.store.schema import bodies
from tollway.store.upsert import keeping

_KEEPING = keeping(bodies)


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
        db.execute(_KEEPING[db.dialect.name], rows)


def read_bodies(
    db: Connection, org: OrgId, requests: Collection[RequestId]
) -> Mapping[tuple[RequestId, int, Part], bytes]:
    """What is kept of these requests of `org`, by request, attempt and part."""
    rows = db.execute(
        select(bodies.c.request_id, bodies.c.attempt, bodies.c.part, bodies.c.data)
        .where(bodies.c.org_id == org, bodies.c.request_id.in_(requests))
        .order_by(bodies.c.request_id, bodies.c.attempt, bodies.c.part, bodies.c.at)
    )
    found: dict[tuple[RequestId, int, Part], bytes] = {}
    for row in rows:
        key = row.request_id, row.attempt, Part(row.part)
        found[key] = found.get(key, b"") + row.data
    return found
