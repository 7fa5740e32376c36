"""A real Prometheus for a test run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import bcrypt

from tests.peers.monitor import MonitorServer, find_binary


def find_prometheus() -> Path | None:
    """The binary that `.ci/peers` unpacked, else the one on PATH."""
    return find_binary(PrometheusServer.BINARY)


class PrometheusServer(MonitorServer):
    """A Prometheus server of its own for one `with` block, for one user."""

    NAME: ClassVar[str] = "Prometheus"
    BINARY: ClassVar[str] = "prometheus"
    READY_PATH: ClassVar[str] = "/-/ready"

    def flags(self, folder: Path, address: str) -> Sequence[str]:
        """Its configuration is written beside its data."""
        config, web = folder / "prometheus.yml", folder / "web.yml"
        config.write_text("{}")
        # JSON is YAML.
        hashed = bcrypt.hashpw(self.token.encode(), bcrypt.gensalt(rounds=4)).decode()
        web.write_text(json.dumps({"basic_auth_users": {self.user: hashed}}))
        return [
            f"--config.file={config}",
            f"--web.config.file={web}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--web.enable-remote-write-receiver",
        ]


class Prometheus3Server(PrometheusServer):
    """One that understands remote write 2.0: the others take it for an empty message of 1.0."""

    NAME: ClassVar[str] = "Prometheus 3"
    BINARY: ClassVar[str] = "prometheus-3"
