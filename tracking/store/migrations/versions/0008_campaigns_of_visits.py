"""campaigns of visits: what an event's own visit names, beside what it is credited to."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    for column in (
        sa.Column("visit_campaign_id", sa.Text(), server_default="", nullable=False),
        sa.Column("visit_campaign", sa.Text(), server_default="", nullable=False),
        sa.Column("is_visit_pinterest", sa.BigInteger(), server_default="0", nullable=False),
    ):
        op.add_column("conversions", column)
