"""Logs: what they are searched by, ratings, sums by the hour, and how long prompts stay."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_HOUR_US = 3_600_000_000
_ROWS = 1_000

_SUMS = ("num_requests", "tokens", "cost_nano", "savings_nano", "num_timed", "duration_us")
_IS_REQUEST = "final AND kind = 'usage'"
_COST = "coalesce(cost_prompt_nano + cost_completion_nano, 0)"
_OF_ALL = f"""
INSERT INTO usage_hours
SELECT org_id, '', ended_us - ended_us % {_HOUR_US}, '', app_id, key_id, model,
       sum(CASE WHEN {_IS_REQUEST} THEN 1 ELSE 0 END),
       sum(prompt_tokens + completion_tokens),
       sum({_COST}),
       sum(coalesce(benchmark_prompt_nano + benchmark_completion_nano, {_COST}) - {_COST}),
       sum(CASE WHEN {_IS_REQUEST} AND outcome <> 'unsettled' THEN 1 ELSE 0 END),
       sum(CASE WHEN {_IS_REQUEST} AND outcome <> 'unsettled' AND ended_us > started_us
                THEN ended_us - started_us ELSE 0 END)
FROM ledger
GROUP BY org_id, ended_us - ended_us % {_HOUR_US}, app_id, key_id, model
"""  # noqa: S608 - made of constants only

_ledger = sa.table(
    "ledger",
    *(
        sa.column(name, type_)
        for name, type_ in (
            ("org_id", sa.Text()),
            ("seq", sa.BigInteger()),
            ("ended_us", sa.BigInteger()),
            ("final", sa.Boolean()),
            ("kind", sa.Text()),
            ("outcome", sa.Text()),
            ("app_id", sa.Text()),
            ("end_user", sa.Text()),
            ("labels", sa.JSON()),
            ("prompt_tokens", sa.BigInteger()),
            ("completion_tokens", sa.BigInteger()),
            ("cost_prompt_nano", sa.BigInteger()),
            ("cost_completion_nano", sa.BigInteger()),
            ("benchmark_prompt_nano", sa.BigInteger()),
            ("benchmark_completion_nano", sa.BigInteger()),
            ("started_us", sa.BigInteger()),
        )
    ),
)


def upgrade() -> None:
    op.add_column(
        "orgs",
        sa.Column(
            "body_days",
            sa.Integer(),
            nullable=False,
            server_default=sa.text("30"),
            comment="prompts stay so long",
        ),
    )
    facets = op.create_table(
        "log_facets",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("facet", sa.Text(), nullable=False, comment="label:<name>, user, or hidden"),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("ended_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="of the ledger's row"),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "facet", "value", "ended_us", "seq", name=op.f("pk_log_facets")),
        comment="What callers said of a request; rows of which nothing was said have none here.",
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_log_facets_of_app", "log_facets", ["org_id", "facet", "value", "app_id", "ended_us", "seq"]
    )
    op.create_table(
        "log_ratings",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column(
            "number", sa.BigInteger(), autoincrement=False, nullable=False, comment="the highest counts"
        ),
        sa.Column("good_answer", sa.Boolean(), nullable=True, comment="null: not rated any more"),
        sa.Column("feedback", sa.Text(), nullable=True),
        sa.Column("rated_by", sa.Text(), nullable=False, comment="a user's id or a key's"),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "request_id", "number", name=op.f("pk_log_ratings")),
    )
    hours = op.create_table(
        "usage_hours",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("facet", sa.Text(), nullable=False, comment="as in log_facets; empty: of all calls"),
        sa.Column(
            "hour_us", sa.BigInteger(), autoincrement=False, nullable=False, comment="its first microsecond"
        ),
        sa.Column("value", sa.Text(), nullable=False, comment="empty: of all calls"),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False, comment="empty in rows of a facet"),
        sa.Column("model", sa.Text(), nullable=False, comment="likewise"),
        sa.Column("num_requests", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.Column("savings_nano", sa.BigInteger(), nullable=False),
        sa.Column("num_timed", sa.BigInteger(), nullable=False, comment="requests whose duration is known"),
        sa.Column("duration_us", sa.BigInteger(), nullable=False, comment="of these, together"),
        sa.PrimaryKeyConstraint(
            "org_id", "facet", "hour_us", "value", "app_id", "key_id", "model", name=op.f("pk_usage_hours")
        ),
        comment="Sums of the ledger's rows, by the hour (UTC) in which their calls ended.",
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ledger_org_id_app_id_ended_us", "ledger", ["org_id", "app_id", "ended_us"])
    op.create_index("ix_bodies_org_id_written_us", "bodies", ["org_id", "written_us"])
    _tell_of_rows(facets, hours)


def _tell_of_rows(facets: sa.Table, hours: sa.Table) -> None:
    """What the fold would have written, had these tables been there."""
    db = op.get_bind()
    db.execute(sa.text(_OF_ALL))
    sums: defaultdict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for rows in _pages(db):
        found = []
        for row in rows:
            said = [(f"label:{name}", value) for name, value in sorted(row.labels.items())]
            if row.end_user:
                said.append(("user", row.end_user))
            is_request = row.final and row.kind == "usage"
            hour_us = row.ended_us - row.ended_us % _HOUR_US
            for facet, value in said:
                sums[row.org_id, facet, hour_us, value, row.app_id].update(_amounts(row, is_request))
                if is_request:
                    found.append(
                        {
                            "org_id": row.org_id,
                            "facet": facet,
                            "value": value,
                            "ended_us": row.ended_us,
                            "seq": row.seq,
                            "app_id": row.app_id,
                        }
                    )
        if found:
            db.execute(sa.insert(facets), found)
    told = [
        dict(zip(("org_id", "facet", "hour_us", "value", "app_id"), key, strict=True))
        | {"key_id": "", "model": ""}
        | {name: amounts[name] for name in _SUMS}
        for key, amounts in sorted(sums.items())
    ]
    for at in range(0, len(told), _ROWS):
        db.execute(sa.insert(hours), told[at : at + _ROWS])


def _pages(db: sa.Connection) -> Iterator[list[Any]]:
    """Every row of which something was said, by organisation and number."""
    said = sa.or_(_ledger.c.end_user.is_not(None), sa.cast(_ledger.c.labels, sa.Text) != "{}")
    place = (_ledger.c.org_id, _ledger.c.seq)
    after: tuple[str, int] = ("", 0)
    while rows := list(
        db.execute(sa.select(_ledger).where(said, sa.tuple_(*place) > after).order_by(*place).limit(_ROWS))
    ):
        yield rows
        after = (rows[-1].org_id, rows[-1].seq)


def _amounts(row: Any, is_request: bool) -> dict[str, int]:  # noqa: ANN401 - a row of the query above
    cost = (row.cost_prompt_nano or 0) + (row.cost_completion_nano or 0)
    benchmark = cost
    if row.benchmark_prompt_nano is not None:
        benchmark = row.benchmark_prompt_nano + row.benchmark_completion_nano
    is_timed = is_request and row.outcome != "unsettled"
    return {
        "num_requests": int(is_request),
        "tokens": row.prompt_tokens + row.completion_tokens,
        "cost_nano": cost,
        "savings_nano": benchmark - cost,
        "num_timed": int(is_timed),
        "duration_us": max(0, row.ended_us - row.started_us) if is_timed else 0,
    }
