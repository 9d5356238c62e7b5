"""names in the spend: the names of all campaigns are read in their order, without the spend."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_index(
        "spend_of_campaign", "spend", ["campaign_id", "campaign", "date", "recorded_at"]
    )
