"""The `tollway` command: reads arguments and settings, then calls. Owns arguments; nothing else."""

import argparse
import sys
from collections.abc import Sequence

from tollway import __version__
from tollway.cli import audit, demo, integrations, journal, ledger, letters, login, orgs, prices, serve
from tollway.cli.configuration import Commands
from tollway.settings import Settings, SettingsError, scalars


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for a failure, 2 for a wrong configuration."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except SettingsError as error:
        print(f"tollway: {error}", file=sys.stderr)
        return 2


def settings_table() -> str:
    """Every scalar setting as a Markdown table, as `docs/settings.md` shows it."""
    lines = ["| setting | variable | default | what it is |", "|---|---|---|---|"]
    defaults = Settings()
    for name, description in scalars().items():
        default = getattr(defaults, name)
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`" if default != "" else ""
        lines.append(f"| `{name}` | `TOLLWAY_{name.upper()}` | {shown} | {description} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tollway", description="An LLM gateway that you host.")
    parser.add_argument("--version", action="version", version=f"tollway {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (serve, demo, login, audit, journal, ledger, prices, integrations, letters, orgs):
        command.add(commands)
    _add_settings(commands)
    return parser


def _add_settings(commands: Commands) -> None:
    parser = commands.add_parser("settings", help="every setting, as a table", description="Every setting.")
    parser.set_defaults(run=_print_settings)


def _print_settings(_asked: argparse.Namespace) -> int:
    print(settings_table())
    return 0
