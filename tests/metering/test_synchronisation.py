"""Synchronisations as they are counted; what they promise is in `test_journal_sync.py`."""

from tests.metering.journals import BreakableDisk, ended
from tollway.metering.journal import Journal


async def test_synchronisations_are_counted_with_their_failures_and_their_time(
    journal: Journal, disk: BreakableDisk
) -> None:
    ended(journal)
    await journal.sync()
    counted = journal.synchronised
    assert (counted.times, counted.failures) == (1, 0)
    assert counted.seconds > 0
    disk.syncs.breaks_once()
    ended(journal)
    await journal.sync()
    assert (counted.times, counted.failures) == (2, 1)
