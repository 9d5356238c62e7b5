"""what the buyer kept: refunds as they are given, and what is left of an edited order."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_FIGURES = ("tax", "other", "extra")


def upgrade() -> None:
    """Bring the tables to this revision; a refund on record goes on counting as it did."""
    op.add_column("orders", _number("taxes_included"))
    op.add_column("orders", sa.Column("kept", sa.BigInteger))
    for name in (*_FIGURES, "is_listed"):
        op.add_column("refunds", _number(name))
    for name in ("status", "version"):
        op.add_column("refunds", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.execute("UPDATE refunds SET status = 'paid'")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
