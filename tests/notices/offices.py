"""An organisation with letters, and a post that hands them to a mail peer."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select

from tests.peers.mail import MailPeer
from tests.world.clock import TurningClock
from tollway.domain.ids import OrgId
from tollway.domain.mail import parse_mail
from tollway.notices.mail import Mailer
from tollway.notices.post import Post
from tollway.store.database import Database
from tollway.store.outbox import add_letter
from tollway.store.outbox_schema import outbox
from tollway.store.vault import Vault

SENDER = "Tollway <tollway@example.com>"
LIMIT = {
    "limit": "5",
    "spent": "5.25",
    "cycle_start": "2026-03-01T00:00:00.000000Z",
    "cycle_end": "2026-04-01T00:00:00.000000Z",
}


def mailer(url: str, deadline_s: float = 5.0) -> Mailer:
    """The way to this server."""
    server = parse_mail(url, SENDER)
    assert server is not None
    return Mailer(server, deadline_s=deadline_s)


def post(
    database: Database, clock: TurningClock, peer: MailPeer | None, public_url: str = "", scheme: str = "smtp"
) -> Post:
    """A process's post."""
    way = None if peer is None else mailer(peer.url(scheme))
    vault = Vault([bytes(32)])
    return Post(database=database, vault=vault, clock=clock, mailer=way, public_url=public_url)


def write(
    database: Database,
    org: OrgId,
    now_us: int,
    kind: str = "alert.soft_limit",
    content: Mapping[str, str] | None = None,
) -> None:
    """Put a letter into the outbox."""
    database.write_here(lambda db: add_letter(db, org, kind, content or LIMIT, now_us))


def rows(database: Database) -> list[Row[Any]]:
    """All of the outbox, the first ones first."""
    return database.write_here(lambda db: list(db.execute(select(outbox).order_by(outbox.c.id)).all()))


def row(database: Database) -> Row[Any]:
    """The one letter there is."""
    (found,) = rows(database)
    return found
