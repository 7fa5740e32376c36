"""A journal as a plain list: what it tells outlives its process, in order."""

from collections.abc import Sequence

from tests.simulation.scheduler import Life
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Batch, Entry, Start


class Journal:
    """What a process has told of its calls; it outlives the process."""

    def __init__(self, id_: JournalId) -> None:
        self.id = id_
        self.records: list[Start | Entry] = []
        self.owner: Life | None = None
        """Who holds its lock."""

    def batch(self, first: int, upto: int) -> Batch:
        """These records, as the folder hands them over."""
        found = enumerate(self.records[first:upto], first)
        entries = [(at, record) for at, record in found if isinstance(record, Entry)]
        return Batch(journal=self.id, first=first, upto=upto, entries=entries)

    def open(self) -> Sequence[Start]:
        """Calls without an end."""
        starts = {record.key: record for record in self.records if isinstance(record, Start)}
        for record in self.records:
            if isinstance(record, Entry):
                starts.pop(record.key)
        return list(starts.values())
