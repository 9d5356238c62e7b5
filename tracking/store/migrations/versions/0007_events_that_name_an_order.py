"""events that name an order: those of other systems that wait are found by it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("outbox", sa.Column("order_id", sa.Text(), server_default="", nullable=False))
    named = sa.text("order_id <> ''")
    op.create_index(
        "outbox_of_order", "outbox", ["order_id"], sqlite_where=named, postgresql_where=named
    )
