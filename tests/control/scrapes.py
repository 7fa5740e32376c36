"""Scrapes as tests want them: what is seen, and a page read back by the library's own parser."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.world.clock import NOON_US
from tollway.control.exposition import exposition, families
from tollway.control.metrics import PREFIX, Seen
from tollway.domain.traffic import Traffic
from tollway.store.gauges import Installation

Labels = frozenset[tuple[str, str]]

NOTHING = Seen(
    now_us=NOON_US,
    process="journal-1",
    traffic=Traffic(),
    journal_bytes=0,
    journal_max_bytes=1,
    journal_segments=1,
    journal_open=0,
    journal_unwritten=0,
    journal_is_troubled=False,
    journal_is_damaged=False,
    syncs=0,
    failed_syncs=0,
    sync_s=0.0,
    waiting_records=0,
    waiting_bytes=0,
    lag_us=0,
    folded_rows=0,
    unreadable_journals=0,
    refusals=Counter(),
    orders=0,
    failed_orders=0,
    organisations=0,
    in_hand=Counter(),
    limits_are_troubled=False,
    installation=Installation(open_journals=1, pushed=[]),
    read_s=0.25,
)
"""An idle process that has just started."""


class Page:
    """A scrape's answer: every sample by name, without our prefix, and labels."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = {}
        self._samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            assert family.documentation
            self.types[family.name.removeprefix(PREFIX)] = family.type
            for sample in family.samples:
                assert sample.name.startswith(PREFIX)
                known = self._samples.setdefault(sample.name.removeprefix(PREFIX), {})
                where = frozenset(sample.labels.items())
                assert where not in known, "a series twice"
                known[where] = sample.value

    def __contains__(self, name: str) -> bool:
        return name in self._samples

    def value(self, name: str, **labels: str) -> float:
        """The value of the one series that has these labels, and maybe others."""
        (found,) = [value for where, value in self._samples.get(name, {}).items() if where >= labels.items()]
        return found

    def all(self, name: str) -> Mapping[Labels, float]:
        """Every series of this name."""
        return self._samples.get(name, {})

    def labels(self, name: str) -> set[str]:
        """Every value of this label, of any series."""
        return {
            value for each in self._samples.values() for where in each for key, value in where if key == name
        }


def page(*, by_org: bool = False, process: str | None = None, **changes: Any) -> Page:  # noqa: ANN401 - any field
    """What a process like NOTHING, but for these, tells."""
    told = families(replace(NOTHING, **changes), by_org=by_org)
    return Page(exposition(told, process).decode())
