"""Apps: how they are tuned, sandboxes, access tokens, members, and models that are switched off."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "apps", sa.Column("modified_by", sa.Text(), comment="a user's id; null: nobody since it was made")
    )
    op.add_column("apps", sa.Column("sandbox_of", sa.Text(), comment="the app that this one is a sandbox of"))
    op.add_column(
        "apps", sa.Column("has_failover_chain", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column(
        "apps",
        sa.Column(
            "tuning", sa.JSON(none_as_null=True), comment="weights, policies and settings that were set"
        ),
    )
    op.create_index(op.f("ix_apps_sandbox_of"), "apps", ["sandbox_of"])
    op.add_column(
        "app_keys", sa.Column("name", sa.Text(), comment="of an access token; null: the app's own key")
    )
    op.add_column("app_keys", sa.Column("permissions", sa.Text(), comment="space-separated; null: all"))
    op.add_column("app_keys", sa.Column("expires_us", sa.BigInteger()))
    op.create_table(
        "app_members",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="viewer, editor or admin"),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_app_members_org_id")),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_app_members_app_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_app_members_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_members")),
        sa.UniqueConstraint("app_id", "user_id", name=op.f("uq_app_members_app_id_user_id")),
    )
    op.create_table(
        "app_models_off",
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False, comment="our name"),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_app_models_off_app_id")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_app_models_off_org_id")),
        sa.PrimaryKeyConstraint("app_id", "model", name=op.f("pk_app_models_off")),
    )
