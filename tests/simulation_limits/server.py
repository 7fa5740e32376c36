"""The database of all processes: real SQL on an SQLite in memory, one moment for a transaction."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, insert, update

from tests.simulation.database import Instead, _engine, _template
from tests.simulation_limits.plan import Tenant
from tests.world.clock import NOON_US
from tollway.domain.ids import OrgId
from tollway.domain.limit import Kind, Level, Pot
from tollway.store.changes import announce
from tollway.store.database import _named, all_orgs
from tollway.store.schema import app_keys, apps, deployment, grants, orgs, users

P = ParamSpec("P")
T = TypeVar("T")

_COLUMNS = {
    Level.ORG: {
        Kind.REQUESTS: "rate_limit",
        Kind.TOKENS: "tokens_per_minute",
        Kind.SPEND: "spending_limit_hard_nano",
    },
    Level.APP: {
        Kind.REQUESTS: "rate_limit",
        Kind.TOKENS: "tokens_per_minute",
        Kind.SPEND: "spending_limit_nano",
    },
}
_COLUMNS[Level.KEY] = _COLUMNS[Level.APP]
_TABLES = {Level.ORG: orgs, Level.APP: apps, Level.KEY: app_keys}


class Server:
    """Nothing of it is ever written anywhere: one transaction holds all, and is undone at the end."""

    def __init__(self, tenants: Iterable[Tenant], instead: Instead) -> None:
        self.is_away = False
        self.is_closed = False
        self.watch: Callable[[], None] = lambda: None
        """Called after each transaction."""
        engine, self._memory = _engine()
        _blank().backup(self._memory)
        self._instead = instead
        self._db = engine.connect()
        self._all = self._db.begin()
        self.transact(_make, tenants)

    def close(self) -> None:
        """Undo all."""
        self.is_closed = True
        self._all.rollback()
        self._db.close()

    def transact(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it."""
        faulty: Callable[Concatenate[Connection, P], T] = self._instead.get(work, work)
        with _named():
            value = faulty(self._db, *args, **kwargs)
        self.watch()
        return value

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - whatever SQL takes
        """What a query finds."""
        return self._memory.execute(sql, values).fetchall()


@cache
def _blank() -> Any:  # noqa: ANN401 - the driver's connection
    return _template()


_DEPLOYMENT, _USER, _ORG = insert(deployment), insert(users), insert(orgs)
_APPS, _KEYS, _GRANT = insert(apps), insert(app_keys), insert(grants)


@all_orgs
def _make(db: Connection, tenants: Iterable[Tenant]) -> None:
    db.execute(_DEPLOYMENT, {"id": "simulated", "changes_seq": 0, "added_us": NOON_US})
    db.execute(_USER, {"id": "user", "email": "user@example.com", "name": "user", "added_us": NOON_US})
    for tenant in tenants:
        org = {
            "id": tenant.org,
            "org_name": tenant.org,
            "org_creator": "user",
            "subscription_tier": tenant.tier,
            "near_limit": tenant.near_limit,
            "max_in_flight": tenant.max_in_flight,
            "last_invoice_date": 0,
            "added_us": NOON_US,
            "modified_us": NOON_US,
        }
        app = {"org_id": tenant.org, "added_us": NOON_US}
        named = {"name": "app", "added_by": "user", "modified_us": NOON_US}
        apps_of = sorted({key.app for key in tenant.keys})
        db.execute(_ORG, {**org, **_limits(tenant, Level.ORG, tenant.org)})
        db.execute(
            _APPS,
            [{"id": id_, "slug": id_, **named, **app, **_limits(tenant, Level.APP, id_)} for id_ in apps_of],
        )
        db.execute(
            _KEYS,
            [
                {
                    "id": key.key,
                    "app_id": key.app,
                    "hash": key.key,
                    "key_end": "",
                    **app,
                    **_limits(tenant, Level.KEY, key.key),
                }
                for key in tenant.keys
            ],
        )
        if tenant.tier == "_TRIAL_":
            grant(db, tenant.org, tenant.granted, f"first of {tenant.org}")


def _limits(tenant: Tenant, level: Level, id_: str) -> Mapping[str, int | None]:
    return {name: tenant.limits[Pot(level, id_, kind)] for kind, name in _COLUMNS[level].items()}


def grant(db: Connection, org: OrgId, amount: int, id_: str) -> None:
    """More of the trial's balance, or less."""
    given = {"id": id_, "org_id": org, "amount_nano": amount, "reason": "simulated", "added_us": NOON_US}
    db.execute(_GRANT, given)
    announce(db, org, NOON_US)


def change_limit(db: Connection, org: OrgId, pot: Pot, limit: int | None) -> None:
    """Another limit, or none."""
    table = _TABLES[pot.level]
    db.execute(update(table).where(table.c.id == pot.id).values({_COLUMNS[pot.level][pot.kind]: limit}))
    announce(db, org, NOON_US)
