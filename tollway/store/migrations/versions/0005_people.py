"""Invites, and organisations that are deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invites",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False, comment="in lower case"),
        sa.Column("permissions", sa.Text(), nullable=False, comment="space-separated role:resource"),
        sa.Column("status", sa.Text(), nullable=False, comment="pending, accepted or declined"),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.Column("answered_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_invites_org_id")),
        sa.ForeignKeyConstraint(["invited_by"], ["users.id"], name=op.f("fk_invites_invited_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invites")),
        sa.UniqueConstraint("hash", name=op.f("uq_invites_hash")),
        sa.UniqueConstraint("org_id", "email", name=op.f("uq_invites_org_id_email")),
    )
    op.create_table(
        "deleted_orgs",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("deleted_by", sa.Text(), nullable=False, comment="a user's id"),
        sa.Column("deleted_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_deleted_orgs_org_id")),
        sa.PrimaryKeyConstraint("org_id", name=op.f("pk_deleted_orgs")),
        comment="Organisations of which only the ledger is left, until that may go too.",
    )
    op.create_index(op.f("ix_deleted_orgs_deleted_us"), "deleted_orgs", ["deleted_us"])
