"""values of erased events: what Pinterest was told an order is worth outlives the buyer's data."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    for name in ("told_value", "told_currency"):
        op.add_column("outbox", sa.Column(name, sa.Text(), server_default="", nullable=False))
