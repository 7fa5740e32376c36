"""Series: the all-time totals that an organisation's metrics are made of.

A series is fixed when the first row is counted in it. An organisation has a bounded number of places
(app, model, provider); what comes later is counted together. Owns the table `series_totals`; does
not own what a row adds (`domain/series.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, func, select, tuple_

from tollway.domain.ids import OrgId
from tollway.domain.series import Place, Series, new_place, others_of, place_of
from tollway.store.database import all_orgs
from tollway.store.schema import series_totals
from tollway.store.upsert import adding

Increments = Mapping[tuple[OrgId, Series], int]

_PLACE = (series_totals.c.app, series_totals.c.model, series_totals.c.provider)
_ADDING = adding(series_totals)
_STORED = (
    select(series_totals.c.org_id, *_PLACE)
    .where(tuple_(series_totals.c.org_id, *_PLACE).in_(bindparam("places", expanding=True)))
    .distinct()
)


@all_orgs
def add_series(db: Connection, increments: Increments) -> None:
    """Add to totals, in sorted order; for a transaction that has locked the organisations' totals."""
    if not increments:
        return
    counted = _counted(db, increments)
    rows = [
        {"org_id": org, **series._asdict(), "value": value}
        for (org, series), value in sorted(counted.items())
    ]
    db.execute(_ADDING[db.dialect.name], rows)


def _counted(db: Connection, increments: Increments) -> Counter[tuple[OrgId, Series]]:
    """The same, where there is room for it."""
    wanted: defaultdict[OrgId, set[Place]] = defaultdict(set)
    for org, series in increments:
        wanted[org].add(series[:3])
    stored = _stored(db, wanted)
    for org, places in wanted.items():
        if unknown := sorted(place for place in places if place_of(place, stored[org]) not in stored[org]):
            number = _num_stored(db, org)
            for place in unknown:
                found = place_of(new_place(place, number), stored[org])
                number += found not in stored[org]
                stored[org].add(found)
    counted: Counter[tuple[OrgId, Series]] = Counter()
    for (org, series), value in increments.items():
        place = place_of(series[:3], stored[org])
        counted[org, Series(*place, series.metric, series.label)] += value
    return counted


def _stored(db: Connection, wanted: Mapping[OrgId, set[Place]]) -> defaultdict[OrgId, set[Place]]:
    """Which of these places, and of those that they may be counted with, have series already."""
    asked = {
        (org, *one)
        for org, places in wanted.items()
        for place in places
        for one in (place, *others_of(place))
    }
    rows = db.execute(_STORED, {"places": sorted(asked)})
    found: defaultdict[OrgId, set[Place]] = defaultdict(set)
    for org, *place in rows:
        found[OrgId(org)].add((place[0], place[1], place[2]))
    return found


def _num_stored(db: Connection, org: OrgId) -> int:
    """How many places have series."""
    places = select(*_PLACE).where(series_totals.c.org_id == org).distinct().subquery()
    return int(db.execute(select(func.count()).select_from(places)).scalar_one())
