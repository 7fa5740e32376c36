"""What logs show where they are many, large, or no longer to be shown."""

import pytest
from sqlalchemy import Connection, update

from tests.store.folds import numbered
from tests.world.clock import NOON_US
from tests.world.entries import JOURNAL, batch, entry, make_app, make_org
from tollway.control import logs
from tollway.control.logs import Listed, Page
from tollway.domain.body import BodyPiece, Part
from tollway.domain.caller import Person
from tollway.domain.errors import Invalid
from tollway.domain.ids import OrgId, RequestId, UserId
from tollway.domain.log import Log, Search
from tollway.domain.org import EVERY_PERMISSION
from tollway.store.bodies import keep_bodies
from tollway.store.database import Database
from tollway.store.schema import apps, orgs
from tollway.store.usage import fold

EVER = Search(from_us=0, to_us=NOON_US + 10**12)


class Office:
    """One organisation with an app at privacy level 1, and one who may see everything."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.org = database.write_here(make_org)
        self.app = database.write_here(lambda db: make_app(db, self.org))
        self.level(1)
        self.person = Person(
            id=UserId("u"), email="u@example.com", name="U", org_id=self.org, permissions=EVERY_PERMISSION
        )

    def level(self, level: int) -> None:
        def work(db: Connection) -> None:
            db.execute(update(orgs).where(orgs.c.id == self.org).values(privacy_level=level))

        self.database.write_here(work)

    def app_level(self, level: int) -> None:
        def work(db: Connection) -> None:
            db.execute(update(apps).where(apps.c.id == self.app).values(privacy_level=level))

        self.database.write_here(work)

    def add(self, number: int, answer: bytes = b"", org: OrgId | None = None) -> list[RequestId]:
        """So many calls, a microsecond from each other; each has this answer."""
        entries = [
            entry(org_id=org or self.org, app_id=self.app, ended_us=NOON_US + at) for at in range(number)
        ]
        ids = [each.request_id for each in entries]
        pieces = [
            BodyPiece(
                org_id=self.org, request_id=one, part=Part.RESPONSE, at=0, data=answer, written_us=NOON_US
            )
            for one in ids
            if answer
        ]
        self.database.write_here(lambda db: fold(db, batch(numbered(entries), JOURNAL), NOON_US))
        self.database.write_here(lambda db: keep_bodies(db, pieces))
        return ids

    def list(self, search: Search = EVER, **page: object) -> Listed:
        wanted = Page(**{"limit": 10, **page})  # type: ignore[arg-type]  # as the tests below give them
        return self.database.write_here(
            lambda db: logs.list_logs(db, self.person, search, [], wanted, NOON_US)
        )

    def show(self, log: RequestId) -> Log:
        return self.database.write_here(lambda db: logs.show_log(db, self.person, log, NOON_US))


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


def test_a_list_leaves_large_bodies_to_be_asked_for_alone(
    office: Office,
) -> None:
    ids = office.add(3, answer=b"x" * (logs.MAX_LIST_BYTES // 2))
    assert [log.content for log in office.list().logs] == ["shown", "shown", "large"]
    assert office.show(ids[0]).content == "shown"


def test_what_is_kept_is_hidden_once_the_privacy_level_is_another(office: Office) -> None:
    (log,) = office.add(1, answer=b"a secret")
    wanted = Search(from_us=0, to_us=EVER.to_us, text="secret")
    assert office.show(log).response_text == "a secret"
    assert len(office.list(wanted).logs) == 1
    office.app_level(2)
    assert office.show(log).content == "none"
    assert office.list(wanted).logs == []
    office.level(2)
    office.app_level(1)
    assert office.show(log).content == "shown"


def test_more_than_can_be_sorted_is_told(office: Office) -> None:
    office.add(logs.MAX_DEPTH + 1)
    sorts = [("latency", True)]
    with pytest.raises(Invalid, match="10,000 logs") as told:
        office.list(sorts=sorts)
    assert told.value.faults[0].loc == ("body", "params")
    fewer = Search(from_us=NOON_US + 1, to_us=EVER.to_us)
    assert len(office.list(fewer, sorts=sorts).logs) == 10
