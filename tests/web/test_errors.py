"""The control plane's errors: a sentence, and of a limit its code and headers too."""

import json

import pytest

from tollway.domain.errors import (
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    Limited,
    LimitsUnavailable,
    PlanExhausted,
    RateLimited,
    SpendingLimitReached,
    SubscriptionPaused,
    SubscriptionRequired,
    TollwayError,
    TrialExhausted,
    Unauthenticated,
)
from tollway.web.errors import response


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Limited, 402, "limited"),
        (PlanExhausted, 402, "plan_exhausted"),
        (TrialExhausted, 402, "trial_exhausted"),
        (SpendingLimitReached, 402, "spending_limit_reached"),
        (SubscriptionRequired, 402, "subscription_required"),
        (SubscriptionPaused, 402, "subscription_paused"),
        (RateLimited, 429, "rate_limit_exceeded"),
    ],
)
def test_a_limit_says_which(error: type[TollwayError], status: int, code: str) -> None:
    answer = response(error("that is all"))
    assert (answer.status_code, json.loads(bytes(answer.body))) == (
        status,
        {"detail": "that is all", "code": code},
    )


def test_a_limits_headers_are_answered() -> None:
    error = RateLimited("slowly", code="too_many_in_flight")
    error.headers = ((b"retry-after", b"7"),)
    answer = response(error)
    assert (answer.headers["retry-after"], json.loads(bytes(answer.body))["code"]) == (
        "7",
        "too_many_in_flight",
    )


@pytest.mark.parametrize(
    ("error", "status"), [(Forbidden, 403), (Conflict, 409), (LimitsUnavailable, 503), (TollwayError, 500)]
)
def test_another_error_is_a_sentence(error: type[TollwayError], status: int) -> None:
    answer = response(error("no"))
    assert (answer.status_code, json.loads(bytes(answer.body))) == (status, {"detail": "no"})
    assert "www-authenticate" not in answer.headers


def test_who_is_not_known_is_told_how_to_be() -> None:
    assert response(Unauthenticated("who?")).headers["www-authenticate"] == "Bearer"


def test_faults_are_listed_by_their_place() -> None:
    answer = response(Invalid(Fault(loc=("body", "a", 0), msg="no", type="wrong")))
    assert json.loads(bytes(answer.body)) == {
        "detail": [{"loc": ["body", "a", 0], "msg": "no", "type": "wrong"}]
    }
