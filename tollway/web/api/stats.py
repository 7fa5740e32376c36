"""`/v1/stats`: series for graphs, of an organisation's requests or of one app's by its key."""

import re
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from starlette.responses import Response

from tollway.control import stats
from tollway.control.stats import Graphs, Wanted
from tollway.domain.clock import US_PER_S
from tollway.domain.graph import INTERVALS, METRICS, MONEY, Graph, Interval, Metric, Value
from tollway.domain.labels import MAX_NAME_CHARS
from tollway.domain.moment import iso
from tollway.domain.money import Nano
from tollway.store.stats import Group
from tollway.web.api.logs import AppIds, Moment, TheReader, span_of
from tollway.web.bearer import TheWorld
from tollway.web.fields import Body
from tollway.web.record import dollars

router = APIRouter(prefix="/v1/stats", tags=["logs"])

_LABEL = "label:"
_GROUPS = re.compile(rf"app|key|model|user|{_LABEL}.{{1,{MAX_NAME_CHARS}}}", re.DOTALL)
_COLOURS = ("#4E79A7", "#F28E2B", "#59A14F", "#E15759", "#76B7B2", "#EDC948", "#B07AA1", "#9C755F")
_OTHER_COLOUR = "#BAB0AC"
_MAX_SECONDS = 366 * 86_400


def _group_by(text: str) -> str:
    if not _GROUPS.fullmatch(text):
        raise ValueError("app, key, model, user, or label:<name>")
    return text


class SeriesSort(Body):
    """In which order the groups of each metric come."""

    col: Literal["total", "max", "label"]
    order: Literal["asc", "desc"]
    multiple: Annotated[bool, Field(description="Taken, and not needed.")] = False


class StatsRequest(Body):
    """Which graphs."""

    date_from: Annotated[Moment, Field(description="UTC where it says no zone.")]
    date_to: Annotated[Moment | None, Field(description="Not included; null: until now.")] = None
    app_ids: AppIds = Field(default_factory=list, description="Of these apps; none: of all.")
    metrics: list[Metric] = Field(default_factory=lambda: list(METRICS), min_length=1, max_length=5)
    interval: Annotated[
        Literal["minute", "hour", "day", "week", "month"] | Annotated[int, Field(ge=1, le=_MAX_SECONDS)],
        Field(description="The length of each point's stretch; or a number of seconds."),
    ] = "day"
    group_by: Annotated[
        Annotated[str, StringConstraints(max_length=100), AfterValidator(_group_by)] | None,
        Field(description="`app`, `key`, `model`, `user` or `label:<name>`; null: all together."),
    ] = None
    groups: Annotated[
        int,
        Field(
            ge=1,
            le=stats.MAX_GROUPS,
            description="So many, with most of the first metric; the rest as other.",
        ),
    ] = 10
    cumulative: dict[Metric, bool] = Field(
        default_factory=dict, description="By metric: whether a point is of all time until its end."
    )
    params: list[SeriesSort] = Field(
        default_factory=list, max_length=3, description="Else the largest first."
    )


class Point(BaseModel):
    """One stretch of time."""

    x: Annotated[str, Field(description="Its first moment.")]
    y: Annotated[float | None, Field(description="Money in dollars, exact; latency in ms, null without any.")]
    date: Annotated[str, Field(description="The same as `x`.")]


class Series(BaseModel):
    """One line of a graph."""

    id: Annotated[str, Field(description="The metric; with groups, `metric:group`.")]
    name: Annotated[str, Field(description="The metric.")]
    label: Annotated[str, Field(description="The group's name; `all`, or `other`.")]
    color: str
    interval: str | int
    cumulative: bool
    large: bool = False
    max: float | None
    total: Annotated[float | None, Field(description="Of the whole time; of latency its mean.")]
    data: list[Point]


@router.post("", response_model=list[Series])
async def draw_graphs(body: StatsRequest, reader: TheReader, world: TheWorld) -> Response:
    """Series of requests, tokens, cost, savings and latency."""
    from_us, to_us = span_of(body.date_from, body.date_to, world.clock.now_us())
    interval = (
        Interval(body.interval * US_PER_S) if isinstance(body.interval, int) else INTERVALS[body.interval]
    )
    wanted = Wanted(
        from_us=from_us,
        to_us=to_us,
        interval=interval,
        metrics=list(dict.fromkeys(body.metrics)),
        app_ids=body.app_ids,
        group=_group(body.group_by),
        num_groups=body.groups,
        cumulative=body.cumulative,
    )
    drawn = await world.database.read(stats.draw, reader, wanted)
    return Response(msgspec.json.encode(_shown(drawn, body)), media_type="application/json")


def _group(group_by: str | None) -> Group | None:
    match group_by:
        case None:
            return None
        case "app" | "key" | "model" | "user":
            return Group(by=group_by)
        case label:
            return Group(by="label", label=label.removeprefix(_LABEL).lower())


def _shown(drawn: Graphs, body: StatsRequest) -> list[dict[str, Any]]:
    dates = [iso(start) for start in drawn.starts]
    series = list(drawn.series)
    colours = {graph.group: _COLOURS[at % len(_COLOURS)] for at, graph in enumerate(series)}
    if body.group_by is not None:
        colours[None] = _OTHER_COLOUR
    for param in reversed(body.params):
        series.sort(key=lambda graph: _key(graph, param.col), reverse=param.order == "desc")
    series.sort(key=lambda graph: body.metrics.index(graph.metric))
    return [
        {
            "id": graph.metric if graph.group is None and body.group_by is None else _id(graph),
            "name": graph.metric,
            "label": graph.label,
            "color": colours[graph.group],
            "interval": body.interval,
            "cumulative": graph.cumulative,
            "large": False,
            "max": _number(graph, graph.max),
            "total": _number(graph, graph.total),
            "data": [
                {"x": date, "y": _number(graph, value), "date": date}
                for date, value in zip(dates, graph.values, strict=True)
            ],
        }
        for graph in series
    ]


def _id(graph: Graph) -> str:
    return f"{graph.metric}:{graph.label if graph.group is None else graph.group}"


def _key(graph: Graph, column: str) -> Any:  # noqa: ANN401 - a number or a text
    return getattr(graph, column) if column == "label" else getattr(graph, column) or 0


def _number(graph: Graph, value: Value) -> Any:  # noqa: ANN401 - a JSON number, or null
    if graph.metric in MONEY and value is not None:
        return dollars(Nano(int(value)))
    return value
