"""A model vendor that speaks OpenAI's chat API: deterministic, streaming, reporting usage.

Owns the answers a newcomer gets without a vendor's key, and the scripted ones (errors, silence,
broken streams) that tests ask for. Does not own prices (`demo/offer.py`). A token here is a word
or a punctuation mark; prompts of 1,024 tokens and more count as cached up to the last 128.
"""

import asyncio
import hmac
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from aiohttp import web

from tollway.demo.server import LoopbackServer

MODELS = ("small", "large")

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\S+\s*")
_CACHED_FROM_TOKENS = 1_024
_CACHE_BLOCK_TOKENS = 128
_CREATED_S = 1_767_225_600  # always the same moment, as everything here


class _Asked(msgspec.Struct):
    """What of a request is read here, and within which bounds."""

    model: str
    messages: list[dict[str, Any]]
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    user: str | None = None


class RefusedError(Exception):
    """A request that gets an error, in OpenAI's shape, instead of an answer."""

    def __init__(self, status: int, message: str, code: str, *, type_: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.body = msgspec.json.encode(
            {"error": {"message": message, "type": type_, "param": None, "code": code}}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """One canned answer: `parts` in turn, `pause_s` before each; then, if it breaks off, no end."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    parts: Sequence[bytes] = ()
    pause_s: float = 0.0
    breaks_off: bool = False


class ChatServer(LoopbackServer):
    """A vendor's one endpoint, open to its key; to any if it has none."""

    def __init__(self, *, api_key: str | None) -> None:
        super().__init__()
        self._authorization = None if api_key is None else f"Bearer {api_key}".encode()

    @property
    def base_url(self) -> str:
        """What a client's `base_url` is set to."""
        return f"{self.url}/v1"

    def admit(self, request: web.Request) -> None:
        """Nothing, for a chat request with the key; RefusedError."""
        shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if self._authorization is not None and not hmac.compare_digest(shown, self._authorization):
            raise RefusedError(401, "Incorrect API key provided.", "invalid_api_key")
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            raise RefusedError(404, "There is no such endpoint.", "not_found")


class DemoVendor(ChatServer):
    """The vendor. `requests` holds the bodies it was sent, in order."""

    def __init__(self, *, api_key: str) -> None:
        super().__init__(api_key=api_key)
        self.scripted: deque[Scripted] = deque()
        self.requests: list[dict[str, Any]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The scripted answer, else a refusal, else a deterministic chat completion."""
        body = await request.read()
        try:
            self.admit(request)
            asked = decoded(body)
            self.requests.append(asked)
            if self.scripted:
                return await _play(self.scripted.popleft(), request)
            check(asked)
        except RefusedError as refused:
            return web.Response(status=refused.status, body=refused.body, content_type="application/json")
        completion = complete(asked)
        if not asked.get("stream"):
            return web.json_response(completion)
        parts = list(stream_of(completion, wants_usage=wants_usage(asked)))
        return await _play(Scripted(headers={"Content-Type": "text/event-stream"}, parts=parts), request)


def decoded(body: bytes) -> Any:  # noqa: ANN401 - JSON
    """What a body holds; RefusedError if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RefusedError(400, "This is not JSON.", "invalid_json") from None


def check(asked: Any) -> None:  # noqa: ANN401 - JSON
    """Nothing, for a chat request for one of our models; RefusedError."""
    try:
        msgspec.convert(asked, _Asked)
    except msgspec.ValidationError as error:
        raise RefusedError(400, f"{error}.", "invalid_request") from None
    if asked["model"] not in MODELS:
        raise RefusedError(404, f"The model {asked['model']} does not exist.", "model_not_found")


def wants_usage(asked: Mapping[str, Any]) -> bool:
    """Whether a stream is asked to report usage."""
    return bool((asked.get("stream_options") or {}).get("include_usage"))


def cap_of(asked: Mapping[str, Any]) -> int | None:
    """The most tokens that each choice may have; the newer name of the field wins."""
    cap = asked.get("max_completion_tokens")
    return asked.get("max_tokens") if cap is None else cap


def complete(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The chat completion for a request; the same for the same request."""
    said = [_text(message) for message in asked["messages"]]
    answer = (
        f"You said: {said[-1] if said else ''} (I am the demo vendor of Tollway; I always answer like this.)"
    )
    text, finish_reason = _capped(answer, cap_of(asked))
    choices = int(asked.get("n") or 1)
    prompt_tokens = sum(len(_TOKEN.findall(part)) for part in said)
    completion_tokens = choices * len(_TOKEN.findall(text))
    cached = 0
    if prompt_tokens >= _CACHED_FROM_TOKENS:
        cached = prompt_tokens // _CACHE_BLOCK_TOKENS * _CACHE_BLOCK_TOKENS
    return {
        "id": f"chatcmpl-demo-{prompt_tokens}-{completion_tokens}",
        "object": "chat.completion",
        "created": _CREATED_S,
        "model": asked["model"],
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
            for index in range(choices)
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "service_tier": "default",
    }


def stream_of(completion: Mapping[str, Any], *, wants_usage: bool) -> Iterator[bytes]:
    """The same completion as server-sent events, a word in each."""

    def event(choices: Sequence[object], usage: object = None) -> bytes:
        head = {key: completion[key] for key in ("id", "created", "model", "service_tier")}
        chunk = {**head, "object": "chat.completion.chunk", "choices": choices}
        if wants_usage:
            chunk["usage"] = usage
        return sse(chunk)

    for choice in completion["choices"]:
        index = choice["index"]
        yield event([_delta(index, {"role": "assistant", "content": ""})])
        for word in _WORD.findall(choice["message"]["content"]):
            yield event([_delta(index, {"content": word})])
        yield event([_delta(index, {}, choice["finish_reason"])])
    if wants_usage:
        yield event([], completion["usage"])
    yield b"data: [DONE]\n\n"


def sse(payload: object) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"


def _delta(index: int, delta: object, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return " ".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _capped(answer: str, cap: int | None) -> tuple[str, str]:
    tokens = list(_TOKEN.finditer(answer))
    if cap is None or len(tokens) <= cap:
        return answer, "stop"
    return answer[: tokens[cap].start()].rstrip(), "length"


async def _play(scripted: Scripted, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=scripted.status, headers=scripted.headers)
    await response.prepare(request)
    for part in scripted.parts:
        await asyncio.sleep(scripted.pause_s)
        await response.write(part)
    if scripted.breaks_off and request.transport is not None:
        request.transport.abort()
    return response
