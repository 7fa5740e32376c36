"""The story of docs/people.md, by HTTP alone: two organisations, three roles, invites, keys, an end."""

from typing import Any

from tests.world.stage import OPERATOR_TOKEN, Answer, Stage
from tollway.demo.offer import CHEAP_MODEL

PAGE = "https://app.example.com/join"


class Teller:
    """Asks, and expects each answer's status."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def __call__(
        self, method: str, path: str, token: str, body: object = None, *, status: int = 200
    ) -> Any:  # noqa: ANN401 - any JSON value
        answer: Answer = await self._stage.request(method, path, token=token, body=body)
        assert answer.status == status, (method, path, answer.body)
        return answer.json

    async def user(self, name: str) -> str:
        body = {"email": f"{name}@example.com", "name": name.title()}
        return str((await self("POST", "/v1/users", OPERATOR_TOKEN, body, status=201))["token"])

    async def invite(self, by: str, email: str, role: str) -> str:
        body = {"emails": [{"email": email, "role": role}], "invite_link": PAGE}
        (made,) = await self("POST", "/v1/orgs/invite", by, body, status=201)
        assert made["link"].startswith(PAGE)
        return str(made["token"])

    async def answer(self, who: str, email: str, token: str, accept: str, status: int = 200) -> Any:  # noqa: ANN401 - as above
        body = {"email": email, "token": token, "accept": accept}
        return await self("POST", "/v1/orgs/join-with-invite", who, body, status=status)

    async def chat(self, key: str, status: int = 200) -> None:
        body = {"model": CHEAP_MODEL, "messages": [{"role": "user", "content": "Hello!"}]}
        await self("POST", "/v1/chat/completions", key, body, status=status)


async def test_two_organisations_live_beside_each_other(stage: Stage) -> None:
    told = Teller(stage)
    ada, grace, linus, mary = [await told.user(name) for name in ("ada", "grace", "linus", "mary")]

    # Everybody begins in an organisation of their own, and names the next one as they like.
    assert (await told("GET", "/v1/orgs/current", ada))["is_personal"]
    assert (await told("POST", "/v1/orgs/check-name", ada, {"org_name": "acme"}))["is_available"]
    acme = await told("POST", "/v1/orgs", ada, {"org_name": "acme"}, status=201)
    beta = await told("POST", "/v1/orgs", mary, {"org_name": "beta"}, status=201)

    # Grace comes in as an editor, Linus as a viewer; Mary does not want to.
    for who, name, role in ((grace, "grace", "editor"), (linus, "linus", "viewer")):
        token = await told.invite(ada, f"{name}@example.com", role)
        await told.answer(mary, f"{name}@example.com", token, "1", status=404)
        joined = await told.answer(who, f"{name}@example.com", token, "1")
        assert (joined["new_org"], joined["reload_required"]) == (acme["id"], True)
    token = await told.invite(grace, "mary@example.com", "viewer")
    assert len(await told("POST", "/v1/orgs/members", linus)) == 4
    assert not (await told.answer(mary, "mary@example.com", token, "0"))["reload_required"]
    await told.answer(mary, "mary@example.com", token, "1", status=409)
    members = await told("POST", "/v1/orgs/members", linus)
    assert {each["name"]: each["permissions"].count(" ") + 1 for each in members} == {
        "Ada": 8,
        "Grace": 5,
        "Linus": 2,
    }

    # Each does what their role lets them.
    app = await told("POST", "/v1/apps/create", grace, {"name": "Chat"}, status=201)
    await told("POST", "/v1/apps/create", linus, {"name": "Chat"}, status=403)
    await told("GET", f"/v1/apps/{app['id']}/limits", linus)
    await told("GET", f"/v1/apps/{app['id']}/limits", mary, status=404)
    await told("PUT", "/v1/orgs/update", grace, {"org_display_name": "Acme"})
    await told("DELETE", "/v1/orgs/current?org_name=acme", grace, status=403)
    others = await told("POST", "/v1/apps/create", mary, {"name": "Chat"}, status=201)

    # Linus, who only sees, is let into one app as its admin, and hands out a key that ends by itself.
    people = {each["name"]: each["id"] for each in members}
    in_app = {"auth0_id": people["Linus"], "permissions": ["admin"]}
    await told("POST", f"/v1/apps/{app['id']}/members", grace, in_app, status=403)
    await told("POST", f"/v1/apps/{app['id']}/members", ada, in_app)
    wanted = {"name": "night", "permissions": ["inference"], "expires_on": "2026-03-11T00:00:00Z"}
    night = await told("POST", f"/v1/apps/{app['id']}/access-tokens", linus, wanted)
    await told("PUT", f"/v1/apps/{app['id']}/models/{CHEAP_MODEL}/toggle?enable=false", linus)
    await told("PUT", f"/v1/apps/{app['id']}/models/{CHEAP_MODEL}/toggle", mary, status=404)
    await told.chat(night["secret"], status=403)
    await told("PUT", f"/v1/apps/{app['id']}/models/{CHEAP_MODEL}/toggle?enable=true", linus)
    await told("PUT", "/v1/apps/update", linus, {"id": app["id"], "description": "Talks"})
    found = await told("POST", "/v1/apps/?search=talks&page=1&size=40", linus, {})
    assert [each["description"] for each in found["items"]] == ["Talks"]
    stage.clock.advance(12 * 3_600)
    await stage.world.refresh()
    await told.chat(night["secret"], status=401)
    leaked = app["created_key"]
    app = await told("POST", f"/v1/apps/{app['id']}/regenerate-key", linus)
    await stage.world.refresh()
    await told.chat(leaked, status=401)

    # Keys are used, and one is revoked: the other organisation does not notice.
    await told.chat(app["created_key"])
    await told.chat(others["created_key"])
    await told.chat(others["created_key"])
    await stage.settled()
    assert (await told("GET", "/v1/orgs/current", linus))["num_requests"] == 1
    assert (await told("GET", "/v1/orgs/current", mary))["num_requests"] == 2
    await told("DELETE", f"/v1/apps/{app['id']}", mary, status=404)
    await told("DELETE", f"/v1/apps/{app['id']}", grace)
    await stage.world.refresh()
    await told.chat(app["created_key"], status=403)
    await told.chat(others["created_key"])

    # Linus becomes an editor, Grace goes, Ada cannot, and then it is all over.
    await told(
        "PUT", "/v1/orgs/members/permissions", ada, {"auth0_id": people["Linus"], "permissions": "editor"}
    )
    kept = await told("POST", "/v1/apps/create", linus, {"name": "Another"}, status=201)
    await told("POST", "/v1/orgs/leave", grace)
    await told("POST", "/v1/orgs/leave", ada, status=409)
    assert [each["org_name"] for each in await told("GET", "/v1/orgs/list", linus)][1:] == ["acme"]
    await told.chat(kept["created_key"])
    await told("DELETE", "/v1/orgs/current?org_name=acme", ada)
    await stage.world.refresh()
    await told.chat(kept["created_key"], status=401)
    for who in (ada, grace, linus):
        assert (await told("GET", "/v1/orgs/current", who))["is_personal"]
        await told("PATCH", f"/v1/orgs/switch/{acme['id']}", who, status=404)
    await told.chat(others["created_key"])
    assert (await told("GET", "/v1/orgs/current", mary))["id"] == beta["id"]
