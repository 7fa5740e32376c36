"""Graphs: what requests came to, in equal stretches of time, in series that sum to the whole.

Owns stretches, sums and what is shown of them; money stays in nano-dollars. Does not own rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tollway.domain.clock import US_PER_MS, US_PER_S, month_start_us, next_month_start_us
from tollway.domain.money import Nano

Metric = Literal["requests", "tokens", "cost", "savings", "latency"]
METRICS: tuple[Metric, ...] = ("requests", "tokens", "cost", "savings", "latency")
MONEY: frozenset[Metric] = frozenset({"cost", "savings"})

HOUR_US = 3_600 * US_PER_S
DAY_US = 24 * HOUR_US
_MONDAY_US = 4 * DAY_US
"""1970-01-05: weeks are counted from a Monday."""


class Amounts(NamedTuple):
    """What some rows came to; money in nano-dollars."""

    requests: int = 0
    tokens: int = 0
    cost: int = 0
    savings: int = 0
    timed: int = 0
    """Requests whose duration is known."""
    duration_us: int = 0
    """Of these, together."""

    def plus(self, other: "Amounts") -> "Amounts":
        """Both together."""
        return Amounts(*(one + more for one, more in zip(self, other, strict=True)))

    def minus(self, other: "Amounts") -> "Amounts":
        """This without the other."""
        return Amounts(*(one - less for one, less in zip(self, other, strict=True)))

    def of(self, metric: Metric) -> int | Nano | float | None:
        """The metric's value; of latency the mean in milliseconds, None without a request."""
        match metric:
            case "latency":
                return round(self.duration_us / self.timed / US_PER_MS, 3) if self.timed else None
            case "cost" | "savings":
                return Nano(getattr(self, metric))
            case _:
                value: int = getattr(self, metric)
                return value


NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class Interval:
    """Stretches of so many microseconds, counted from a Monday's midnight UTC; None: calendar months."""

    width_us: int | None

    def start_of(self, us: int) -> int:
        """The first microsecond of the stretch that `us` lies in."""
        if self.width_us is None:
            return month_start_us(us)
        return us - (us - _MONDAY_US) % self.width_us

    def starts(self, from_us: int, to_us: int) -> Iterator[int]:
        """The first microseconds of all stretches that have a part in [from_us, to_us)."""
        start = self.start_of(from_us)
        while start < to_us:
            yield start
            start = next_month_start_us(start) if self.width_us is None else start + self.width_us

    @property
    def step_us(self) -> int:
        """The widest stretch that rows may be summed in before they are summed in these."""
        return DAY_US if self.width_us is None else self.width_us

    @property
    def is_of_hours(self) -> bool:
        """Whether each stretch is made of whole hours."""
        return self.width_us is None or self.width_us % HOUR_US == 0


INTERVALS = {
    "minute": Interval(60 * US_PER_S),
    "hour": Interval(HOUR_US),
    "day": Interval(DAY_US),
    "week": Interval(7 * DAY_US),
    "month": Interval(None),
}

Value = int | Nano | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One series: a metric, of all or of one group, a value for each stretch."""

    metric: Metric
    group: str | None
    """The group's id; None of all, or of all others."""
    label: str
    cumulative: bool
    values: Sequence[Value]
    total: Value

    @property
    def max(self) -> Value:
        """The greatest value; None if there is none."""
        return max((value for value in self.values if value is not None), default=None)


def graph_of(
    metric: Metric, group: str | None, label: str, amounts: Sequence[Amounts], *, cumulative: bool
) -> Graph:
    """The series of one metric; a cumulative one's values are of all rows so far."""
    total = NOTHING
    values = []
    for one in amounts:
        total = total.plus(one)
        values.append((total if cumulative else one).of(metric))
    return Graph(
        metric=metric,
        group=group,
        label=label,
        cumulative=cumulative,
        values=values,
        total=total.of(metric),
    )
