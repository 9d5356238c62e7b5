"""deleted orders: when Shopify told that an order was deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("orders", sa.Column("deleted_at", sa.BigInteger()))
