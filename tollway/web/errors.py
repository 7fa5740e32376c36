"""The error tree as the control plane's JSON: `{"detail": …}`.

Owns the shape; does not own what went wrong (`domain/errors.py`). What a caller sent is never
echoed: it may hold a secret.
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from tollway.domain.errors import Invalid, Limited, TollwayError, Unauthenticated
from tollway.web.paths import operations_at

UNFORESEEN = "something went wrong here"


def install(api: FastAPI) -> None:
    """Make `api` answer our errors, and its own, in one shape."""

    @api.exception_handler(TollwayError)
    async def known(_request: Request, error: TollwayError) -> JSONResponse:
        return response(error)

    @api.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            {"loc": list(fault["loc"]), "msg": fault["msg"], "type": fault["type"]}
            for fault in error.errors()
        ]
        return JSONResponse({"detail": faults}, Invalid.status)

    @api.exception_handler(405)
    async def wrong_method(request: Request, _error: Exception) -> JSONResponse:
        # The framework's own answer knows one route of the path only.
        allowed = ", ".join(sorted(operations_at(request.scope["path"]))) or "GET"
        return JSONResponse({"detail": "this path has no such method"}, 405, {"Allow": allowed})

    @api.exception_handler(Exception)
    async def unforeseen(_request: Request, _error: Exception) -> JSONResponse:
        # It is raised again behind this answer, so that the last resort logs it.
        return response(TollwayError(UNFORESEEN))


def response(error: TollwayError) -> JSONResponse:
    """The error as an answer; one of a limit has its `code` too, since there is something to do about it."""
    headers = {name.decode(): value.decode() for name, value in error.headers}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    code = {"code": error.code} if isinstance(error, Limited) else {}
    return JSONResponse({"detail": detail(error), **code}, error.status, headers)


def detail(error: TollwayError) -> Any:  # noqa: ANN401 - a sentence, or a list of faults
    """What stands under `detail`: a list of faults for 422, else a sentence."""
    if isinstance(error, Invalid):
        return [{"loc": list(fault.loc), "msg": fault.msg, "type": fault.type} for fault in error.faults]
    return error.told
