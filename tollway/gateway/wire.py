"""The OpenAI shapes that the gateway itself reads and writes; everything else passes untouched.

Owns reading the few fields that matter to us, the error body and the model list; does not own
a vendor's dialect (`providers/`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tollway.domain.errors import BadRequest, TollwayError
from tollway.domain.labels import end_user
from tollway.gateway.call import Header, Reply

JSON_TYPE: Header = (b"content-type", b"application/json")
EVENTS_TYPE: Header = (b"content-type", b"text/event-stream; charset=utf-8")

Fields = Mapping[str, msgspec.Raw]

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_MAX_MODEL_CHARS = 256

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What JSON that is broken, or nested to no end, makes of a decoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A chat request: what we read of it, and its fields as they came."""

    body: bytes
    fields: Fields
    model: str
    stream: bool
    wants_usage: bool
    end_user: str | None
    prompt_bytes: int


def read_chat(body: bytes) -> Chat:
    """Read a chat request; BadRequest, naming the field, if it is none."""
    try:
        fields = _decode_fields(body)
    except _UNREADABLE as error:
        raise BadRequest(f"the body is not a JSON object: {error}", code="invalid_json") from None
    model = _field(fields, "model", str)
    if not model:
        raise BadRequest("name a model", code="missing_required_parameter", param="model")
    if len(model) > _MAX_MODEL_CHARS:
        raise BadRequest("no model has so long a name", code="invalid_model_name", param="model")
    if "messages" not in fields:
        raise BadRequest("messages are missing", code="missing_required_parameter", param="messages")
    stream = bool(_field(fields, "stream", bool | None))
    options = _field(fields, "stream_options", dict[str, Any] | None) or {}
    include_usage = options.get("include_usage")
    if not isinstance(include_usage, bool | None):
        raise BadRequest("include_usage: true or false", code="invalid_type", param="stream_options")
    return Chat(
        body=body,
        fields=fields,
        model=model,
        stream=stream,
        wants_usage=bool(include_usage),
        end_user=end_user(
            _field(fields, "user", str | None) or _field(fields, "safety_identifier", str | None)
        ),
        prompt_bytes=len(bytes(fields["messages"])),
    )


def error_body(error: TollwayError) -> bytes:
    """The error in OpenAI's shape."""
    shape = {"message": error.told, "type": error.type, "param": error.param, "code": error.code}
    return msgspec.json.encode({"error": shape})


def error_reply(error: TollwayError) -> Reply:
    """The answer to a call that failed before anything was sent."""
    return Reply(status=error.status, headers=(JSON_TYPE, *error.headers), body=error_body(error))


def error_event(error: TollwayError) -> bytes:
    """The last event of a stream that cannot be finished."""
    return b"data: " + error_body(error) + b"\n\n"


def model_body(name: str, vendor: str) -> dict[str, Any]:
    """One model in OpenAI's shape."""
    return {"id": name, "object": "model", "created": 0, "owned_by": vendor}


def models_body(models: Iterable[tuple[str, str]]) -> bytes:
    """A list of models in OpenAI's shape."""
    return msgspec.json.encode({"object": "list", "data": [model_body(*model) for model in models]})


def _field(fields: Fields, name: str, type_: Any) -> Any:  # noqa: ANN401 - the type asked for
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=type_)
    except _UNREADABLE as error:
        raise BadRequest(f"{name}: {error}", code="invalid_type", param=name) from None
