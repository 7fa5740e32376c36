"""The organisation record, read from where each of its values is true.

Owns the reading; does not own a single value: totals are the ledger's, limits and
subscription the organisation's, receivers the integrations'. Its cost does not grow with
the ledger.
"""

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, func, select

from tollway.domain.clock import moment, month_start_us
from tollway.domain.ids import OrgId
from tollway.domain.money import Nano
from tollway.domain.org import Organisation
from tollway.store.integrations import find_integrations
from tollway.store.schema import apps, cycle_totals, orgs

_STORED_AS_IS = {field.name for field in fields(Organisation)} & set(orgs.c.keys())


def read_record(db: Connection, org: OrgId, now_us: int) -> Organisation:
    """The record of `org` as of `now_us`, whose cycle's totals it shows."""
    row = db.execute(select(orgs).where(orgs.c.id == org)).mappings().one()
    num_apps = db.execute(
        select(func.count()).select_from(apps).where(apps.c.org_id == org, apps.c.is_active)
    ).scalar_one()
    return Organisation(
        **{name: row[name] for name in _STORED_AS_IS},
        **_totals(db, org, now_us),
        **_receivers(db, org),
        num_apps=num_apps,
        spending_limit_soft=Nano(row["spending_limit_soft_nano"] or 0),
        spending_limit_hard=Nano(row["spending_limit_hard_nano"] or 0),
        added_on=moment(row["added_us"]),
        modified_on=moment(row["modified_us"]),
    )


def _totals(db: Connection, org: OrgId, now_us: int) -> dict[str, Any]:
    row = db.execute(
        select(cycle_totals).where(
            cycle_totals.c.org_id == org, cycle_totals.c.cycle_start_us == month_start_us(now_us)
        )
    ).first()
    if row is None:
        return {}
    return {
        "num_requests": row.num_requests,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "total_tokens": row.prompt_tokens + row.completion_tokens,
        "prompt_tokens_cost": Nano(row.cost_prompt_nano),
        "completion_tokens_cost": Nano(row.cost_completion_nano),
        "total_tokens_cost": Nano(row.cost_prompt_nano + row.cost_completion_nano),
        "prompt_tokens_cost_savings": Nano(row.savings_prompt_nano),
        "completion_tokens_cost_savings": Nano(row.savings_completion_nano),
        "total_tokens_cost_savings": Nano(row.savings_prompt_nano + row.savings_completion_nano),
    }


def _receivers(db: Connection, org: OrgId) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for kind, integration in find_integrations(db, org).items():
        shown[f"{kind}_id"] = integration.user
        shown[f"{kind}_token"] = integration.token_masked
        shown[f"{kind}_endpoint"] = integration.endpoint
    return shown
