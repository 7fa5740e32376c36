"""The `tollway` command: reads arguments and settings, then calls. Owns arguments; nothing else."""

import argparse
import sys
from collections.abc import Sequence

from tollway import __version__
from tollway.cli.demo import run_demo
from tollway.cli.serve import run_server
from tollway.settings import Settings, SettingsError, load, scalars


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for a failure, 2 for a wrong configuration."""
    asked = vars(_parser().parse_args(arguments))
    command = asked.pop("command")
    if command == "settings":
        print(settings_table())
        return 0
    flags = {name: value for name, value in asked.items() if value is not None}
    try:
        settings, warnings = load(flags=flags)
        for warning in warnings:
            print(f"tollway: {warning}", file=sys.stderr)
        return run_demo(settings) if command == "demo" else run_server(settings)
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
    serve = commands.add_parser("serve", help="run the gateway", description="Run the gateway.")
    for name, description in scalars().items():
        flag = f"--{name.replace('_', '-')}"
        serve.add_argument(flag, dest=name, metavar="VALUE", help=description.replace("%", "%%"))
    commands.add_parser("demo", help="one organisation's day, played and printed")
    commands.add_parser("settings", help="every setting, as a table")
    return parser
