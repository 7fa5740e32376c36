"""Invites: for one address, once, for a week; by a token that nobody keeps; never beyond the seats."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, select, update

from tests.control.people import member
from tests.control.test_members import listed, remove
from tests.world.stage import Answer, Stage, Tenant
from tollway.domain.ids import OrgId
from tollway.domain.invite import VALID_DAYS
from tollway.domain.role import Role, words_of
from tollway.domain.subscription import PlanSettings
from tollway.domain.token import Bearer, mint
from tollway.settings import Settings
from tollway.store.invites import letter_context
from tollway.store.outbox_schema import outbox
from tollway.store.people_schema import invites
from tollway.store.schema import orgs

PAGE = "https://app.example.com/join?from=mail"
ADA = "ada@example.com"
DAY_S = 86_400


async def ask(stage: Stage, token: str, *emails: str, role: str = "viewer", page: str = PAGE) -> Answer:
    body = {"emails": [{"email": email, "role": role} for email in emails], "invite_link": page}
    return await stage.request("POST", "/v1/orgs/invite", token=token, body=body)


async def invited(stage: Stage, tenant: Tenant, email: str = ADA, role: str = "viewer") -> dict[str, Any]:
    answer = await ask(stage, tenant.user_token, email, role=role)
    assert answer.status == 201, answer.body
    (made,) = answer.json
    found: dict[str, Any] = made
    return found


async def join(stage: Stage, user: str, token: str, email: str = ADA, **fields: object) -> Answer:
    body = {"email": email, "token": token, **fields}
    return await stage.request("POST", "/v1/orgs/join-with-invite", token=user, body=body)


async def resend(stage: Stage, tenant: Tenant, email: str = ADA, **fields: object) -> Answer:
    body = {"email": email, "invite_link": PAGE, "org_id": tenant.org_id, **fields}
    return await stage.request("POST", "/v1/orgs/resend-invite", token=tenant.user_token, body=body)


async def emails(stage: Stage, tenant: Tenant) -> dict[str, str]:
    """Everybody in the list, with their status."""
    return {each["email"]: each["invite_status"] for each in await listed(stage, tenant.user_token)}


async def test_who_accepts_is_a_member_with_the_role_and_is_there_now(stage: Stage) -> None:
    acme = await stage.tenant()
    made = await invited(stage, acme, role="editor")
    assert (made["invite_status"], made["auth0_id"], made["is_active"]) == ("pending", None, None)
    assert (made["added_on"], made["expires_on"]) == ("2026-03-10T12:00:00Z", "2026-03-17T12:00:00Z")
    query = parse_qs(urlsplit(made["link"]).query)
    assert query == {"from": ["mail"], "email": [ADA], "token": [made["token"]]}
    assert await emails(stage, acme) == {"admin@acme.example.com": "accepted", ADA: "pending"}
    ada = await stage.user(ADA)
    joined = await join(stage, ada, made["token"])
    assert joined.json == {"message": "you are in acme now", "new_org": acme.org_id, "reload_required": True}
    assert (await stage.request("GET", "/v1/orgs/current", token=ada)).json["org_name"] == "acme"
    assert await emails(stage, acme) == {"admin@acme.example.com": "accepted", ADA: "accepted"}
    (own,) = [each for each in await listed(stage, ada) if each["is_current_user"]]
    assert own["permissions"] == words_of(Role.EDITOR.permissions)
    again = await join(stage, ada, made["token"])
    assert (again.status, "accepted before" in again.json["detail"]) == (409, True)


async def test_who_declines_is_no_member_and_may_be_asked_again(stage: Stage) -> None:
    acme = await stage.tenant()
    made, ada = await invited(stage, acme), await stage.user(ADA)
    declined = await join(stage, ada, made["token"], accept="0")
    assert declined.json == {
        "message": "the invite is declined",
        "new_org": acme.org_id,
        "reload_required": False,
    }
    assert list(await emails(stage, acme)) == ["admin@acme.example.com"]
    shown = await stage.request("GET", f"/v1/orgs/members/{made['id']}", token=acme.user_token)
    assert shown.json["invite_status"] == "declined"
    assert (await join(stage, ada, made["token"])).status == 409
    assert (await resend(stage, acme)).status == 404
    anew = await invited(stage, acme)
    assert (await join(stage, ada, anew["token"], accept="1")).status == 200


async def test_an_invite_is_for_one_address_only_in_either_case(stage: Stage) -> None:
    acme = await stage.tenant()
    made = await invited(stage, acme, "Ada@Example.com")
    assert made["email"] == ADA
    ada, eve = await stage.user("ADA@example.com"), await stage.user("eve@example.com")
    for user, email, token in (
        (eve, ADA, made["token"]),
        (eve, "eve@example.com", made["token"]),
        (ada, "eve@example.com", made["token"]),
        (ada, ADA, mint(Bearer.INVITE)),
        (ada, ADA, "junk"),
        (ada, ADA, acme.app_key),
    ):
        refused = await join(stage, user, token, email)
        assert refused.status == 404
        assert refused.json == (await join(stage, eve, "junk")).json
    assert (await join(stage, ada, made["token"], "aDa@example.com")).status == 200


async def test_an_invite_ends_after_a_week_and_may_be_sent_again(stage: Stage) -> None:
    acme = await stage.tenant()
    made, ada = await invited(stage, acme), await stage.user(ADA)
    stage.clock.advance(VALID_DAYS * DAY_S)
    over = await join(stage, ada, made["token"])
    assert (over.status, "over" in over.json["detail"]) == (409, True)
    assert await emails(stage, acme) == {"admin@acme.example.com": "accepted", ADA: "pending"}
    sent = await resend(stage, acme)
    assert (sent.status, sent.json["id"], sent.json["expires_on"]) == (
        200,
        made["id"],
        "2026-03-24T12:00:00Z",
    )
    stage.clock.advance(VALID_DAYS * DAY_S - 1)
    assert (await join(stage, ada, made["token"])).status == 404
    assert (await join(stage, ada, sent.json["token"])).status == 200


async def test_an_invite_that_is_over_may_be_declined(stage: Stage) -> None:
    acme = await stage.tenant()
    made, ada = await invited(stage, acme), await stage.user(ADA)
    stage.clock.advance(VALID_DAYS * DAY_S)
    assert (await join(stage, ada, made["token"], accept="0")).status == 200


async def test_the_letter_has_the_link_sealed_and_nothing_stored_has_the_token(stage: Stage) -> None:
    acme = await stage.tenant()
    made = await invited(stage, acme)
    sent = (await resend(stage, acme)).json

    def read(db: Connection) -> tuple[list[Any], list[Any]]:
        letters = select(outbox).where(outbox.c.kind == "invite").order_by(outbox.c.id)
        return list(db.execute(letters).all()), list(db.execute(select(invites)).all())

    letters, rows = await stage.world.database.read(read)
    context = letter_context(OrgId(acme.org_id), made["id"])
    links = {stage.world.vault.open(each.content["link_sealed"], context).reveal() for each in letters}
    assert links == {made["link"], sent["link"]}
    assert {each.content["email"] for each in letters} == {ADA}
    assert {each.content["org_name"] for each in letters} == {"acme"}
    for token in (made["token"], sent["token"]):
        assert token not in str(letters) + str(rows)
        assert (
            token.encode()
            not in (await stage.request("POST", "/v1/orgs/members", token=acme.user_token)).body
        )


async def test_an_invite_that_is_taken_back_is_nobodys(stage: Stage) -> None:
    acme = await stage.tenant()
    made, ada = await invited(stage, acme), await stage.user(ADA)
    assert (await remove(stage, acme.user_token, made["id"])).json == {"id": made["id"]}
    assert (await join(stage, ada, made["token"])).status == 404
    assert (await remove(stage, acme.user_token, made["id"])).status == 404
    assert (await stage.request("GET", f"/v1/orgs/members/{made['id']}", token=acme.user_token)).status == 404


async def test_all_are_invited_or_nobody(stage: Stage) -> None:
    acme = await stage.tenant()
    await member(stage, acme, "Grace@example.com", Role.VIEWER.permissions)
    refused = await ask(stage, acme.user_token, "new@example.com", "grace@example.com", "NEW@example.com")
    assert [(fault["loc"], fault["type"]) for fault in refused.json["detail"]] == [
        (["body", "emails", 1, "email"], "already_member"),
        (["body", "emails", 2, "email"], "named_twice"),
    ]
    for wrong in (
        await ask(stage, acme.user_token),
        await ask(stage, acme.user_token, *(f"{number}@example.com" for number in range(51))),
        await ask(stage, acme.user_token, "new@example.com", role="owner"),
        await ask(stage, acme.user_token, "new@example.com", page="javascript:alert(1)"),
        await ask(stage, acme.user_token, "not an address"),
    ):
        assert wrong.status == 422
    assert set(await emails(stage, acme)) == {"admin@acme.example.com", "Grace@example.com"}


async def test_nobody_invites_above_themselves_not_by_sending_again_either(stage: Stage) -> None:
    acme = await stage.tenant()
    editor = await member(stage, acme, "editor@example.com", Role.EDITOR.permissions)
    assert (await ask(stage, editor, ADA, role="admin")).status == 403
    assert (await ask(stage, editor, ADA, role="editor")).status == 201
    await invited(stage, acme, "boss@example.com", role="admin")
    body = {"email": "boss@example.com", "invite_link": PAGE, "org_id": acme.org_id}
    refused = await stage.request("POST", "/v1/orgs/resend-invite", token=editor, body=body)
    assert (refused.status, "do not have yourself" in refused.json["detail"]) == (403, True)


async def test_a_personal_organisation_has_no_other_members(stage: Stage) -> None:
    refused = await ask(stage, await stage.user(), "grace@example.com")
    assert (refused.status, "personal organisation" in refused.json["detail"]) == (409, True)


async def test_who_is_a_member_already_cannot_join_again(stage: Stage) -> None:
    acme = await stage.tenant()
    made, ada = await invited(stage, acme), await stage.user(ADA)
    assert (await join(stage, ada, made["token"])).status == 200
    # As it is for somebody who was invited by one address and came in by another.
    await stage.world.database.write(lambda db: db.execute(update(invites).values(status="pending")))
    again = await join(stage, ada, made["token"])
    assert (again.status, "already" in again.json["detail"]) == (409, True)
    assert len([each for each in await listed(stage, ada) if each["auth0_id"]]) == 2


class TestSeats:
    """Two seats, of which the creator has one."""

    async def seats(self, stage: Stage, tenant: Tenant, number: int) -> None:
        change = update(orgs).where(orgs.c.id == tenant.org_id).values(spaces_subscription_seats=number)
        await stage.world.database.write(lambda db: db.execute(change))

    async def test_whoever_comes_when_all_are_taken_stays_outside_until_one_is_free(
        self, stage: Stage
    ) -> None:
        acme = await stage.tenant()
        await self.seats(stage, acme, 2)
        people = {email: await stage.user(email) for email in (ADA, "grace@example.com")}
        tokens = {email: (await invited(stage, acme, email))["token"] for email in people}
        assert (await join(stage, people[ADA], tokens[ADA])).status == 200
        refused = await join(
            stage, people["grace@example.com"], tokens["grace@example.com"], "grace@example.com"
        )
        assert (refused.status, refused.json["code"]) == (402, "seats_exhausted")
        assert (await ask(stage, acme.user_token, "eve@example.com")).json["code"] == "seats_exhausted"
        assert (await emails(stage, acme))["grace@example.com"] == "pending"
        (ada,) = [each["id"] for each in await listed(stage, people[ADA]) if each["is_current_user"]]
        assert (await remove(stage, acme.user_token, ada)).status == 200
        joined = await join(
            stage, people["grace@example.com"], tokens["grace@example.com"], "grace@example.com"
        )
        assert joined.status == 200

    async def test_of_several_who_come_at_once_as_many_are_let_in_as_there_are_seats(
        self, stage: Stage
    ) -> None:
        acme = await stage.tenant()
        await self.seats(stage, acme, 3)
        came = []
        for number in range(5):
            email = f"{number}@example.com"
            token = (await invited(stage, acme, email))["token"]
            came.append(join(stage, await stage.user(email), token, email))
        answers = await asyncio.gather(*came)
        assert sorted(answer.status for answer in answers) == [200, 200, 402, 402, 402]
        assert sorted((await emails(stage, acme)).values()) == ["accepted"] * 3 + ["pending"] * 3

    async def test_one_invite_answered_twice_at_once_is_answered_once(self, stage: Stage) -> None:
        acme = await stage.tenant()
        made, ada = await invited(stage, acme), await stage.user(ADA)
        answers = await asyncio.gather(*(join(stage, ada, made["token"]) for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]

    async def test_an_organisation_that_is_not_active_or_paid_takes_nobody_in(self, stage: Stage) -> None:
        acme = await stage.tenant()
        made, ada = await invited(stage, acme), await stage.user(ADA)
        for values, status in (
            ({"is_active": False}, 403),
            ({"is_active": True, "spaces_subscription_status": "unpaid"}, 402),
        ):
            change = update(orgs).where(orgs.c.id == acme.org_id).values(**values)
            await stage.world.database.write(Connection.execute, change)
            assert (await join(stage, ada, made["token"])).status == status
        assert (await join(stage, ada, made["token"], accept="0")).status == 200


class TestPlan:
    """Where the plan, too, bounds the members."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        plans = {"STARTUP": PlanSettings(max_seats=1)}
        return replace(settings, plans=plans, new_org_tier="STARTUP")

    async def test_no_more_are_invited_than_the_plan_allows(self, stage: Stage) -> None:
        acme = await stage.tenant()
        refused = await ask(stage, acme.user_token, ADA)
        assert (refused.status, refused.json["code"]) == (402, "seats_exhausted")
        assert "(1)" in refused.json["detail"]
