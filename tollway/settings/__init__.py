"""The configuration of a process: `knobs.py` says what there is, `sources.py` reads it."""

from tollway.domain.provider import ModelSettings, PriceSettings, ProviderSettings
from tollway.domain.subscription import PlanSettings
from tollway.settings.knobs import Settings, SettingsError, scalars
from tollway.settings.sources import PREFIX, load

__all__ = [
    "PREFIX",
    "ModelSettings",
    "PlanSettings",
    "PriceSettings",
    "ProviderSettings",
    "Settings",
    "SettingsError",
    "load",
    "scalars",
]
