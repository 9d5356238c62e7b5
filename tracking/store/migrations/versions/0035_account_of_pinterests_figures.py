"""account of Pinterest's figures: the ad account whose campaign a figure is of.

Where one account alone was ever read, all figures are its. Otherwise the next reading of an account
takes those of its campaigns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_ONLY_ACCOUNT = """
    SELECT CASE WHEN count(*) = 1 THEN min(account) ELSE '' END
    FROM pinterest_readings WHERE kind = 'conversions'"""


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column(
        "pinterest_figures", sa.Column("account", sa.Text(), server_default="", nullable=False)
    )
    op.execute(
        f"UPDATE pinterest_figures SET account = ({_ONLY_ACCOUNT})"  # noqa: S608
    )
