"""`/healthz` and `/readyz`: for whoever starts, stops and balances processes."""

from fastapi import APIRouter
from starlette.responses import JSONResponse

from tollway.domain.errors import StoreUnavailable
from tollway.store.deployment import operator_token_hash
from tollway.web.bearer import TheWorld

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "A check failed; the body says which."}})
async def readyz(world: TheWorld) -> JSONResponse:
    """Calls can be served: the database answers and there is room to record them."""
    checks = {"database": "ok", "journal": world.journal.trouble or "ok"}
    try:
        await world.database.read(operator_token_hash)
    except StoreUnavailable as error:
        checks["database"] = error.told
    ready = all(state == "ok" for state in checks.values())
    # They have trouble while the database is away, and a moment longer.
    checks["limits"] = world.gateway.limits.trouble or "ok"
    return JSONResponse(
        {"status": "ready" if ready else "not ready", "checks": checks}, 200 if ready else 503
    )
