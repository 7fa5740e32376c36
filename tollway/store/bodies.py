"""Bodies that an organisation asked to be kept: pieces of prompts and answers.

Owns the table `bodies`, and their end: each organisation says how many days they stay. Does not own
who may read them. A piece is stored once, however often its journal is folded.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import BigInteger, Connection, and_, cast, delete, exists, literal, select, tuple_, update

from tollway.domain.body import BodyPiece, Part
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import OrgId, RequestId
from tollway.store.database import all_orgs
from tollway.store.schema import bodies, orgs
from tollway.store.upsert import keeping

PIECES_AT_ONCE = 500
"""Of those that are deleted, in one transaction."""
DAY_US = 86_400 * US_PER_S

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


def body_days(db: Connection, org: OrgId) -> int:
    """For how many days `org` keeps prompts and answers."""
    return int(db.execute(select(orgs.c.body_days).where(orgs.c.id == org)).scalar_one())


def put_body_days(db: Connection, org: OrgId, days: int, now_us: int) -> None:
    """Change that; what is older is deleted within the hour, and not shown from now on."""
    db.execute(update(orgs).where(orgs.c.id == org).values(body_days=days, modified_us=now_us))


@all_orgs
def forget_bodies(db: Connection, now_us: int) -> bool:
    """Delete a bounded number of pieces that are too old; whether there may be more."""
    days = cast(orgs.c.body_days, BigInteger)
    cutoff_us = literal(now_us, BigInteger) - days * literal(DAY_US, BigInteger)
    too_old = and_(bodies.c.org_id == orgs.c.id, bodies.c.written_us < cutoff_us)
    found = db.execute(
        select(orgs.c.id, cutoff_us.label("cutoff_us")).where(exists().where(too_old)).limit(1)
    )
    row = found.first()
    if row is None:
        return False
    key = tuple_(*bodies.primary_key.columns)
    some = (
        select(*bodies.primary_key.columns)
        .where(bodies.c.org_id == row.id, bodies.c.written_us < row.cutoff_us)
        .order_by(bodies.c.written_us)
        .limit(PIECES_AT_ONCE)
    )
    db.execute(delete(bodies).where(key.in_(some)))
    return True
