"""versions of the weeks of the sums: a number that changes with each change of a week's sums.

A process may then use again what it has added up of a week.
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "summed_weeks",
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("report_by", sa.Text(), nullable=False),
        sa.Column("week", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("figures", "report_by", "week"),
        sqlite_with_rowid=False,
    )
