"""erasures in pieces: what is left of one that is under way."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column(
        "pending_erasures", sa.Column("rest", sa.Text(), server_default="", nullable=False)
    )
