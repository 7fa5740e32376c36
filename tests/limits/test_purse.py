"""What a process has of one pot, and what it knows of the rest."""

import pytest

from tests.limits.lending import PLAN, REQUESTS, SPEND, TOKENS, TRIAL
from tests.world.clock import NOON_US
from tollway.domain.clock import US_PER_S
from tollway.domain.lease import Ask, Term
from tollway.domain.limit import MINUTE_US, Pot
from tollway.limits import purse as columns
from tollway.limits.purse import SHUT_US, Purse

MINUTE = NOON_US
"""The test clock stands at the start of one."""


def purse(pot: Pot = SPEND, free: int = 0) -> Purse:
    made = Purse(pot)
    if made.is_of_a_minute:
        made.turn(MINUTE)
    made.free = free
    return made


def told(
    made: Purse,
    ask: Ask,
    *,
    granted: int = 0,
    size: int = 0,
    left: int = 0,
    elsewhere: int = 0,
    resets_us: int | None = None,
) -> None:
    """The answer to an ask, of a limit of 100."""
    term = Term(granted=granted, size=size, limit=100, left=left, elsewhere=elsewhere, resets_us=resets_us)
    made.take_in(ask, term, NOON_US)


@pytest.mark.parametrize(
    ("pot", "column"),
    [
        (REQUESTS, columns.REQUESTS),
        (TOKENS, columns.TOKENS),
        (PLAN, columns.TOKENS),
        (TRIAL, columns.NANO),
        (SPEND, columns.NANO),
    ],
)
def test_a_plan_is_counted_in_tokens_and_a_trial_in_money(pot: Pot, column: int) -> None:
    assert Purse(pot).column == column


class TestAsking:
    def test_a_call_asks_for_what_it_wants_and_for_those_behind_it(self) -> None:
        ask = purse(free=3).ask(least=5, most=10, now_us=NOON_US)
        assert (ask.pot, ask.minute_us, ask.in_hand, ask.least, ask.most) == (SPEND, 0, 3, 5, 10)
        assert ask.ahead > 0
        assert ask.ahead % 10 == 0
        assert ask.given_back == 0

    def test_the_pot_of_a_minute_is_asked_for_by_its_minute(self) -> None:
        assert purse(REQUESTS).ask(1, 1, NOON_US + 5).minute_us == MINUTE

    def test_what_is_missing_after_an_overrun_is_asked_for_too(self) -> None:
        plain, behind = purse(), purse(free=-7)
        assert (plain.ask(5, 10, NOON_US).in_hand, behind.ask(5, 10, NOON_US).in_hand) == (0, -7)

    def test_the_quicker_one_ask_follows_another_the_more_is_asked_ahead(self) -> None:
        made, now_us = purse(), NOON_US
        first = made.ask(1, 1, now_us).ahead
        aheads = [made.ask(1, 1, now_us).ahead for _ in range(40)]
        assert aheads[0] == 2 * first
        assert aheads[-1] == aheads[-2] == max(aheads)  # bounded
        steady = made.ask(1, 1, now_us + 5 * US_PER_S).ahead
        assert steady == aheads[-1]
        now_us += 5 * US_PER_S
        slowly = []
        for _ in range(40):
            now_us += 11 * US_PER_S
            slowly.append(made.ask(1, 1, now_us).ahead)
        assert slowly[0] == steady // 2
        assert slowly[-1] == first == min(slowly)


class TestAnswers:
    def test_what_is_granted_is_in_hand_and_the_rest_is_known(self) -> None:
        made = purse(free=2)
        ask = made.ask(5, 10, NOON_US)
        told(made, ask, granted=8, size=10, left=50, elsewhere=30, resets_us=NOON_US + 9)
        assert (made.free, made.limit, made.left, made.elsewhere) == (10, 100, 50, 30)
        assert made.resets_us == NOON_US + 9
        assert made.remaining() == 60

    def test_a_minute_that_is_over_has_nothing_to_say(self) -> None:
        made = purse(REQUESTS)
        ask = made.ask(1, 1, NOON_US)
        made.turn(MINUTE + MINUTE_US)
        told(made, ask, granted=8, size=1, left=50)
        assert (made.free, made.left) == (0, None)

    def test_the_answer_to_giving_back_says_nothing_of_the_rest(self) -> None:
        made = purse(free=5)
        made.limit, made.left = 77, 7
        ask = made.give_back()
        assert (ask.given_back, ask.most, ask.in_hand, made.free) == (5, 0, 0, 0)
        told(made, ask, left=50)
        assert (made.limit, made.left, made.free) == (77, 7 + 5, 0)
        assert not made.is_shut(1_000, NOON_US)

    def test_a_refusal_is_repeated_for_a_while_to_those_who_want_as_much(self) -> None:
        made = purse(free=2)
        told(made, made.ask(10, 10, NOON_US), left=5)
        assert made.is_shut(8, NOON_US)
        assert made.is_shut(10, NOON_US + SHUT_US - 1)
        assert not made.is_shut(7, NOON_US)
        assert not made.is_shut(10, NOON_US + SHUT_US)

    def test_less_than_nothing_is_left_to_nobody(self) -> None:
        made = purse(free=2)
        told(made, made.ask(10, 10, NOON_US), left=-50)
        assert made.is_shut(3, NOON_US)
        assert not made.is_shut(2, NOON_US)
        assert made.remaining() == 2

    def test_another_limit_opens_it(self) -> None:
        made = purse()
        told(made, made.ask(10, 10, NOON_US), left=5)
        made.open()
        assert not made.is_shut(10, NOON_US)
        assert made.remaining() == 5
        made.limit = 3
        assert made.remaining() == 3

    def test_so_does_another_minute(self) -> None:
        made = purse(REQUESTS)
        told(made, made.ask(1, 1, NOON_US), left=0, elsewhere=4)
        made.free, made.is_share = 3, True
        made.turn(MINUTE + MINUTE_US)
        assert not made.is_shut(1, NOON_US)
        assert (made.free, made.is_share, made.elsewhere) == (0, False, 0)
        assert made.resets_us == MINUTE + 2 * MINUTE_US
        assert made.remaining() == 100


class TestRemaining:
    def test_before_the_database_was_asked_it_is_the_whole_limit(self) -> None:
        made = purse()
        made.limit = 40
        assert made.remaining() == 40

    def test_nothing_is_known_without_a_limit(self) -> None:
        assert purse(TRIAL).remaining() == 0

    def test_of_a_share_it_is_what_is_in_hand(self) -> None:
        made = purse(REQUESTS, free=4)
        made.limit, made.is_share = 40, True
        assert made.remaining() == 4
        made.free = -4
        assert made.remaining() == 0

    def test_it_is_never_below_nothing(self) -> None:
        made = purse(free=-60)
        made.left = 50
        assert made.remaining() == 0


class TestGivingBack:
    @pytest.mark.parametrize(
        ("pot", "free", "later_us", "is_lent"),
        [
            (SPEND, 1, 0, True),
            (SPEND, 1, 10 * MINUTE_US, True),
            (SPEND, 0, 0, False),
            (SPEND, -1, 0, False),
            (REQUESTS, 1, MINUTE_US - 1, True),
            (REQUESTS, 1, MINUTE_US, False),
        ],
    )
    def test_what_is_in_hand_can_be_given_back_unless_its_minute_is_over(
        self, pot: Pot, free: int, later_us: int, is_lent: bool
    ) -> None:
        assert purse(pot, free).is_lent(NOON_US + later_us) == is_lent

    def test_what_is_owed_is_given_back_with_what_is_in_hand(self) -> None:
        made = purse(free=3)
        made.owed = 4
        assert made.give_back().given_back == 7
        assert (made.free, made.owed) == (0, 0)
        made.free, made.owed = -5, 4
        assert not made.is_lent(NOON_US)

    def test_an_even_share_was_lent_by_nobody(self) -> None:
        made = purse(REQUESTS, free=3)
        made.is_share = True
        assert not made.is_lent(NOON_US)

    @pytest.mark.parametrize(
        ("left", "is_scarce"), [(None, True), (0, True), (80, True), (81, False), (-5, True)]
    )
    def test_what_is_much_of_what_is_left_may_be_missed_elsewhere(
        self, left: int | None, is_scarce: bool
    ) -> None:
        made = purse(free=10)
        made.left = left
        assert made.is_scarce() == is_scarce


def test_an_emptied_purse_knows_and_has_nothing() -> None:
    made = purse(free=10)
    told(made, made.ask(100, 100, NOON_US), left=5)
    made.owed, before = 5, made.emptied
    made.empty()
    assert (made.free, made.owed, made.left, made.emptied) == (0, 0, None, before + 1)
    assert not made.is_shut(100, NOON_US)
