"""The official `openai` package against the running gateway."""

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.gateway.scripts import delta, error, only_entry, stream
from tests.world.stage import Stage, Tenant
from tollway.demo.offer import CHEAP_MODEL
from tollway.domain.ids import is_id
from tollway.domain.ledger import Outcome

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]


@pytest.fixture
async def acme(stage: Stage) -> Tenant:
    return await stage.tenant()


@pytest.fixture
async def client(stage: Stage, acme: Tenant) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{stage.base}/v1", api_key=acme.app_key, max_retries=0) as opened:
        yield opened


async def test_a_chat_is_answered(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO)
    assert (answer.choices[0].message.content or "").startswith("You said: Hello!")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.choices[0].finish_reason) == (2, "stop")


async def test_the_blocking_client_works_too(stage: Stage, acme: Tenant) -> None:
    def ask() -> str | None:
        with OpenAI(base_url=f"{stage.base}/v1", api_key=acme.app_key, max_retries=0) as client:
            answer = client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO)
            parts = client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO, stream=True)
            streamed = "".join(part.choices[0].delta.content or "" for part in parts)
            assert streamed == answer.choices[0].message.content
            return streamed

    assert (await asyncio.to_thread(ask) or "").startswith("You said: Hello!")


async def test_a_stream_shows_no_usage_to_whom_did_not_ask(
    stage: Stage, acme: Tenant, client: AsyncOpenAI
) -> None:
    parts = await client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO, stream=True)
    text = ""
    async for part in parts:
        assert part.choices
        assert part.usage is None
        text += part.choices[0].delta.content or ""
    assert text.startswith("You said: Hello!")
    entry = await only_entry(stage, acme)
    assert (entry.outcome, entry.cost.prompt) == (Outcome.SETTLED, 2 * 400)


async def test_a_stream_shows_usage_to_whom_asked(client: AsyncOpenAI) -> None:
    parts = await client.chat.completions.create(
        model=CHEAP_MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [part async for part in parts]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 2
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_a_stream_that_breaks_raises(stage: Stage, client: AsyncOpenAI) -> None:
    stage.vendor.scripted.append(stream(delta("Hi")))
    parts = await client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO, stream=True)
    with pytest.raises(openai.APIError, match="broke off"):
        _ = [part async for part in parts]


async def test_models_are_listed_and_retrieved(client: AsyncOpenAI) -> None:
    listed = await client.models.list()
    assert [model.id for model in listed.data] == ["demo/small", "demo/large"]
    shown = await client.models.retrieve("demo/small")
    assert (shown.id, shown.owned_by, shown.object) == ("demo/small", "demo", "model")
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("demo/gone")


async def test_a_raw_answer_shows_the_request_id_and_the_money(
    stage: Stage, acme: Tenant, client: AsyncOpenAI
) -> None:
    raw = await client.chat.completions.with_raw_response.create(model=CHEAP_MODEL, messages=HELLO)
    entry = await only_entry(stage, acme)
    assert raw.headers["x-request-id"] == raw.request_id == entry.request_id
    cost = entry.cost.total
    assert raw.headers["tollway-cost-usd"] == f"{cost / 1e9:.9f}".rstrip("0")
    assert raw.headers["tollway-savings-usd"] == f"{4 * cost / 1e9:.9f}".rstrip("0")


async def test_what_the_vendor_alone_understands_reaches_it_untouched(
    stage: Stage, client: AsyncOpenAI
) -> None:
    extra = {"some_field": {"a": [1, None, "é"]}, "provider_options": 0.1}
    answer = await client.chat.completions.create(
        model=CHEAP_MODEL,
        messages=HELLO,
        n=2,
        max_tokens=3,
        temperature=0.25,
        tools=[{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}],
        extra_body=extra,
    )
    sent = stage.vendor.requests[-1]
    assert {name: sent[name] for name in extra} == extra
    assert (sent["model"], sent["n"], sent["max_tokens"], sent["temperature"]) == ("small", 2, 3, 0.25)
    assert sent["tools"][0]["function"]["name"] == "look_up"
    assert "stream_options" not in sent
    assert len(answer.choices) == 2
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


async def test_a_key_that_nobody_has_is_an_authentication_error(stage: Stage, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        await client.with_options(api_key="sk-junk").chat.completions.create(
            model=CHEAP_MODEL, messages=HELLO
        )
    assert refused.value.code == "invalid_api_key"
    assert is_id(refused.value.request_id or "")
    assert stage.vendor.requests == []


async def test_a_revoked_app_is_a_permission_error(stage: Stage, acme: Tenant, client: AsyncOpenAI) -> None:
    await stage.request("DELETE", f"/v1/apps/{acme.app_id}", token=acme.user_token)
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO)
    assert refused.value.code == "app_revoked"


async def test_a_model_that_nobody_has_is_a_not_found_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.chat.completions.create(model="gone", messages=HELLO)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


async def test_a_request_without_a_model_is_a_bad_request_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="", messages=HELLO)
    assert (refused.value.code, refused.value.param) == ("missing_required_parameter", "model")


async def test_what_the_vendor_refuses_is_told_in_its_words(stage: Stage, client: AsyncOpenAI) -> None:
    for status, kind in (
        (400, openai.BadRequestError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ):
        stage.vendor.scripted.append(error(status, "the vendor's words"))
        with pytest.raises(kind, match="the vendor's words"):
            await client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO)


async def test_a_vendor_that_is_down_is_an_internal_server_error(stage: Stage, client: AsyncOpenAI) -> None:
    await stage.vendor.stop()
    with pytest.raises(openai.InternalServerError) as refused:
        await client.chat.completions.create(model=CHEAP_MODEL, messages=HELLO)
    assert (refused.value.status_code, refused.value.code) == (502, "vendor_unreachable")


async def test_an_endpoint_that_is_not_there_is_a_not_found_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model=CHEAP_MODEL, input="Hello!")
