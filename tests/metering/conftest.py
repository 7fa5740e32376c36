"""A disk for journals, one that can break and one that can fill up; a journal on it, and its folder."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.metering.journals import (
    FULL_DISK_BYTES,
    NO_ROOM,
    BreakableDisk,
    Desk,
    Room,
    real_room,
)
from tests.world.clock import TurningClock
from tollway.metering.folder import Folder
from tollway.metering.journal import Journal
from tollway.metering.recovery import Recovery
from tollway.store.database import Database


@pytest.fixture
def clock() -> TurningClock:
    return TurningClock()


@pytest.fixture
def disk(tmp_path: Path) -> BreakableDisk:
    return BreakableDisk(tmp_path / "journal")


@pytest.fixture
def desk(disk: BreakableDisk, clock: TurningClock) -> Iterator[Desk]:
    made = Desk(disk, clock)
    yield made
    disk.gate.set()
    made.clear()


@pytest.fixture
def journal(desk: Desk) -> Journal:
    return desk.journal()


@pytest.fixture
def folder(journal: Journal, disk: BreakableDisk, database: Database, clock: TurningClock) -> Folder:
    return Folder(journal, disk, database, clock)


@pytest.fixture
def recovery(disk: BreakableDisk, database: Database, clock: TurningClock) -> Recovery:
    return Recovery(disk, database, clock)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A real small file system where one may be mounted; else a disk that says it is full."""
    place = tmp_path / "small"
    place.mkdir()
    size = f"size={FULL_DISK_BYTES}"
    mounting = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)]
    try:
        subprocess.run(mounting, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        broken = BreakableDisk(place / "journal")
        yield Room(broken, lambda: broken.allocations.breaks(NO_ROOM), broken.allocations.heals)
        return
    try:
        yield real_room(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
