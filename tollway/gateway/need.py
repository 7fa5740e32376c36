"""What a call may consume at most, as limits reserve it before the vendor is asked.

Puts together what the request allows (`ceiling.py`) and the dearest price that it may get: of all
service tiers, at the organisation's rate card. Owns what a model's name and price add to that
(models that search by themselves); does not own the reservation (`limits/`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from tollway.domain.caller import Caller
from tollway.domain.price import WorstCase, worst_case
from tollway.domain.rate_card import rated
from tollway.gateway.ceiling import DEFAULT_WINDOW_TOKENS, ceiling_of
from tollway.gateway.wire import Chat
from tollway.providers.catalog import Route

_REMEMBERED_NAMES = 4096

LEAST_TOKENS = 16
"""Of one choice: an answer that is capped to less is none."""
SEARCHES = 10
"""Of a call that may search, where no field bounds them."""
RESEARCH_SEARCHES = 100
"""Of a call to a model that does research: it searches until it knows."""

_SEARCHES_ITSELF = re.compile(r"search|sonar|compound|:online", re.IGNORECASE)
"""In the names of OpenAI's, Perplexity's, Groq's and OpenRouter's models that need not be asked to."""
_RESEARCHES = re.compile("research", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a call may consume at most, before the vendor is asked."""

    prompt_tokens: int
    """Of what is sent, and all that no cap bounds."""
    choices: int
    """OpenAI's n, ≥ 1."""
    completion_tokens: int
    """Of all choices together."""
    is_stated: bool
    """Whether the client stated the cap itself."""
    price: WorstCase
    """Its base holds the prompt, images, tools and the fee for the call."""
    can_be_capped: bool = True
    """Whether a cap can be sent to the vendor; not where the client sent what is none."""

    @property
    def least_tokens(self) -> int:
        """Of a minimal answer, all choices together: what the completion may be shortened to."""
        if not self.can_be_capped:
            return self.completion_tokens
        return min(self.completion_tokens, LEAST_TOKENS * self.choices)


def need_of(asked: Chat, route: Route, caller: Caller, started_us: int) -> Need:
    """The most that a call may consume, whichever service tier it gets. BadRequest, NotPriced."""
    price, _ = rated(route.prices.dearest_at(started_us), route.model, caller.rate_cards, started_us)
    most = ceiling_of(asked, route.context_window, route.cap_field)
    searches, windows = _habit(route.upstream)
    if most.is_searching:
        searches, windows = max(searches, SEARCHES), max(windows, 1)
    other = most.predicted + windows * (route.context_window or DEFAULT_WINDOW_TOKENS)
    return Need(
        prompt_tokens=most.prompt + other,
        choices=most.choices,
        completion_tokens=most.completion,
        is_stated=most.is_stated,
        can_be_capped=most.can_be_capped,
        price=worst_case(
            price, most.prompt, other_tokens=other, searches=searches, audio_seconds=most.audio_seconds
        ),
    )


@lru_cache(_REMEMBERED_NAMES)
def _habit(upstream: str) -> tuple[int, int]:
    """What a model of this name does unasked: searches, and context windows that they may fill.

    An answer that cites the web counts as one search, whoever asked for it.
    """
    if _RESEARCHES.search(upstream):
        return RESEARCH_SEARCHES, 2  # pages read, and thoughts outside of the cap
    return (SEARCHES, 1) if _SEARCHES_ITSELF.search(upstream) else (1, 0)
