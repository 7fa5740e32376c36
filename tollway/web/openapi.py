"""The description of the routes that go past the control plane's framework.

Owns `/v1/chat/completions` and `/v1/models` in `/openapi.json`; the rest describes itself.
"""

from typing import Any

_ERROR = {
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


def hot_paths() -> dict[str, Any]:
    """OpenAPI's `paths` of the inference routes."""
    return {
        "/v1/chat/completions": {
            "post": _operation(
                "create_chat_completion",
                "Chat, in OpenAI's shape; unknown fields reach the vendor untouched.",
                {
                    "description": "The vendor's answer; server-sent events with `stream`.",
                    "headers": _HEADERS,
                    "content": {
                        "application/json": {"schema": {"type": "object"}},
                        "text/event-stream": {"schema": {"type": "string"}},
                    },
                },
                errors=(400, 401, 402, 403, 404, 413, 502, 503, 504),
            )
            | {"requestBody": {"required": True, "content": {"application/json": {"schema": _CHAT}}}}
        },
        "/v1/models": {
            "get": _operation(
                "list_models",
                "Every model that can be asked for.",
                _json({"type": "object", "properties": {"data": {"type": "array", "items": _MODEL}}}),
                errors=(401, 403),
            )
        },
        "/v1/models/{model}": {
            "get": _operation("show_model", "One model.", _json(_MODEL), errors=(401, 403, 404))
            | {
                "parameters": [
                    {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
                ]
            }
        },
    }


def _operation(name: str, summary: str, answer: dict[str, Any], errors: tuple[int, ...]) -> dict[str, Any]:
    failures = {str(status): {"description": "Refused.", **_content(_ERROR)} for status in errors}
    return {
        "operationId": name,
        "tags": ["inference"],
        "summary": summary,
        "security": [{"HTTPBearer": []}],
        "responses": {"200": answer, **failures},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Found.", **_content(schema)}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
