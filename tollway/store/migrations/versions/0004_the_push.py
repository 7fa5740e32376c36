"""The push: how each receiver is doing, and what it understands."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "integrations",
        sa.Column(
            "too_old",
            sa.BigInteger(),
            nullable=False,
            server_default=sa.text("0"),
            comment="not sent any more",
        ),
    )
    for name, type_, comment in (
        ("state", sa.Text(), "ok, retrying or refused; null before the first push"),
        ("protocol", sa.Text(), "that the receiver proved to understand"),
        ("told_us", sa.BigInteger(), "when the organisation was told that it refuses"),
    ):
        op.add_column("integrations", sa.Column(name, type_, nullable=True, comment=comment))
    op.add_column("deployment", sa.Column("instance", sa.Text(), nullable=True))
    op.add_column(
        "apps", sa.Column("privacy_level", sa.Integer(), nullable=True, comment="null: the organisation's")
    )
