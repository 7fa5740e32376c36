"""What a caller is told when a limit refuses: which, what is left, when it is full again, who may change it.

Owns these words and their numbers; does not own the decision (`limits.py`).
"""

from typing import NoReturn, assert_never

from tollway.domain.clock import US_PER_S, moment
from tollway.domain.errors import (
    Limited,
    LimitsUnavailable,
    PlanExhausted,
    RateLimited,
    SpendingLimitReached,
    TrialExhausted,
)
from tollway.domain.limit import Kind, Level
from tollway.domain.money import Nano, usd
from tollway.limits.purse import Purse

_OPERATOR = "the gateway's operator can change it"
_ADMIN = "an admin of the organisation can change it"


def refuse(purse: Purse, least: int, now_us: int) -> NoReturn:
    """Refuse a call that takes at least so much from this purse. A Limited."""
    raise _refusal(purse, least, now_us)


def _refusal(purse: Purse, least: int, now_us: int) -> Limited:
    limit, there_is = purse.limit or 0, purse.remaining()
    match purse.pot.kind:
        case Kind.REQUESTS | Kind.TOKENS:
            what = f"{purse.pot.kind} per minute"
            who = _OPERATOR if purse.pot.level is Level.ORG else _ADMIN
            error = RateLimited(
                f"rate limit of the {purse.pot.level}: {limit} {what}, of which {there_is} are left and "
                f"{least} needed; it is full again in {_seconds(purse, now_us)} s; {who}"
            )
            if least <= limit:
                error.headers = ((b"retry-after", str(_seconds(purse, now_us)).encode()),)
            else:
                error.headers = ((b"x-should-retry", b"false"),)
            return error
        case Kind.PLAN:
            return PlanExhausted(
                f"the plan's {limit} tokens of this cycle: {there_is} are left and {least} needed"
                f"{_until(purse)}; an admin of the organisation can change the subscription"
            )
        case Kind.TRIAL:
            return TrialExhausted(
                f"the trial's balance: ${usd(Nano(there_is))} is left and up to ${usd(Nano(least))} needed; "
                "an admin of the organisation can start a subscription"
            )
        case Kind.SPEND:
            return SpendingLimitReached(
                f"spending limit of the {purse.pot.level}: of ${usd(Nano(limit))} a cycle, "
                f"${usd(Nano(there_is))} is left, and this call may cost ${usd(Nano(least))}{_until(purse)}; "
                f"{_ADMIN}"
            )
    assert_never(purse.pot.kind)


def refuse_more_at_once(limit: int) -> NoReturn:
    """RateLimited: as many calls of the organisation as may be are being answered."""
    error = RateLimited(
        f"{limit} calls of the organisation are being answered, which is as many as may be at once; "
        f"wait for one of them; {_OPERATOR}",
        code="too_many_in_flight",
    )
    error.headers = ((b"retry-after", b"1"),)
    raise error


def refuse_unasked(purse: Purse, now_us: int) -> NoReturn:
    """LimitsUnavailable: there may be more, but the database cannot be asked."""
    error = LimitsUnavailable(
        f"the {purse.pot.kind} limit of the {purse.pot.level} cannot be asked for more at the moment; "
        "try again shortly"
    )
    wait_s = _seconds(purse, now_us) if purse.is_of_a_minute else 1
    error.headers = ((b"retry-after", str(wait_s).encode()),)
    raise error


def _seconds(purse: Purse, now_us: int) -> int:
    """Until the minute ends, at least 1."""
    return max(1, -(-((purse.resets_us or now_us) - now_us) // US_PER_S))


def _until(purse: Purse) -> str:
    if purse.resets_us is None:
        return ""
    return f"; it is full again at {moment(purse.resets_us):%Y-%m-%d %H:%M} UTC"
