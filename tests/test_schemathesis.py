"""The running server against its own description, by somebody who has read nothing else.

Schemathesis makes requests of the description, right ones and wrong ones, and follows ids from one
answer to the next; every answer has to be as described. What it may expect: tests/schemathesis.toml.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from tests.cli.processes import Served, follow, served

OPERATOR = "the-operator-of-this-test"
SECONDS = 90
EXAMPLES = 8
"""Of each kind for each operation; with the seed they are the same ones each time."""


async def test_every_answer_is_as_described(tmp_path: Path) -> None:
    async with served(tmp_path, operator_token=OPERATOR) as server:
        status, told = await tried(
            f"{server.base}/openapi.json",
            tmp_path,
            TRIED_USER=str(server.shown("user token")),
            TRIED_KEY=str(server.shown("app key")),
            TRIED_OPERATOR=OPERATOR,
            TRIED_LEAVING_USER=await somebody(server, "leaving"),
            TRIED_LEAVING_MEMBER=await somebody(server, "closing"),
        )
    assert status == 0, told
    assert "Traceback" not in server.log


async def somebody(server: Served, name: str) -> str:
    """The token of a new user."""
    body = f'{{"email": "{name}@example.com", "name": "{name}"}}'
    curl = ["curl", f"{server.base}/v1/users", "-H", f"Authorization: Bearer {OPERATOR}", "-d", body]
    made: Any = await follow([*curl, "-H", "Content-Type: application/json"], 201)
    return str(made["token"])


async def tried(document: str, folder: Path, **tokens: str) -> tuple[int | None, str]:
    """Exit code and words of one run; it ends in time, or fails."""
    ran = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
        "--no-color",
        "run",
        document,
        "--checks=all",
        "--phases=examples,coverage,fuzzing,stateful",
        f"--max-examples={EXAMPLES}",
        "--continue-on-failure",
        "--no-shrink",
        "--warnings=off",
        cwd=folder,
        env={**os.environ, **tokens},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            told, _ = await ran.communicate()
    finally:
        if ran.returncode is None:
            ran.kill()
            await ran.wait()
    return ran.returncode, told.decode()
