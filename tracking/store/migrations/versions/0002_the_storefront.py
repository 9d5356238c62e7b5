"""the storefront: visitors, checkouts, held events, rate limits."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "checkouts",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("visitor", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("link"),
    )
    op.create_table(
        "visitors",
        sa.Column("visitor", sa.Text(), nullable=False),
        sa.Column("marketing", sa.Integer(), nullable=True),
        sa.Column("marketing_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sale_of_data", sa.Integer(), nullable=True),
        sa.Column("sale_of_data_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("visitor"),
    )
    op.create_table(
        "limits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "syncs",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), server_default="", nullable=False),
        sa.Column("through", sa.Text(), server_default="", nullable=False),
        sa.Column("synced_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failure", sa.Text(), server_default="", nullable=False),
        sa.Column("claim", sa.Text(), server_default="", nullable=False),
        sa.Column("leased_until", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.create_table(
        "tokens",
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), server_default="", nullable=False),
        sa.Column("renewed_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("origin"),
    )
    op.add_column(
        "conversions",
        sa.Column("credited_then", sa.Text(), server_default="", nullable=False),
    )
    op.create_index("links_of_visitor", "links", ["visitor", "link"])
    op.create_index(
        "conversions_of_visitor",
        "conversions",
        ["visitor", "at"],
        sqlite_where=sa.text("order_id = ''"),
        postgresql_where=sa.text("order_id = ''"),
    )
    op.create_index(
        "outbox_held",
        "outbox",
        ["due_at"],
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_table(
        "tombstones",
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("mark"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "privacy_requests",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), server_default="", nullable=False),
        sa.Column("asked_as", sa.Text(), server_default="", nullable=False),
        sa.Column("links", sa.Text(), server_default="", nullable=False),
        sa.Column("orders", sa.Text(), server_default="", nullable=False),
        sa.Column("received_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("answered_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
