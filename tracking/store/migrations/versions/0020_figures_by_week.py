"""figures by week: the visitors of each whole week, so that a report adds up weeks."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "report_weeks",
        sa.Column("week", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("week", "stage"),
    )
    op.create_table(
        "funnel_week_totals",
        sa.Column("week", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("is_pinterest", sa.BigInteger(), nullable=False),
        _number("events"),
        sa.Column("visitors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("week", "stage", "is_pinterest"),
    )
    op.create_table(
        "funnel_weeks",
        sa.Column("week", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("campaign", sa.BigInteger(), nullable=False),
        _number("events"),
        _number("newest"),
        sa.Column("visitors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("week", "stage", "campaign"),
        sqlite_with_rowid=False,
    )


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
