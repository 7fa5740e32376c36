"""The worst case, exchanged for the truth exactly once."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.limits.lending import PLAN, REQUESTS, SPEND, TOKENS, TRIAL, Price, Wanted, caller
from tests.world.clock import TurningClock
from tollway.domain.errors import Forbidden
from tollway.domain.ids import OrgId
from tollway.domain.limit import Leased
from tollway.domain.standing import Standing
from tollway.limits.account import Account, Desk
from tollway.limits.purse import Amounts
from tollway.limits.reservation import Reservation, amounts_of

MOST: Amounts = (1, 60, 80)


@pytest.fixture
def clock() -> TurningClock:
    return TurningClock()


@pytest.fixture
def account(clock: TurningClock) -> Account:
    limited = {REQUESTS: 200, TOKENS: 1_000, PLAN: 10_000, TRIAL: None, SPEND: 500}
    made = Account(caller(limited, Standing(tier="_TRIAL_")), Desk(OrgId("org-1")), clock)
    made.turn(clock.now_us())
    for purse in made.purses:
        purse.free = 100
    return made


def taken(account: Account, amounts: Amounts = MOST, cap: int | None = None) -> Reservation:
    account.desk.in_flight += 1
    assert account.take(amounts)
    return Reservation(account, amounts, 40, cap)


def in_hand(account: Account) -> list[int]:
    return [purse.free for purse in account.purses]


def test_a_call_takes_one_request_its_tokens_and_what_they_may_cost() -> None:
    wanted = Wanted(prompt_tokens=7, price=Price(base=100, each=3))
    assert amounts_of(wanted, 20) == (1, 27, 160)


def test_it_says_what_is_held_and_from_which_leases(account: Account) -> None:
    made = taken(account)
    assert (made.held, made.held_tokens, made.completion_tokens) == (80, 60, 40)
    assert made.leased == Leased.PLAN | Leased.TRIAL | Leased.ORG_SPEND
    assert made.funding == "trial"
    assert made.is_open


def test_what_a_call_did_not_use_comes_back_but_its_request_does_not(account: Account) -> None:
    made = taken(account)
    made.settle(30, 25)
    assert in_hand(account) == [99, 75, 75, 70, 70]
    assert account.desk.in_flight == 0


def test_a_call_that_was_never_made_took_nothing(account: Account) -> None:
    taken(account).release()
    assert in_hand(account) == [100] * 5
    assert account.desk.in_flight == 0


def test_an_overrun_is_taken_in_full(account: Account) -> None:
    taken(account).settle(200, 150)
    assert in_hand(account) == [99, -50, -50, -100, -100]


def test_only_the_first_end_counts(account: Account) -> None:
    made = taken(account)
    made.settle(30, 25)
    made.settle(0, 0)
    made.release()
    assert in_hand(account) == [99, 75, 75, 70, 70]
    assert account.desk.in_flight == 0
    released = taken(account, (1, 10, 10))
    released.release()
    released.settle(10, 10)
    assert in_hand(account) == [99, 75, 75, 70, 70]
    assert account.desk.in_flight == 0


def test_nothing_comes_back_into_another_minute(account: Account, clock: TurningClock) -> None:
    made = taken(account)
    clock.advance(60)
    account.turn(clock.now_us())
    made.settle(30, 25)
    assert in_hand(account) == [0, 0, 75, 70, 70]


def test_nothing_comes_back_into_a_purse_that_was_emptied_meanwhile(account: Account) -> None:
    made = taken(account)
    for purse in account.purses:
        purse.empty()
    made.settle(30, 25)
    assert in_hand(account) == [0] * 5
    assert account.desk.in_flight == 0


def test_what_comes_back_after_a_recall_is_owed_and_an_overrun_is_missing_at_once(account: Account) -> None:
    less, more = taken(account, (1, 20, 20)), taken(account, (1, 20, 20))
    for purse in account.purses:
        purse.recall()
    less.settle(5, 5)
    assert in_hand(account) == [98, 60, 60, 60, 60]
    assert [purse.owed for purse in account.purses] == [0, 15, 15, 15, 15]
    more.settle(30, 30)
    assert in_hand(account) == [98, 50, 50, 50, 50]
    assert [purse.owed for purse in account.purses] == [0, 15, 15, 15, 15]


def test_an_error_before_the_call_is_recorded_releases_it(account: Account) -> None:
    with pytest.raises(ZeroDivisionError), taken(account):
        raise ZeroDivisionError
    assert in_hand(account) == [100] * 5


def test_an_error_after_the_call_is_settled_changes_nothing(account: Account) -> None:
    made = taken(account)
    made.settle(30, 25)
    with pytest.raises(ZeroDivisionError), made:
        raise ZeroDivisionError
    assert in_hand(account) == [99, 75, 75, 70, 70]


def test_without_an_error_whoever_has_the_answer_settles(account: Account) -> None:
    with taken(account) as made:
        pass
    assert made.is_open
    assert in_hand(account) == [99, 40, 40, 20, 20]


def test_an_error_of_ours_tells_what_is_left(account: Account) -> None:
    error = Forbidden("no")
    error.headers = ((b"retry-after", b"1"),)
    with pytest.raises(Forbidden), taken(account, cap=20):
        raise error
    told = dict(error.headers)
    assert told[b"retry-after"] == b"1"
    assert told[b"x-ratelimit-limit-requests"] == b"200"
    assert told[b"tollway-max-tokens"] == b"20"


def test_a_call_that_was_not_shortened_is_told_no_cap(account: Account) -> None:
    assert b"tollway-max-tokens" not in dict(taken(account).headers)


_wanted = st.tuples(st.just(1), st.integers(0, 60), st.integers(0, 60))
_calls = st.lists(
    st.tuples(_wanted, st.sampled_from(["settle", "release", "leave", "fail"]), st.integers(0, 80)),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(_calls)
def test_what_is_in_hand_and_what_is_held_and_what_was_used_is_always_the_same_sum(
    calls: list[tuple[Amounts, str, int]],
) -> None:
    made = Account(caller({REQUESTS: 200, TOKENS: 1_000, SPEND: 500}), Desk(OrgId("org-1")), TurningClock())
    made.turn(TurningClock().now_us())
    for purse in made.purses:
        purse.free = 200
    open_: list[Reservation] = []
    held: Counter[int] = Counter()
    used: Counter[int] = Counter()

    def check() -> None:
        for purse in made.purses:
            assert purse.free + held[purse.column] + used[purse.column] == 200
        assert made.desk.in_flight == len(open_)

    for amounts, end, cost in calls:
        before = in_hand(made)
        if made.take(amounts):
            made.desk.in_flight += 1
            open_.append(Reservation(made, amounts, amounts[1]))
            held.update(dict(enumerate(amounts)))
        else:
            assert in_hand(made) == before
        check()
        if end != "leave" and open_:
            one = open_.pop(cost % len(open_))
            was = (1, one.held_tokens, one.held)
            held.subtract(dict(enumerate(was)))
            if end == "settle":
                one.settle(cost, cost)
                used.update(dict(enumerate((1, cost, cost))))
            elif end == "release":
                one.release()
            else:
                with pytest.raises(ZeroDivisionError), one:
                    raise ZeroDivisionError
            check()
