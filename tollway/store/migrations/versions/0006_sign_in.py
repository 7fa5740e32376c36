"""Sign-in: whether a token is used and where it is from, and who an issuer says a user is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "user_tokens", sa.Column("from_sign_in", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column(
        "user_tokens",
        sa.Column("last_used_us", sa.BigInteger(), nullable=True, comment="to the minute or so"),
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text(), nullable=False, comment="as in its discovery document"),
        sa.Column("subject", sa.Text(), nullable=False, comment="the issuer's own id of the person"),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_identities_user_id")),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identities")),
        comment="Who an OpenID Connect issuer says a user is.",
    )
    op.create_index(op.f("ix_identities_user_id"), "identities", ["user_id"])
