"""Faulty parts, each with one bug that somebody could write; the simulation has to find each."""

from collections.abc import Callable, Collection
from contextvars import Context
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from tests.simulation_limits.process import Parts
from tollway.domain.caller import Caller
from tollway.domain.ids import JournalId, OrgId
from tollway.domain.lease import Order, Terms
from tollway.domain.ledger import Batch, Entry
from tollway.domain.limit import minute_of
from tollway.domain.plan import Plans
from tollway.limits.account import Account
from tollway.limits.limits import Limits
from tollway.limits.reservation import Need, Reservation
from tollway.store.database import all_orgs
from tollway.store.journals import position_of
from tollway.store.leases import exchange, lock_org, return_leases, spend_leases
from tollway.store.schema import exchanges, leases
from tollway.store.usage import fold

if TYPE_CHECKING:
    from tests.simulation_limits.history import History

Exchange = Callable[[Connection, OrgId, Order, Plans, int], Terms]
_SILENT_US = 3_000_000
_BETWEEN_S = 0.05


def returns_by_time(history: "History") -> Exchange:
    """Takes a process of which nothing was heard for some seconds for dead, and its leases back."""
    heard: dict[JournalId, int] = {}

    def faulty(db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> Terms:
        heard[order.journal] = history.loop.now_us()
        for journal, at_us in heard.items():
            if at_us < history.loop.now_us() - _SILENT_US:
                db.execute(delete(leases).where(leases.c.journal_id == journal, leases.c.minute_us == 0))
        return exchange(db, org, order, plans, now_us)

    return faulty


@all_orgs
def frees_before_the_fold(db: Connection, journal: JournalId, now_us: int) -> int:
    """Takes back what a dead process had before its journal is folded."""
    return_leases(db, journal, now_us)
    return position_of(db, journal, now_us)


@all_orgs
def frees_unsettled(db: Connection, batch: Batch, now_us: int) -> int:
    """Holds nothing for calls whose end is not known."""
    return fold(
        db, _changed(batch, lambda entry: {} if entry.is_known else {"held": 0, "held_tokens": 0}), now_us
    )


def checks_then_lends(history: "History") -> Exchange:
    """Looks at what is left in one transaction, and lends it in another."""

    def faulty(db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> Terms:
        looking = db.begin_nested()
        terms = exchange(db, org, order, plans, now_us)
        lent = _lent(db, order)
        looking.rollback()
        before = _lent(db, order)
        grown = {key: lent.get(key, 0) - before.get(key, 0) for key in lent.keys() | before.keys()}
        told = {"journal_id": order.journal, "org_id": org, "number": order.number}
        db.execute(
            delete(exchanges).where(exchanges.c.journal_id == order.journal, exchanges.c.org_id == org)
        )
        db.execute(insert(exchanges).values(**told, terms=msgspec.to_builtins(terms)))

        def lend() -> None:
            if not history.server.is_closed:
                history.server.transact(_grow, order, grown)

        history.loop.call_later(_BETWEEN_S, lend, context=Context())
        return terms

    return faulty


def lends_alone(db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> Terms:
    """Does not see what others have."""
    others = update(leases).where(leases.c.org_id == org, leases.c.journal_id != order.journal)
    lock_org(db, org)
    db.execute(others.values(lent=-leases.c.lent))
    terms = exchange(db, org, order, plans, now_us)
    db.execute(others.values(lent=-leases.c.lent))
    return terms


def carries_out_twice(db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> Terms:
    """Does not remember what it has been asked."""
    db.execute(delete(exchanges).where(exchanges.c.journal_id == order.journal))
    return exchange(db, org, order, plans, now_us)


def carries_out_late(db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> Terms:
    """Remembers the last order only, so that one which comes late is carried out once more."""
    same = (exchanges.c.journal_id == order.journal, exchanges.c.org_id == org)
    if db.execute(select(exchanges.c.number).where(*same)).scalar() != order.number:
        db.execute(delete(exchanges).where(*same))
    return exchange(db, org, order, plans, now_us)


@all_orgs
def takes_nothing(db: Connection, batch: Batch, now_us: int) -> int:
    """Folds without taking from the lease."""
    return fold(db, _changed(batch, lambda _: {"leased": 0}), now_us)


@all_orgs
def takes_twice(db: Connection, batch: Batch, now_us: int) -> int:
    """Takes from the lease what it is handed again, too."""
    folded_to = position_of(db, batch.journal, now_us)
    spend_leases(db, batch.journal, [entry for at, entry in batch.entries if at < folded_to])
    return fold(db, batch, now_us)


class Saving(Limits):
    """What is left of a minute is there in the next."""

    def _account(self, caller: Caller) -> Account:
        account = super()._account(caller)

        def turn(now_us: int) -> None:
            for purse in account.purses:
                if purse.is_of_a_minute and purse.minute_us != minute_of(now_us):
                    saved = purse.free
                    purse.turn(minute_of(now_us))
                    purse.free = saved

        account.turn = turn  # type: ignore[method-assign]  # the bug
        return account


class Generous(Limits):
    """Gives what a call did not use back to it twice."""

    async def reserve(self, caller: Caller, need: Need) -> Reservation:
        """As usual; the end is not."""
        reservation = await super().reserve(caller, need)
        settle = reservation.settle

        def twice(charged: int, consumed: int) -> None:
            settle(charged, consumed)
            reservation.is_open = True
            settle(charged, consumed)

        reservation.settle = twice  # type: ignore[method-assign]  # the bug
        return reservation


class Keeping(Limits):
    """Does not give back what comes back from calls that were running when a limit was lowered."""

    async def tidy(self) -> None:
        """As usual, but for that."""
        await super().tidy()
        for desk in self._desks.values():
            for purse in desk.purses.values():
                purse.recalled = 0


class Deaf(Limits):
    """Gives nothing back when its limits change, or others need it."""

    def forget(self, org_ids: Collection[OrgId] | None) -> None:
        """Not even that."""


@all_orgs
def _grow(db: Connection, order: Order, grown: dict[tuple[str, str, int], int]) -> None:
    for (spender, kind, minute_us), amount in grown.items():
        row = {"org_id": order.org_id, "spender_id": spender, "kind": kind, "minute_us": minute_us}
        where = [leases.c[name] == value for name, value in (row | {"journal_id": order.journal}).items()]
        changed = db.execute(update(leases).where(*where).values(lent=leases.c.lent + amount))
        if not changed.rowcount:
            db.execute(insert(leases).values(**row, journal_id=order.journal, lent=amount))


def _lent(db: Connection, order: Order) -> dict[tuple[str, str, int], int]:
    rows = db.execute(
        select(leases).where(leases.c.org_id == order.org_id, leases.c.journal_id == order.journal)
    )
    return {(row.spender_id, row.kind, row.minute_us): row.lent for row in rows}


def _changed(batch: Batch, change: Callable[[Entry], dict[str, int]]) -> Batch:
    entries = [(at, msgspec.structs.replace(entry, **change(entry))) for at, entry in batch.entries]
    return msgspec.structs.replace(batch, entries=entries)


class Bug(NamedTuple):
    """Parts with one bug, and what brings it to light."""

    parts: Parts
    likely: Collection[str]


def _instead(real: Callable[..., object], faulty: Callable[..., object], *likely: str) -> Bug:
    return Bug(Parts(instead=lambda _: {real: faulty}), likely)


BUGS = {
    "a lease is returned by time": Bug(
        Parts(instead=lambda history: {exchange: returns_by_time(history)}), ["pause"]
    ),
    "what a dead process had is free before its journal is folded": _instead(
        position_of, frees_before_the_fold, "kill"
    ),
    "an unsettled call holds nothing": _instead(fold, frees_unsettled, "kill"),
    "what is left is looked at first and lent later": Bug(
        Parts(instead=lambda history: {exchange: checks_then_lends(history)}), ["rest"]
    ),
    "others' leases are not seen": _instead(exchange, lends_alone, "rest"),
    "an order whose answer was lost is carried out twice": _instead(exchange, carries_out_twice, "lost"),
    "an order that comes late is carried out again": _instead(exchange, carries_out_late, "late"),
    "a fold takes nothing from the lease": _instead(fold, takes_nothing),
    "a fold takes from the lease what it is handed twice": _instead(fold, takes_twice, "lost"),
    "a minute's lease is used in the next": Bug(Parts(limits=Saving), ["rate"]),
    "a call is settled twice": Bug(Parts(limits=Generous), []),
    "what running calls had under an old limit is used again": Bug(Parts(limits=Keeping), ["limit"]),
    "limits that change are not heard of": Bug(Parts(limits=Deaf), ["limit", "use"]),
}
"""By what is wrong."""
