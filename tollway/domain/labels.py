"""What callers say a request is for: the `Tollway-Labels` header and OpenAI's `user` field.

Owns what is kept of them: lower-case strings, bounded in number and length, fit for every
database. They go into the ledger's rows, never into labels of metrics, whose number must not
be in a caller's hand.
"""

import msgspec

from tollway.domain.errors import BadRequest

HEADER = "Tollway-Labels"
MAX_LABELS = 32
MAX_NAME_CHARS = 64
MAX_VALUE_CHARS = 256
_MAX_RAW_BYTES = 4_096
"""Of a value that is no string; longer ones take long to read."""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def parse_labels(header: bytes | None) -> dict[str, str]:
    """A JSON object as labels: names and values in lower case, other values than strings as Python's `str`.

    BadRequest for anything else, and beyond the bounds.
    """
    if header is None:
        return {}
    try:
        raw = _decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"is not a JSON object: {error}") from None
    if len(raw) > MAX_LABELS:
        raise _refused(f"has more than {MAX_LABELS} labels")
    return dict(_label(name, value) for name, value in raw.items())


def end_user(user: str | None) -> str | None:
    """OpenAI's `user`, as far as it is kept; what cannot be is replaced or cut, never refused."""
    if not user:
        return None
    kept = user[:MAX_VALUE_CHARS]
    return "".join(char if char.isprintable() else "\ufffd" for char in kept)


def _label(name: str, raw: msgspec.Raw) -> tuple[str, str]:
    name, text = name.lower(), _text(raw).lower()
    if not 0 < len(name) <= MAX_NAME_CHARS or len(text) > MAX_VALUE_CHARS:
        raise _refused(f"has a name over {MAX_NAME_CHARS} or a value over {MAX_VALUE_CHARS} characters")
    if not (name.isprintable() and text.isprintable()):
        raise _refused("has control or other unprintable characters")
    return name, text


def _text(raw: msgspec.Raw) -> str:
    data = bytes(raw)
    if not data.startswith(b'"') and len(data) > _MAX_RAW_BYTES:
        raise _refused(f"has a value over {MAX_VALUE_CHARS} characters")
    try:
        return str(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(f"has a value that cannot be read: {error}") from None


def _refused(why: str) -> BadRequest:
    return BadRequest(f"{HEADER} {why}", code="invalid_header", param=HEADER)
