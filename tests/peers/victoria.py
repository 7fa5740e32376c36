"""A real VictoriaMetrics for a test run."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.peers.monitor import MonitorServer


class VictoriaServer(MonitorServer):
    """A VictoriaMetrics server of its own for one `with` block, for one user."""

    NAME: ClassVar[str] = "VictoriaMetrics"
    BINARY: ClassVar[str] = "victoria-metrics"
    READY_PATH: ClassVar[str] = "/health"

    def flags(self, folder: Path, address: str) -> Sequence[str]:
        """A query sees what was taken a second ago, not half a minute."""
        return [
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr={address}",
            f"-httpAuth.username={self.user}",
            f"-httpAuth.password={self.token}",
            "-search.latencyOffset=0s",
            "-memory.allowedBytes=64MB",
        ]
