"""The tables by which a person is recognised: their tokens, and who an issuer says they are.

Owns columns and indexes, in the style of `schema.py`; does not own a rule.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Table, Text, false

from tollway.store.schema import metadata

user_tokens = Table(
    "user_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("token_end", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("revoked_us", BigInteger),
    Column("from_sign_in", Boolean, nullable=False, server_default=false()),
    Column("last_used_us", BigInteger, comment="to the minute or so"),
)

identities = Table(
    "identities",
    metadata,
    Column("issuer", Text, primary_key=True, comment="as in its discovery document"),
    Column("subject", Text, primary_key=True, comment="the issuer's own id of the person"),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("added_us", BigInteger, nullable=False),
    comment="Who an OpenID Connect issuer says a user is.",
)
