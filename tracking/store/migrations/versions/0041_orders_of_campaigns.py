"""orders of campaigns: an index of the summed credits finds the newest orders of a campaign.

The worker writes these credits, and no webhook waits for it.
"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    columns = ["campaign", "placed_at", "order_id"]
    op.create_index("compared_credits_of_campaign", "compared_credits", columns)
