"""What was said: the words in a kept prompt and in a kept answer.

Bodies are kept as they passed, and cut at a cap. Owns finding the text in them; what is no whole JSON,
or of another shape, is shown as it is. Does not own keeping (`gateway/kept.py`).
"""

from collections.abc import Iterator
from typing import Any

import msgspec

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_EVENT = b"data:"


def _as_written(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


_decode = msgspec.json.Decoder(float_hook=_as_written).decode


def as_object(body: bytes) -> dict[str, Any] | None:
    """The body's JSON object; its numbers stay as they are written. None if it is none."""
    value = _decoded(body)
    return value if isinstance(value, dict) else None


def prompt_text(body: bytes) -> str:
    """The texts of a chat request's messages, one after another."""
    value = as_object(body)
    if value is None or not isinstance(value.get("messages"), list):
        return body.decode("utf-8", "replace")
    return "\n".join(text for message in value["messages"] for text in _content(message))


def response_text(body: bytes) -> str:
    """The texts of an answer's choices; of a stream, its pieces put together by choice."""
    if body.lstrip().startswith(_EVENT):
        said: dict[int, str] = {}
        for event in _events(body):
            for index, text in _pieces(event):
                said[index] = said.get(index, "") + text
        return "\n".join(text for _, text in sorted(said.items()))
    value = as_object(body)
    if value is None or not isinstance(value.get("choices"), list):
        return body.decode("utf-8", "replace")
    messages = [choice.get("message") for choice in value["choices"] if isinstance(choice, dict)]
    return "\n".join(text for message in messages for text in _content(message))


def _decoded(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return _decode(body)
    except _UNREADABLE:
        return None


def _content(message: object) -> Iterator[str]:
    """The texts of a message: its content, or of its parts those that are text."""
    content = message.get("content") if isinstance(message, dict) else None
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    for line in body.splitlines():
        if line.startswith(_EVENT):
            event = as_object(line[len(_EVENT) :].strip())
            if event is not None:
                yield event


def _pieces(event: dict[str, Any]) -> Iterator[tuple[int, str]]:
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict) and isinstance(choice.get("index", 0), int):
            for text in _content(choice.get("delta")):
                yield choice.get("index", 0), text
