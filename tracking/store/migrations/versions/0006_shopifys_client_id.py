"""shopify's client id: the visitor ids that one browser had."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "clients",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("visitor", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("link", "visitor"),
        sqlite_with_rowid=False,
    )
    op.create_index("clients_of_visitor", "clients", ["visitor", "link"])
