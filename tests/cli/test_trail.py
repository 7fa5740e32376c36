"""`tollway audit trail`: all of it, as somebody else's program reads it."""

import csv
import io
from pathlib import Path

import msgspec

from tests.cli.processes import run
from tests.world.stage import Stage
from tollway.settings import Settings


async def test_all_changes_are_written_the_oldest_first(
    stage: Stage, settings: Settings, tmp_path: Path
) -> None:
    acme, beta = await stage.tenant("acme"), await stage.tenant("beta")
    await stage.integrate(acme)
    changes = [{"org_display_name": "=1+1"}, {"address_city": "Ghent"}]
    for body in changes:
        put = await stage.request("PUT", "/v1/orgs/update", token=acme.user_token, body=body)
        assert put.status == 200
    place = {"database_url": settings.database_url}
    code, out, log = await run(tmp_path, *["audit", "trail", "--org", "acme", "--format", "jsonl"], **place)
    assert (code, log) == (0, "")
    lines = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5]
    operations = ["create_org", "create_app", "put_integrations", "update_org", "update_org"]
    assert [line["operation"] for line in lines] == operations
    assert {line["who"] for line in lines} == {"admin@acme.example.com"}
    assert beta.org_id not in out

    code, out, log = await run(tmp_path, *["audit", "trail", "--org", "acme", "--format", "csv"], **place)
    assert (code, log) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["operation"] for row in rows] == operations
    assert msgspec.json.decode(rows[-1]["after"]) == lines[-1]["after"]
    assert rows[-1]["at"] == lines[-1]["at"]


async def test_an_organisation_that_is_not_there_is_named(
    stage: Stage, settings: Settings, tmp_path: Path
) -> None:
    await stage.tenant("acme")
    place = {"database_url": settings.database_url}
    code, out, log = await run(tmp_path, *["audit", "trail", "--org", "none", "--format", "csv"], **place)
    assert (code, "there is no organisation none" in log) == (2, True)
    assert out == ""
