"""Leases: what each process may let through by itself, out of what is left of each limit.

    left = limit - spent (rows) - lent (leases that are not spent yet)

All that changes a pot holds the organisation's lock, which the fold holds too, so `left` is never
seen too large. A lease ends by its holder's order, or with its holder's journal, never by time.
Owns the tables `leases` and `exchanges`; does not own the arithmetic of a slice (`domain/lease.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tollway.domain.cycle import Cycle
from tollway.domain.errors import StoreUnavailable
from tollway.domain.ids import JournalId, OrgId
from tollway.domain.lease import Ask, Order, Term, Terms, term
from tollway.domain.ledger import Entry, EntryKind
from tollway.domain.limit import LEASED, MINUTE_US, Kind, Level, Pot, minute_of
from tollway.domain.org import AlertKind
from tollway.domain.plan import Plans
from tollway.store.alerts import raise_alert, told_of
from tollway.store.changes import announce
from tollway.store.cycles import current_cycle
from tollway.store.database import all_orgs
from tollway.store.grants import trial_spent
from tollway.store.limits import read_caps
from tollway.store.schema import cycle_totals, exchanges, journals, leases, ledger, org_totals, spender_totals


def lock_org(db: Connection, org: OrgId) -> int:
    """Lock the organisation's totals until this transaction ends; returns its newest row's number."""
    adding = _upsert(db, org_totals).values(org_id=org, seq=0, trial_nano=0)
    adding = adding.on_conflict_do_update(index_elements=["org_id"], set_={"seq": org_totals.c.seq})
    return int(db.execute(adding.returning(org_totals.c.seq)).scalar_one())


def exchange(db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> Terms:
    """Carry out an order, or answer again what it was answered when it was carried out.

    Nobody waits for one that comes after a later one: it was said again meanwhile, and answered.
    StoreUnavailable for one of a journal that is closed: what it lends would never come back.
    """
    lock_org(db, org)
    told = db.execute(
        select(exchanges.c.number, exchanges.c.terms).where(
            exchanges.c.journal_id == order.journal, exchanges.c.org_id == org
        )
    ).first()
    if told is not None and told.number >= order.number:
        return msgspec.convert(told.terms, Terms)
    terms = _Desk(db, org, order, plans, now_us).terms()
    keeping = _upsert(db, exchanges).values(
        journal_id=order.journal, org_id=org, number=order.number, terms=msgspec.to_builtins(terms)
    )
    changed = {"number": keeping.excluded.number, "terms": keeping.excluded.terms}
    db.execute(keeping.on_conflict_do_update(index_elements=["journal_id", "org_id"], set_=changed))
    return terms


@dataclass(frozen=True, slots=True)
class _Lent:
    """What is lent of a pot: in all, and to others than the one who asks."""

    in_all: int = 0
    to_others: int = 0


class _Desk:
    """One order being carried out."""

    def __init__(self, db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> None:
        self._db = db
        self._org = org
        self._order = order
        self._now_us = now_us
        self._caps = read_caps(db, org, order.app_id, order.key_id, plans)
        self._cycle: Cycle | None = None

    def terms(self) -> Terms:
        order = self._order
        ids = self._open_journals()
        self._lend([(ask, -ask.given_back) for ask in order.asks])
        lent = self._lent()
        terms = [self._term(ask, lent[ask.pot, ask.minute_us]) for ask in order.asks]
        self._lend([(ask, term.granted) for ask, term in zip(order.asks, terms, strict=True)])
        rank = ids.index(order.journal) if order.journal in ids else 0
        return Terms(terms=tuple(terms), processes=max(1, len(ids)), rank=rank)

    def _open_journals(self) -> Sequence[str]:
        """Of all processes. One that is not registered may be of a database that was restored."""
        is_open = and_(journals.c.closed_us.is_(None), journals.c.forfeited_us.is_(None))
        query = select(journals.c.id, is_open.label("is_open")).where(
            or_(is_open, journals.c.id == self._order.journal)
        )
        rows = self._db.execute(query.order_by(journals.c.id)).all()
        if not all(row.is_open for row in rows):
            raise StoreUnavailable("this process's journal is closed")
        return [row.id for row in rows]

    def _term(self, ask: Ask, lent: _Lent) -> Term:
        limit = self._caps.get(ask.pot)
        if limit is None:
            return term(ask, None)
        spent, resets_us = self._spent(ask)
        left = limit - spent - lent.in_all
        found = term(ask, limit, left=left, elsewhere=lent.to_others, resets_us=resets_us)
        if ask.most and not found.size:
            self._refused(ask, limit, spent, lent)
        return found

    def _refused(self, ask: Ask, limit: int, spent: int, lent: _Lent) -> None:
        """Others who have some of it are asked for it; a spending limit's alert is raised."""
        if lent.to_others > 0:
            announce(self._db, self._org, self._now_us)
        if ask.kind is Kind.SPEND and ask.level is Level.ORG:
            cycle = self._current_cycle()
            raise_alert(
                self._db,
                self._org,
                cycle_start_us=cycle.start_us,
                kind=AlertKind.HARD_LIMIT,
                content=told_of(limit, spent, cycle),
                now_us=self._now_us,
            )

    def _spent(self, ask: Ask) -> tuple[int, int | None]:
        """What rows have used of a pot, and when it is full again (None: never by itself)."""
        match ask.kind:
            case Kind.REQUESTS | Kind.TOKENS:
                return 0, ask.minute_us + MINUTE_US
            case Kind.TRIAL:
                return trial_spent(self._db, self._org), None
            case Kind.PLAN | Kind.SPEND:
                cycle = self._current_cycle()
                return _spent_in(self._db, self._org, ask.pot, cycle.start_us), cycle.end_us
        assert_never(ask.kind)

    def _current_cycle(self) -> Cycle:
        if self._cycle is None:
            self._cycle = current_cycle(self._db, self._org, self._now_us)
        return self._cycle

    def _lent(self) -> defaultdict[tuple[Pot, int], _Lent]:
        """What is lent of the pots that are asked for.

        A lease is below 0 after calls that cost more than was reserved. Others' then lend nothing;
        what this process is granted makes good its own first.
        """
        minutes = {ask.minute_us for ask in self._order.asks}
        levels = {ask.id: ask.level for ask in self._order.asks}
        rows = self._db.execute(
            select(leases).where(
                leases.c.org_id == self._org,
                leases.c.spender_id.in_(levels),
                leases.c.minute_us.in_(minutes),
                or_(leases.c.lent > 0, leases.c.journal_id == self._order.journal),
            )
        )
        in_all: Counter[tuple[Pot, int]] = Counter()
        to_others: Counter[tuple[Pot, int]] = Counter()
        for row in rows:
            pot = (Pot(levels[row.spender_id], row.spender_id, Kind(row.kind)), row.minute_us)
            in_all[pot] += row.lent
            to_others[pot] += row.lent * (row.journal_id != self._order.journal)
        found: defaultdict[tuple[Pot, int], _Lent] = defaultdict(_Lent)
        found.update({pot: _Lent(in_all[pot], to_others[pot]) for pot in in_all})
        return found

    def _lend(self, changes: Iterable[tuple[Ask, int]]) -> None:
        """Add to this process's leases; less than nothing takes away."""
        rows = [
            {
                "org_id": self._org,
                "spender_id": ask.id,
                "kind": ask.kind.value,
                "minute_us": ask.minute_us,
                "journal_id": self._order.journal,
                "lent": amount,
            }
            for ask, amount in changes
            if amount
        ]
        if rows:
            adding = _upsert(self._db, leases)
            added = {"lent": leases.c.lent + adding.excluded.lent}
            keys = ["org_id", "spender_id", "kind", "minute_us", "journal_id"]
            self._db.execute(adding.on_conflict_do_update(index_elements=keys, set_=added), rows)


def _spent_in(db: Connection, org: OrgId, pot: Pot, cycle_start_us: int) -> int:
    """What the rows of a cycle have used of a pot, with what is held for unsettled ones.

    An order may be carried out after the end of the cycle that it was sent in: what counts is the
    cycle, of those from then on, that has used most.
    """
    if pot.level is not Level.ORG:
        query = select(func.max(spender_totals.c.cost_nano)).where(
            spender_totals.c.org_id == org,
            spender_totals.c.spender_id == pot.id,
            spender_totals.c.cycle_start_us >= cycle_start_us,
        )
        return int(db.execute(query).scalar() or 0)
    totals = cycle_totals.c
    nano = totals.cost_prompt_nano + totals.cost_completion_nano + totals.held_nano
    tokens = totals.prompt_tokens + totals.completion_tokens + totals.held_tokens
    query = select(func.max(nano if pot.kind is Kind.SPEND else tokens)).where(
        totals.org_id == org, totals.cycle_start_us >= cycle_start_us
    )
    return int(db.execute(query).scalar() or 0)


@all_orgs
def spend_leases(db: Connection, journal: JournalId, entries: Iterable[Entry]) -> None:
    """What these rows cost is spent, and so not lent to the process of this journal any more."""
    spent: Counter[tuple[str, str, str]] = Counter()
    for entry in entries:
        if entry.leased:
            ids = {Level.ORG: entry.org_id, Level.APP: entry.app_id, Level.KEY: entry.key_id}
            for (level, kind), flag in LEASED.items():
                if entry.leased & flag:
                    amount = entry.consumed if kind is Kind.PLAN else entry.charged
                    spent[entry.org_id, ids[level], kind.value] += amount
    if not spent:
        return
    changing = (
        update(leases)
        .where(
            leases.c.org_id == bindparam("org"),
            leases.c.spender_id == bindparam("spender"),
            leases.c.kind == bindparam("of_kind"),
            leases.c.minute_us == 0,
            leases.c.journal_id == journal,
        )
        .values(lent=leases.c.lent - bindparam("amount"))
    )
    rows = [
        {"org": org, "spender": spender, "of_kind": kind, "amount": amount}
        for (org, spender, kind), amount in sorted(spent.items())
    ]
    db.execute(changing, rows)


@all_orgs
def return_leases(db: Connection, journal: JournalId, now_us: int) -> None:
    """What a process had comes back: all of its calls are rows, and it makes no more.

    Of a clock minute that is not over, what its rows may have used stays away.
    """
    held = db.execute(
        select(leases).where(leases.c.journal_id == journal, leases.c.minute_us >= minute_of(now_us))
    ).all()
    db.execute(
        delete(leases).where(
            leases.c.journal_id == journal,
            or_(leases.c.minute_us == 0, leases.c.minute_us < minute_of(now_us)),
        )
    )
    for row in held:
        used = _used_in_minute(db, OrgId(row.org_id), row.spender_id, Kind(row.kind), row.minute_us, journal)
        db.execute(
            update(leases)
            .where(
                leases.c.org_id == row.org_id,
                leases.c.spender_id == row.spender_id,
                leases.c.kind == row.kind,
                leases.c.minute_us == row.minute_us,
                leases.c.journal_id == journal,
            )
            .values(lent=min(row.lent, used))
        )
    db.execute(delete(exchanges).where(exchanges.c.journal_id == journal))


def _used_in_minute(
    db: Connection, org: OrgId, spender: str, kind: Kind, minute_us: int, journal: JournalId
) -> int:
    """At most what a process's calls took from a minute: those that ran in it."""
    used = ledger.c.prompt_tokens + ledger.c.completion_tokens + func.coalesce(ledger.c.held_tokens, 0)
    query = select(func.count() if kind is Kind.REQUESTS else func.coalesce(func.sum(used), 0)).where(
        ledger.c.org_id == org,
        ledger.c.ended_us >= minute_us,
        ledger.c.started_us < minute_us + MINUTE_US,
        ledger.c.journal_id == journal,
        ledger.c.kind == EntryKind.USAGE.value,
    )
    if spender != org:
        query = query.where(or_(ledger.c.app_id == spender, ledger.c.key_id == spender))
    return int(db.execute(query).scalar_one())


@all_orgs
def forget_minutes(db: Connection, before_us: int) -> None:
    """Remove what was lent of minutes that are over."""
    db.execute(delete(leases).where(leases.c.minute_us > 0, leases.c.minute_us < before_us - MINUTE_US))


def _upsert(db: Connection, table: Any) -> Any:  # noqa: ANN401 - each dialect has an insert of its own
    return (postgresql if db.dialect.name == "postgresql" else sqlite).insert(table)
