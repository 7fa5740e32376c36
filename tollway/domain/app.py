"""An app as people see it, field for field as it is answered, and what may be set of it.

Owns names, order, types, defaults and bounds of weights, policies and settings; does not own a
stored value. Of these the gateway acts on the privacy level only; the others are kept and shown
(docs/apps.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict

from tollway.domain.body import PrivacyLevel
from tollway.domain.ids import AppId, KeyId, OrgId, UserId
from tollway.domain.money import Nano

MAX_WEIGHT = 1_000
MAX_SAME_MODEL_RETRIES = 3
MAX_SWITCH_MODEL_RETRIES = 5
MAX_TOKENS = 10**9
DEFAULT_MAX_COST = Nano(20_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a choice among models goes by; only their proportions matter."""

    cost: Annotated[float, "The more, the cheaper"] = 0
    latency: Annotated[float, "The more, the faster"] = 0
    quality: Annotated[float, "The more, the better"] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What holds for each call of the app."""

    privacy_level: Annotated[PrivacyLevel | None, "Null: the organisation's"] = None
    max_cost: Annotated[Nano, "The most that a call may cost ($)"] = DEFAULT_MAX_COST
    max_same_model_retries: int = 1
    max_switch_model_retries: int = 1
    optimize_internal_requests: Literal[0, 1] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSetup:
    """What a call has where it does not say otherwise."""

    instructions: str | None = None
    max_tokens: int = 4_096
    temperature: Annotated[float, "From 0 to 1"] = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """All three, whole: what was set, and the defaults."""

    weights: Weights = field(default_factory=Weights)
    policies: Policies = field(default_factory=Policies)
    settings: AppSetup = field(default_factory=AppSetup)


class TuningChange(TypedDict, total=False):
    """What is to be set of them; what is left out stays, within each too."""

    weights: Mapping[str, Any]
    policies: Mapping[str, Any]
    settings: Mapping[str, Any]


def merged(stored: Mapping[str, Any], change: TuningChange) -> dict[str, dict[str, Any]]:
    """What is stored once the change is made."""
    result = {name: dict(values) for name, values in stored.items()}
    for name in ("weights", "policies", "settings"):
        if name in change:
            result[name] = {**result.get(name, {}), **change[name]}
    return result


def tuning_of(stored: Mapping[str, Any], privacy_level: PrivacyLevel | None) -> Tuning:
    """What was stored, with a default for the rest."""
    return Tuning(
        weights=replace(Weights(), **stored.get("weights", {})),
        policies=replace(Policies(privacy_level=privacy_level), **stored.get("policies", {})),
        settings=replace(AppSetup(), **stored.get("settings", {})),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app, but for its keys."""

    id: AppId
    org_id: OrgId
    auth0_id: Annotated[UserId, "Who made it"]
    modified_by: Annotated[UserId | None, "Who changed it last; null: nobody yet"]
    name: str
    slug: Annotated[str, "The `app` label of metrics and logs; never changes"]
    description: str | None
    app_logo: str | None
    key_end: Annotated[str | None, "The last four characters of its key"]
    is_active: bool
    rate_limit: Annotated[int | None, "Requests per minute; null: none of its own"]
    benchmark_model: Annotated[str | None, "Null: the organisation's"]
    has_failover_chain: bool
    weights: Weights
    policies: Policies
    settings: AppSetup
    sandbox_of: Annotated[AppId | None, "The app that this one is a sandbox of"]
    added_on: datetime
    modified_on: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AppPage:
    """One page of apps, the newest first."""

    items: list[App]
    total: int
    page: int
    size: int
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKey:
    """A valid key or access token of an app, known by its end."""

    id: KeyId
    key_end: str
    name: Annotated[str | None, "Of an access token; null: the app's own key"]
    added_on: datetime
    expires_on: Annotated[datetime | None, "Null: never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppMain:
    """An app and what goes with it."""

    app: App
    keys: list[AppKey]
    models_off: Annotated[list[str], "Names of models that are switched off for it"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """An app, and its sandboxes."""

    main: AppMain
    sandboxes: list[App]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """A named access token, but for the token itself."""

    id: KeyId
    name: str
    key_suffix: Annotated[str, "Its last four characters"]
    permissions: list[str]
    added_on: datetime
    expires_on: Annotated[datetime | None, "Null: never"]
    is_expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccessToken(AccessToken):
    """One just made, or made anew; `secret` is shown this once."""

    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppModel:
    """A model that may be asked for, and whether it is switched on for an app."""

    id: Annotated[str, "Our name for it, vendor/model"]
    provider: Annotated[str, "The vendor"]
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AppModels:
    """Every model there is, as it is for one app."""

    active_models: Annotated[int, "How many are switched on"]
    base_model_settings: list[AppModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppMember:
    """Somebody with a role in one app."""

    id: str
    app_id: AppId
    auth0_id: Annotated[UserId, "The user's id"]
    permissions: Annotated[str, "The role: viewer, editor or admin"]
    added_on: datetime
    name: str
    email: str
    picture: str | None = None
