"""The audit trail: who changed what, when, from where."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trail",
        sa.Column("org_id", sa.Text(), nullable=False, comment="empty: a change of no organisation"),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="without gaps"),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False, comment="its name in the table of operations"),
        sa.Column("user_id", sa.Text(), nullable=True, comment="null: the operator"),
        sa.Column("who", sa.Text(), nullable=False, comment="the user's e-mail then, or `operator`"),
        sa.Column("address", sa.Text(), nullable=True, comment="where the connection came from"),
        sa.Column("target", sa.Text(), nullable=True, comment="the id of what was changed"),
        sa.Column("before", sa.JSON(), nullable=False, comment="rows by table; secrets masked"),
        sa.Column("after", sa.JSON(), nullable=False, comment="the same rows then"),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "seq", name=op.f("pk_trail")),
        comment="Who changed what, when, from where. Rows are added, and removed by the purge only.",
    )
    op.create_index(op.f("ix_trail_org_id_operation_seq"), "trail", ["org_id", "operation", "seq"])
    op.create_index(op.f("ix_trail_org_id_who_seq"), "trail", ["org_id", "who", "seq"])
    op.create_table(
        "trail_heads",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="the newest row's"),
        sa.PrimaryKeyConstraint("org_id", name=op.f("pk_trail_heads")),
    )
