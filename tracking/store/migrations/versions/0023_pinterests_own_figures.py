"""Pinterest's own figures: what it says its campaigns brought, how far it was read, the calls."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "pinterest_figures",
        *_keys("date", "campaign_id", "report_by", "currency"),
        _text("campaign"),
        *_ints("orders", "value_micros", "click_orders", "click_micros"),
        *_ints("view_orders", "view_micros", "web_orders", "offline_orders"),
        *_ints("click_window_days", "view_window_days", "recorded_at"),
        sa.PrimaryKeyConstraint("date", "campaign_id", "report_by", "currency"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pinterest_readings",
        *_keys("account", "kind"),
        _text("through"),
        *_ints("read_at", "next_at"),
        _text("failure"),
        _text("settings"),
        sa.PrimaryKeyConstraint("account", "kind"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pinterest_calls",
        *_keys("account", "day"),
        *_ints("calls"),
        sa.PrimaryKeyConstraint("account", "day"),
        sqlite_with_rowid=False,
    )


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _ints(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(n, sa.BigInteger(), server_default="0", nullable=False) for n in names]
