"""An organisation with an app and a key, and what processes have of its limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select, update

from tests.world.clock import NOON_US
from tests.world.entries import batch, make_app, make_org
from tollway.domain.ids import AppId, JournalId, KeyId, OrgId
from tollway.domain.lease import Ask, Order, Term, Terms
from tollway.domain.ledger import Entry
from tollway.domain.limit import Kind, Level, Pot
from tollway.domain.plan import Plan
from tollway.store.apps_keys import add_key
from tollway.store.changes import position
from tollway.store.database import Database
from tollway.store.deployment import identify
from tollway.store.leases import exchange
from tollway.store.schema import app_keys, apps, leases, orgs
from tollway.store.usage import fold

HERE, THERE = JournalId("journal-1"), JournalId("journal-2")
"""Two processes."""


@dataclass(slots=True)
class Tenant:
    """An organisation, and orders for it."""

    database: Database
    org: OrgId
    app: AppId
    key: KeyId
    plans: dict[str, Plan] = field(default_factory=dict)
    number: int = 0
    """Of the last order."""

    def pot(self, kind: Kind, level: Level = Level.ORG) -> Pot:
        """One of its pots."""
        ids = {Level.ORG: self.org, Level.APP: self.app, Level.KEY: self.key}
        return Pot(level, ids[level], kind)

    def limit(self, **columns: int | str | None) -> None:
        """Set columns of the organisation."""
        self._set(orgs, self.org, columns)

    def limit_app(self, **columns: int | None) -> None:
        """Set columns of its app."""
        self._set(apps, self.app, columns)

    def limit_key(self, **columns: int | None) -> None:
        """Set columns of its key."""
        self._set(app_keys, self.key, columns)

    def _set(self, table: Table, id_: str, columns: Mapping[str, Any]) -> None:
        query = update(table).where(table.c.id == id_).values(columns)
        self.database.write_here(lambda db: db.execute(query))

    def order(self, *asks: Ask, journal: JournalId = HERE) -> Order:
        """The next order of a process."""
        self.number += 1
        return Order(
            number=self.number,
            journal=journal,
            org_id=self.org,
            app_id=self.app,
            key_id=self.key,
            asks=asks,
        )

    def told(self, order: Order, now_us: int = NOON_US) -> Terms:
        """What the database answers to it."""
        return self.database.write_here(lambda db: exchange(db, self.org, order, self.plans, now_us))

    def ask(
        self, pot: Pot, most: int, journal: JournalId = HERE, now_us: int = NOON_US, **fields: int
    ) -> Term:
        """The answer to one ask for a call that can do with `least`, which is `most` if it is not given."""
        (term,) = self.told(self.order(ask(pot, most, **fields), journal=journal), now_us).terms
        return term

    def give_back(self, pot: Pot, amount: int, journal: JournalId = HERE, minute_us: int = 0) -> None:
        """Return so much."""
        returned = Ask(level=pot.level, id=pot.id, kind=pot.kind, given_back=amount, minute_us=minute_us)
        self.told(self.order(returned, journal=journal))

    def fold(self, *rows: Entry, journal: JournalId = HERE, first: int = 0, now_us: int = NOON_US) -> None:
        """Rows of a process."""
        made = batch(list(enumerate(rows, first)), journal)
        self.database.write_here(lambda db: fold(db, made, now_us))

    def lent(self, journal: JournalId = HERE) -> dict[tuple[str, Kind, int], int]:
        """What a process has, by spender, kind and minute; without what is 0."""
        query = select(leases).where(leases.c.journal_id == journal, leases.c.org_id == self.org)
        rows = self.database.write_here(lambda db: db.execute(query).all())
        return {(row.spender_id, Kind(row.kind), row.minute_us): row.lent for row in rows if row.lent}

    def announced(self) -> int:
        """How many changes were announced so far."""
        return self.database.write_here(position)


def ask(pot: Pot, most: int, *, least: int | None = None, **fields: int) -> Ask:
    """For a call; it can do with `least`, which is `most` if it is not given."""
    smallest = most if least is None else least
    return Ask(level=pot.level, id=pot.id, kind=pot.kind, most=most, least=smallest, **fields)


def make_tenant(database: Database, name: str = "acme") -> Tenant:
    """A new one, without limits."""

    def make(db: Connection) -> Tenant:
        identify(db, NOON_US)
        org = make_org(db, name)
        app = make_app(db, org)
        return Tenant(database, org, app, add_key(db, org, app, f"key of {name}", NOON_US))

    return database.write_here(make)
