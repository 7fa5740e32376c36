"""Plans: what a subscription's tier allows in a cycle, as the configuration says.

Owns the fields of a plan; does not own which tier an organisation has, or what follows from it
(`standing.py`, `limits/`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

UNLIMITED = -1
"""In the place of a number: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one tier allows. `max_tokens`: prompts and completions of a cycle; -1 is no limit."""

    max_tokens: int = UNLIMITED
    max_apps: int = UNLIMITED
    max_seats: int = UNLIMITED
    overage: Literal["refuse", "allow"] = "refuse"
    """What happens beyond `max_tokens`."""

    @property
    def tokens_cap(self) -> int | None:
        """The tokens beyond which calls are refused; None if none are."""
        return None if self.overage == "allow" or self.max_tokens == UNLIMITED else self.max_tokens


NO_PLAN = Plan()
"""Of a tier that the configuration does not name."""

Plans = Mapping[str, Plan]
"""By tier."""
