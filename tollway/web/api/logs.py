"""`/v1/logs`: the requests of an organisation, or of one app by its key; their ratings."""

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, BackgroundTasks, Depends, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints
from starlette.responses import Response

from tollway.control import logs
from tollway.control.logs import Page, Reader
from tollway.domain.body import MAX_BODY_DAYS
from tollway.domain.clock import moment
from tollway.domain.errors import Fault, Invalid, NotFound
from tollway.domain.ids import RequestId, is_id
from tollway.domain.labels import MAX_LABELS, MAX_NAME_CHARS, MAX_VALUE_CHARS
from tollway.domain.log import USER, Place, Rating, Search, Sort, label_facet
from tollway.domain.moment import parse_moment, us_of
from tollway.domain.token import Bearer, is_minted
from tollway.web.bearer import Credentials, TheIssuer, ThePerson, TheWorld, recognised
from tollway.web.fields import Body, Prose
from tollway.web.record import LogShown, record_response, shown_logs

router = APIRouter(prefix="/v1/logs", tags=["logs"])

MAX_APPS = 50
_CURSOR = re.compile(r"([ad])(\d{1,18})\.(\d{1,18})", re.ASCII)


async def log_reader(
    credentials: Credentials, world: TheWorld, issuer: TheIssuer, afterwards: BackgroundTasks
) -> Reader:
    """A signed-in user, or an app by its key; Unauthenticated if it is neither. Forbidden."""
    if credentials is not None and is_minted(credentials.credentials, Bearer.APP):
        plans, now_us = world.settings.allowances, world.clock.now_us()
        return await world.database.read(logs.app_by_key, credentials.credentials, plans, now_us)
    return (await recognised(credentials, world, issuer, afterwards)).person


TheReader = Annotated[Reader, Depends(log_reader)]


def _moment(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return moment(_within_reach(parse_moment(value))) if isinstance(value, str) else value


def _within_reach(us: int) -> int:
    if us < 0:
        raise ValueError("not before 1970")
    return us


def _lower(text: str) -> str:
    return text.lower()


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError("an id: a UUID in lower case")
    return text


Moment = Annotated[datetime, BeforeValidator(_moment)]
AppIds = Annotated[list[Annotated[str, AfterValidator(_id)]], Field(max_length=MAX_APPS)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_lower)]
LabelValue = Annotated[str, StringConstraints(max_length=MAX_VALUE_CHARS), AfterValidator(_lower)]


class SortParam(Body):
    """By what logs are sorted; of several the first counts first."""

    col: Sort
    order: Literal["asc", "desc"]
    multiple: Annotated[bool, Field(description="Taken, and not needed.")] = False


class LogsFilter(Body):
    """Which logs: all that is named must hold."""

    date_from: Annotated[Moment, Field(description="That ended then or later; UTC where it says no zone.")]
    date_to: Annotated[Moment | None, Field(description="And before then; null: until now.")] = None
    app_ids: AppIds = Field(default_factory=list, description="Of one of these apps; none: of all.")
    labels: dict[LabelName, LabelValue] = Field(
        default_factory=dict, max_length=MAX_LABELS, description="With all of these labels, in lower case."
    )
    end_user: Annotated[
        str | None, StringConstraints(max_length=MAX_VALUE_CHARS), Field(description="Of this end user.")
    ] = None
    query: Annotated[
        str,
        StringConstraints(max_length=MAX_VALUE_CHARS),
        Field(description="With this text in prompt or answer, where they are kept (privacy level 1)."),
    ] = ""
    params: list[SortParam] = Field(
        default_factory=list, max_length=5, description="Newest first, if left out."
    )


class LogPage(BaseModel):
    """Logs; where there may be more, ask again with `cursor` the `next_cursor`."""

    items: list[LogShown]  # type: ignore[valid-type]  # a class made at run time
    page: int
    size: int
    next_cursor: Annotated[str | None, Field(description="Null at the end.")]


class RatingPost(Body):
    """What you think of an answer."""

    good_answer: Annotated[bool | None, Field(description="Null: no rating, or not any more.")] = None
    feedback: Annotated[Prose | None, Field(description="In your words.")] = ""


class RetentionPut(Body):
    """How long prompts and answers stay."""

    days: Annotated[int, Field(ge=1, le=MAX_BODY_DAYS, description="Older ones are deleted.")]


@router.post("", response_model=LogPage)
async def list_logs(
    body: LogsFilter,
    reader: TheReader,
    world: TheWorld,
    page: Annotated[int, Query(ge=1, description="From 1; not beyond 10,000 logs.")] = 1,
    size: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=100, description="The last `next_cursor`.")] = None,
) -> Response:
    """Search logs: of the current organisation, or with an app's key of that app."""
    now_us = world.clock.now_us()
    search, sorts = _search(body, now_us)
    if page * size > logs.MAX_DEPTH:
        told = f"pages reach {logs.MAX_DEPTH:,} logs deep; go on with `cursor`, the last `next_cursor`"
        raise Invalid(Fault(loc=("query", "page"), msg=told, type="too_deep"))
    after = None if cursor is None else _place(cursor, search, sorts, page)
    wanted = Page(after=after, skip=(page - 1) * size, limit=size, sorts=sorts)
    found = await world.database.read(logs.list_logs, reader, search, body.app_ids, wanted, now_us)
    shown = {
        "items": shown_logs(found.logs),
        "page": page,
        "size": size,
        "next_cursor": None if found.next is None else _cursor(found.next, search),
    }
    return Response(msgspec.json.encode(shown), media_type="application/json")


@router.get("/retention", response_model=RetentionPut)
async def show_retention(person: ThePerson, world: TheWorld) -> RetentionPut:
    """How long prompts and answers of the current organisation stay."""
    return RetentionPut(days=await world.database.read(logs.show_retention, person))


@router.put("/retention", response_model=RetentionPut)
async def put_retention(body: RetentionPut, person: ThePerson, world: TheWorld) -> RetentionPut:
    """Change that; what is older is not shown from now on, and deleted within the hour."""
    now_us = world.clock.now_us()
    return RetentionPut(days=await world.database.write(logs.put_retention, person, body.days, now_us))


@router.get("/{log_id}", response_model=LogShown)
async def show_log(log_id: str, reader: TheReader, world: TheWorld) -> Response:
    """One log; its id is the answer's `x-request-id`."""
    found = await world.database.read(logs.show_log, reader, _request(log_id), world.clock.now_us())
    return record_response(found)


@router.post("/{log_id}/rating", response_model=LogShown)
async def rate_log(log_id: str, body: RatingPost, reader: TheReader, world: TheWorld) -> Response:
    """Rate an answer; the newest rating counts."""
    rating = Rating(good_answer=body.good_answer, feedback=body.feedback or "")
    rated = await world.database.write(logs.rate_log, reader, _request(log_id), rating, world.clock.now_us())
    return record_response(rated)


def span_of(date_from: datetime, date_to: datetime | None, now_us: int) -> tuple[int, int]:
    """From then up to but not including then, microseconds; Invalid if nothing lies between."""
    from_us, to_us = us_of(date_from), now_us + 1 if date_to is None else us_of(date_to)
    if from_us >= to_us:
        raise Invalid(Fault(loc=("body", "date_to"), msg="not after date_from", type="empty_span"))
    return from_us, to_us


def _search(body: LogsFilter, now_us: int) -> tuple[Search, list[tuple[Sort, bool]]]:
    """What is searched, but for the apps, and by what else than time it is sorted."""
    from_us, to_us = span_of(body.date_from, body.date_to, now_us)
    facets = [(label_facet(name), value) for name, value in sorted(body.labels.items())]
    if body.end_user is not None:
        facets.append((USER, body.end_user))
    sorts = [(param.col, param.order == "desc") for param in body.params]
    is_by_time = not sorts or sorts[0][0] == "timestamp"
    search = Search(
        from_us=from_us,
        to_us=to_us,
        facets=tuple(facets),
        text=body.query.lower(),
        newest_first=not sorts or not is_by_time or sorts[0][1],
    )
    return search, [] if is_by_time else sorts


def _cursor(place: Place, search: Search) -> str:
    text = f"{'d' if search.newest_first else 'a'}{place.ended_us}.{place.seq}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str, search: Search, sorts: list[tuple[Sort, bool]], page: int) -> Place:
    """Where a cursor goes on; Invalid for one that was not given for such a search."""
    if sorts or page > 1:
        told = "a cursor goes on in the order of timestamp, from page 1"
        raise Invalid(Fault(loc=("query", "cursor"), msg=told, type="cursor_not_usable"))
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    match = _CURSOR.fullmatch(text)
    if match is None or (match[1] == "d") != search.newest_first:
        told = "not a `next_cursor` that this search was answered with"
        raise Invalid(Fault(loc=("query", "cursor"), msg=told, type="cursor_unknown"))
    return Place(int(match[2]), int(match[3]))


def _request(log_id: str) -> RequestId:
    if not is_id(log_id):
        raise NotFound("there is no such log", code="log_not_found")
    return RequestId(log_id)
