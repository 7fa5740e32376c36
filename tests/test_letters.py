"""Letters from end to end: what happens in Tollway arrives as mail, through the server's real wiring."""

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, update

from tests.control.test_billing import put
from tests.control.test_invites import ADA, invited, join, resend
from tests.control.test_members import remove
from tests.notices.offices import SENDER, row, rows, write
from tests.peers.mail import MailPeer, Received
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import make_org
from tests.world.stage import Stage, Tenant
from tests.world.waiting import until
from tollway.demo.receiver import ScriptedAnswer
from tollway.settings import Settings
from tollway.store.database import Database
from tollway.store.outbox import KEPT_US, prune_letters
from tollway.store.outbox_schema import outbox
from tollway.world import open_world

BILLING = "billing@example.com"


@pytest.fixture
async def peer() -> AsyncIterator[MailPeer]:
    async with MailPeer() as started:
        yield started


@pytest.fixture
def settings(settings: Settings, peer: MailPeer) -> Settings:
    """With a mail server, and an address of its own."""
    home = "https://tollway.example.com"
    return replace(settings, smtp_url=peer.url(), mail_from=SENDER, public_url=home)


def change_content(db: Connection, content: dict[str, Any]) -> None:
    db.execute(update(outbox).values(content=content))


def link_in(letter: Received) -> dict[str, list[str]]:
    """What the letter's link has in its query."""
    found = re.search(r"^https://app\S+$", letter.part("plain"), re.MULTILINE)
    assert found is not None
    return parse_qs(urlsplit(found[0]).query)


async def billed(stage: Stage) -> Tenant:
    return await stage.tenant(billing_email=BILLING)


async def test_an_invite_arrives_and_its_link_works(stage: Stage, peer: MailPeer) -> None:
    acme = await billed(stage)
    made = await invited(stage, acme)
    await stage.settled()
    (letter,) = peer.received
    assert letter.to == [ADA]
    assert letter.message["Subject"] == "Ada invites you to acme"
    query = link_in(letter)
    assert query["token"] == [made["token"]]
    joined = await join(stage, await stage.user(ADA), query["token"][0])
    assert (joined.status, joined.json["new_org"]) == (200, acme.org_id)
    kept = row(stage.world.database)
    assert "link_sealed" not in kept.content
    assert kept.content["email"] == ADA


async def test_only_the_invite_that_counts_is_sent(stage: Stage, peer: MailPeer) -> None:
    acme = await billed(stage)
    await invited(stage, acme)
    stage.clock.advance(1)
    sent = (await resend(stage, acme)).json
    taken_back = await invited(stage, acme, "eve@example.com")
    await remove(stage, acme.user_token, taken_back["id"])
    await stage.settled()
    assert [letter.to for letter in peer.received] == [[ADA]]
    assert link_in(peer.received[0])["token"] == [sent["token"]]
    assert len(rows(stage.world.database)) == 1


async def test_a_receiver_that_refuses_is_told_of_once_to_the_billing_address(
    stage: Stage, peer: MailPeer
) -> None:
    acme = await billed(stage)
    await stage.integrate(acme)
    for _ in range(3):
        stage.prometheus.scripted.append(ScriptedAnswer(status=401, body="<b>who are you?</b>"))
        stage.clock.advance(300)
        await stage.settled()
    (letter,) = peer.received
    assert letter.to == [BILLING]
    assert letter.message["Subject"] == "The Prometheus of acme refuses what Tollway sends"
    assert "<b>who" in letter.part("plain")
    assert "&lt;b&gt;who" in letter.part("html")
    assert "https://tollway.example.com" in letter.part("plain")


async def test_a_limit_that_is_reached_is_told_to_the_billing_address(stage: Stage, peer: MailPeer) -> None:
    acme = await billed(stage)
    await put(stage, acme, '{"spending_limit_soft": 0.000001}')
    await stage.chat(acme)
    await stage.settled()
    await stage.settled()
    (letter,) = peer.received
    assert letter.to == [BILLING]
    assert letter.message["Subject"] == "acme has reached its soft spending limit of $0.000001"


async def test_a_link_that_does_not_open_is_tried_again_and_told_of(stage: Stage, peer: MailPeer) -> None:
    acme = await billed(stage)
    await invited(stage, acme)
    database = stage.world.database
    content = {**row(database).content, "link_sealed": "v1.other.key"}
    await database.write(change_content, content)
    await stage.settled()
    assert not peer.received
    found = row(database)
    assert found.last_error.startswith("its link does not open: ")
    assert found.due_us is not None


async def test_what_was_sent_is_kept_for_a_month(stage: Stage) -> None:
    acme = await billed(stage)
    await invited(stage, acme)
    await stage.settled()
    now_us = stage.clock.now_us()
    for at_us, left in ((now_us + KEPT_US, 1), (now_us + KEPT_US + 1, 0)):
        await stage.world.database.write(prune_letters, at_us)
        assert len(rows(stage.world.database)) == left


async def test_tasks_send_what_is_due_and_remove_what_is_old_by_themselves(
    settings: Settings, database: Database, peer: MailPeer
) -> None:
    org = database.write_here(partial(make_org, billing_email=BILLING))
    write(database, org, NOON_US)
    sent_us = NOON_US - KEPT_US - 1
    database.write_here(lambda db: db.execute(update(outbox).values(due_us=None, sent_us=sent_us)))
    write(database, org, NOON_US)
    async with open_world(settings, clock=TurningClock()):
        await until(lambda: [each.sent_us for each in rows(database)] == [NOON_US])
    assert [letter.to for letter in peer.received] == [[BILLING]]
