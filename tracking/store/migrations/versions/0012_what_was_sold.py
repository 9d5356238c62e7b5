"""what was sold: an order before it was changed, and the pieces that each refund took off it.

Whether the prices of an order include taxes is not known of one that an older release stored.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    for name in ("sold", "peak", "basis"):
        op.add_column("orders", sa.Column(name, sa.BigInteger))
    op.add_column("refunds", sa.Column("taxes_included", sa.BigInteger))
    op.add_column("refunds", sa.Column("pieces", sa.Text, nullable=False, server_default=""))
    # SQLite cannot make a column nullable. One that is not 1 may be so for want of a state that
    # says it.
    op.execute("UPDATE orders SET basis = 1 WHERE taxes_included = 1")
    op.drop_column("orders", "taxes_included")
    op.alter_column("orders", "basis", new_column_name="taxes_included")
    op.execute("UPDATE orders SET peak = kept WHERE cancelled_at IS NULL")
    op.execute("UPDATE orders SET sold = gross WHERE kept IS NULL AND cancelled_at IS NULL")
