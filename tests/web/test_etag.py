"""A change is made only of what was seen, and what is known is not sent again."""

import pytest

from tests.world.entries import ON_SQLITE
from tests.world.stage import Answer, Stage, Tenant


async def shown(stage: Stage, of: Tenant, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await stage.request("GET", "/v1/orgs/current", token=of.user_token, headers=sent)


async def put(stage: Stage, of: Tenant, city: str, if_match: str) -> Answer:
    stage.clock.advance(1)
    return await stage.request(
        "PUT",
        "/v1/orgs/update",
        token=of.user_token,
        body={"address_city": city},
        headers={"If-Match": if_match},
    )


async def test_a_change_of_what_was_changed_since_is_refused(stage: Stage) -> None:
    acme = await stage.tenant()
    seen = (await shown(stage, acme)).headers["etag"]
    changed = await put(stage, acme, "Ghent", seen)
    assert changed.status == 200
    late = await put(stage, acme, "Bruges", seen)
    assert (late.status, "read it again" in late.json["detail"]) == (412, True)
    assert (await stage.record(acme))["address_city"] == "Ghent"
    assert (await put(stage, acme, "Bruges", f'"0.0", {changed.headers["etag"]}')).status == 200
    assert (await put(stage, acme, "Ostend", "*")).status == 200


async def test_calls_change_what_is_shown_and_are_no_reason_to_refuse(stage: Stage) -> None:
    acme = await stage.tenant()
    seen = (await shown(stage, acme)).headers["etag"]
    assert (await stage.chat(acme)).status == 200
    await stage.settled()
    assert (await shown(stage, acme, If_None_Match=seen)).status == 200
    assert (await put(stage, acme, "Ghent", seen)).status == 200


@ON_SQLITE
async def test_what_is_known_is_not_sent_again(stage: Stage) -> None:
    acme = await stage.tenant()
    seen = (await shown(stage, acme)).headers["etag"]
    for known in (seen, f"W/{seen}", f'"0.0", {seen}', "*"):
        same = await shown(stage, acme, If_None_Match=known)
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", seen)
    assert (await shown(stage, acme, If_None_Match='"0.0"')).status == 200


@ON_SQLITE
@pytest.mark.parametrize("junk", ["x", '"x.y"', '""', "1.2", 'W/"1.2"'])
async def test_a_tag_that_is_none_matches_nothing(stage: Stage, junk: str) -> None:
    acme = await stage.tenant()
    assert (await put(stage, acme, "Ghent", junk)).status == 412
