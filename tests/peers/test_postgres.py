"""The PostgreSQL that other tests rely on is real, isolated and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from tests.peers.postgres import PostgresServer

START_THEN_WAIT = """
from tests.peers.postgres import PostgresServer
with PostgresServer() as server:
    print(server.url("postgres"), flush=True)
    input()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


def ask(url: str, query: LiteralString) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return str(row[0])


def change(url: str, *statements: LiteralString) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_server_starts_for_whoever_runs_the_tests_but_never_runs_as_root(server: PostgresServer) -> None:
    data = Path(ask(server.url("postgres"), "SHOW data_directory"))
    assert data.stat().st_uid != 0
    assert os.geteuid() in {0, data.stat().st_uid}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("max_connections", "200"),
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
    ],
)
def test_a_server_is_set_up_for_tests(server: PostgresServer, setting: str, value: str) -> None:
    with psycopg.connect(server.url("postgres")) as connection:
        row = connection.execute(
            "SELECT coalesce(current_setting(%(name)s, true),"
            " (SELECT datcollate FROM pg_database WHERE datname = current_database()))",
            {"name": setting},
        ).fetchone()
    assert row == (value,)


def test_text_of_any_script_comes_back_as_it_was(server: PostgresServer) -> None:
    assert ask(server.url("postgres"), "SELECT 'Grüße, 東京 🚏'") == "Grüße, 東京 🚏"
    assert ask(server.url("postgres"), "SELECT length('🚏')") == "1"


def test_databases_from_a_template_start_alike_and_are_independent(server: PostgresServer) -> None:
    server.create_database("template")
    change(server.url("template"), "CREATE TABLE toll (nanos bigint)", "INSERT INTO toll VALUES (1)")
    for name in ("first", "second"):
        server.create_database(name, template="template")
    change(server.url("first"), "INSERT INTO toll VALUES (2)")

    total: LiteralString = "SELECT sum(nanos) FROM toll"
    assert [ask(server.url(name), total) for name in ("template", "first", "second")] == ["1", "3", "1"]


def test_a_name_that_sql_and_urls_would_misread_is_just_a_name(server: PostgresServer) -> None:
    name = 'a "b"/c?d%e'
    server.create_database(name)
    assert ask(server.url(name), "SELECT current_database()") == name
    server.drop_database(name)


def test_dropping_a_database_ends_the_connections_to_it(server: PostgresServer) -> None:
    server.create_database("busy")
    with psycopg.connect(server.url("busy"), autocommit=True) as connection:
        server.drop_database("busy")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        ask(server.url("busy"), "SELECT 1")


def test_a_server_that_was_stopped_starts_again_where_it_was_with_what_it_had() -> None:
    with PostgresServer() as server:
        server.create_database("kept")
        url = server.url("kept")
        change(url, "CREATE TABLE kept (n integer)", "INSERT INTO kept VALUES (42)")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        server.start()
        assert server.url("kept") == url
        assert ask(url, "SELECT n FROM kept") == "42"


def test_after_the_block_neither_process_nor_file_is_left() -> None:
    with PostgresServer() as server:
        data = Path(ask(server.url("postgres"), "SHOW data_directory"))
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    assert not data.parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_run_that_is_killed_takes_its_server_along() -> None:
    command = [sys.executable, "-c", START_THEN_WAIT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        base = Path(ask(url, "SHOW data_directory")).parent
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while base.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not base.exists()
    with pytest.raises(psycopg.OperationalError):
        ask(url, "SELECT 1")
