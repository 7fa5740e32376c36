"""The tables of logs: what they are searched by, how they were rated, and what each hour came to.

All three are made of the ledger's rows or beside them; none changes one. Owns columns and indexes, as
`schema.py` does; does not own a rule.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text

from tollway.store.schema import bodies, ledger, metadata

log_facets = Table(
    "log_facets",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("facet", Text, primary_key=True, comment="label:<name>, user, or hidden"),
    Column("value", Text, primary_key=True),
    Column("ended_us", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="of the ledger's row"),
    Column("app_id", Text, nullable=False),
    Index("ix_log_facets_of_app", "org_id", "facet", "value", "app_id", "ended_us", "seq"),
    comment="What callers said of a request; rows of which nothing was said have none here.",
    sqlite_with_rowid=False,
)

log_ratings = Table(
    "log_ratings",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="the highest counts"),
    Column("good_answer", Boolean, comment="null: not rated any more"),
    Column("feedback", Text),
    Column("rated_by", Text, nullable=False, comment="a user's id or a key's"),
    Column("added_us", BigInteger, nullable=False),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("facet", Text, primary_key=True, comment="as in log_facets; empty: of all calls"),
    Column("hour_us", BigInteger, primary_key=True, autoincrement=False, comment="its first microsecond"),
    Column("value", Text, primary_key=True, comment="empty: of all calls"),
    Column("app_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True, comment="empty in rows of a facet"),
    Column("model", Text, primary_key=True, comment="likewise"),
    Column("num_requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cost_nano", BigInteger, nullable=False),
    Column("savings_nano", BigInteger, nullable=False),
    Column("num_timed", BigInteger, nullable=False, comment="requests whose duration is known"),
    Column("duration_us", BigInteger, nullable=False, comment="of these, together"),
    comment="Sums of the ledger's rows, by the hour (UTC) in which their calls ended.",
    sqlite_with_rowid=False,
)

Index("ix_ledger_org_id_app_id_ended_us", ledger.c.org_id, ledger.c.app_id, ledger.c.ended_us)
Index("ix_bodies_org_id_written_us", bodies.c.org_id, bodies.c.written_us)
