"""The description of the API: what FastAPI finds in the routes, completed by the table of operations.

Owns each operation's id, whose token it needs, the errors it answers and an example of its body, and
all of the inference routes, which go past the framework. Does not own what an operation needs
(`domain/operation.py`) or the shape of an answer.
"""

from collections.abc import Mapping
from typing import Any

from tollway.domain.errors import Invalid, Unauthenticated
from tollway.domain.operation import Operation, Who
from tollway.domain.org import Permission
from tollway.web.examples import EXAMPLES

_SCHEMES: Mapping[str, Any] = {
    "UserToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A user's token (`twu_…`), or an access token (JWT) of the configured issuer.",
    },
    "AppKey": {"type": "http", "scheme": "bearer", "description": "An app's key (`twk_…`)."},
    "OperatorToken": {"type": "http", "scheme": "bearer", "description": "The operator's token."},
}
_REFUSAL = {
    "title": "Refusal",
    "description": "What went wrong, for a person to read; `code` where there is something to do about it.",
    "type": "object",
    "properties": {"detail": {"type": "string"}, "code": {"type": "string"}},
    "required": ["detail"],
    "examples": [{"detail": "this needs the permission editor:org in the organisation"}],
}
_FAULTS = {
    "title": "Faults",
    "description": "Each thing that is wrong with a request, and where.",
    "type": "object",
    "properties": {
        "detail": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                    "type": {"type": "string", "description": "A stable machine word."},
                },
                "required": ["loc", "msg", "type"],
            },
        }
    },
    "required": ["detail"],
    "examples": [{"detail": [{"loc": ["body", "name"], "msg": "Field required", "type": "missing"}]}],
}
_WORDS = {
    400: "The request cannot be read.",
    401: "No token, or one that nobody has.",
    402: "Nothing is left of a plan or a limit, or seats are not paid.",
    403: "Known, but not allowed here; or the organisation is not active.",
    404: "There is no such thing, or not for this caller.",
    408: "The body did not come in time.",
    409: "The name is taken, or the state has moved on.",
    412: "It was changed since; read it again.",
    413: "The body is too large.",
    422: "Fields that cannot be accepted.",
    429: "Too many for now; try again after `Retry-After`.",
    502: "The vendor answered wrongly.",
    503: "Not now; try again shortly.",
    504: "The vendor did not answer in time.",
}
_WWW = {"WWW-Authenticate": {"description": "How to.", "schema": {"type": "string"}}}
_ERROR = {
    "title": "InferenceError",
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
_MODEL = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
    "required": ["id", "object", "created", "owned_by"],
}
_CHAT = {
    "type": "object",
    "properties": {
        "model": {"type": "string", "examples": ["demo/small"]},
        "messages": {"type": "array", "items": {"type": "object"}},
        "stream": {"type": ["boolean", "null"]},
    },
    "required": ["model", "messages"],
    "additionalProperties": True,
}
_HEADERS = {
    "x-request-id": {"description": "The ledger row's id.", "schema": {"type": "string"}},
    "tollway-cost-usd": {"description": "Not of a stream.", "schema": {"type": "string"}},
    "tollway-savings-usd": {"description": "Not of a stream.", "schema": {"type": "string"}},
}


def completed(described: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's document of the control plane, with all that the table of operations knows."""
    table = {(each.value.path, each.value.method.lower()): each for each in Operation}
    paths = {**_hot_paths(), **described["paths"]}
    for path, methods in paths.items():
        for method, operation in methods.items():
            _complete(operation, table[path, method])
    parts = described.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= {"Refusal": _REFUSAL, "Faults": _FAULTS, "InferenceError": _ERROR}
    parts["securitySchemes"] = dict(_SCHEMES)
    return {**described, "paths": paths}


def _complete(operation: dict[str, Any], which: Operation) -> None:
    operation["operationId"] = which.name.lower()
    operation["security"] = _security(which)
    if which.value.need is not Who.KEY:
        told = operation["responses"]
        for status in _errors(which, operation):
            told.setdefault(str(status), {})
            told[str(status)] = _failure(
                status, "Faults" if status == Invalid.status else "Refusal", told[str(status)]
            )
    if any(each["name"].title() == "If-None-Match" for each in operation.get("parameters", [])):
        operation["responses"]["304"] = {"description": "It is still the same."}
    if "requestBody" in operation and which in EXAMPLES:
        operation["requestBody"]["content"]["application/json"]["examples"] = {
            "usual": {"value": EXAMPLES[which]}
        }


def _security(which: Operation) -> list[dict[str, list[str]]]:
    match which.value.need:
        case Who.ANYONE:
            return []
        case Who.KEY:
            return [{"AppKey": []}]
        case Who.OPERATOR:
            return [{"OperatorToken": []}]
        case _:
            return [{"UserToken": []}]


def _errors(which: Operation, operation: Mapping[str, Any]) -> list[int]:
    """Which errors an operation of the control plane may answer."""
    rule = which.value
    changes = rule.method != "GET"
    in_org = isinstance(rule.need, Permission) or rule.need is Who.MEMBER
    has_body = "requestBody" in operation
    headers = {each["name"].title() for each in operation.get("parameters", [])}
    takes = has_body or "parameters" in operation
    may = {
        400: has_body or rule.need is Who.ANYONE or which is Operation.SIGN_OUT,
        401: rule.need is not Who.ANYONE or which in (Operation.COME_BACK, Operation.TAKE_SIGN_IN),
        402: rule.needs_paid_seats,
        403: rule.needs_active or isinstance(rule.need, Permission) or rule.need is Who.OPERATOR,
        404: in_org or "{" in rule.path or "parameters" in operation or rule.needs_active,
        408: has_body,
        409: changes,
        412: "If-Match" in headers,
        413: has_body,
        422: takes,
        503: True,
    }
    return [status for status, is_so in may.items() if is_so]


def _failure(status: int, schema: str, told: Mapping[str, Any]) -> dict[str, Any]:
    # What the framework says of a 422 says nothing.
    words = _WORDS[status] if status == Invalid.status else told.get("description", _WORDS[status])
    described = {
        "description": words,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    return described | ({"headers": _WWW} if status == Unauthenticated.status else {})


def _hot_paths() -> dict[str, Any]:
    """OpenAPI's `paths` of the inference routes."""
    return {
        "/v1/chat/completions": {
            "post": _operation(
                "Chat, in OpenAI's shape; unknown fields reach the vendor untouched.",
                {
                    "description": "The vendor's answer; server-sent events with `stream`.",
                    "headers": _HEADERS,
                    "content": {
                        "application/json": {"schema": {"type": "object"}},
                        "text/event-stream": {"schema": {"description": "Each event's data is a chunk."}},
                    },
                },
                errors=(400, 401, 402, 403, 404, 413, 429, 502, 503, 504),
            )
            | {"requestBody": {"required": True, "content": {"application/json": {"schema": _CHAT}}}}
        },
        "/v1/models": {
            "get": _operation(
                "Every model that can be asked for.",
                _json({"type": "object", "properties": {"data": {"type": "array", "items": _MODEL}}}),
                errors=(401, 403, 503),
            )
        },
        "/v1/models/{model}": {
            "get": _operation("One model.", _json(_MODEL), errors=(401, 403, 404, 503))
            | {
                "parameters": [
                    {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
                ]
            }
        },
    }


def _operation(summary: str, answer: dict[str, Any], errors: tuple[int, ...]) -> dict[str, Any]:
    failures = {str(status): _failure(status, "InferenceError", {}) for status in errors}
    for failure in failures.values():
        failure.pop("headers", None)
    return {"tags": ["inference"], "summary": summary, "responses": {"200": answer, **failures}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Found.", "content": {"application/json": {"schema": schema}}}
