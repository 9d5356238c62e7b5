"""deliverers: which process holds which claims, and which events are the pixel's.

Events that an older release queues count as no browser's; its claims end by themselves.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "deliverers",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        _number("leased_until"),
        sa.PrimaryKeyConstraint("owner", "destination"),
    )
    op.add_column("accounts", _number("next_browser_call_at"))
    op.add_column("outbox", _number("is_browser"))
    op.drop_index("outbox_due", "outbox", if_exists=True)
    is_waiting = sa.text("state = 'waiting'")
    op.create_index(
        "outbox_due_of_kind",
        "outbox",
        ["destination", "is_browser", "due_at"],
        sqlite_where=is_waiting,
        postgresql_where=is_waiting,
    )


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
