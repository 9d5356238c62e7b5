"""Alerts: which stand and who was told, and how many webhooks and pixel calls arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "alerts",
        sa.Column("name", sa.Text(), nullable=False),
        *_ints("is_trouble", "changed_at", "stands", "since"),
        _text("words"),
        *_ints("told"),
        _text("reached"),
        *_ints("tries", "next_at"),
        _text("failure"),
        _text("claim"),
        *_ints("leased_until"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "arrivals",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        *_ints("arrivals", "last_at"),
        sa.PrimaryKeyConstraint("kind", "slot"),
        sqlite_with_rowid=False,
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _ints(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(n, sa.BigInteger(), server_default="0", nullable=False) for n in names]
