"""lines of orders: how the event of an order names each line, so that a refund finds it there."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the table to this revision; a refund of an older order may name its lines itself."""
    op.add_column("orders", sa.Column("lines", sa.Text, server_default="", nullable=False))
