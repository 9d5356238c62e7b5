"""ads and pins: which of them a credit belongs to, their names and what the ads cost."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    # NULL in what the last release writes, which goes on meanwhile.
    op.add_column("credits", sa.Column("ad_id", sa.Text()))
    op.add_column("credits", sa.Column("pin_id", sa.Text()))
    op.create_table(
        "pinterest_ads",
        sa.Column("ad_id", sa.Text(), nullable=False),
        *(_text(name) for name in ("name", "campaign_id", "pin_id")),
        _number("recorded_at"),
        sa.PrimaryKeyConstraint("ad_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ad_spend",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("date", "ad_id", "currency")),
        _number("micros"),
        _number("recorded_at"),
        sa.PrimaryKeyConstraint("date", "ad_id", "currency"),
        sqlite_with_rowid=False,
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
