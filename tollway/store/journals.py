"""The registry of journals: which there are, where they lie, and how far each is in the ledger.

Owns the table `journals`; does not own their files (`metering/`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from tollway.domain.ids import JournalId
from tollway.store.database import all_orgs
from tollway.store.leases import return_leases
from tollway.store.schema import journals
from tollway.store.upsert import keeping

_IS_NAMED = journals.c.id == bindparam("journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """What is known of a journal. `place`: its host and folder; times in microseconds."""

    id: JournalId
    place: str
    folded_to: int
    added_us: int
    closed_us: int | None
    forfeited_us: int | None


_KEEPING = keeping(journals)


@all_orgs
def register_journal(db: Connection, journal: JournalId, place: str, now_us: int) -> None:
    """Make a journal known before its first record is folded; again is harmless."""
    row = {"id": journal, "place": place, "folded_to": 0, "added_us": now_us}
    db.execute(_KEEPING[db.dialect.name], row)


_LOCK = select(journals.c.folded_to).where(_IS_NAMED).with_for_update()


@all_orgs
def position_of(db: Connection, journal: JournalId, now_us: int) -> int:
    """The offset that it is folded to, which stays so until this transaction ends."""
    named = {"journal": journal}
    folded_to = db.execute(_LOCK, named).scalar()
    if folded_to is None:  # the database was restored from before the journal began
        register_journal(db, journal, "", now_us)
        folded_to = db.execute(_LOCK, named).scalar_one()  # another one may have done so, and moved it
    return int(folded_to)


_MOVE = update(journals).where(_IS_NAMED).values(folded_to=bindparam("offset"))


@all_orgs
def move_to(db: Connection, journal: JournalId, offset: int) -> None:
    """All below this offset is in the ledger."""
    db.execute(_MOVE, {"journal": journal, "offset": offset})


_CLOSE = (
    update(journals)
    .where(_IS_NAMED, journals.c.folded_to >= bindparam("at_least"))
    .values(closed_us=bindparam("now_us"))
)


@all_orgs
def close_journal(db: Connection, journal: JournalId, now_us: int, *, folded_to: int = 0) -> None:
    """It is folded to its end, and its process is gone.

    Nothing happens if this database, restored meanwhile, lacks some of what is below `folded_to`.
    """
    closing = {"journal": journal, "at_least": folded_to, "now_us": now_us}
    if db.execute(_CLOSE, closing).rowcount:
        return_leases(db, journal, now_us)


@all_orgs
def forfeit_journal(db: Connection, journal: JournalId, now_us: int) -> bool:
    """Give up a journal that cannot be reached any more; whether there is such an open one.

    What its process held of limits comes back; what it spent and never told is nobody's.
    """
    where = (journals.c.id == journal, journals.c.closed_us.is_(None), journals.c.forfeited_us.is_(None))
    is_given_up = bool(db.execute(update(journals).where(*where).values(forfeited_us=now_us)).rowcount)
    if is_given_up:
        return_leases(db, journal, now_us)
    return is_given_up


@all_orgs
def list_journals(db: Connection) -> list[JournalState]:
    """All of them, oldest first."""
    rows = db.execute(select(journals).order_by(journals.c.added_us, journals.c.id))
    return [JournalState(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's documented access by name


@all_orgs
def states_of(db: Connection, ids: Collection[JournalId]) -> Mapping[JournalId, JournalState]:
    """Those of these that are known."""
    rows = db.execute(select(journals).where(journals.c.id.in_(ids)))
    found = [JournalState(**row._mapping) for row in rows]  # noqa: SLF001 - as above
    return {state.id: state for state in found}
