"""Settings of plans and trials: read from the file, exact, and refused with a name."""

from pathlib import Path

import pytest

from tollway.domain.plan import Plan
from tollway.domain.subscription import Opening
from tollway.settings import Settings, SettingsError, load


def loaded(folder: Path, text: str, **environment: str) -> Settings:
    path = folder / "tollway.toml"
    path.write_text(text, "utf-8")
    settings, warnings = load({"TOLLWAY_CONFIG": str(path), **environment})
    assert warnings == []
    return settings


def refused(folder: Path, text: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, text, **environment)
    return str(caught.value)


def test_plans_are_read_from_tables_by_tier(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        [plans.STARTUP]
        max_tokens = 50_000_000
        max_apps = 3
        overage = "allow"
        monthly_price_usd = "49.99"

        [plans._TRIAL_]
        max_apps = 1
        """,
    )
    assert settings.plans["STARTUP"].monthly_price_usd == "49.99"
    startup = Plan(max_tokens=50_000_000, max_apps=3, overage="allow")
    assert settings.allowances == {"STARTUP": startup, "_TRIAL_": Plan(max_apps=1)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plans = 5", "plans: a table for each tier, [plans.TIER]"),
        ("[plans]\nSTARTUP = 5", "plans.STARTUP: Expected `object`, got `int`"),
        ("[plans.STARTUP]\nmax_token = 5", "plans.STARTUP: Object contains unknown field `max_token`"),
        ("[plans.STARTUP]\nmax_tokens = -2", "plans.STARTUP.max_tokens: Expected `int` >= -1"),
        ("[plans.STARTUP]\nmax_tokens = 1.5", "plans.STARTUP.max_tokens: Expected `int`, got `float`"),
        ("[plans.STARTUP]\noverage = 'maybe'", "plans.STARTUP.overage: Invalid enum value 'maybe'"),
        ("[plans.STARTUP]\nmonthly_price_usd = 49.99", "plans.STARTUP.monthly_price_usd: Expected `str"),
        ("[plans.STARTUP]\nyearly_price_usd = '1,5'", "plans.STARTUP.yearly_price_usd: '1,5' is not a dec"),
        ("[plans.STARTUPP]", "plans.STARTUPP: not a tier"),
        ("[plans._INTERNAL_]\nmax_tokens = 5", "plans._INTERNAL_.max_tokens: this tier is unlimited"),
        ("plan = 5", "plan: not a setting; did you mean plans?"),
        ("new_org_tier = 'GROWTH'", "new_org_tier: Invalid enum value 'GROWTH'"),
        ("trial_days = -1", "trial_days: Expected `int` >= 0"),
        ("trial_balance_usd = 5.0", "trial_balance_usd: Expected `str`, got `float`"),
        ("trial_balance_usd = '-5'", "trial_balance_usd: from $0 to $1,000,000,000"),
        ("trial_balance_usd = '0.0000000001'", "trial_balance_usd: '0.0000000001' has more than nine"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, told: str) -> None:
    assert refused(tmp_path, text).startswith(told)


def test_new_organisations_are_unlimited_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    assert (Settings().opening.tier, Settings().opening.is_trial, Settings().allowances) == (
        "_INTERNAL_",
        False,
        {},
    )
    settings = loaded(
        tmp_path, "trial_days = 7", TOLLWAY_NEW_ORG_TIER="_TRIAL_", TOLLWAY_TRIAL_BALANCE_USD="2.50"
    )
    assert settings.opening == Opening(
        tier="_TRIAL_", trial_days=7, trial_balance=settings.opening.trial_balance
    )
    assert settings.opening.trial_balance == 2_500_000_000


def test_a_trial_is_two_weeks_and_5_dollars_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    opening = loaded(tmp_path, "new_org_tier = '_TRIAL_'").opening
    assert (opening.trial_days, opening.trial_balance) == (14, 5_000_000_000)
