"""The tables of the audit trail; of the same `metadata` as all others."""

from sqlalchemy import JSON, BigInteger, Column, Index, Table, Text

from tollway.store.schema import metadata

trail = Table(
    "trail",
    metadata,
    Column("org_id", Text, primary_key=True, comment="empty: a change of no organisation"),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="without gaps"),
    Column("at_us", BigInteger, nullable=False),
    Column("operation", Text, nullable=False, comment="its name in the table of operations"),
    Column("user_id", Text, comment="null: the operator"),
    Column("who", Text, nullable=False, comment="the user's e-mail then, or `operator`"),
    Column("address", Text, comment="where the connection came from"),
    Column("target", Text, comment="the id of what was changed"),
    Column("before", JSON, nullable=False, comment="rows by table; secrets masked"),
    Column("after", JSON, nullable=False, comment="the same rows then"),
    Column("request_id", Text, nullable=False),
    Index(None, "org_id", "operation", "seq"),
    Index(None, "org_id", "who", "seq"),
    comment="Who changed what, when, from where. Rows are added, and removed by the purge only.",
)

trail_heads = Table(
    "trail_heads",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False, comment="the newest row's"),
)
