"""What an organisation, its apps and keys are limited to, as it is stored.

Owns which columns make a pot; does not own what processes hold of one (`leases.py`).
"""

from sqlalchemy import Connection, RowMapping, and_, bindparam, select

from tollway.domain.ids import AppId, KeyId, OrgId
from tollway.domain.limit import Cap, Kind, Level, Pot
from tollway.domain.plan import NO_PLAN, Plans
from tollway.domain.standing import Standing
from tollway.store.grants import granted
from tollway.store.schema import app_keys, apps, orgs

ORG_COLUMNS = [
    orgs.c.rate_limit.label("org_requests"),
    orgs.c.tokens_per_minute.label("org_tokens"),
    orgs.c.spending_limit_hard_nano.label("org_spend"),
    orgs.c.subscription_tier,
    orgs.c.trial_end,
    orgs.c.subscription_pause_reason,
    orgs.c.near_limit,
    orgs.c.max_in_flight,
]
"""All that `standing_of` and `caps_of` read of an organisation."""
APP_COLUMNS = [
    apps.c.rate_limit.label("app_requests"),
    apps.c.tokens_per_minute.label("app_tokens"),
    apps.c.spending_limit_nano.label("app_spend"),
]
KEY_COLUMNS = [
    app_keys.c.rate_limit.label("key_requests"),
    app_keys.c.tokens_per_minute.label("key_tokens"),
    app_keys.c.spending_limit_nano.label("key_spend"),
]


def standing_of(row: RowMapping) -> Standing:
    """The organisation's standing."""
    return Standing(
        tier=row["subscription_tier"],
        trial_end_s=row["trial_end"],
        pause_reason=row["subscription_pause_reason"],
        near_limit=row["near_limit"],
        max_in_flight=row["max_in_flight"],
    )


def caps_of(row: RowMapping, org: OrgId, app: AppId, key: KeyId, plans: Plans) -> tuple[Cap, ...]:
    """The pots that a call of this key takes from, in the order in which they refuse."""
    spenders = ((Level.ORG, org, "org"), (Level.APP, app, "app"), (Level.KEY, key, "key"))
    caps = [
        Cap(Pot(level, id_, kind), row[f"{name}_{kind.value}"])
        for kind in (Kind.REQUESTS, Kind.TOKENS)
        for level, id_, name in spenders
    ]
    tokens = plans.get(row["subscription_tier"], NO_PLAN).tokens_cap
    caps.append(Cap(Pot(Level.ORG, org, Kind.PLAN), tokens))
    found = [cap for cap in caps if cap.limit is not None]
    if standing_of(row).is_trial:
        found.append(Cap(Pot(Level.ORG, org, Kind.TRIAL), None))
    # A hard limit of 0 is none.
    spend = [Cap(Pot(level, id_, Kind.SPEND), row[f"{name}_spend"] or None) for level, id_, name in spenders]
    return (*found, *(cap for cap in spend if cap.limit is not None))


_OF_A_KEY = (
    select(*ORG_COLUMNS, *APP_COLUMNS, *KEY_COLUMNS)
    .join_from(orgs, apps, and_(apps.c.org_id == orgs.c.id, apps.c.id == bindparam("app")), isouter=True)
    .join(app_keys, and_(app_keys.c.org_id == orgs.c.id, app_keys.c.id == bindparam("key")), isouter=True)
    .where(orgs.c.id == bindparam("org"))
)


def read_caps(db: Connection, org: OrgId, app: AppId, key: KeyId, plans: Plans) -> dict[Pot, int | None]:
    """What there is now; of the trial, what was granted."""
    row = db.execute(_OF_A_KEY, {"org": org, "app": app, "key": key}).mappings().first()
    if row is None:
        return {}
    caps: dict[Pot, int | None] = {cap.pot: cap.limit for cap in caps_of(row, org, app, key, plans)}
    trial = Pot(Level.ORG, org, Kind.TRIAL)
    if trial in caps:
        caps[trial] = granted(db, org)
    return caps
