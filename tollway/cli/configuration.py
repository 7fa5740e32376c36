"""What every command shares: how it is added, and the settings it runs with.

Owns reading the settings with their warnings; does not own a single command.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import Protocol

from tollway.settings import Settings, load


class Commands(Protocol):
    """Where a command adds its parser; its `run` default takes the arguments and gives the exit code."""

    def add_parser(self, name: str, /, *, help: str, description: str) -> argparse.ArgumentParser:  # noqa: A002 - argparse's name
        """A new command's parser."""
        ...


def settings_of(flags: Mapping[str, str] | None = None) -> Settings:
    """The settings, their warnings told on stderr; SettingsError."""
    settings, warnings = load(flags=flags)
    for warning in warnings:
        print(f"tollway: {warning}", file=sys.stderr)
    return settings
