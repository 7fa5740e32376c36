"""Who is calling: an app by its key, or a person by a token. Frozen views of what is stored."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from tollway.domain.body import DEFAULT_PRIVACY_LEVEL, PrivacyLevel
from tollway.domain.ids import AppId, KeyId, OrgId, UserId
from tollway.domain.limit import Cap
from tollway.domain.org import Permission
from tollway.domain.rate_card import RateCard
from tollway.domain.standing import UNLIMITED_STANDING, Standing


class KeyPermission(StrEnum):
    """What a key may be for. An app's own key is for all; an access token for what it says."""

    INFERENCE = "inference"
    """Chat completions, and the list of models."""
    LOGS = "logs"
    """Reading the logs of its app."""


EVERY_KEY_PERMISSION = frozenset(KeyPermission)
NO_MODELS: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The organisation, app and key that a request runs on."""

    org_id: OrgId
    org: str
    org_is_active: bool
    app_id: AppId
    app: str
    app_is_active: bool
    key_id: KeyId
    key_is_active: bool
    benchmark_model: str | None
    """What savings are measured against: the app's, else the organisation's."""
    privacy_level: PrivacyLevel = DEFAULT_PRIVACY_LEVEL
    rate_cards: tuple[RateCard, ...] = ()
    """The organisation's, ascending in time: the one in force, the ones just before, all to come."""
    standing: Standing = UNLIMITED_STANDING
    caps: tuple[Cap, ...] = ()
    """The limits that its calls take from, in the order in which they refuse."""
    expires_us: int | None = None
    """When the key ends by itself."""
    key_permissions: frozenset[KeyPermission] = EVERY_KEY_PERMISSION
    models_off: Collection[str] = NO_MODELS
    """Our names of the models that are switched off for the app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A signed-in user, with their permissions in the organisation that is current for them."""

    id: UserId
    email: str
    name: str
    org_id: OrgId | None
    permissions: frozenset[Permission]
