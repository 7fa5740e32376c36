"""The first schema: people, organisations, apps, the ledger and its totals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_changes")),
        comment="What every process must forget from its cache, in commit order.",
    )
    op.create_table(
        "cycle_totals",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("cycle_start_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("num_requests", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_prompt_nano", sa.BigInteger(), nullable=False),
        sa.Column("cost_completion_nano", sa.BigInteger(), nullable=False),
        sa.Column("savings_prompt_nano", sa.BigInteger(), nullable=False),
        sa.Column("savings_completion_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "cycle_start_us", name=op.f("pk_cycle_totals")),
    )
    op.create_table(
        "deployment",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("operator_token_hash", sa.Text(), nullable=True),
        sa.Column("changes_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
        comment="One row: this installation. changes_seq numbers the rows of `changes`.",
    )
    op.create_table(
        "journals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "folded_to", sa.BigInteger(), nullable=False, comment="offsets below this are in the ledger"
        ),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journals")),
    )
    op.create_table(
        "ledger",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column(
            "seq", sa.BigInteger(), autoincrement=False, nullable=False, comment="per organisation, no gaps"
        ),
        sa.Column(
            "ended_us", sa.BigInteger(), autoincrement=False, nullable=False, comment="the partition key"
        ),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("service_tier", sa.Text(), nullable=True),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.Column("end_user", sa.Text(), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("funding", sa.Text(), nullable=True),
        sa.Column("units", sa.JSON(), nullable=False, comment="unit -> count, disjoint"),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("price_version", sa.Text(), nullable=True),
        sa.Column("cost_prompt_nano", sa.BigInteger(), nullable=True, comment="null: not known (unsettled)"),
        sa.Column("cost_completion_nano", sa.BigInteger(), nullable=True),
        sa.Column("cost_by_unit", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("rate_card", sa.Text(), nullable=True),
        sa.Column("vendor_price_version", sa.Text(), nullable=True),
        sa.Column("vendor_cost_prompt_nano", sa.BigInteger(), nullable=True),
        sa.Column("vendor_cost_completion_nano", sa.BigInteger(), nullable=True),
        sa.Column("vendor_cost_by_unit", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("benchmark_model", sa.Text(), nullable=True),
        sa.Column("benchmark_price_version", sa.Text(), nullable=True),
        sa.Column("benchmark_prompt_nano", sa.BigInteger(), nullable=True),
        sa.Column("benchmark_completion_nano", sa.BigInteger(), nullable=True),
        sa.Column("benchmark_by_unit", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column(
            "first_token_us", sa.BigInteger(), nullable=True, comment="from the start to the first token"
        ),
        sa.Column("journal_id", sa.Text(), nullable=False),
        sa.Column("journal_offset", sa.BigInteger(), nullable=False),
        sa.Column("folded_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "seq", "ended_us", name=op.f("pk_ledger")),
        sa.UniqueConstraint(
            "request_id",
            "attempt",
            "kind",
            "ended_us",
            name=op.f("uq_ledger_request_id_attempt_kind_ended_us"),
        ),
        postgresql_partition_by="RANGE (ended_us)",
    )
    op.create_index("ix_ledger_org_id_ended_us", "ledger", ["org_id", "ended_us"], unique=False)
    op.create_table(
        "org_totals",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="of the organisation's newest ledger row"),
        sa.PrimaryKeyConstraint("org_id", name=op.f("pk_org_totals")),
    )
    op.create_table(
        "series_totals",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False, comment="all-time, in whole units; only rises"),
        sa.PrimaryKeyConstraint(
            "org_id", "app", "model", "provider", "metric", "label", name=op.f("pk_series_totals")
        ),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("current_org_id", sa.Text(), nullable=True),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "orgs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_name", sa.Text(), nullable=False),
        sa.Column("org_display_name", sa.Text(), nullable=True),
        sa.Column("org_logo", sa.Text(), nullable=True),
        sa.Column("org_creator", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("is_personal", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("billing_email", sa.Text(), server_default="", nullable=True),
        sa.Column("address_1", sa.Text(), server_default="", nullable=True),
        sa.Column("address_2", sa.Text(), server_default="", nullable=True),
        sa.Column("address_city", sa.Text(), server_default="", nullable=True),
        sa.Column("address_zip", sa.Text(), server_default="", nullable=True),
        sa.Column("address_state", sa.Text(), server_default="", nullable=True),
        sa.Column("address_country", sa.Text(), server_default="", nullable=True),
        sa.Column("currency", sa.Text(), server_default="usd", nullable=False),
        sa.Column("benchmark_model", sa.Text(), nullable=True),
        sa.Column("rate_limit", sa.Integer(), nullable=False),
        sa.Column("spending_limit_soft_nano", sa.BigInteger(), nullable=True),
        sa.Column("spending_limit_hard_nano", sa.BigInteger(), nullable=True),
        sa.Column("org_stripe_id", sa.Text(), server_default="", nullable=False),
        sa.Column("last_invoice_date", sa.BigInteger(), nullable=False, comment="seconds, as Stripe counts"),
        sa.Column("subscription_tier", sa.Text(), nullable=True),
        sa.Column("subscription_cycle", sa.Text(), nullable=True),
        sa.Column("subscription_price_id", sa.Text(), nullable=True),
        sa.Column("subscription_pause_reason", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("trial_end", sa.BigInteger(), nullable=True, comment="seconds, as Stripe counts"),
        sa.Column("spaces_subscription_tier", sa.Text(), nullable=True),
        sa.Column("spaces_subscription_seats", sa.Integer(), nullable=True),
        sa.Column("spaces_subscription_status", sa.Text(), nullable=True),
        sa.Column(
            "spaces_subscription_cancel_at",
            sa.BigInteger(),
            nullable=True,
            comment="seconds, as Stripe counts",
        ),
        sa.Column("hubspot_id", sa.Text(), nullable=True),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("modified_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_creator"], ["users.id"], name=op.f("fk_orgs_org_creator")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orgs")),
        sa.UniqueConstraint("org_name", name=op.f("uq_orgs_org_name")),
    )
    op.create_table(
        "user_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("token_end", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_tokens_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_user_tokens_hash")),
    )
    op.create_index(op.f("ix_user_tokens_user_id"), "user_tokens", ["user_id"], unique=False)
    op.create_table(
        "apps",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False, comment="the `app` label; never changes"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("app_logo", sa.Text(), nullable=True),
        sa.Column("benchmark_model", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("modified_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["added_by"], ["users.id"], name=op.f("fk_apps_added_by")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_apps_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apps")),
        sa.UniqueConstraint("org_id", "slug", name=op.f("uq_apps_org_id_slug")),
    )
    op.create_table(
        "integrations",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="prom or loki"),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("token_sealed", sa.Text(), nullable=False, comment="encrypted; see store/vault.py"),
        sa.Column("token_masked", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("modified_us", sa.BigInteger(), nullable=False),
        sa.Column(
            "cursor_seq", sa.BigInteger(), nullable=False, comment="ledger rows up to here are delivered"
        ),
        sa.Column("pusher", sa.Text(), nullable=True, comment="the process that pushes now"),
        sa.Column("epoch", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("pusher_until_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sampled_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_success_us", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("dropped", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_integrations_org_id")),
        sa.PrimaryKeyConstraint("org_id", "kind", name=op.f("pk_integrations")),
    )
    op.create_table(
        "members",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False, comment="space-separated role:resource"),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_members_org_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id")),
        sa.PrimaryKeyConstraint("org_id", "user_id", name=op.f("pk_members")),
    )
    op.create_index(op.f("ix_members_user_id"), "members", ["user_id"], unique=False)
    op.create_table(
        "app_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("app_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("key_end", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.Column("revoked_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name=op.f("fk_app_keys_app_id")),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_app_keys_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_app_keys_hash")),
    )
    op.create_index(op.f("ix_app_keys_app_id"), "app_keys", ["app_id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        # Months get partitions of their own as they come (store/partitions.py); a row whose
        # month has none yet is never refused.
        op.execute("CREATE TABLE ledger_default PARTITION OF ledger DEFAULT")
