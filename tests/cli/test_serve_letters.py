"""Letters of a real server: mailed by itself, and not lost when it is killed while it sends."""

from functools import partial
from pathlib import Path

import aiohttp
from sqlalchemy import update

from tests.cli.processes import Served, served
from tests.notices.offices import SENDER, row
from tests.peers.mail import MailPeer
from tests.world.stage import OPERATOR_TOKEN
from tests.world.waiting import until
from tollway.store.database import Database
from tollway.store.outbox_schema import outbox

SIGKILL = 9


async def invite(server: Served) -> str:
    """Have a user, an organisation and an invite; the invite's token."""
    async with aiohttp.ClientSession(server.base) as client:

        async def post(path: str, token: str, body: object) -> object:
            headers = {"Authorization": f"Bearer {token}"}
            async with client.post(path, json=body, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
                found: object = await answer.json()
                return found

        user = await post("/v1/users", OPERATOR_TOKEN, {"email": "grace@example.com", "name": "Grace"})
        assert isinstance(user, dict)
        await post("/v1/orgs", user["token"], {"org_name": "acme"})
        emails = [{"email": "ada@example.com", "role": "viewer"}]
        body = {"emails": emails, "invite_link": "https://app.example.com/join"}
        made = await post("/v1/orgs/invite", user["token"], body)
        assert isinstance(made, list)
        return str(made[0]["token"])


async def test_a_server_killed_while_it_sends_is_followed_by_one_that_sends_again(tmp_path: Path) -> None:
    async with MailPeer() as peer:
        server = partial(
            served, tmp_path, operator_token=OPERATOR_TOKEN, smtp_url=peer.url(), mail_from=SENDER
        )
        peer.answers_data.clear()
        async with server(stop=SIGKILL) as killed:
            token = await invite(killed)
            await until(peer.taken.is_set, "no letter came")
        peer.answers_data.set()
        database = Database(f"sqlite:///{tmp_path / 'data' / 'tollway.db'}")
        assert row(database).sent_us is None
        database.write_here(lambda db: db.execute(update(outbox).values(due_us=0)))  # the lease is over
        async with server() as follower:
            await until(lambda: row(database).sent_us is not None, "it was not sent again")
        database.close()
    assert (killed.exit_code, follower.exit_code) == (-SIGKILL, 0)
    first, second = peer.received
    assert first.id == second.id
    assert token in second.part("plain")
    assert token not in killed.log + follower.log
