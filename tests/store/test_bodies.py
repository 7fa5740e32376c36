"""How long prompts and answers stay."""

from functools import partial

from sqlalchemy import func, select

from tests.world.clock import NOON_US
from tests.world.entries import make_org
from tollway.domain.body import BodyPiece, Part
from tollway.domain.ids import OrgId, RequestId
from tollway.store.bodies import (
    DAY_US,
    PIECES_AT_ONCE,
    body_days,
    forget_bodies,
    keep_bodies,
    put_body_days,
    read_bodies,
)
from tollway.store.database import Database
from tollway.store.schema import bodies


def piece(org: OrgId, request: str, days_ago: float, at: int = 0) -> BodyPiece:
    written_us = NOON_US - int(days_ago * DAY_US)
    return BodyPiece(
        org_id=org, request_id=RequestId(request), part=Part.REQUEST, at=at, data=b"x", written_us=written_us
    )


def test_pieces_go_when_their_organisation_s_days_are_over(database: Database) -> None:
    write = database.write_here
    short, long = write(partial(make_org, name="short")), write(partial(make_org, name="long"))
    write(lambda db: put_body_days(db, short, 1, NOON_US))
    assert [write(partial(body_days, org=org)) for org in (short, long)] == [1, 30]
    pieces = [piece(org, f"{days}", days) for org in (short, long) for days in (0.9, 1.1, 29.9, 30.1)]
    write(lambda db: keep_bodies(db, pieces))
    while write(lambda db: forget_bodies(db, NOON_US)):
        pass
    asked = [RequestId(f"{days}") for days in (0.9, 1.1, 29.9, 30.1)]
    left = {org: write(partial(read_bodies, org=org, requests=asked)) for org in (short, long)}
    assert sorted(request for request, _, _ in left[short]) == ["0.9"]
    assert sorted(request for request, _, _ in left[long]) == ["0.9", "1.1", "29.9"]


def test_they_go_in_bounded_numbers(database: Database) -> None:
    write = database.write_here
    org = write(make_org)
    write(lambda db: keep_bodies(db, [piece(org, "r", 31, at) for at in range(PIECES_AT_ONCE + 1)]))
    left = []
    while write(lambda db: forget_bodies(db, NOON_US)):
        left.append(write(lambda db: db.execute(select(func.count()).select_from(bodies)).scalar_one()))
    assert left == [1, 0]
