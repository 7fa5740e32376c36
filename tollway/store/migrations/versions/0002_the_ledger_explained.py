"""What explains each amount: price versions, rate cards, imported prices, cycles, unsettled calls."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


_COLUMNS = (
    ("journals", "place", sa.Text(), "", "host and folder"),
    ("journals", "closed_us", sa.BigInteger(), None, "folded to its end; its process is gone"),
    ("journals", "forfeited_us", sa.BigInteger(), None, "given up by the operator: its disk is gone"),
    ("ledger", "held_nano", sa.BigInteger(), None, "of an unsettled attempt: the most that it may cost"),
    ("cycle_totals", "num_unsettled", sa.BigInteger(), sa.text("0"), None),
    ("orgs", "privacy_level", sa.Integer(), sa.text("2"), None),
    ("cycle_totals", "held_nano", sa.BigInteger(), sa.text("0"), "for unsettled ones"),
)


def upgrade() -> None:
    op.create_table(
        "price_versions",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("rates", sa.JSON(), nullable=False, comment="compiled; see domain/price.py"),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_price_versions")),
        comment="Every price that a row was priced at, so that any cost can be worked out again.",
    )
    op.create_table(
        "price_list",
        sa.Column("model", sa.Text(), nullable=False, comment="as callers name it, vendor/model"),
        sa.Column("effective_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "dollars",
            sa.JSON(),
            nullable=False,
            comment="unit -> decimal text; per million tokens or thousand",
        ),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "effective_us", name=op.f("pk_price_list")),
        comment="Prices that the operator imported.",
    )
    op.create_table(
        "rate_cards",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("effective_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="as ledger rows name it"),
        sa.Column("markup", sa.Text(), nullable=True, comment="decimal text: cost = vendor cost times this"),
        sa.Column(
            "dollars",
            sa.JSON(none_as_null=True),
            nullable=True,
            comment="model -> unit -> decimal text; wins over the markup",
        ),
        sa.Column("added_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["orgs.id"], name=op.f("fk_rate_cards_org_id")),
        sa.PrimaryKeyConstraint("org_id", "effective_us", name=op.f("pk_rate_cards")),
    )
    op.create_table(
        "cycles",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False, comment="not included"),
        sa.PrimaryKeyConstraint("org_id", "start_us", name=op.f("pk_cycles")),
    )
    op.create_table(
        "bodies",
        sa.Column("org_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("part", sa.Text(), nullable=False, comment="request or response"),
        sa.Column(
            "at", sa.BigInteger(), autoincrement=False, nullable=False, comment="the piece's first byte"
        ),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("written_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("org_id", "request_id", "attempt", "part", "at", name=op.f("pk_bodies")),
        comment="Prompts and answers of organisations that keep them.",
    )
    for table, name, type_, default, comment in _COLUMNS:
        op.add_column(
            table, sa.Column(name, type_, nullable=default is None, server_default=default, comment=comment)
        )
