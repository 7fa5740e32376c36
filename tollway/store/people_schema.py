"""The tables of invites and of deleted organisations; the rest is in `schema.py`."""

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text, UniqueConstraint

from tollway.store.schema import metadata

invites = Table(
    "invites",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("orgs.id"), nullable=False),
    Column("email", Text, nullable=False, comment="in lower case"),
    Column("permissions", Text, nullable=False, comment="space-separated role:resource"),
    Column("status", Text, nullable=False, comment="pending, accepted or declined"),
    Column("hash", Text, nullable=False, unique=True),
    Column("invited_by", Text, ForeignKey("users.id"), nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("answered_us", BigInteger),
    UniqueConstraint("org_id", "email"),
)

deleted_orgs = Table(
    "deleted_orgs",
    metadata,
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("deleted_by", Text, nullable=False, comment="a user's id"),
    Column("deleted_us", BigInteger, nullable=False, index=True),
    comment="Organisations of which only the ledger is left, until that may go too.",
)
