"""The tables as they are now. How they came to be: `migrations/`; a test keeps both equal.

Times are microseconds since the epoch (`*_us`), money is nano-dollars (`*_nano`), ids are
UUIDs as text. Owns columns and indexes; does not own a rule.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

deployment = Table(
    "deployment",
    metadata,
    Column("id", Text, primary_key=True),
    Column("operator_token_hash", Text),
    Column("instance", Text),
    Column("changes_seq", BigInteger, nullable=False, server_default=text("0")),
    Column("added_us", BigInteger, nullable=False),
    comment="One row: this installation. changes_seq numbers the rows of `changes`.",
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("current_org_id", Text),
    Column("added_us", BigInteger, nullable=False),
)

orgs = Table(
    "orgs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_name", Text, nullable=False, unique=True),
    Column("org_display_name", Text),
    Column("org_logo", Text),
    Column("org_creator", Text, ForeignKey("users.id"), nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("is_personal", Boolean, nullable=False, server_default=false()),
    Column("billing_email", Text, server_default=""),
    Column("address_1", Text, server_default=""),
    Column("address_2", Text, server_default=""),
    Column("address_city", Text, server_default=""),
    Column("address_zip", Text, server_default=""),
    Column("address_state", Text, server_default=""),
    Column("address_country", Text, server_default=""),
    Column("currency", Text, nullable=False, server_default="usd"),
    Column("benchmark_model", Text),
    Column("privacy_level", Integer, nullable=False, server_default=text("2")),
    Column("body_days", Integer, nullable=False, server_default=text("30"), comment="prompts stay so long"),
    Column("rate_limit", Integer, nullable=False),
    Column("tokens_per_minute", BigInteger),
    Column("max_in_flight", Integer),
    Column("near_limit", Text, nullable=False, server_default="refuse"),
    Column("spending_limit_soft_nano", BigInteger),
    Column("spending_limit_hard_nano", BigInteger),
    Column("org_stripe_id", Text, nullable=False, server_default=""),
    Column("last_invoice_date", BigInteger, nullable=False, comment="seconds, as Stripe counts"),
    Column("subscription_tier", Text),
    Column("subscription_cycle", Text),
    Column("subscription_price_id", Text),
    Column("subscription_pause_reason", JSON(none_as_null=True)),
    Column("trial_end", BigInteger, comment="seconds, as Stripe counts"),
    Column("spaces_subscription_tier", Text),
    Column("spaces_subscription_seats", Integer),
    Column("spaces_subscription_status", Text),
    Column("spaces_subscription_cancel_at", BigInteger, comment="seconds, as Stripe counts"),
    Column("hubspot_id", Text),
    Column("added_us", BigInteger, nullable=False),
    Column("modified_us", BigInteger, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), primary_key=True, index=True),
    Column("permissions", Text, nullable=False, comment="space-separated role:resource"),
    Column("added_us", BigInteger, nullable=False),
)

apps = Table(
    "apps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("orgs.id"), nullable=False),
    Column("slug", Text, nullable=False, comment="the `app` label; never changes"),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("app_logo", Text),
    Column("benchmark_model", Text),
    Column("privacy_level", Integer, comment="null: the organisation's"),
    Column("is_active", Boolean, nullable=False, server_default=true()),
    Column("rate_limit", Integer),
    Column("tokens_per_minute", BigInteger),
    Column("spending_limit_nano", BigInteger),
    Column("added_by", Text, ForeignKey("users.id"), nullable=False),
    Column("added_us", BigInteger, nullable=False),
    Column("modified_us", BigInteger, nullable=False),
    Column("modified_by", Text, comment="a user's id; null: nobody since it was made"),
    Column("sandbox_of", Text, index=True, comment="the app that this one is a sandbox of"),
    Column("has_failover_chain", Boolean, nullable=False, server_default=false()),
    Column("tuning", JSON(none_as_null=True), comment="weights, policies and settings that were set"),
    UniqueConstraint("org_id", "slug"),
)

app_keys = Table(
    "app_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("orgs.id"), nullable=False),
    Column("app_id", Text, ForeignKey("apps.id"), nullable=False, index=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("key_end", Text, nullable=False),
    Column("rate_limit", Integer),
    Column("tokens_per_minute", BigInteger),
    Column("spending_limit_nano", BigInteger),
    Column("added_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Column("name", Text, comment="of an access token; null: the app's own key"),
    Column("permissions", Text, comment="space-separated; null: all"),
    Column("expires_us", BigInteger),
)

integrations = Table(
    "integrations",
    metadata,
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("kind", Text, primary_key=True, comment="prom or loki"),
    Column("user", Text, nullable=False),
    Column("token_sealed", Text, nullable=False, comment="encrypted; see store/vault.py"),
    Column("token_masked", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("modified_us", BigInteger, nullable=False),
    Column("cursor_seq", BigInteger, nullable=False, comment="ledger rows up to here are delivered"),
    Column("pusher", Text, comment="the process that pushes now"),
    Column("epoch", BigInteger, nullable=False, server_default=text("0")),
    Column("pusher_until_us", BigInteger, nullable=False, server_default=text("0")),
    Column("sampled_ms", BigInteger, nullable=False, server_default=text("0")),
    Column("last_success_us", BigInteger),
    Column("last_error", Text),
    Column("dropped", BigInteger, nullable=False, server_default=text("0")),
    Column("too_old", BigInteger, nullable=False, server_default=text("0"), comment="not sent any more"),
    Column("state", Text, comment="ok, retrying or refused; null before the first push"),
    Column("protocol", Text, comment="that the receiver proved to understand"),
    Column("told_us", BigInteger, comment="when the organisation was told that it refuses"),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("org_id", Text, nullable=False),
    Column("added_us", BigInteger, nullable=False),
    comment="What every process must forget from its cache, in commit order.",
)

journals = Table(
    "journals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("folded_to", BigInteger, nullable=False, comment="offsets below this are in the ledger"),
    Column("added_us", BigInteger, nullable=False),
    Column("place", Text, nullable=False, server_default="", comment="host and folder"),
    Column("closed_us", BigInteger, comment="folded to its end; its process is gone"),
    Column("forfeited_us", BigInteger, comment="given up by the operator: its disk is gone"),
)

price_versions = Table(
    "price_versions",
    metadata,
    Column("version", Text, primary_key=True),
    Column("rates", JSON, nullable=False, comment="compiled; see domain/price.py"),
    Column("added_us", BigInteger, nullable=False),
    comment="Every price that a row was priced at, so that any cost can be worked out again.",
)

price_list = Table(
    "price_list",
    metadata,
    Column("model", Text, primary_key=True, comment="as callers name it, vendor/model"),
    Column("effective_us", BigInteger, primary_key=True, autoincrement=False),
    Column("dollars", JSON, nullable=False, comment="unit -> decimal text; per million tokens or thousand"),
    Column("added_us", BigInteger, nullable=False),
    comment="Prices that the operator imported.",
)

rate_cards = Table(
    "rate_cards",
    metadata,
    Column("org_id", Text, ForeignKey("orgs.id"), primary_key=True),
    Column("effective_us", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, comment="as ledger rows name it"),
    Column("markup", Text, comment="decimal text: cost = vendor cost times this"),
    Column("dollars", JSON(none_as_null=True), comment="model -> unit -> decimal text; wins over the markup"),
    Column("added_us", BigInteger, nullable=False),
)

cycles = Table(
    "cycles",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("end_us", BigInteger, nullable=False, comment="not included"),
)

ledger = Table(
    "ledger",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="per organisation, no gaps"),
    Column("ended_us", BigInteger, primary_key=True, autoincrement=False, comment="the partition key"),
    Column("request_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error_code", Text),
    Column("app_id", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("service_tier", Text),
    Column("streamed", Boolean, nullable=False),
    Column("end_user", Text),
    Column("labels", JSON, nullable=False),
    Column("funding", Text),
    Column("units", JSON, nullable=False, comment="unit -> count, disjoint"),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("price_version", Text),
    Column("cost_prompt_nano", BigInteger, comment="null: not known (unsettled)"),
    Column("cost_completion_nano", BigInteger),
    Column("cost_by_unit", JSON(none_as_null=True)),
    Column("rate_card", Text),
    Column("vendor_price_version", Text),
    Column("vendor_cost_prompt_nano", BigInteger),
    Column("vendor_cost_completion_nano", BigInteger),
    Column("vendor_cost_by_unit", JSON(none_as_null=True)),
    Column("benchmark_model", Text),
    Column("benchmark_price_version", Text),
    Column("benchmark_prompt_nano", BigInteger),
    Column("benchmark_completion_nano", BigInteger),
    Column("benchmark_by_unit", JSON(none_as_null=True)),
    Column("started_us", BigInteger, nullable=False),
    Column("first_token_us", BigInteger, comment="from the start to the first token"),
    Column("held_nano", BigInteger, comment="of an unsettled attempt: the most that it may cost"),
    Column("held_tokens", BigInteger, comment="likewise: the most that it may consume"),
    Column("overrun", Boolean, nullable=False, server_default=false(), comment="above what was reserved"),
    Column("journal_id", Text, nullable=False),
    Column("journal_offset", BigInteger, nullable=False),
    Column("folded_us", BigInteger, nullable=False),
    UniqueConstraint("request_id", "attempt", "kind", "ended_us"),
    Index("ix_ledger_org_id_ended_us", "org_id", "ended_us"),
    postgresql_partition_by="RANGE (ended_us)",
)

bodies = Table(
    "bodies",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("part", Text, primary_key=True, comment="request or response"),
    Column("at", BigInteger, primary_key=True, autoincrement=False, comment="the piece's first byte"),
    Column("data", LargeBinary, nullable=False),
    Column("written_us", BigInteger, nullable=False),
    comment="Prompts and answers of organisations that keep them.",
)

org_totals = Table(
    "org_totals",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False, comment="of the organisation's newest ledger row"),
    Column("trial_nano", BigInteger, nullable=False, server_default=text("0"), comment="paid by the trial"),
)

cycle_totals = Table(
    "cycle_totals",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("cycle_start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("num_requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost_prompt_nano", BigInteger, nullable=False),
    Column("cost_completion_nano", BigInteger, nullable=False),
    Column("savings_prompt_nano", BigInteger, nullable=False),
    Column("savings_completion_nano", BigInteger, nullable=False),
    Column("num_unsettled", BigInteger, nullable=False, server_default=text("0")),
    Column("held_nano", BigInteger, nullable=False, server_default=text("0"), comment="for unsettled ones"),
    Column("held_tokens", BigInteger, nullable=False, server_default=text("0"), comment="likewise"),
)

spender_totals = Table(
    "spender_totals",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("spender_id", Text, primary_key=True, comment="an app's id or a key's"),
    Column("cycle_start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("cost_nano", BigInteger, nullable=False, comment="with what is held for unsettled ones"),
)

leases = Table(
    "leases",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("spender_id", Text, primary_key=True, comment="the organisation's id, an app's or a key's"),
    Column("kind", Text, primary_key=True),
    Column("minute_us", BigInteger, primary_key=True, autoincrement=False, comment="0: not of a minute"),
    Column("journal_id", Text, primary_key=True, index=True, comment="of the process that has it"),
    Column("lent", BigInteger, nullable=False, comment="of spending: less what its rows cost"),
    comment="What processes may let through by themselves; returned by them or with their journal.",
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("journal_id", Text, primary_key=True),
    Column("org_id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("terms", JSON, nullable=False),
    comment="The last answer that each process got on leases, for one that was lost on its way.",
)

grants = Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("org_id", Text, ForeignKey("orgs.id"), nullable=False, index=True),
    Column("amount_nano", BigInteger, nullable=False, comment="of the trial's balance; may be negative"),
    Column("reason", Text, nullable=False),
    Column("added_us", BigInteger, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("cycle_start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("raised_us", BigInteger, nullable=False),
)

series_totals = Table(
    "series_totals",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("app", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("value", BigInteger, nullable=False, comment="all-time, in whole units; only rises"),
)
