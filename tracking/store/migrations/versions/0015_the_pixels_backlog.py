"""the pixel's backlog: what was accepted from browsers, and is not recorded yet.

An older release that runs beside this one neither reads nor fills it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    number = sa.BigInteger()
    op.create_table(
        "pixel_backlog",
        sa.Column(
            "id", number.with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("queued_at", number, server_default="0", nullable=False),
        sa.Column("due_at", number, server_default="0", nullable=False),
    )
