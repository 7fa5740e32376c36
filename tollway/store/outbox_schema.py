"""The table of letters, in the style of `schema.py`. Owns columns and indexes; does not own a rule."""

from sqlalchemy import JSON, BigInteger, Column, Integer, Table, Text, text

from tollway.store.schema import metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("content", JSON, nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Column("due_us", BigInteger, index=True, comment="when to try next; null: never again"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("tried_us", BigInteger, comment="the first attempt; it is given up some days after"),
    Column("remaining", JSON, comment="who is still to get it, once others have"),
    Column("logged_us", BigInteger, comment="when the log told that no mail can be sent"),
    Column("sent_us", BigInteger),
    Column("failed_us", BigInteger, index=True, comment="when it was given up"),
    Column("last_error", Text),
    comment="What others are to be told; in the transaction that makes it true.",
)
