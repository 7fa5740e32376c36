"""Every error that a caller can meet, as one tree.

    TollwayError
    ├── Invalid                 422  the control plane's: one or more fields, each with a place
    ├── BadRequest              400  the request itself
    │   └── TooLarge            413
    ├── Unauthenticated         401  no token, or one that nobody has
    ├── Forbidden               403  known, but not allowed here
    ├── NotFound                404
    │   └── ModelNotFound       404
    ├── NotPriced               402  a model without a price is refused, never free
    ├── Limited                 402  nothing is left of a limit, or there is no subscription
    │   ├── RateLimited         429  of this minute's, or of calls at once: try again shortly
    │   ├── PlanExhausted       402
    │   ├── TrialExhausted      402
    │   ├── SpendingLimitReached 402
    │   ├── SubscriptionRequired 402
    │   └── SubscriptionPaused  402
    ├── Conflict                409
    ├── Outdated                412  changed since the caller read it
    ├── JournalUnreadable       500  a journal's file that is none, or is of a newer version
    ├── StoreRefused            500  a value that the database cannot hold
    ├── Unavailable             503  try again later
    │   ├── StoreUnavailable    503  the database
    │   ├── IssuerUnavailable   503  the OpenID Connect issuer
    │   ├── LimitsUnavailable   503  nothing in hand, and no database to ask for more
    │   └── MeteringUnavailable 503  no room to record the call
    └── VendorError             502  the vendor answered wrongly, or refused our credentials
        ├── VendorUnreachable   502
        ├── VendorTimeout       504
        └── VendorCutOff        502  its answer passed a bound of ours, though it is charged
            └── VendorLate      504

Owns what went wrong, its status and whether trying again can help; does not own its JSON.
"""

from dataclasses import dataclass
from typing import ClassVar


class TollwayError(Exception):
    """A refusal or a failure that has an answer; `str()` is a sentence for the caller."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False
    code: str = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        if code:
            self.code = code

    @property
    def told(self) -> str:
        """What callers are told; `str()` may hold more, for the operator's log."""
        return str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with a request: where, and what. `type` is a stable machine word."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class Invalid(TollwayError):
    """A well-formed request with fields that cannot be accepted."""

    status = 422
    type = "invalid_request_error"
    code = "invalid"

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.msg for fault in faults))
        self.faults = faults


class BadRequest(TollwayError):
    """The request cannot be read."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class TooLarge(BadRequest):
    """The body is over the cap."""

    status = 413
    code = "request_too_large"


class Unauthenticated(TollwayError):
    """No token, or one that nobody has."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(TollwayError):
    """The caller is known and may not do this here."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class NotFound(TollwayError):
    """Nothing of that name, or not for this caller."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No configured vendor has the model."""

    code = "model_not_found"


class NotPriced(TollwayError):
    """The model has no price, so that its use cannot be accounted for."""

    status = 402
    type = "invalid_request_error"
    code = "model_not_priced"


class Limited(TollwayError):
    """A limit refuses the call. 402 by default, since OpenAI's client repeats 429s."""

    status = 402
    type = "insufficient_quota"
    code = "limited"


class RateLimited(Limited):
    """Of requests or tokens per minute, or of calls at once."""

    status = 429
    type = "rate_limit_error"
    retryable = True
    code = "rate_limit_exceeded"


class PlanExhausted(Limited):
    """The plan's tokens of this cycle are used up."""

    code = "plan_exhausted"


class TrialExhausted(Limited):
    """The free balance is used up."""

    code = "trial_exhausted"


class SpendingLimitReached(Limited):
    """What the call may cost does not fit into a spending limit any more."""

    code = "spending_limit_reached"


class SubscriptionRequired(Limited):
    """There is no subscription, or the trial is over."""

    code = "subscription_required"


class SubscriptionPaused(Limited):
    """An invoice is not paid."""

    code = "subscription_paused"


class Conflict(TollwayError):
    """The name is taken, or the state has moved on."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class Outdated(TollwayError):
    """What the caller would change was changed since they read it."""

    status = 412
    type = "invalid_request_error"
    code = "outdated"


class JournalUnreadable(TollwayError):
    """A journal's segment cannot be read by this version."""

    code = "journal_unreadable"


class StoreRefused(TollwayError):
    """A value that the database cannot hold; the same again fails again."""

    code = "store_refused"

    @property
    def told(self) -> str:
        """Not what the database said."""
        return "this cannot be stored"


class Unavailable(TollwayError):
    """Not now; the same request may succeed later."""

    status = 503
    code = "unavailable"
    retryable = True


class StoreUnavailable(Unavailable):
    """The database does not answer."""

    code = "store_unavailable"

    @property
    def told(self) -> str:
        """Not where the database is."""
        return "the database is not available; try again shortly"


class IssuerUnavailable(Unavailable):
    """The OpenID Connect issuer does not answer, or not as it should."""

    code = "issuer_unavailable"

    @property
    def told(self) -> str:
        """Not where the issuer is, nor what it said."""
        return "the identity provider is not available; try again shortly"


class LimitsUnavailable(Unavailable):
    """What this process may let through is used up, and the database cannot be asked for more."""

    code = "limits_unavailable"


class MeteringUnavailable(Unavailable):
    """There is no room to record the call, so it is not made."""

    code = "metering_unavailable"


class VendorError(TollwayError):
    """The vendor's answer is not one that can be passed on."""

    status = 502
    type = "upstream_error"
    code = "vendor_error"
    retryable = True


class VendorUnreachable(VendorError):
    """No connection to the vendor, or it broke."""

    code = "vendor_unreachable"


class VendorTimeout(VendorError):
    """The vendor did not answer within its deadline."""

    status = 504
    code = "vendor_timeout"


class VendorCutOff(VendorError):
    """The vendor's answer passed a bound of ours, in size or time; the vendor charges for it all the same."""

    code = "vendor_answer_cut_off"


class VendorLate(VendorCutOff):
    """The answer took longer than is waited for."""

    status = 504
    code = "vendor_late"
