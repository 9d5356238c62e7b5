"""refused webhooks: how many were refused, for which reason and under which topic."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "refused_webhooks",
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("webhooks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("reason", "topic", "minute"),
        sqlite_with_rowid=False,
    )
