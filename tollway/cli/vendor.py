"""`tollway demo vendor`: the fault-injecting vendor as a process of its own, on the loopback.

Owns its flags, its signals and its one line of greeting; does not own a fault or the bill
(`demo/faulty_vendor.py`).
"""

import argparse
import asyncio
import logging
import math
import signal
import sys
from pathlib import Path

import uvloop

from tollway.cli.configuration import Commands
from tollway.demo.bill import Bill
from tollway.demo.faults import DEFAULT_FAULTS, NO_FAULTS, Bounds, Fault, Mix, Rates, Trait
from tollway.demo.faulty_vendor import FaultyVendor
from tollway.settings import SettingsError

_NAMES = {name.value: name for name in (*Fault, *Trait)}
_MIXES = {"default": DEFAULT_FAULTS, "none": NO_FAULTS}
_MAX_PORT = 65_535
_MAX_MS = 600_000
_MS_PER_S = 1_000


def add(commands: Commands) -> None:
    """Add `tollway demo vendor`."""
    what = "a model vendor that fails as vendors do, and keeps a bill to check a gateway against"
    parser = commands.add_parser("vendor", help=what, description=f"{what.capitalize()}.")
    flag = parser.add_argument
    flag("--port", type=_port, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    flag("--seed", type=int, default=0, metavar="N", help="deals the faults; the same seed deals the same")
    flag("--faults", choices=_MIXES, default="default", help="the rates to begin with (default: default)")
    flag(
        "--fault",
        type=_rate,
        action="append",
        default=[],
        metavar="NAME=RATE",
        help=f"a rate between 0 and 1, over that of --faults; repeatable. Names: {', '.join(_NAMES)}",
    )
    bounds = "milliseconds before the first byte, drawn between two bounds (default: 5-50)"
    flag("--first-byte-ms", type=_bounds_s, default="5-50", metavar="LOW-HIGH", help=bounds)
    bounds = "milliseconds between two chunks of a stream (default: 0-5)"
    flag("--chunk-ms", type=_bounds_s, default="0-5", metavar="LOW-HIGH", help=bounds)
    flag("--ledger", type=Path, metavar="FILE", help="keep the bill there; also at GET /bill")
    flag("--api-key", metavar="KEY", help="accept this key only; without, any is accepted")
    parser.set_defaults(run=_run)


def _run(asked: argparse.Namespace) -> int:
    rates: Rates = {**_MIXES[asked.faults], **dict(asked.fault)}
    try:
        mix = Mix(rates=rates, first_byte_s=asked.first_byte_ms, between_chunks_s=asked.chunk_ms)
    except ValueError as error:
        raise SettingsError(f"--fault: {error}") from None
    try:
        bill = Bill(asked.ledger)
    except OSError as error:
        raise SettingsError(f"--ledger {asked.ledger}: {error.strerror}; name a file to write") from None
    except ValueError as error:
        raise SettingsError(f"--ledger: {error}; name a new file") from None
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with bill:
        return uvloop.run(_serve(FaultyVendor(bill, seed=asked.seed, mix=mix, api_key=asked.api_key), asked))


async def _serve(vendor: FaultyVendor, asked: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await vendor.start(asked.port)
    except OSError as error:
        print(
            f"tollway: cannot listen on 127.0.0.1:{asked.port}: {error.strerror or error}; "
            "give another --port, or 0 for a free one",
            file=sys.stderr,
        )
        return 1
    print(f"Vendor at {vendor.base_url} (seed {asked.seed}), bill at {vendor.url}/bill", flush=True)
    await stop.wait()
    await vendor.stop()
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port between 0 and {_MAX_PORT}")
    return int(text)


def _rate(text: str) -> tuple[Fault | Trait, float]:
    name, _, rate = text.partition("=")
    if name not in _NAMES:
        raise argparse.ArgumentTypeError(f"there is no {name!r}; the names are {', '.join(_NAMES)}")
    try:
        return _NAMES[name], float(rate)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like {name}=0.05") from None


def _bounds_s(text: str) -> Bounds:
    """`5-50`, or `5` for both, in milliseconds; as seconds."""
    low, _, high = text.partition("-")
    try:
        bounds = float(low), float(high or low)
    except ValueError:
        bounds = math.nan, math.nan
    if not 0 <= bounds[0] <= bounds[1] <= _MAX_MS:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 5-50, from 0 to {_MAX_MS}")
    return bounds[0] / _MS_PER_S, bounds[1] / _MS_PER_S
