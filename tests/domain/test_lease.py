"""Slices: what an ask gets, and that no more is lent than is left."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.domain.ids import AppId, JournalId, KeyId, OrgId
from tollway.domain.lease import Ask, Order, Term, Terms, term
from tollway.domain.limit import SHARE, Kind, Level, Pot

_some = st.integers(0, 10**12) | st.integers(0, 20)


def ask(*, least: int = 0, most: int = 0, ahead: int = 0, in_hand: int = 0, given_back: int = 0) -> Ask:
    return Ask(
        level=Level.ORG,
        id="org-1",
        kind=Kind.SPEND,
        in_hand=in_hand,
        least=least,
        most=most,
        ahead=ahead,
        given_back=given_back,
    )


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Any that a process makes for a call: it wants something, and less may do."""
    least, more = draw(_some) + 1, draw(_some)
    in_hand = draw(st.integers(-(10**12), 10**12) | st.integers(-20, 20))
    return ask(least=least, most=least + more, ahead=draw(_some), in_hand=in_hand)


lefts = st.integers(-(10**12), 10**13) | st.integers(-20, 100)


@given(asks(), lefts)
def test_no_more_is_granted_than_is_left(asked: Ask, left: int) -> None:
    got = term(asked, 10**15, left=left, elsewhere=3, resets_us=4)
    assert 0 <= got.granted <= max(0, left)
    assert got.left == left - got.granted
    assert (got.limit, got.elsewhere, got.resets_us) == (10**15, 3, 4)


@given(asks(), lefts)
def test_a_call_may_take_nothing_or_from_the_least_to_the_most_that_it_wants(asked: Ask, left: int) -> None:
    got = term(asked, 10**15, left=left)
    fits = left + asked.in_hand >= asked.least
    assert (got.size > 0) == fits
    if fits:
        assert asked.least <= got.size <= asked.most
        assert got.size <= asked.in_hand + got.granted
    else:
        assert got.granted == 0


@given(asks(), lefts)
def test_what_fits_is_had_in_full_with_a_share_ahead_and_what_does_not_gets_a_share(
    asked: Ask, left: int
) -> None:
    got = term(asked, 10**15, left=left)
    there_is = left + asked.in_hand
    if there_is >= asked.most:
        assert got.size == asked.most
        assert got.granted <= max(0, asked.most + (there_is - asked.most) // SHARE - asked.in_hand)
        assert got.granted <= max(0, asked.most + asked.ahead - asked.in_hand)
    elif got.size:
        assert got.size == max(asked.least, there_is // SHARE)


@given(asks())
def test_without_a_limit_all_that_is_wanted_is_granted(asked: Ask) -> None:
    got = term(asked, None)
    assert got.size == asked.most
    assert asked.in_hand + got.granted == max(asked.in_hand, asked.most + asked.ahead)
    assert (got.limit, got.left) == (None, 0)


@given(lefts)
def test_who_only_gives_back_gets_nothing(left: int) -> None:
    returned = ask(given_back=7)
    assert (term(returned, 10**15, left=left).granted, term(returned, 10**15, left=left).size) == (0, 0)
    assert term(returned, None).granted == 0


@settings(max_examples=50)
@given(st.integers(0, 5_000), st.integers(1, 200), st.integers(0, 10_000), st.integers(1, 4))
def test_calls_that_can_be_shortened_leave_less_than_the_least_of_one(
    limit: int, least: int, more: int, processes: int
) -> None:
    left, taken = limit, 0
    in_hand = [0] * processes
    turn = refused = 0
    while refused < processes:
        at = turn % processes
        got = term(
            ask(least=least, most=least + more, ahead=least + more, in_hand=in_hand[at]), limit, left=left
        )
        left = got.left
        in_hand[at] += got.granted
        if got.size:
            taken += got.size
            in_hand[at] -= got.size
            refused = 0
        else:  # others may lack what it has
            left, in_hand[at] = left + in_hand[at], 0
            refused += 1
        assert left + sum(in_hand) + taken == limit
        turn += 1
    assert limit - taken < least


def test_slices_shrink_to_a_single_call_as_the_rest_does() -> None:
    call = ask(least=10, most=10, ahead=10_000)
    assert term(call, 1_000, left=810).granted == 110
    assert term(call, 1_000, left=90).granted == 20
    assert term(call, 1_000, left=17).granted == 10
    assert term(call, 1_000, left=10).granted == 10
    assert term(call, 1_000, left=9) == Term(granted=0, size=0, limit=1_000, left=9)


def test_what_an_overrun_took_is_made_good_first() -> None:
    call = ask(least=10, most=10, ahead=80, in_hand=-400)
    assert term(call, 1_000, left=910).granted == 400 + 10 + 500 // 8
    assert term(call, 1_000, left=410).granted == 410
    assert term(call, 1_000, left=409) == Term(granted=0, size=0, limit=1_000, left=409)
    assert term(call, None).granted == 400 + 10 + 80


def test_what_is_in_hand_is_asked_for_by_nobody_twice() -> None:
    assert term(ask(least=10, most=10, in_hand=4), 100, left=50).granted == 6
    assert term(ask(least=10, most=10, in_hand=4), 100, left=5) == Term(granted=0, size=0, limit=100, left=5)


def test_an_order_and_its_terms_survive_being_stored() -> None:
    order = Order(
        number=1,
        journal=JournalId("journal-1"),
        org_id=OrgId("org-1"),
        app_id=AppId("app-1"),
        key_id=KeyId("key-1"),
        asks=(ask(least=1, most=2), ask(given_back=3)),
    )
    assert order.asks[0].pot == Pot(Level.ORG, "org-1", Kind.SPEND)
    terms = Terms(terms=(Term(granted=1, size=1, limit=None), Term(granted=0, size=0, limit=5)), rank=1)
    for each in (order, terms):
        stored = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(each)))
        assert msgspec.convert(stored, type(each)) == each
