"""What people, and apps by their keys, see of requests: a list, one, and its rating.

Owns who sees what: a person all apps of the current organisation, a key its own app. Does not own the
search (`store/logs.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from sqlalchemy import Connection

from tollway.control.access import acting_org, permitted_org, require_able
from tollway.domain.body import KEEPS_BODIES, Part
from tollway.domain.caller import Caller, KeyPermission, Person
from tollway.domain.errors import Fault, Forbidden, Invalid, NotFound, Unauthenticated
from tollway.domain.ids import AppId, OrgId, RequestId
from tollway.domain.log import UNRATED, Log, Place, Rating, Search, Sort, log_of
from tollway.domain.operation import Operation
from tollway.domain.plan import Plans
from tollway.domain.token import digest
from tollway.store import bodies, logs
from tollway.store.apps import find_caller, privacy_levels
from tollway.store.usage import read_requests

MAX_DEPTH = 10_000
"""The last log that pages reach; further ones are reached by the cursor."""
MAX_LIST_BYTES = 8 * 1024 * 1024
"""Of prompts and answers in one list."""
_READ_AT_ONCE = 8

Reader = Person | Caller
"""Who asks: a signed-in user, or an app by its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of what is found: from the `skip`-th after a place; ordered by time, unless `sorts`."""

    after: Place | None = None
    skip: int = 0
    limit: int
    sorts: Sequence[tuple[Sort, bool]] = ()
    """By what else than time, the first first, and whether from the greatest down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Logs in order, and where the search goes on: None at its end."""

    logs: Sequence[Log]
    next: Place | None


def app_by_key(db: Connection, key: str, plans: Plans, now_us: int) -> Caller:
    """The app whose key this is. Unauthenticated; Forbidden if the app was switched off."""
    caller, _ = find_caller(db, digest(key), plans, now_us)
    is_over = caller is not None and caller.expires_us is not None and caller.expires_us <= now_us
    if caller is None or not caller.key_is_active or is_over:
        raise Unauthenticated("nobody has this app key, or it has ended")
    if not caller.app_is_active:
        raise Forbidden("the app of this key was revoked", code="app_revoked")
    if KeyPermission.LOGS not in caller.key_permissions:
        raise Forbidden("this access token is not for logs", code="key_not_permitted")
    return caller


def scope_of(reader: Reader, operation: Operation) -> tuple[OrgId, AppId | None]:
    """The organisation, and the one app of it (None: every one), that may be looked at. Forbidden."""
    if isinstance(reader, Caller):
        return reader.org_id, reader.app_id
    return permitted_org(reader, operation), None


def apps_asked_for(
    db: Connection, reader: Reader, app_ids: Sequence[str], operation: Operation
) -> tuple[OrgId, tuple[AppId, ...] | None]:
    """The organisation, and the apps of it that a filter names (None: all); NotFound for any other."""
    org, own = scope_of(reader, operation)
    if not app_ids:
        return org, None if own is None else (own,)
    known = privacy_levels(db, org) if own is None else {own}
    for app_id in app_ids:
        if app_id not in known:
            raise NotFound("there is no such app in your current organisation", code="app_not_found")
    return org, tuple(sorted({AppId(app_id) for app_id in app_ids}))


def list_logs(
    db: Connection, reader: Reader, search: Search, app_ids: Sequence[str], page: Page, now_us: int
) -> Listed:
    """The logs that a search finds. Forbidden; NotFound; Invalid if there are too many to sort."""
    org, apps = apps_asked_for(db, reader, app_ids, Operation.LIST_LOGS)
    search = replace(search, app_ids=apps)
    since = _shown_since(db, org, now_us)
    if not page.sorts:
        found = logs.find(
            db, org, search, after=page.after, skip=page.skip, limit=page.limit, shown_since=since
        )
        requests, follows = found.requests, found.next
    else:
        requests, follows = _sorted(db, org, search, page, since), None
    return Listed(logs=_logs(db, org, [one.request_id for one in requests], since), next=follows)


def show_log(db: Connection, reader: Reader, log: RequestId, now_us: int) -> Log:
    """One log, with its prompt and answer if they are kept. Forbidden; NotFound."""
    org, own = scope_of(reader, Operation.SHOW_LOG)
    return _log(db, org, own, log, now_us)


def rate_log(db: Connection, reader: Reader, log: RequestId, rating: Rating, now_us: int) -> Log:
    """Rate an answer; the newest rating counts. Forbidden; NotFound."""
    org, own = scope_of(reader, Operation.RATE_LOG)
    require_able(db, org, Operation.RATE_LOG)
    _log(db, org, own, log, now_us)
    rated_by = reader.key_id if isinstance(reader, Caller) else reader.id
    logs.rate(db, org, log, rating, rated_by=rated_by, now_us=now_us)
    return _log(db, org, own, log, now_us)


def show_retention(db: Connection, person: Person) -> int:
    """For how many days prompts and answers of the current organisation stay."""
    return bodies.body_days(db, permitted_org(person, Operation.SHOW_RETENTION))


def put_retention(db: Connection, person: Person, days: int, now_us: int) -> int:
    """Change that. Forbidden."""
    org = acting_org(db, person, Operation.PUT_RETENTION)
    bodies.put_body_days(db, org, days, now_us)
    return days


def _shown_since(db: Connection, org: OrgId, now_us: int) -> dict[AppId, int]:
    """The apps that are at privacy level 1 now, and since when what was kept of them may be shown."""
    cutoff_us = now_us - bodies.body_days(db, org) * bodies.DAY_US
    return {app: cutoff_us for app, level in privacy_levels(db, org).items() if level == KEEPS_BODIES}


def _sorted(
    db: Connection, org: OrgId, search: Search, page: Page, since: Mapping[AppId, int]
) -> Sequence[logs.Candidate]:
    found = logs.find(db, org, search, limit=MAX_DEPTH, shown_since=since)
    if found.next is not None:
        fault = Fault(
            loc=("body", "params"),
            msg=f"these are more than {MAX_DEPTH:,} logs: only by timestamp can so many be sorted; "
            "choose a shorter time, or more labels",
            type="too_many_to_sort",
        )
        raise Invalid(fault)
    requests = list(found.requests)
    for column, descends in reversed(page.sorts):
        key = "ended_us" if column == "timestamp" else column
        of = attrgetter(f"row.{key}")
        requests.sort(key=of, reverse=descends)
    return requests[page.skip : page.skip + page.limit]


def _log(db: Connection, org: OrgId, own: AppId | None, log: RequestId, now_us: int) -> Log:
    rows = read_requests(db, org, [log]).get(log, [])
    place = next((Place(row.entry.ended_us, row.seq) for row in rows if row.entry.is_request), None)
    found = _logs(db, org, [log], _shown_since(db, org, now_us), max_bytes=None)
    if place is None or own not in (None, found[0].app_id) or logs.is_hidden(db, org, place):
        raise NotFound("there is no such log", code="log_not_found")
    return found[0]


def _logs(
    db: Connection,
    org: OrgId,
    requests: Sequence[RequestId],
    since: Mapping[AppId, int],
    max_bytes: int | None = MAX_LIST_BYTES,
) -> list[Log]:
    """The logs of these requests, in their order; prompts and answers up to so many bytes together."""
    rows = read_requests(db, org, requests)
    ended = {request: row for request, of in rows.items() for row in of if row.entry.is_request}
    ratings = logs.ratings_of(db, org, requests)
    made = []
    left = max_bytes
    for at in range(0, len(requests), _READ_AT_ONCE):
        some = requests[at : at + _READ_AT_ONCE]
        of = {one: (ended[one].entry.app_id, ended[one].entry.ended_us) for one in some if one in ended}
        kept = logs.shown_bodies(db, org, of, since)
        for request in some:
            parts: dict[Part, bytes] = kept.get(request, {})
            is_large = False
            if left is not None:
                left -= sum(map(len, parts.values()))
                is_large = bool(parts) and left < 0
            log = log_of(
                [row.entry for row in rows[request]],
                ratings.get(request, UNRATED),
                {} if is_large else parts,
                is_large=is_large,
            )
            if log is not None:
                made.append(log)
    return made
