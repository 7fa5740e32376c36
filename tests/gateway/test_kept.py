"""Prompts and answers: kept where the organisation asks for it, capped, and nowhere else."""

from typing import Any

import msgspec
import pytest

from tests.gateway.scripts import entries, only_entry
from tests.world.stage import Stage, Tenant
from tollway.domain.body import Part
from tollway.domain.ids import OrgId, RequestId
from tollway.gateway.kept import PIECE_BYTES
from tollway.settings import Settings
from tollway.store.bodies import read_bodies

CAP_BYTES = 3 * PIECE_BYTES // 2


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, body_max_bytes=CAP_BYTES)


async def kept(stage: Stage, tenant: Tenant, request_id: str) -> dict[Part, bytes]:
    """What is kept of the request's first attempt."""
    await stage.settled()
    found = await stage.world.database.read(read_bodies, OrgId(tenant.org_id), {RequestId(request_id)})
    return {part: data for (_, attempt, part), data in found.items() if attempt == 1}


@pytest.mark.parametrize("fields", [{}, {"privacy_level": 2}, {"privacy_level": 3}])
async def test_an_organisation_that_does_not_ask_for_it_has_no_bodies(
    stage: Stage, fields: dict[str, Any]
) -> None:
    acme = await stage.tenant(**fields)
    reply = await stage.chat(acme)
    assert await kept(stage, acme, reply.headers["x-request-id"]) == {}


async def test_at_level_1_the_prompt_and_the_answer_are_kept_as_they_were(stage: Stage) -> None:
    acme = await stage.tenant(privacy_level=1)
    reply = await stage.chat(acme, "How much?")
    bodies = await kept(stage, acme, reply.headers["x-request-id"])
    assert bodies[Part.RESPONSE] == reply.body
    assert msgspec.json.decode(bodies[Part.REQUEST])["messages"] == [{"role": "user", "content": "How much?"}]


async def test_a_stream_is_kept_as_the_client_got_it(stage: Stage) -> None:
    acme = await stage.tenant(privacy_level=1)
    reply = await stage.chat(acme, stream=True)
    bodies = await kept(stage, acme, (await only_entry(stage, acme)).request_id)
    assert bodies[Part.RESPONSE] == reply.body
    assert reply.body.endswith(b"data: [DONE]\n\n")


async def test_a_refusal_of_the_vendor_is_kept_too(stage: Stage) -> None:
    acme = await stage.tenant(privacy_level=1)
    reply = await stage.chat(acme, max_tokens=0)
    assert reply.status == 400
    bodies = await kept(stage, acme, reply.headers["x-request-id"])
    assert bodies[Part.RESPONSE] == reply.body


async def test_a_body_is_kept_up_to_its_cap(stage: Stage) -> None:
    acme = await stage.tenant(privacy_level=1)
    reply = await stage.chat(acme, "word " * PIECE_BYTES)
    bodies = await kept(stage, acme, reply.headers["x-request-id"])
    assert len(bodies[Part.REQUEST]) == CAP_BYTES
    assert bodies[Part.RESPONSE] == reply.body[:CAP_BYTES]


async def test_another_organisation_finds_nothing_under_the_same_id(stage: Stage) -> None:
    acme, other = await stage.tenant(privacy_level=1), await stage.tenant("other", privacy_level=1)
    reply = await stage.chat(acme)
    assert await kept(stage, other, reply.headers["x-request-id"]) == {}
    assert await entries(stage, other) == []


async def test_a_privacy_level_is_1_2_or_3(stage: Stage) -> None:
    token = await stage.user()
    body = {"org_name": "acme", "privacy_level": 4}
    refused = await stage.request("POST", "/v1/orgs", token=token, body=body)
    assert refused.status == 422
    assert refused.json["detail"][0]["loc"] == ["body", "privacy_level"]
