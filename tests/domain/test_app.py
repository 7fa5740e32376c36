"""What may be set of an app: defaults where nothing was, and changes that keep the rest."""

from tollway.domain.app import AppSetup, Policies, Weights, merged, tuning_of
from tollway.domain.money import Nano


def test_what_was_not_set_is_the_default() -> None:
    tuning = tuning_of({}, None)
    assert (tuning.weights, tuning.policies, tuning.settings) == (Weights(), Policies(), AppSetup())
    assert tuning_of({}, 3).policies == Policies(privacy_level=3)


def test_a_change_keeps_what_it_does_not_name() -> None:
    first = merged({}, {"weights": {"cost": 2.0}, "policies": {"max_cost": 5}})
    second = merged(first, {"weights": {"quality": 0.5}, "settings": {"max_tokens": 7}})
    assert first == {"weights": {"cost": 2.0}, "policies": {"max_cost": 5}}
    tuning = tuning_of(second, 1)
    assert tuning.weights == Weights(cost=2.0, quality=0.5)
    assert tuning.policies == Policies(privacy_level=1, max_cost=Nano(5))
    assert tuning.settings == AppSetup(max_tokens=7)
    assert merged(second, {}) == second
