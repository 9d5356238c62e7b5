"""pending erasures: searches of the quarantined bodies, and erasures of a shop on hold."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "pending_erasures",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.Text(), nullable=False, unique=True),
        *(
            sa.Column(name, sa.Text(), server_default="", nullable=False)
            for name in ("topic", "asked_as", "links", "orders")
        ),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("received_at", "due_at", "body_id", "position")
        ),
    )
