"""Models that are switched off for an app, by our name. All others are on.

Owns the rows; does not own which models there are (`providers/catalog.py`).
"""

from sqlalchemy import Connection, delete, select

from tollway.domain.ids import AppId, OrgId
from tollway.store.apps_schema import app_models_off
from tollway.store.upsert import keeping

_KEEPING = keeping(app_models_off)


def list_models_off(db: Connection, org: OrgId, app: AppId) -> list[str]:
    """Their names, in order."""
    found = select(app_models_off.c.model).where(
        app_models_off.c.org_id == org, app_models_off.c.app_id == app
    )
    return sorted(db.execute(found).scalars())


def switch_model(db: Connection, org: OrgId, app: AppId, model: str, *, is_on: bool, now_us: int) -> None:
    """Switch a model of the app, which is the organisation's, on or off."""
    if is_on:
        db.execute(
            delete(app_models_off).where(
                app_models_off.c.org_id == org,
                app_models_off.c.app_id == app,
                app_models_off.c.model == model,
            )
        )
    else:
        row = {"app_id": app, "model": model, "org_id": org, "added_us": now_us}
        db.execute(_KEEPING[db.dialect.name], row)
