"""`tollway demo remote-write`: our sender, driven by a Prometheus configuration file.

Owns what is read of that file: the first `remote_write` and one target. Does not own scraping or
pushing (`control/forwarding.py`). Leaves on SIGINT and SIGTERM with 0.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import uvloop
import yaml

from tollway.cli.configuration import Commands
from tollway.control.forwarding import Forwarding, forward
from tollway.domain.clock import SystemClock
from tollway.domain.destination import parse_endpoint
from tollway.domain.token import Secret
from tollway.settings import SettingsError


def add(commands: Commands) -> None:
    """Add `tollway demo remote-write`."""
    what = "scrape one target each second and push it by remote write, as a Prometheus would"
    parser = commands.add_parser("remote-write", help=what, description=f"{what.capitalize()}.")
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="a Prometheus configuration file"
    )
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    uvloop.run(_forward(read_configuration(asked.config)))
    return 0


async def _forward(forwarding: Forwarding) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None) as stay:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, lambda: stay.reschedule(loop.time()))
            await forward(forwarding, SystemClock())


def read_configuration(file: Path) -> Forwarding:
    """The first `remote_write` and the first target of a Prometheus configuration. SettingsError."""
    try:
        found = yaml.safe_load(file.read_text("utf-8"))
        write = found["remote_write"][0]
        scrape = found["scrape_configs"][0]
        target = scrape["static_configs"][0]["targets"][0]
        basic = write.get("basic_auth", {})
        labels: dict[str, Any] = {
            **((found.get("global") or {}).get("external_labels") or {}),
            "job": scrape["job_name"],
            "instance": target,
        }
        parse_endpoint(str(write["url"]))
    except OSError as error:
        raise SettingsError(f"--config: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"--config: {file} is not YAML: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise SettingsError(
            f"--config: {file} needs remote_write[0].url, and a target in scrape_configs[0].static_configs: "
            f"{error} is missing"
        ) from None
    except ValueError as error:
        raise SettingsError(f"--config: remote_write[0].url: {error}") from None
    path = scrape.get("metrics_path", "/metrics")
    return Forwarding(
        scrape_url=f"{scrape.get('scheme', 'http')}://{target}{path}",
        write_url=str(write["url"]),
        user=str(basic.get("username", "")),
        password=Secret(str(basic.get("password", ""))),
        labels={str(name): str(value) for name, value in labels.items()},
    )
