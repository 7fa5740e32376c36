"""What the gateway adds: the same requests straight to an instant vendor and through Tollway.

Everything is metered, priced and folded into SQLite while it runs. The two are measured in turn,
in one run, because the machine is shared; the ratio is what can be compared. Run: `make bench`.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import uvloop

from bench.load import Measured, measure, request

_CONNECTIONS = 32
_SECONDS = 2.0
_ROUNDS = 4
_CONFIG = """
demo = "on"
[providers.instant]
dialect = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models_only = true
[[models]]
name = "instant/model"
provider = "instant"
upstream = "instant"
price = {{ input = "0.40", output = "1.60" }}
"""


@contextmanager
def running(*command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process of ours, ended by its id."""
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, env=env)  # noqa: S603 - our own command
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def line_of(process: subprocess.Popen[str], pattern: str) -> str:
    """The first group of the pattern in what the process prints."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    for line in process.stdout:
        if found := re.search(pattern, line):
            return found[1]
    raise RuntimeError(f"no line like {pattern} was printed")


async def alternate(vendor_port: int, port: int, key: str) -> tuple[list[Measured], list[Measured]]:
    """Both, in turn."""
    direct: list[Measured] = []
    through: list[Measured] = []
    for _ in range(_ROUNDS):
        for measured, to, token, model in (
            (direct, vendor_port, "none", "instant"),
            (through, port, key, "instant/model"),
        ):
            sent = request(to, token, model)
            measured.append(await measure(to, sent, connections=_CONNECTIONS, seconds=_SECONDS))
    return direct, through


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, running("-m", "bench.instant") as vendor:
        vendor_port = int(line_of(vendor, r"^(\d+)$"))
        config = Path(folder) / "tollway.toml"
        config.write_text(_CONFIG.format(port=vendor_port))
        env = {"TOLLWAY_CONFIG": str(config), "TOLLWAY_DATA_DIR": f"{folder}/data", "TOLLWAY_PORT": "0"}
        with running("-m", "tollway", "serve", env=env) as gateway:
            port = int(line_of(gateway, r"listens on http://127\.0\.0\.1:(\d+)"))
            key = line_of(gateway, r"app key +(\S+)")
            direct, through = uvloop.run(alternate(vendor_port, port, key))
    print(f"{_CONNECTIONS} connections, {_ROUNDS} rounds of {_SECONDS:g} s each, median of the rounds\n")
    print(f"{'':<22}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    rows = {"straight to the vendor": direct, "through Tollway": through}
    for name, measured in rows.items():
        print(
            f"{name:<22}{median(m.per_s for m in measured):>12,.0f}"
            f"{median(m.p50_ms for m in measured):>10.2f}{median(m.p99_ms for m in measured):>10.2f}"
        )
    ratio = median(t.per_s / d.per_s for d, t in zip(direct, through, strict=True))
    added = median(t.p50_ms - d.p50_ms for d, t in zip(direct, through, strict=True)) / _CONNECTIONS
    print(f"\nratio {ratio:.3f}; one request costs {1000 * added:.0f} µs of the gateway's core")


if __name__ == "__main__":
    main()
