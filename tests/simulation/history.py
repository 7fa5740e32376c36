"""One history: what a seed lets happen to some processes, one disk, one database and one vendor."""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from random import Random

from tests.simulation.calls import Book
from tests.simulation.database import Server
from tests.simulation.disk import Platter
from tests.simulation.faults import Faults
from tests.simulation.invariants import check_always, check_at_the_end, check_commit
from tests.simulation.plan import Plan
from tests.simulation.process import Parts, Process
from tests.simulation.scheduler import Loop
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import JournalId
from tollway.domain.ledger import Batch, unsettled
from tollway.metering.frames import frames, read_header
from tollway.store.usage import fold
from tollway.world import World

_REST_S = 8.0
_UNTIL_NOTICED_S = 8.0
"""More than it takes until a process notices that the database was restored."""


class Violation(AssertionError):  # noqa: N818 - as in domain/errors.py: it says what happened
    """Something that may never happen has happened."""


class History:
    """What happens under one seed."""

    def __init__(self, seed: int, parts: Parts, likely: Collection[str]) -> None:
        self.random = Random(seed)  # noqa: S311 - chance that comes again is what is asked for
        self.parts = parts
        self.plan = Plan.of(self.random, likely)
        self.loop = Loop(self.random, self.plan.began_us)
        self.faults = Faults(self.random, self.plan.chances)
        self.platter = Platter(self.loop, self.faults)
        self.server = Server(self.loop, self.faults, parts.instead)
        self.book = Book()
        self.processes: list[Process] = []
        self.notes: list[str] = [str(self.plan)]
        self.befallen: Counter[str] = Counter()
        """How often which event happened."""
        self._backups: list[tuple[int, sqlite3.Connection]] = []
        self._violations: list[str] = []
        self._restored_s = -_UNTIL_NOTICED_S
        self.seen_rows: dict[tuple[object, ...], tuple[object, ...]] = {}
        self.loop.watch = self._watch
        self.server.watch = lambda: check_commit(self)
        self.platter.watch_sync = self._synchronised
        self.platter.watch_failure = self._failed
        self.platter.watch_removal = self._removed

    def run(self) -> None:
        """Let it happen; Violation."""
        self.loop.run(self._happen())

    def note(self, what: str) -> None:
        """Remember it for whoever looks into a failure."""
        self.notes.append(f"{self.loop.time():8.3f} {what}")

    def violate(self, what: str) -> None:
        """What may never happen has happened; told after this step."""
        self._violations.append(what)

    @property
    def worlds(self) -> list[World]:
        """Of the processes that run."""
        return [process.world for process in self.processes if process.world is not None]

    def _watch(self) -> None:
        check_always(self)
        found = self._violations + self.loop.errors
        if found:
            raise Violation("; ".join(found))

    def _synchronised(self, journal: JournalId) -> None:
        """If now all that a living journal has to tell is stored, the book says so."""
        for world in self.worlds:
            own = world.journal
            if own.id == journal and not own.unwritten and not own.trouble and self.platter.is_clean(journal):
                self.book.keep(journal)
                if not self.platter.has_failed(journal):
                    self.book.keep_refusals(journal)

    def _failed(self, journal: JournalId) -> None:
        """Nothing is ever written again where nothing has to be stored; and refusals never are."""
        self.book.lose_refusals(journal)
        if self.plan.fsync == "never":
            self.book.may_forget(journal)

    def _removed(self, journal: JournalId) -> None:
        """What a restored database lacks may go before its process finds out."""
        if self.loop.time() < self._restored_s + _UNTIL_NOTICED_S:
            known = set(self.server.rows("SELECT request_id, attempt FROM ledger"))
            for call in self.book.by_journal[journal]:
                call.is_lost |= call.start.key not in known
            counted = {reason for (reason,) in self.server.rows("SELECT label FROM series_totals")}
            for reason, refusal in self.book.refusals.items():
                refusal.is_lost |= refusal.journal == journal and reason not in counted

    async def _happen(self) -> None:
        plan, draw = self.plan, self.random
        for number in range(plan.num_processes):
            self._start(f"process {number}")
        num_left = plan.num_calls
        pause_s = plan.lasts_s / (plan.num_calls + 10)
        while self.loop.time() < plan.lasts_s:
            await asyncio.sleep(draw.expovariate(1 / pause_s))
            self._start_again()
            if num_left and draw.random() < 0.8:
                num_left -= 1
                draw.choice(self.processes).call()
            elif plan.events:
                self._befall(draw.choice(plan.events))
        await self._end_well()
        check_at_the_end(self)

    async def _end_well(self) -> None:
        """No more faults: the processes go on for a while and stop or die; one more folds all."""
        self.note("all is well")
        self.faults.end()
        self.server.is_away = False
        self.platter.others_bytes = 0
        await asyncio.sleep(self.random.random() * _REST_S)
        for process in self.processes:
            if self.random.random() < 0.5:
                process.stop()
        await asyncio.sleep(_REST_S)
        for process in self.processes:
            self.loop.kill(process.life)
        self.loop.is_calm = True
        last = Process(self, "the last process")
        self.processes = [last]
        last.begin()
        while last.world is None:  # noqa: ASYNC110 - time is free here
            await asyncio.sleep(0.1)
        folded: list[bool] = []

        async def fold_all(world: World) -> None:
            await asyncio.sleep(_REST_S)  # it recovers by itself, and holds the locks meanwhile
            await world.recovery.recover()
            await world.folder.fold_all()
            folded.append(True)

        last.do(fold_all)
        while not folded:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.1)

    def _start(self, name: str) -> None:
        process = Process(self, name)
        self.processes.append(process)
        process.begin()

    def _start_again(self) -> None:
        for process in [process for process in self.processes if not process.is_alive]:
            if self.random.random() < 0.2:
                self.processes.remove(process)
                self._start(process.life.name)

    def _befall(self, kind: str) -> None:
        """One event, if it can happen now."""
        process = self.random.choice(self.processes)
        match kind:
            case "kill" if process.is_alive and self.random.random() < 0.4:
                self.note(f"{process.life.name} is killed")
                self.loop.kill(process.life)
            case "stop" if process.accepts and self.random.random() < 0.4:
                self.note(f"{process.life.name} stops")
                process.stop()
            case "power" if self.random.random() < 0.3:
                self._lose_power()
            case "away":
                self.server.is_away = not self.server.is_away
                self.note(f"the database is {'away' if self.server.is_away else 'back'}")
            case "full":
                self._fill_disk()
            case "restore" if self._has_backup():
                self._restore()
            case "house":
                process.do(self._keep_house)
            case "replay":
                process.do(self._replay)
            case "verdict" if not self.server.is_away:
                self._give_verdict()
            case "rot":
                self._rot()
            case _:
                return
        self.befallen[kind] += 1

    def _lose_power(self) -> None:
        self.note("the machine loses power")
        for process in self.processes:
            self.loop.kill(process.life)
        self.book.lose_power()
        self.platter.lose_power()

    def _fill_disk(self) -> None:
        """Others write, or remove what they have."""
        space = self.platter.space()
        changes = (space, -self.platter.others_bytes, space // 2)
        self.platter.others_bytes += self.random.choice(changes)
        self.note(f"the disk has {self.platter.space()} bytes left")

    def _has_backup(self) -> bool:
        """Whether to restore one; else one is made. Those from before a removal lack too much."""
        self._backups = [one for one in self._backups if one[0] == self.platter.num_removed]
        if self._backups and self.random.random() < 0.5:
            return True
        self._backups.append((self.platter.num_removed, self.server.copy()))
        return False

    def _restore(self) -> None:
        self.note("the database is restored")
        self.server.restore(self.random.choice(self._backups)[1])
        self.seen_rows = {}
        self._restored_s = self.loop.time()

    async def _keep_house(self, world: World) -> None:
        before_us = self.loop.now_us() - self.random.randint(0, 3) * US_PER_S
        world.journal.drop(before_us)
        await world.recovery.remove_old(before_us)

    async def _replay(self, world: World) -> None:
        async for _ in world.recovery.replay():
            pass

    def _rot(self) -> None:
        """A byte of a record rots: the call that it tells of may be lost, and no other."""
        folders = self.platter.folders.values()
        files = [(folder, file) for folder in folders for file in folder.files.values()]
        if not files:
            return
        folder, file = self.random.choice(files)
        header, _ = read_header(folder.note)
        found = list(frames(bytes(file.content), header.salt))
        if found:
            each = self.random.choice(found)
            self.note(f"record {each.offset} of journal {header.journal} rots")
            file.rot(self.random.randrange(each.begin, each.end))
            for call in self.book.by_journal[header.journal]:
                call.is_lost |= call.start.request_id.encode() in each.payload
            for reason, refusal in self.book.refusals.items():
                refusal.is_lost |= refusal.journal == header.journal and reason.encode() in each.payload

    def _give_verdict(self) -> None:
        """An operator gives up a call that is still open."""
        calls = [call for call in self.book.calls.values() if call.is_admitted and not call.has_ended]
        if calls:
            call = self.random.choice(calls)
            call.has_verdict = True
            now_us = self.loop.now_us()
            batch = Batch(
                journal=JournalId(f"verdict {len(self.notes)}"),
                first=0,
                upto=1,
                entries=[(0, unsettled(call.start, now_us))],
            )
            self.note(f"{call.start.key} is given up")
            self.server.transact_surely(fold, batch, now_us)


@contextmanager
def replayable(package: str, seed: int, notes: Sequence[str]) -> Iterator[None]:
    """No logs; a Violation says how to see it again, and what led to it."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    except Violation as error:
        raise Violation(
            f"SIMULATION_SEED={seed}: {error}\nreplay: python -m {package} --seed {seed}\n" + "\n".join(notes)
        ) from None
    finally:
        logging.disable(logging.NOTSET)


def simulate(seed: int, parts: Parts | None = None, likely: Collection[str] = ()) -> History:
    """Let a seed's history happen, with some events and faults surely in it. Violation."""
    history = History(seed, parts or Parts(), likely)
    with replayable("tests.simulation", seed, history.notes):
        history.run()
    return history
