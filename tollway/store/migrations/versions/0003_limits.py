"""Limits: what may be spent, by whom, what processes hold of it, and what is told about it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("orgs", "tokens_per_minute", sa.BigInteger(), None, None),
    ("orgs", "max_in_flight", sa.Integer(), None, None),
    ("orgs", "near_limit", sa.Text(), "refuse", None),
    ("apps", "rate_limit", sa.Integer(), None, None),
    ("apps", "tokens_per_minute", sa.BigInteger(), None, None),
    ("apps", "spending_limit_nano", sa.BigInteger(), None, None),
    ("app_keys", "rate_limit", sa.Integer(), None, None),
    ("app_keys", "tokens_per_minute", sa.BigInteger(), None, None),
    ("app_keys", "spending_limit_nano", sa.BigInteger(), None, None),
    ("ledger", "held_tokens", sa.BigInteger(), None, "likewise: the most that it may consume"),
    ("ledger", "overrun", sa.Boolean(), sa.false(), "above what was reserved"),
    ("org_totals", "trial_nano", sa.BigInteger(), sa.text("0"), "paid by the trial"),
    ("cycle_totals", "held_tokens", sa.BigInteger(), sa.text("0"), "likewise"),
)


def upgrade() -> None:
    for table, name, type_, default, comment in _COLUMNS:
        op.add_column(
            table, sa.Column(name, type_, nullable=default is None, server_default=default, comment=comment)
        )
    op.create_table(
        "spender_totals",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("spender_id", sa.Text(), nullable=False, comment="an app's id or a key's"),
        sa.Column("cycle_start_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "cost_nano", sa.BigInteger(), nullable=False, comment="with what is held for unsettled ones"
        ),
        sa.PrimaryKeyConstraint("org_id", "spender_id", "cycle_start_us", name=op.f("pk_spender_totals")),
    )
    op.create_table(
        "leases",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column(
            "spender_id", sa.Text(), nullable=False, comment="the organisation's id, an app's or a key's"
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "minute_us", sa.BigInteger(), autoincrement=False, nullable=False, comment="0: not of a minute"
        ),
        sa.Column("journal_id", sa.Text(), nullable=False, comment="of the process that has it"),
        sa.Column("lent", sa.BigInteger(), nullable=False, comment="of spending: less what its rows cost"),
        sa.PrimaryKeyConstraint(
            "org_id", "spender_id", "kind", "minute_us", "journal_id", name=op.f("pk_leases")
        ),
        comment="What processes may let through by themselves; returned by them or with their journal.",
    )
    op.create_index(op.f("ix_leases_journal_id"), "leases", ["journal_id"])
    op.create_table(
        "exchanges",
        sa.Column("journal_id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("journal_id", "org_id", name=op.f("pk_exchanges")),
        comment="The last answer that each process got on leases, for one that was lost on its way.",
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column(
            "amount_nano",
            sa.BigInteger(),
            nullable=False,
            comment="of the trial's balance; may be negative",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_grants_org_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_org_id"), "grants", ["org_id"])
    op.create_table(
        "alerts",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("cycle_start_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("raised_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "cycle_start_us", "kind", name=op.f("pk_alerts")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        comment="What others are to be told; in the transaction that makes it true.",
    )
    op.create_index(op.f("ix_outbox_org_id"), "outbox", ["org_id"])
