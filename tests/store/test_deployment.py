"""One installation has one id and one operator, however many processes start first."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select

from tests.world.clock import NOON_US
from tollway.store.database import Database
from tollway.store.deployment import (
    claim_operator,
    identify,
    operator_token_hash,
    read_instance,
    renew_instance,
)
from tollway.store.schema import deployment


def test_the_id_is_made_once_and_outlives_processes(database: Database, database_url: str) -> None:
    made = database.write_here(lambda db: identify(db, NOON_US))
    later = Database(database_url)
    assert later.write_here(lambda db: identify(db, NOON_US + 1)) == made
    later.close()


def test_processes_that_start_first_at_once_agree_on_one_id(database: Database) -> None:
    with ThreadPoolExecutor(6) as threads:
        found = set(threads.map(lambda _: database.write_here(lambda db: identify(db, NOON_US)), range(24)))
    assert len(found) == 1
    rows = database.write_here(lambda db: db.execute(select(deployment.c.id)).scalars().all())
    assert set(rows) == found
    assert len(rows) == 1


def test_there_is_no_operator_before_the_first_start(database: Database) -> None:
    assert database.write_here(operator_token_hash) is None
    database.write_here(lambda db: identify(db, NOON_US))
    assert database.write_here(operator_token_hash) is None


def test_one_of_several_becomes_the_operator(database: Database) -> None:
    database.write_here(lambda db: identify(db, NOON_US))
    hashes = [f"hash {number}" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(lambda own: database.write_here(lambda db: claim_operator(db, own)), hashes))
    assert won.count(True) == 1
    assert database.write_here(operator_token_hash) == hashes[won.index(True)]


def test_the_instance_of_metrics_is_the_deployment_until_it_is_renewed(database: Database) -> None:
    made = database.write_here(lambda db: identify(db, NOON_US))
    assert database.write_here(read_instance) == made
    renewed = database.write_here(lambda db: renew_instance(db, NOON_US))
    assert renewed != made
    assert database.write_here(read_instance) == renewed
    assert database.write_here(lambda db: identify(db, NOON_US)) == made
