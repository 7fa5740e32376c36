"""The post: every letter arrives, normally once, to the right people; what cannot arrive is shown."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import Connection, update

from tests.notices.offices import LIMIT, post, row, rows, write
from tests.peers.mail import HANG_UP, MailPeer
from tests.world.clock import NOON_US, TurningClock
from tests.world.entries import make_org
from tollway.domain.clock import US_PER_S
from tollway.domain.ids import OrgId, UserId
from tollway.domain.role import Role
from tollway.store.database import Database
from tollway.store.members import add_member
from tollway.store.outbox import FIRST_PAUSE_US, LEASE_US, LONGEST_PAUSE_US, TRIED_FOR_US
from tollway.store.schema import orgs
from tollway.store.users import create_user

BILLING = "billing@example.com"
DAY_S = 86_400


@pytest.fixture
async def peer() -> AsyncIterator[MailPeer]:
    async with MailPeer() as started:
        yield started


@pytest.fixture
def clock() -> TurningClock:
    return TurningClock()


@pytest.fixture
def org(database: Database) -> OrgId:
    made = database.write_here(make_org)
    bill_to(database, made, BILLING)
    return made


def bill_to(database: Database, org: OrgId, email: str | None) -> None:
    changed = update(orgs).where(orgs.c.id == org).values(billing_email=email)
    database.write_here(lambda db: db.execute(changed))


def join(database: Database, org: OrgId, email: str, role: Role) -> None:
    def joined(db: Connection) -> None:
        user: UserId = create_user(db, email=email, name=email, token=f"token of {email}", now_us=NOON_US)
        add_member(db, org, user, role.permissions, NOON_US)

    database.write_here(joined)


async def test_a_letter_goes_to_the_billing_address_once(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    write(database, org, NOON_US)
    office = post(database, clock, peer)
    await office.deliver_due()
    clock.advance(DAY_S)
    await office.deliver_due()
    (got,) = peer.received
    assert (got.sender, got.to) == ("tollway@example.com", [BILLING])
    assert got.message["To"] == BILLING
    found = row(database)
    assert (found.sent_us, found.due_us, found.failed_us, found.last_error) == (NOON_US, None, None, None)
    assert got.id == f"<{found.id}@example.com>"


async def test_without_a_billing_address_the_admins_are_told(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    bill_to(database, org, None)
    join(database, org, "ada@example.com", Role.ADMIN)
    join(database, org, "grace@example.com", Role.ADMIN)
    join(database, org, "eve@example.com", Role.EDITOR)
    write(database, org, NOON_US)
    await post(database, clock, peer).deliver_due()
    (got,) = peer.received
    assert got.to == ["ada@example.com", "grace@example.com"]


async def test_where_nobody_can_be_told_the_letter_is_given_up(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    bill_to(database, org, None)
    write(database, org, NOON_US)
    await post(database, clock, peer).deliver_due()
    found = row(database)
    assert found.failed_us == NOON_US
    assert found.last_error == "there is nobody to send it to: set the billing e-mail"


async def test_where_no_mail_can_go_the_letter_is_given_up(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    bill_to(database, org, "no address")
    write(database, org, NOON_US)
    await post(database, clock, peer).deliver_due()
    assert (row(database).failed_us, row(database).last_error) == (
        NOON_US,
        "no address: not an address that mail can go to",
    )
    assert not peer.received


async def test_what_is_refused_for_now_is_tried_after_pauses_that_double_to_a_bound(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    peer.answers[BILLING] = ["451 4.7.1 Greylisted"] * 100
    write(database, org, NOON_US)
    office = post(database, clock, peer)
    pauses = []
    while True:
        await office.deliver_due()
        found = row(database)
        if found.due_us is None:
            break
        assert found.last_error == f"{BILLING}: 451 4.7.1 Greylisted"
        pauses.append(found.due_us - clock.now_us())
        clock.advance((found.due_us - clock.now_us()) / US_PER_S - 1)
        await office.deliver_due()
        assert row(database).attempts == found.attempts
        clock.advance(1)
    assert pauses[:3] == [FIRST_PAUSE_US, 2 * FIRST_PAUSE_US, 4 * FIRST_PAUSE_US]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_US
    assert TRIED_FOR_US <= found.failed_us - NOON_US < TRIED_FOR_US + LONGEST_PAUSE_US
    assert found.last_error == f"{BILLING}: 451 4.7.1 Greylisted"
    assert not peer.received


async def test_a_recipient_who_takes_it_later_gets_it(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    peer.answers[BILLING] = ["451 later"]
    write(database, org, NOON_US)
    office = post(database, clock, peer)
    await office.deliver_due()
    clock.advance(60)
    await office.deliver_due()
    assert [got.to for got in peer.received] == [[BILLING]]
    assert row(database).sent_us == clock.now_us()


@pytest.mark.parametrize("where", ["the recipient", "the message"])
async def test_what_is_refused_for_good_is_given_up_at_once_and_says_why(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer, where: str
) -> None:
    answer = "550 5.1.1 No such user; twi_0123456789 was in it"
    if where == "the recipient":
        peer.answers[BILLING] = [answer]
    else:
        peer.data_answers = [answer]
    write(database, org, NOON_US)
    office = post(database, clock, peer)
    await office.deliver_due()
    found = row(database)
    assert (found.failed_us, found.due_us) == (NOON_US, None)
    assert found.last_error == f"{BILLING}: 550 5.1.1 No such user; •••• was in it"
    clock.advance(DAY_S)
    await office.deliver_due()
    assert not peer.received


async def test_of_several_recipients_each_is_treated_on_its_own(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    bill_to(database, org, None)
    join(database, org, "ada@example.com", Role.ADMIN)
    join(database, org, "later@example.com", Role.ADMIN)
    join(database, org, "never@example.com", Role.ADMIN)
    peer.answers["later@example.com"] = ["450 busy"]
    peer.answers["never@example.com"] = ["550 unknown"]
    write(database, org, NOON_US)
    office = post(database, clock, peer)
    await office.deliver_due()
    found = row(database)
    assert (found.remaining, found.sent_us) == (["later@example.com"], None)
    assert found.last_error == "later@example.com: 450 busy; never@example.com: 550 unknown"
    clock.advance(60)
    await office.deliver_due()
    assert [got.to for got in peer.received] == [["ada@example.com"], ["later@example.com"]]
    assert len({got.id for got in peer.received}) == 1
    assert row(database).sent_us == clock.now_us()


async def test_who_took_it_has_it_although_another_never_does(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    bill_to(database, org, None)
    join(database, org, "ada@example.com", Role.ADMIN)
    join(database, org, "later@example.com", Role.ADMIN)
    peer.answers["later@example.com"] = ["450 busy", "550 unknown"]
    write(database, org, NOON_US)
    office = post(database, clock, peer)
    await office.deliver_due()
    clock.advance(60)
    await office.deliver_due()
    found = row(database)
    assert (found.sent_us, found.failed_us) == (clock.now_us(), None)
    assert found.last_error == "later@example.com: 550 unknown"


async def test_while_the_server_is_away_all_letters_wait(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    for _ in range(3):
        write(database, org, NOON_US)
    office = post(database, clock, peer)
    await peer.stop()
    await office.deliver_due()
    assert [each.due_us for each in rows(database)] == [NOON_US + FIRST_PAUSE_US] * 3
    assert all(each.last_error for each in rows(database))
    await peer.start(peer.port)
    clock.advance(60)
    await office.deliver_due()
    assert len(peer.received) == 3


async def test_a_letter_over_which_the_server_hangs_up_holds_up_no_other(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    other = database.write_here(partial(make_org, name="other", billing_email="odd@example.com"))
    peer.answers["odd@example.com"] = [HANG_UP]
    write(database, other, NOON_US - 1)
    write(database, org, NOON_US)
    await post(database, clock, peer).deliver_due()
    assert [got.to for got in peer.received] == [[BILLING]]
    odd, _ = rows(database)
    assert (odd.due_us, odd.failed_us) == (NOON_US + FIRST_PAUSE_US, None)
    assert odd.last_error


async def test_many_letters_of_two_processes_arrive_once_each(
    database: Database, database_url: str, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    for _ in range(40):
        write(database, org, NOON_US)
    other = Database(database_url)
    await asyncio.gather(post(database, clock, peer).deliver_due(), post(other, clock, peer).deliver_due())
    other.close()
    assert set(Counter(got.id for got in peer.received).values()) == {1}
    assert len(peer.received) == 40
    assert peer.sessions < 40
    assert all(each.sent_us for each in rows(database))


async def test_a_process_that_dies_after_sending_is_followed_by_one_that_sends_it_again_under_the_same_id(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    write(database, org, NOON_US)
    peer.answers_data.clear()
    dying = asyncio.create_task(post(database, clock, peer).deliver_due())
    await peer.taken.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    peer.answers_data.set()
    assert row(database).sent_us is None
    follower = post(database, clock, peer)
    await follower.deliver_due()
    assert len(peer.received) == 1
    clock.advance(LEASE_US / US_PER_S)
    await follower.deliver_due()
    assert len(peer.received) == 2
    assert len({got.id for got in peer.received}) == 1
    assert len({got.message["Date"] for got in peer.received}) == 1
    assert row(database).sent_us == clock.now_us()


async def test_a_letter_that_cannot_be_written_is_given_up_and_holds_up_no_other(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    write(database, org, NOON_US, content={"limit": "5"})
    write(database, org, NOON_US, content={**LIMIT, "limit": "much"})
    write(database, org, NOON_US)
    await post(database, clock, peer).deliver_due()
    assert sorted(str(each.last_error) for each in rows(database)) == [
        "None",
        "no text can be made of it: InvalidOperation",
        "no text can be made of it: KeyError",
    ]
    assert len(peer.received) == 1


async def test_what_this_process_has_no_text_for_waits_for_one_that_has(
    database: Database, clock: TurningClock, org: OrgId, peer: MailPeer
) -> None:
    write(database, org, NOON_US, kind="of.tomorrow")
    await post(database, clock, peer).deliver_due()
    assert (row(database).due_us, row(database).attempts) == (NOON_US, 0)


async def test_without_a_server_letters_are_logged_once_and_stay(
    database: Database, clock: TurningClock, org: OrgId, caplog: pytest.LogCaptureFixture, peer: MailPeer
) -> None:
    write(database, org, NOON_US, content={**LIMIT, "secret": "twi_token"})
    for _ in range(2):
        await post(database, clock, None).deliver_due()
    assert caplog.messages == ["a letter (alert.soft_limit) to acme waits: there is no smtp_url"]
    await post(database, clock, peer).deliver_due()
    assert len(peer.received) == 1
