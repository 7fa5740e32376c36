"""Logs found by time, app, labels and text, without reading what is not asked for.

One index leads (the rarest label's, the apps', or the organisation's), in pieces that grow; every row
that it leads to is looked at, at most so many in one search: what is left is for the next page, by its
place. Owns the search and the ratings; does not own what a log shows (`domain/log.py`).
"""

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
)

from tollway.domain.body import Part
from tollway.domain.ids import AppId, OrgId, RequestId
from tollway.domain.ledger import EntryKind
from tollway.domain.log import HIDDEN, Facet, Place, Rating, Search, has_text
from tollway.store.bodies import read_bodies
from tollway.store.log_schema import log_facets, log_ratings
from tollway.store.schema import bodies, ledger, orgs

_READ_AT_ONCE = 16
_LARGEST_PIECE = 5_000
_SOME = 200
"""Rows of each label, whose reach tells which is the rarest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one search does at most, beside one piece of the index more."""

    rows: int = 50_000
    """That the index leads to."""
    bodies: int = 500
    """Requests whose prompts and answers are read."""


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A row that an index led to; `row` has what its log is sorted by, None if it is not what is searched."""

    place: Place
    row: Any

    @property
    def request_id(self) -> RequestId:
        """Of one that is searched."""
        return RequestId(self.row.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Requests in order, and where the search goes on: None at its end."""

    requests: Sequence[Candidate]
    next: Place | None


def find(
    db: Connection,
    org: OrgId,
    search: Search,
    *,
    after: Place | None = None,
    skip: int = 0,
    limit: int,
    shown_since: Mapping[AppId, int],
    bounds: Bounds = BOUNDS,
) -> Found:
    """Requests in the order of time, after a place, from the `skip`-th on.

    `shown_since`: the apps whose prompts and answers may be looked at, and those written since when.
    """
    lead = _lead(db, org, search)
    found: list[Candidate] = []
    looked_at = num_read = 0
    size = skip + limit + 1
    while True:
        piece = _piece(db, org, search, lead, after, size)
        looked_at += len(piece)
        fitting = [one for one in piece if one.row is not None]
        if search.text:
            for group in _groups(fitting):
                found += _with_text(db, org, group, search.text, shown_since)
                num_read += len(group)
                if num_read >= bounds.bodies and len(found) <= skip + limit:
                    return Found(requests=found[skip : skip + limit], next=group[-1].place)
                if len(found) > skip + limit:
                    break
        else:
            found += fitting
        if len(found) > skip + limit:
            wanted = found[skip : skip + limit]
            return Found(requests=wanted, next=wanted[-1].place)
        if len(piece) < size:
            return Found(requests=found[skip:], next=None)
        after = piece[-1].place
        if looked_at >= bounds.rows:
            return Found(requests=found[skip:], next=after)
        size = min(4 * size, _LARGEST_PIECE)


def rate(
    db: Connection, org: OrgId, request: RequestId, rating: Rating, *, rated_by: str, now_us: int
) -> None:
    """Add a rating; it counts from now on."""
    # Locked, so that two at once do not get the same number.
    db.execute(select(orgs.c.id).where(orgs.c.id == org).with_for_update())
    of = (log_ratings.c.org_id == org, log_ratings.c.request_id == request)
    newest = db.execute(select(func.max(log_ratings.c.number)).where(*of)).scalar() or 0
    db.execute(
        insert(log_ratings).values(
            org_id=org,
            request_id=request,
            number=newest + 1,
            good_answer=rating.good_answer,
            feedback=rating.feedback,
            rated_by=rated_by,
            added_us=now_us,
        )
    )


def ratings_of(db: Connection, org: OrgId, requests: Collection[RequestId]) -> dict[RequestId, Rating]:
    """The newest rating of each of these requests that has one."""
    rows = db.execute(
        select(log_ratings)
        .where(log_ratings.c.org_id == org, log_ratings.c.request_id.in_(requests))
        .order_by(log_ratings.c.number)
    )
    return {
        RequestId(row.request_id): Rating(good_answer=row.good_answer, feedback=row.feedback or "")
        for row in rows
    }


def is_hidden(db: Connection, org: OrgId, place: Place) -> bool:
    """Whether this row makes no log."""
    return bool(db.execute(select(_has(org, (HIDDEN, ""), place))).scalar())


def _lead(db: Connection, org: OrgId, search: Search) -> Facet | None:
    """The facet that requests have most seldom, where the search begins; None if it names none."""
    if len(search.facets) < 2:
        return next(iter(search.facets), None)

    def reach_us(facet: Facet) -> int:
        """How far some rows of it reach into the search's time; all of it, if there are fewer."""
        some = _of_facet(org, facet, search).order_by(*_in_order(log_facets, search))
        last = db.execute(some.offset(_SOME).limit(1)).first()
        if last is None:
            return search.to_us - search.from_us
        begun_us = search.to_us if search.newest_first else search.from_us
        return abs(int(last.ended_us) - begun_us)

    return max(search.facets, key=reach_us)


def _piece(
    db: Connection, org: OrgId, search: Search, lead: Facet | None, after: Place | None, size: int
) -> Sequence[Candidate]:
    """The next rows of the leading index, so many at most, in order."""

    def of_app(app: AppId | None) -> list[Candidate]:
        if lead is None:
            return _candidates(db, org, search, _by_time(org, search, app, after, size))
        return _candidates(db, org, search, _by_facet(org, search, lead, app, after, size))

    if search.app_ids is None:
        return of_app(None)
    merged = heapq.merge(*map(of_app, search.app_ids), key=_place, reverse=search.newest_first)
    return [one for _, one in zip(range(size), merged, strict=False)]


def _place(one: Candidate) -> Place:
    return one.place


def _candidates(db: Connection, org: OrgId, search: Search, leading: Select[Any]) -> list[Candidate]:
    """The rows of the leading index; what fits is looked up in other indexes, and only then read."""
    led = leading.subquery()
    fits = and_(~_has(org, (HIDDEN, ""), led.c), *(_has(org, facet, led.c) for facet in search.facets))
    rows = db.execute(select(led.c.ended_us, led.c.seq, fits.label("fits")).order_by(*_in_order(led, search)))
    places = {Place(row.ended_us, row.seq): row.fits for row in rows}
    read = _read(db, org, search, [place for place, is_fit in places.items() if is_fit])
    return [Candidate(place=place, row=read.get(place.seq)) for place in places]


def _read(db: Connection, org: OrgId, search: Search, places: Sequence[Place]) -> dict[int, Any]:
    """These rows of the ledger, by number; if text is searched, those with a prompt or an answer."""
    if not places:
        return {}
    rows = ledger.c
    first, last = min(places), max(places)
    where = [
        rows.org_id == org,
        rows.seq.in_([place.seq for place in places]),
        rows.ended_us.between(first.ended_us, last.ended_us),
    ]
    if search.text:
        where.append(exists().where(bodies.c.org_id == org, bodies.c.request_id == rows.request_id))
    cost = rows.cost_prompt_nano + rows.cost_completion_nano
    found = db.execute(
        select(
            rows.ended_us,
            rows.seq,
            rows.request_id,
            rows.app_id,
            rows.started_us.label("created"),
            (rows.ended_us - rows.started_us).label("latency"),
            (rows.prompt_tokens + rows.completion_tokens).label("total_tokens"),
            func.coalesce(cost, 0).label("total_tokens_cost"),
            rows.model,
            rows.status.label("status_code"),
        ).where(*where)
    )
    return {row.seq: row for row in found}


def _by_facet(
    org: OrgId, search: Search, facet: Facet, app: AppId | None, after: Place | None, size: int
) -> Select[Any]:
    led = _of_facet(org, facet, search).order_by(*_in_order(log_facets, search)).limit(size)
    if app is not None:
        led = led.where(log_facets.c.app_id == app)
    return led if after is None else led.where(*_beyond(log_facets, search, after))


def _by_time(org: OrgId, search: Search, app: AppId | None, after: Place | None, size: int) -> Select[Any]:
    led = (
        select(ledger.c.ended_us, ledger.c.seq)
        .where(
            ledger.c.org_id == org,
            *_within(ledger, search),
            ledger.c.final,
            ledger.c.kind == EntryKind.USAGE.value,
        )
        .order_by(*_in_order(ledger, search))
        .limit(size)
    )
    if app is not None:
        led = led.where(ledger.c.app_id == app)
    return led if after is None else led.where(*_beyond(ledger, search, after))


def _of_facet(org: OrgId, facet: Facet, search: Search) -> Select[Any]:
    name, value = facet
    return select(log_facets.c.ended_us, log_facets.c.seq).where(
        log_facets.c.org_id == org,
        log_facets.c.facet == name,
        log_facets.c.value == value,
        *_within(log_facets, search),
    )


def _within(of: Table, search: Search) -> list[ColumnElement[bool]]:
    return [of.c.ended_us >= search.from_us, of.c.ended_us < search.to_us]


def _beyond(of: Table, search: Search, after: Place) -> list[ColumnElement[bool]]:
    """What follows a place; the first condition is the one that an index serves."""
    us, seq = of.c.ended_us, of.c.seq
    if search.newest_first:
        return [us <= after.ended_us, or_(us < after.ended_us, seq < after.seq)]
    return [us >= after.ended_us, or_(us > after.ended_us, seq > after.seq)]


def _in_order(of: Any, search: Search) -> list[ColumnElement[Any]]:  # noqa: ANN401 - a table, or rows of one
    columns = [of.c.ended_us, of.c.seq]
    return [column.desc() for column in columns] if search.newest_first else columns


def _has(org: OrgId, facet: Facet, place: Any) -> ColumnElement[bool]:  # noqa: ANN401 - values, or columns
    name, value = facet
    return exists().where(
        log_facets.c.org_id == org,
        log_facets.c.facet == name,
        log_facets.c.value == literal(value),
        log_facets.c.ended_us == place.ended_us,
        log_facets.c.seq == place.seq,
    )


def _groups(fitting: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    for at in range(0, len(fitting), _READ_AT_ONCE):
        yield fitting[at : at + _READ_AT_ONCE]


def _with_text(
    db: Connection, org: OrgId, group: Sequence[Candidate], text: str, shown_since: Mapping[AppId, int]
) -> list[Candidate]:
    """Those whose prompt or answer, as far as it may be shown, has the text in it."""
    of = {one.request_id: (AppId(one.row.app_id), one.place.ended_us) for one in group}
    kept = shown_bodies(db, org, of, shown_since)
    return [one for one in group if has_text(kept.get(one.request_id, {}), text)]


def shown_bodies(
    db: Connection,
    org: OrgId,
    requests: Mapping[RequestId, tuple[AppId, int]],
    shown_since: Mapping[AppId, int],
) -> dict[RequestId, dict[Part, bytes]]:
    """What is kept of these requests, each with its app and its end, as far as it may be shown."""
    shown = {
        request
        for request, (app, ended_us) in requests.items()
        if app in shown_since and ended_us >= shown_since[app]
    }
    if not shown:
        return {}
    found: dict[RequestId, dict[Part, bytes]] = {}
    for (request, _attempt, part), data in sorted(read_bodies(db, org, shown).items()):
        found.setdefault(request, {})[part] = data
    return found
