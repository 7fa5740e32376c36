"""What may go wrong, how often, and what has gone wrong already."""

from collections import Counter
from random import Random
from typing import Literal

Fault = Literal[
    "store_before",  # the database does not answer
    "store_after",  # it has done what was asked, and its answer is lost
    "write_eio",  # a write ends early with an error
    "sync_eio",  # a synchronisation fails; what it should have stored may be lost
    "add_eio",  # a file cannot be made
    "torn_read",  # of what is just being written, later pages are seen and earlier ones are not
    "refused",  # an entry that no database can hold
    "kill",  # the process is killed within an operation on the disk
]


class Faults:
    """Each kind's chance per operation; after `end` nothing happens any more."""

    def __init__(self, random: Random, chances: dict[Fault, float]) -> None:
        self._random = random
        self._chances = chances
        self.happened: Counter[Fault] = Counter()

    def happens(self, fault: Fault) -> bool:
        """Whether it does this time."""
        chance = self._chances.get(fault, 0.0)
        if not chance or self._random.random() >= chance:
            return False
        self.happened[fault] += 1
        return True

    def end(self) -> None:
        """From now on all is well."""
        self._chances = {}
