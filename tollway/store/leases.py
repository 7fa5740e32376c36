"""Leases: what each process may let through by itself, out of what is left of each limit.

    left = limit - spent (rows) - lent (leases that are not spent yet)

All that changes a pot holds the organisation's lock, which the fold holds too, so `left` is never
seen too large. A lease ends by its holder's order, or with its holder's journal, never by time.
Owns the tables `leases` and `exchanges`; does not own the arithmetic of a slice (`domain/lease.py`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

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
from tollway.store.upsert import adding, replacing

_LOCK = {name: insert.returning(org_totals.c.seq) for name, insert in adding(org_totals).items()}


def lock_org(db: Connection, org: OrgId) -> int:
    """Lock the organisation's totals until this transaction ends; returns its newest row's number."""
    return int(db.execute(_LOCK[db.dialect.name], {"org_id": org, "seq": 0, "trial_nano": 0}).scalar_one())


_TOLD = select(exchanges.c.number, exchanges.c.terms).where(
    exchanges.c.journal_id == bindparam("journal"), exchanges.c.org_id == bindparam("org")
)
_REMEMBER = replacing(exchanges)


def exchange(db: Connection, org: OrgId, order: Order, plans: Plans, now_us: int) -> Terms:
    """Carry out an order, or answer again what it was answered when it was carried out.

    Nobody waits for one that comes after a later one: it was said again meanwhile, and answered.
    StoreUnavailable for one of a journal that is closed: what it lends would never come back.
    """
    lock_org(db, org)
    told = db.execute(_TOLD, {"journal": order.journal, "org": org}).first()
    if told is not None and told.number >= order.number:
        return msgspec.convert(told.terms, Terms)
    terms = _Desk(db, org, order, plans, now_us).terms()
    kept = {"number": order.number, "terms": msgspec.to_builtins(terms)}
    db.execute(_REMEMBER[db.dialect.name], {"journal_id": order.journal, "org_id": org, **kept})
    return terms


_IS_OPEN = and_(journals.c.closed_us.is_(None), journals.c.forfeited_us.is_(None))
_JOURNALS = (
    select(journals.c.id, _IS_OPEN.label("is_open"))
    .where(or_(_IS_OPEN, journals.c.id == bindparam("journal")))
    .order_by(journals.c.id)
)
_LEASES = select(leases).where(
    leases.c.org_id == bindparam("org"),
    leases.c.spender_id.in_(bindparam("spenders", expanding=True)),
    leases.c.minute_us.in_(bindparam("minutes", expanding=True)),
    or_(leases.c.lent > 0, leases.c.journal_id == bindparam("journal")),
)
_LEND = adding(leases)


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
        terms = [self._term(ask, lent[ask.id, ask.kind, ask.minute_us]) for ask in order.asks]
        self._lend([(ask, term.granted) for ask, term in zip(order.asks, terms, strict=True)])
        rank = ids.index(order.journal) if order.journal in ids else 0
        return Terms(terms=tuple(terms), processes=max(1, len(ids)), rank=rank)

    def _open_journals(self) -> Sequence[str]:
        """Of all processes. One that is not registered may be of a database that was restored."""
        rows = self._db.execute(_JOURNALS, {"journal": self._order.journal}).all()
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

    def _lent(self) -> defaultdict[tuple[str, str, int], _Lent]:
        """What is lent of the pots that are asked for, by id, kind and minute.

        A lease is below 0 after calls that cost more than was reserved. Others' then lend nothing;
        what this process is granted makes good its own first.
        """
        spenders = {ask.id for ask in self._order.asks}
        minutes = {ask.minute_us for ask in self._order.asks}
        asked = {"org": self._org, "spenders": list(spenders), "minutes": list(minutes)}
        rows = self._db.execute(_LEASES, {**asked, "journal": self._order.journal})
        in_all: Counter[tuple[str, str, int]] = Counter()
        to_others: Counter[tuple[str, str, int]] = Counter()
        for row in rows:
            pot = (row.spender_id, row.kind, row.minute_us)
            in_all[pot] += row.lent
            to_others[pot] += row.lent * (row.journal_id != self._order.journal)
        found: defaultdict[tuple[str, str, int], _Lent] = defaultdict(_Lent)
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
            self._db.execute(_LEND[self._db.dialect.name], rows)


_SPENT_BY_SPENDER = select(func.max(spender_totals.c.cost_nano)).where(
    spender_totals.c.org_id == bindparam("org"),
    spender_totals.c.spender_id == bindparam("spender"),
    spender_totals.c.cycle_start_us >= bindparam("start_us"),
)
_totals = cycle_totals.c
_SPENT_BY_ORG = {
    kind: select(func.max(used)).where(
        _totals.org_id == bindparam("org"), _totals.cycle_start_us >= bindparam("start_us")
    )
    for kind, used in (
        (Kind.SPEND, _totals.cost_prompt_nano + _totals.cost_completion_nano + _totals.held_nano),
        (Kind.PLAN, _totals.prompt_tokens + _totals.completion_tokens + _totals.held_tokens),
    )
}


def _spent_in(db: Connection, org: OrgId, pot: Pot, cycle_start_us: int) -> int:
    """What the rows of a cycle have used of a pot, with what is held for unsettled ones.

    An order may be carried out after the end of the cycle that it was sent in: what counts is the
    cycle, of those from then on, that has used most.
    """
    asked = {"org": org, "start_us": cycle_start_us}
    if pot.level is Level.ORG:
        return int(db.execute(_SPENT_BY_ORG[pot.kind], asked).scalar() or 0)
    return int(db.execute(_SPENT_BY_SPENDER, {**asked, "spender": pot.id}).scalar() or 0)


_SPEND = (
    update(leases)
    .where(
        leases.c.org_id == bindparam("org"),
        leases.c.spender_id == bindparam("spender"),
        leases.c.kind == bindparam("of_kind"),
        leases.c.minute_us == 0,
        leases.c.journal_id == bindparam("journal"),
    )
    .values(lent=leases.c.lent - bindparam("amount"))
)


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
    rows = [
        {"org": org, "spender": spender, "of_kind": kind, "amount": amount, "journal": journal}
        for (org, spender, kind), amount in sorted(spent.items())
    ]
    db.execute(_SPEND, rows)


_OF_THIS_MINUTE = select(leases).where(
    leases.c.journal_id == bindparam("journal"), leases.c.minute_us >= bindparam("now_minute_us")
)
_RETURN = delete(leases).where(
    leases.c.journal_id == bindparam("journal"),
    or_(leases.c.minute_us == 0, leases.c.minute_us < bindparam("now_minute_us")),
)
_row_tokens = ledger.c.prompt_tokens + ledger.c.completion_tokens + func.coalesce(ledger.c.held_tokens, 0)
_USED = {
    kind: select(used).where(
        ledger.c.org_id == bindparam("org"),
        ledger.c.ended_us >= bindparam("of_minute_us"),
        ledger.c.started_us < bindparam("until_us"),
        ledger.c.journal_id == bindparam("journal"),
        ledger.c.kind == EntryKind.USAGE.value,
        bindparam("spender").in_([ledger.c.org_id, ledger.c.app_id, ledger.c.key_id]),
    )
    for kind, used in (
        (Kind.REQUESTS, func.count()),
        (Kind.TOKENS, func.coalesce(func.sum(_row_tokens), 0)),
    )
}
"""At most what a process's calls took from a minute: those that ran in it."""
_KEEP = (
    update(leases)
    .where(
        leases.c.org_id == bindparam("org"),
        leases.c.spender_id == bindparam("spender"),
        leases.c.kind == bindparam("of_kind"),
        leases.c.minute_us == bindparam("of_minute_us"),
        leases.c.journal_id == bindparam("journal"),
    )
    .values(lent=bindparam("kept"))
)
_FORGET = delete(exchanges).where(exchanges.c.journal_id == bindparam("journal"))


@all_orgs
def return_leases(db: Connection, journal: JournalId, now_us: int) -> None:
    """What a process had comes back: all of its calls are rows, and it makes no more.

    Of a clock minute that is not over, what its rows may have used stays away.
    """
    now = {"journal": journal, "now_minute_us": minute_of(now_us)}
    held = db.execute(_OF_THIS_MINUTE, now).all()
    db.execute(_RETURN, now)
    kept = []
    for row in held:
        of = {"org": row.org_id, "spender": row.spender_id, "journal": journal, "of_minute_us": row.minute_us}
        until_us = row.minute_us + MINUTE_US
        used = int(db.execute(_USED[Kind(row.kind)], {**of, "until_us": until_us}).scalar_one())
        kept.append({**of, "of_kind": row.kind, "kept": min(row.lent, used)})
    if kept:
        db.execute(_KEEP, kept)
    db.execute(_FORGET, {"journal": journal})


@all_orgs
def forget_minutes(db: Connection, before_us: int) -> None:
    """Remove what was lent of minutes that are over."""
    db.execute(delete(leases).where(leases.c.minute_us > 0, leases.c.minute_us < before_us - MINUTE_US))
