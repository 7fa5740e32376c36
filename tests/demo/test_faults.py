"""Which fault a request meets: by the seed and by what it is, within rates and bounds."""

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.demo.faults import (
    DEFAULT_FAULTS,
    NO_FAULTS,
    Fate,
    Fates,
    Fault,
    Mix,
    Trait,
    faults_of,
)

SEEDS = st.integers(-(2**70), 2**70)
IDENTITIES = st.lists(st.binary(max_size=20), unique=True, max_size=20)
RATE = st.floats(0, 1 / len(Fault))
RATES = st.dictionaries(st.sampled_from([*Fault, *Trait]), RATE)


def dealt(seed: int, identities: list[bytes], mix: Mix | None = None) -> dict[bytes, Fate]:
    fates = Fates(seed, mix or Mix())
    return {identity: fates.deal(identity, streamed=True) for identity in identities}


@settings(deadline=None, max_examples=100)
@given(SEEDS, IDENTITIES)
def test_a_fate_is_the_same_in_whatever_order_requests_come(seed: int, identities: list[bytes]) -> None:
    assert dealt(seed, identities) == dealt(seed, identities[::-1])


@settings(deadline=None, max_examples=100)
@given(SEEDS, RATES, st.booleans(), st.binary())
def test_a_fate_is_within_its_bounds(
    seed: int, rates: dict[Fault | Trait, float], streamed: bool, identity: bytes
) -> None:
    mix = Mix(rates=rates, first_byte_s=(0.5, 2.0), between_chunks_s=(0.25, 0.25))
    fate = Fates(seed, mix).deal(identity, streamed=streamed)
    assert fate.fault is None or (fate.fault in rates and fate.fault in faults_of(streamed=streamed))
    assert 0.5 <= fate.first_byte_s <= 2.0
    assert fate.between_chunks_s == 0.25
    assert 0 <= fate.cut < 1
    assert fate.cached_share is None or (Trait.CACHED_TOKENS in rates and 0 <= fate.cached_share < 1)
    assert fate.reasoning_tokens == 0 or (Trait.REASONING_TOKENS in rates and fate.reasoning_tokens <= 64)
    assert fate.service_tier == "default" or Trait.SERVICE_TIER in rates


@settings(deadline=None, max_examples=50)
@given(SEEDS, IDENTITIES, RATES)
def test_other_rates_leave_latencies_and_cuts_as_they_were(
    seed: int, identities: list[bytes], rates: dict[Fault | Trait, float]
) -> None:
    def unrated(found: dict[bytes, Fate]) -> list[tuple[float, float]]:
        return [(fate.first_byte_s, fate.cut) for fate in found.values()]

    first_byte_s = (0.0, 1.0)
    one, other = Mix(rates=NO_FAULTS, first_byte_s=first_byte_s), Mix(rates=rates, first_byte_s=first_byte_s)
    assert unrated(dealt(seed, identities, one)) == unrated(dealt(seed, identities, other))


def test_another_seed_deals_otherwise() -> None:
    identities = [b"%d" % number for number in range(50)]
    assert dealt(1, identities) != dealt(2, identities)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_default_mix_has_each_fault_as_often_as_it_says(streamed: bool) -> None:
    fates = Fates(7, Mix())
    count = 20_000
    found = [fates.deal(b"%d" % number, streamed=streamed) for number in range(count)]
    faults = Counter(fate.fault for fate in found)
    assert set(faults) == {None, *faults_of(streamed=streamed)}
    expected: dict[Fault | Trait, int] = {
        **{fault: faults[fault] for fault in faults_of(streamed=streamed)},
        Trait.CACHED_TOKENS: sum(fate.cached_share is not None for fate in found),
        Trait.REASONING_TOKENS: sum(fate.reasoning_tokens > 0 for fate in found),
        Trait.SERVICE_TIER: sum(fate.service_tier != "default" for fate in found),
    }
    for name, times in expected.items():
        assert times / count == pytest.approx(DEFAULT_FAULTS[name], rel=0.25), name


def test_the_page_about_it_names_each_fault_with_its_rate() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "demo-vendor.md").read_text("utf-8")
    told = {name: float(rate) for name, rate in re.findall(r"^\| `(\w+)` \| (0\.\d+) \|", page, re.MULTILINE)}
    assert told == {name.value: rate for name, rate in DEFAULT_FAULTS.items()}


def test_whole_answers_and_streams_each_have_faults_of_their_own() -> None:
    assert set(Fault) - set(faults_of(streamed=True)) == {Fault.CUT_BODY}
    assert set(Fault) - set(faults_of(streamed=False)) == {Fault.TRUNCATED_STREAM, Fault.BROKEN_EVENT}


def test_a_request_that_comes_again_is_dealt_the_next_fate_of_its_own() -> None:
    mix = Mix(rates={Fault.RATE_LIMITED: 0.5})

    def thrice(fates: Fates) -> list[Fate]:
        return [fates.deal(b"the same", streamed=False) for _ in range(3)]

    alone, among_others = Fates(3, mix), Fates(3, mix)
    among_others.deal(b"another", streamed=False)
    first = thrice(alone)
    assert first == thrice(among_others)
    assert len({fate.cut for fate in first}) == 3
    retried = Fates(3, mix)
    assert {retried.deal(b"x", streamed=False).fault for _ in range(20)} == {None, Fault.RATE_LIMITED}


def test_the_memory_of_identities_is_bounded() -> None:
    fates = Fates(0, Mix())
    first = fates.deal(b"first", streamed=False)
    assert fates.deal(b"first", streamed=False) != first
    for number in range(70_000):
        fates.deal(b"%d" % number, streamed=False)
    assert fates.deal(b"first", streamed=False) == first  # forgotten, so it begins anew


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate_limited=.*between 0 and 1"):
        Mix(rates={Fault.RATE_LIMITED: rate})


def test_rates_of_one_kind_add_up_to_1_at_most() -> None:
    Mix(rates={Fault.CUT_BODY: 0.7, Fault.BROKEN_EVENT: 0.7, Trait.CACHED_TOKENS: 1.0})
    Mix(rates=dict.fromkeys(list(Fault)[:5], 0.2))
    with pytest.raises(ValueError, match=r"faults of streams add up to 1\.1"):
        Mix(rates={Fault.SERVER_ERROR: 0.4, Fault.BROKEN_EVENT: 0.7})
    with pytest.raises(ValueError, match=r"faults of whole answers add up to 1\.1"):
        Mix(rates={Fault.SERVER_ERROR: 0.4, Fault.CUT_BODY: 0.7})
