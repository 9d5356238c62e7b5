"""shared event ids: under which id a purchase is sent beside Pinterest's own app.

Without a choice an event is sent under its own id, as every event of an older release was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("checkouts", _text("completed_as"))
    op.add_column("checkouts", _number("completed_at"))
    op.add_column("conversions", _text("sent_as"))
    op.add_column("conversions", _text("storefront_id"))
    op.add_column("outbox", _number("shares_id"))
    for name, column, is_unique in (
        ("conversions_sent_as", "sent_as", True),
        ("conversions_of_storefront", "storefront_id", False),
    ):
        is_set = sa.text(f"{column} <> ''")
        op.create_index(
            name,
            "conversions",
            [column],
            unique=is_unique,
            sqlite_where=is_set,
            postgresql_where=is_set,
        )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
