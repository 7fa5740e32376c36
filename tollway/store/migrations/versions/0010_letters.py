"""Letters are mailed: when the next attempt is due, and what became of those before."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("due_us", sa.BigInteger(), comment="when to try next; null: never again"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("tried_us", sa.BigInteger(), comment="the first attempt; it is given up some days after"),
        sa.Column("remaining", sa.JSON(), comment="who is still to get it, once others have"),
        sa.Column("logged_us", sa.BigInteger(), comment="when the log told that no mail can be sent"),
        sa.Column("sent_us", sa.BigInteger()),
        sa.Column("failed_us", sa.BigInteger(), comment="when it was given up"),
        sa.Column("last_error", sa.Text()),
    ):
        op.add_column("outbox", column)
    outbox = sa.table("outbox", sa.column("due_us", sa.BigInteger()), sa.column("added_us", sa.BigInteger()))
    op.execute(sa.update(outbox).values(due_us=outbox.c.added_us))
    for name in ("due_us", "failed_us"):
        op.create_index(op.f(f"ix_outbox_{name}"), "outbox", [name])
