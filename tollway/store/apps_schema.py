"""The tables of an app's members and of the models that are switched off for it.

Owns columns and indexes, in the style of `schema.py`, which has `apps` and `app_keys`; does not own
a rule.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text, UniqueConstraint

from tollway.store.schema import metadata

app_members = Table(
    "app_members",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("orgs.id"), nullable=False),
    Column("app_id", Text, ForeignKey("apps.id"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    Column("role", Text, nullable=False, comment="viewer, editor or admin"),
    Column("added_us", BigInteger, nullable=False),
    UniqueConstraint("app_id", "user_id"),
)

app_models_off = Table(
    "app_models_off",
    metadata,
    Column("app_id", Text, ForeignKey("apps.id"), primary_key=True),
    Column("model", Text, primary_key=True, comment="our name"),
    Column("org_id", Text, ForeignKey("orgs.id"), nullable=False),
    Column("added_us", BigInteger, nullable=False),
)
