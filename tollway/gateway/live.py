"""What the hot path knows of the control plane: frozen views of keys, bounded, filled on first use.

Owns the cache and when it forgets: a feed of changes is read several times a second, and the
views of an organisation that changed are dropped. Does not own where views come from: a loader
is handed in, so that no SQL is reachable from here.
"""

from collections.abc import Awaitable, Callable, Collection

from tollway.domain.caller import Caller, KeyPermission
from tollway.domain.errors import Forbidden, Unauthenticated
from tollway.domain.ids import OrgId
from tollway.domain.token import Bearer, digest, is_minted

MAX_VIEWS = 50_000

INACTIVE = "organisation_inactive"

TurnedAway = Callable[[OrgId, str, str], None]
"""Counts a call of an organisation's app that is refused for this reason."""

Loader = Callable[[str], Awaitable[tuple[Caller | None, int]]]
"""A key's hash to its view, and the feed's position that the view is true at."""


class Live:
    """The views of this process."""

    def __init__(
        self,
        load: Loader,
        position: int,
        now_us: Callable[[], int],
        max_views: int = MAX_VIEWS,
        turned_away: TurnedAway = lambda *_: None,
    ) -> None:
        self._load = load
        self._now_us = now_us
        self._turned_away = turned_away
        self._max_views = max_views
        self.position = position
        self._views: dict[str, Caller] = {}

    def known(self, token: str) -> Caller | None:
        """The view of a key that was seen before; no wait."""
        return self._views.get(token)

    async def identify(self, token: str | None, need: KeyPermission = KeyPermission.INFERENCE) -> Caller:
        """Whose key this is, if it is for `need` and may be used now.

        Unauthenticated, Forbidden; StoreUnavailable if it has to be looked up.
        """
        if not token:
            raise Unauthenticated(
                "no API key: send 'Authorization: Bearer <app key>'", code="missing_api_key"
            )
        caller = self.known(token) or await self._look_up(token)
        try:
            return permitted(caller, need, self._now_us())
        except Forbidden as error:
            if error.code == INACTIVE:
                self._turned_away(caller.org_id, caller.app, error.code)
            raise

    async def _look_up(self, token: str) -> Caller:
        if not is_minted(token, Bearer.APP):
            raise Unauthenticated("this is not an app key of this gateway")
        caller, position = await self._load(digest(token))
        if caller is None:
            raise Unauthenticated("nobody has this app key")
        # A change that was read from the feed meanwhile may be missing in this view.
        if position >= self.position:
            if len(self._views) >= self._max_views:
                del self._views[next(iter(self._views))]
            self._views[token] = caller
        return caller

    def forget(self, position: int, org_ids: Collection[OrgId] | None) -> None:
        """Drop the views of these organisations (None: of all); the feed was read up to `position`."""
        self.position = position
        if org_ids is None:
            self._views.clear()
        elif org_ids:
            self._views = {token: view for token, view in self._views.items() if view.org_id not in org_ids}


def permitted(caller: Caller, need: KeyPermission, now_us: int) -> Caller:
    """The caller, if its organisation, app and key may do this now; else Unauthenticated or Forbidden."""
    if not caller.key_is_active:
        raise Unauthenticated("this app key was revoked", code="key_revoked")
    if caller.expires_us is not None and caller.expires_us <= now_us:
        raise Unauthenticated("this access token has expired; make it anew", code="key_expired")
    if not caller.app_is_active:
        raise Forbidden("the app of this key was revoked", code="app_revoked")
    if not caller.org_is_active:
        raise Forbidden(
            "the organisation of this key is not active; the gateway's operator can change that",
            code=INACTIVE,
        )
    if need not in caller.key_permissions:
        raise Forbidden(f"this access token is not for {need}", code="key_not_permitted")
    return caller


def require_on(caller: Caller, model: str) -> None:
    """Forbidden for a model, by our name, that is switched off for the caller's app."""
    if model in caller.models_off:
        raise Forbidden(
            f"the model {model!r} is switched off for this app; GET /v1/models lists those that are on",
            code="model_switched_off",
            param="model",
        )
