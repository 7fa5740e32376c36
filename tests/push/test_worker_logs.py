"""The log's cursor: it moves only after success, in order, and bad lines do not stop the good."""

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import pytest

from tests.push.rows import fold_entries, integration_of, plain_entry
from tests.push.test_worker import delivery_of
from tests.world.stage import Stage, Tenant
from tollway.demo.loki import LokiReceiver
from tollway.demo.receiver import ScriptedAnswer
from tollway.domain.clock import moment
from tollway.push.streams import MAX_LINES_PER_PUSH

TOO_LONG = {"labels": {"note": "x" * 3_000}}
LIMIT_BYTES = 2_500
"""Of a Loki whose operator allows less than the default, which lines are cut to."""


async def fold_rows(
    stage: Stage, tenant: Tenant, count: int, bad: Mapping[int, object] | None = None
) -> None:
    """Rows 1 to `count` of a new tenant; those in `bad` have lines that Loki refuses."""
    stage.loki.line_limit_bytes = LIMIT_BYTES
    now_us = stage.clock.now_us()
    made = [
        plain_entry(tenant, now_us + number, **(TOO_LONG if number in (bad or {}) else {}))
        for number in range(1, count + 1)
    ]
    await fold_entries(stage, made)


def seqs(loki: LokiReceiver) -> list[int]:
    return [msgspec.json.decode(line.text)["seq"] for line in loki.lines()]


@pytest.mark.parametrize("status", [260, 429, 500, 503, 202, 401, 403, 404, 301])
async def test_the_cursor_stays_where_a_push_was_no_success(stage: Stage, status: int) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_rows(stage, acme, 3)
    stage.loki.scripted.append(ScriptedAnswer(status=status, body="no"))
    await stage.settled()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped, stored.last_error) == (0, 0, f"{status} no")
    assert stored.last_success_us is None
    stage.clock.advance(15)
    await stage.settled()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped, stored.last_error) == (3, 0, None)
    assert seqs(stage.loki) == [1, 2, 3]


async def test_the_cursor_moves_after_success_and_nothing_is_sent_twice(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_rows(stage, acme, 2)
    await stage.settled()
    stage.clock.advance(15)
    await stage.settled()
    assert len(stage.loki.requests) == 1
    assert (await integration_of(stage.world.database, acme, "loki")).cursor_seq == 2


async def test_a_receiver_that_was_away_for_long_gets_every_line_in_order(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    port = int(stage.loki.url.rpartition(":")[2])
    await stage.loki.stop()
    for _ in range(3):
        await stage.chat(acme)
        stage.clock.advance(60)
        await stage.settled()
    assert "no connection" in (await integration_of(stage.world.database, acme, "loki")).last_error
    await stage.loki.start(port)
    await stage.settled()
    assert seqs(stage.loki) == [1, 2, 3]


@pytest.mark.parametrize("bad", [{1}, {8}, {4, 5}, {1, 3, 8}, set(range(1, 9))])
async def test_bad_lines_are_found_and_counted_and_the_others_arrive(stage: Stage, bad: set[int]) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_rows(stage, acme, 8, dict.fromkeys(bad))
    await stage.settled()
    assert seqs(stage.loki) == [number for number in range(1, 9) if number not in bad]
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped) == (8, len(bad))
    stage.clock.advance(15)
    requests = len(stage.loki.requests)
    await stage.settled()
    assert len(stage.loki.requests) == requests


async def test_a_batch_that_is_too_large_as_a_whole_is_sent_in_halves(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_rows(stage, acme, 4)
    stage.loki.scripted.extend([ScriptedAnswer(status=413), ScriptedAnswer(status=413)])
    await stage.settled()
    assert seqs(stage.loki) == [1, 2, 3, 4]
    assert (await integration_of(stage.world.database, acme, "loki")).dropped == 0


async def test_a_search_that_is_broken_off_goes_on_from_what_was_done(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_rows(stage, acme, 4)
    refused = ScriptedAnswer(status=400)
    # All four, the first two, the first with both its times; the second is stored, the rest meets a 429.
    stage.loki.scripted.extend([refused, refused, refused, refused])
    delivery = await delivery_of(stage, acme, "loki")
    stage.loki.rate_limit_bytes_per_s = 1_000
    await delivery.turn()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped) == (2, 1)
    assert stored.last_error.startswith("429 ")
    stage.loki.rate_limit_bytes_per_s = 1_000_000
    stage.clock.advance(15)
    await delivery.turn()
    await delivery.close()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped, seqs(stage.loki)) == (4, 1, [2, 3, 4])


async def test_more_rows_than_one_batch_go_in_one_turn(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    count = MAX_LINES_PER_PUSH + 2
    await fold_rows(stage, acme, count)
    await stage.settled()
    assert seqs(stage.loki) == list(range(1, count + 1))
    assert len(stage.loki.requests) == 2
    assert (await integration_of(stage.world.database, acme, "loki")).cursor_seq == count


async def test_the_cursor_is_noted_after_each_batch(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_rows(stage, acme, MAX_LINES_PER_PUSH + 2)
    stage.loki.scripted.append(ScriptedAnswer(status=204))
    stage.loki.blocked = True
    await stage.settled()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert stored.cursor_seq == MAX_LINES_PER_PUSH
    assert stored.last_error.startswith("260 ")


async def test_lines_too_old_for_the_receiver_are_skipped_and_counted(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    old_us = stage.clock.now_us()
    stage.clock.advance(8 * 24 * 3600)
    await fold_entries(
        stage,
        [plain_entry(acme, old_us), plain_entry(acme, stage.clock.now_us())],
    )
    await stage.settled()
    assert seqs(stage.loki) == [2]
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped, stored.too_old) == (2, 0, 1)


async def test_a_receiver_that_there_is_nothing_for_yet_is_asked_once_whether_it_would_take_it(
    stage: Stage,
) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.settled()
    asked_us = stage.clock.now_us()
    assert (len(stage.loki.requests), stage.loki.lines()) == (1, [])
    for _ in range(3):
        stage.clock.advance(15)
        await stage.settled()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.state, stored.last_error, stored.dropped) == ("ok", None, 0)
    assert stored.last_success_us == asked_us
    assert len(stage.loki.requests) == 1


async def test_one_that_would_not_take_it_is_no_success(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    stage.loki.scripted.append(ScriptedAnswer(status=401, body="no such token"))
    await stage.settled()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.state, stored.last_error) == ("refused", "401 no such token")
    assert stored.last_success_us is None
    stage.clock.advance(300)
    await stage.settled()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.state, stored.last_error) == ("ok", None)


async def test_rows_of_which_all_are_too_old_move_the_cursor_without_a_request(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await stage.settled()
    stage.loki.requests.clear()
    await fold_rows(stage, acme, 3)
    stage.clock.advance(8 * 24 * 3600)
    await stage.settled()
    stored = await integration_of(stage.world.database, acme, "loki")
    assert (stored.cursor_seq, stored.dropped, stored.too_old) == (3, 0, 3)
    assert stage.loki.requests == []


async def test_a_row_far_behind_its_stream_is_sent_and_says_when_it_was(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    late_us = stage.clock.now_us()
    stage.clock.advance(3 * 3600)
    await fold_entries(stage, [plain_entry(acme, stage.clock.now_us())])
    await stage.settled()
    await fold_entries(stage, [plain_entry(acme, late_us)])
    stage.clock.advance(15)
    await stage.settled()
    late = stage.loki.lines()[-1]
    assert seqs(stage.loki) == [1, 2]
    assert msgspec.json.decode(late.text)["time"] == moment(late_us).isoformat().replace("+00:00", "Z")
    assert (await integration_of(stage.world.database, acme, "loki")).dropped == 0


@pytest.mark.parametrize(("of_org", "of_app", "is_shown"), [(1, None, True), (2, 1, True), (1, 2, False)])
async def test_prompts_and_answers_are_pushed_where_the_app_or_else_its_organisation_asks_for_it(
    stage: Stage, of_org: int, of_app: int | None, is_shown: bool
) -> None:
    acme = await stage.tenant(privacy_level=of_org)
    await stage.integrate(acme)
    body = {"name": "another", "privacy_level": of_app}
    made = await stage.request("POST", "/v1/apps/create", token=acme.user_token, body=body)
    other = replace(acme, app_key=made.json["created_key"])
    await stage.chat(other, "a secret of theirs")
    await stage.settled()
    (line,) = stage.loki.lines()
    assert ("a secret of theirs" in line.text) == is_shown


async def test_a_receiver_that_answers_200_has_taken_the_lines(stage: Stage) -> None:
    acme = await stage.tenant()
    await stage.integrate(acme)
    await fold_rows(stage, acme, 2)
    stage.loki.scripted.append(ScriptedAnswer(status=200))
    await stage.settled()
    assert (await integration_of(stage.world.database, acme, "loki")).cursor_seq == 2
