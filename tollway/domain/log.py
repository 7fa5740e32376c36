"""A log: one request as people look at it, made of its ledger rows, its rating and what was kept.

Numbers are sums over all rows of the request, so that a late end or a refund is in them. Owns the
fields and what may be searched for; does not own rows, or who may look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, KEEPS_BODIES, Part, PrivacyLevel
from tollway.domain.clock import US_PER_MS
from tollway.domain.ids import AppId, KeyId, RequestId
from tollway.domain.ledger import Entry, EntryKind
from tollway.domain.money import ZERO, Nano
from tollway.domain.transcript import as_object, prompt_text, response_text
from tollway.domain.usage import completion_tokens, prompt_tokens

USER = "user"
HIDDEN = "hidden"

Facet = tuple[str, str]
"""What was said of a request: `label:<name>` or `user`, and its value."""

Content = Literal["shown", "large", "none"]

SORTS = ("timestamp", "created", "latency", "total_tokens", "total_tokens_cost", "model", "status_code")
Sort = Literal["timestamp", "created", "latency", "total_tokens", "total_tokens_cost", "model", "status_code"]


def label_facet(name: str) -> str:
    """The facet of a label."""
    return f"label:{name}"


class Place(NamedTuple):
    """Where a row stands among those of its organisation, in time."""

    ended_us: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Requests that ended in [from_us, to_us), of these apps (None: of all), with all of the facets.

    `text`, in lower case, is part of the prompt or the answer; empty: any.
    """

    from_us: int
    to_us: int
    app_ids: tuple[AppId, ...] | None = None
    facets: tuple[Facet, ...] = ()
    text: str = ""
    newest_first: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """What somebody thought of an answer; null is no rating."""

    good_answer: bool | None = None
    feedback: str = ""


UNRATED = Rating()
Bodies = Mapping[Part, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One request. Money in nano-dollars here, dollars in JSON."""

    id: Annotated[RequestId, "The request's: `x-request-id` of the answer, and in the ledger"]
    app_id: Annotated[AppId, "The app that it ran on"]
    app: Annotated[str, "The app's slug"]
    key_id: Annotated[KeyId, "The app's key that was used"]
    auth0_id: Annotated[str | None, "The user; null for a call by an app's key"] = None
    conversation_id: Annotated[str | None, "Always null"] = None
    parent_request_id: Annotated[str | None, "Always null"] = None
    request_type: Annotated[Literal["chat_completions"], "What was called"] = "chat_completions"
    timestamp: Annotated[int, "When it ended (ms): what logs are filtered and ordered by"]
    created: Annotated[int, "When it began (ms)"]
    latency: Annotated[float, "From the one to the other (ms)"]
    first_token_latency: Annotated[float | None, "From its begin to a stream's first token (ms)"]
    status_code: Annotated[int, "HTTP; 499 if it was given up"]
    outcome: Annotated[str, "How it ended for the ledger: settled, estimated, failed or unsettled"]
    error_code: Annotated[str | None, "Why it failed"]
    streamed: Annotated[bool, "Whether a stream was asked for"]
    model: Annotated[str, "Our name for the model"]
    model_id: Annotated[str | None, "Always null: models are known by their names"] = None
    namespace: Annotated[str, "The same as `model`"]
    owner: Annotated[str, "What stands before the name's slash, else the provider"]
    provider: Annotated[str, "The vendor that was asked"]
    prompt_tokens: Annotated[int, "Tokens of the prompt"] = 0
    completion_tokens: Annotated[int, "Tokens of the answer"] = 0
    total_tokens: Annotated[int, "Their sum"] = 0
    prompt_tokens_cost: Annotated[Nano | None, "Cost (in $) of the prompt; null: not known"] = ZERO
    completion_tokens_cost: Annotated[Nano | None, "The same of the answer"] = ZERO
    total_tokens_cost: Annotated[Nano | None, "Their sum"] = ZERO
    prompt_tokens_cost_savings: Annotated[Nano | None, "Against the benchmark model ($)"] = ZERO
    completion_tokens_cost_savings: Annotated[Nano | None, "The same of the answer"] = ZERO
    total_tokens_cost_savings: Annotated[Nano | None, "Their sum"] = ZERO
    costs_incurred: Annotated[bool, "Whether it is charged"] = True
    labels: Annotated[dict[str, str], "Of the header `Tollway-Labels`"]
    end_user: Annotated[str | None, "`user` or `safety_identifier` of the request"]
    good_answer: Annotated[bool | None, "The newest rating; null: none"] = None
    feedback: Annotated[str, "With it"] = ""
    privacy_level: Annotated[PrivacyLevel, "1: prompt and answer are kept"]
    content: Annotated[Content, "`large`: left out of a list that is too long; ask for the log alone"]
    prompt: Annotated[str | None, "The text of the messages"] = None
    response_text: Annotated[str | None, "The text of the answer"] = None
    payload: Annotated[dict[str, Any] | None, "The request as it came; null: not kept whole"] = None
    response: Annotated[dict[str, Any] | None, "The answer; null: not kept whole, or a stream"] = None


def log_of(rows: Sequence[Entry], rating: Rating, bodies: Bodies, *, is_large: bool = False) -> Log | None:
    """The log of a request from all its rows and what may be shown of its bodies; None without a request."""
    request = next((row for row in rows if row.is_request), None)
    if request is None:
        return None
    ended = next((row for row in rows if row.kind is EntryKind.CORRECTION), request)
    prompt = sum(prompt_tokens(row.units) for row in rows)
    completion = sum(completion_tokens(row.units) for row in rows)
    is_kept = bool(bodies) or is_large

    def money(of: str, side: str) -> Nano | None:
        if not ended.is_known:
            return None
        if of == "cost":
            return Nano(sum(getattr(row.cost, side) for row in rows))
        return Nano(sum(getattr(row, f"{side}_savings") for row in rows))

    costs = money("cost", "prompt"), money("cost", "completion")
    savings = money("savings", "prompt"), money("savings", "completion")
    return Log(
        id=request.request_id,
        app_id=request.app_id,
        app=request.app,
        key_id=request.key_id,
        timestamp=request.ended_us // US_PER_MS,
        created=request.started_us // US_PER_MS,
        latency=max(0, ended.ended_us - ended.started_us) / US_PER_MS,
        first_token_latency=None if ended.first_token_us is None else ended.first_token_us / US_PER_MS,
        status_code=ended.status,
        outcome=request.outcome.value if ended is request else "settled",
        error_code=ended.error_code,
        streamed=request.streamed,
        model=request.model,
        namespace=request.model,
        owner=request.model.partition("/")[0] if "/" in request.model else request.provider,
        provider=request.provider,
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_cost=costs[0],
        completion_tokens_cost=costs[1],
        total_tokens_cost=_sum(costs),
        prompt_tokens_cost_savings=savings[0],
        completion_tokens_cost_savings=savings[1],
        total_tokens_cost_savings=_sum(savings),
        labels=request.labels,
        end_user=request.end_user,
        good_answer=rating.good_answer,
        feedback=rating.feedback,
        privacy_level=KEEPS_BODIES if is_kept else DEFAULT_PRIVACY_LEVEL,
        content="large" if is_large else "shown" if bodies else "none",
        prompt=prompt_text(bodies[Part.REQUEST]) if Part.REQUEST in bodies else None,
        response_text=response_text(bodies[Part.RESPONSE]) if Part.RESPONSE in bodies else None,
        payload=as_object(bodies.get(Part.REQUEST, b"")),
        response=as_object(bodies.get(Part.RESPONSE, b"")),
    )


def has_text(bodies: Bodies, text: str) -> bool:
    """Whether the prompt or the answer, as they are shown, has this text, in lower case, in it."""
    shown = {Part.REQUEST: prompt_text, Part.RESPONSE: response_text}
    return any(text in shown[part](body).lower() for part, body in bodies.items())


def _sum(sides: tuple[Nano | None, Nano | None]) -> Nano | None:
    prompt, completion = sides
    return None if prompt is None or completion is None else Nano(prompt + completion)
