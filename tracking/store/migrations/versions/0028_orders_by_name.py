"""orders by name: found by the number that people know an order by."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_index("orders_by_name", "orders", ["name"])
