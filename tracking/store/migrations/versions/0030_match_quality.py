"""match quality: by day, which scored fields sent events have, and Pinterest's verdict on them."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_FIELDS = (
    *("click_id_epik", "hashed_email", "advertiser_external_id", "hashed_maid", "ip_address"),
    *("user_agent", "external_event_id", "order_id", "order_value", "product_id", "source_url"),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "match_days",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("event_name", sa.Text(), nullable=False),
        sa.Column("action_source", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("events", *_FIELDS)
        ),
        sa.PrimaryKeyConstraint("day", "event_name", "action_source"),
    )
    op.create_table(
        "match_examples",
        sa.Column("event_name", sa.Text(), nullable=False),
        sa.Column("action_source", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("event_name", "action_source", "field", "day", "event_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("match_examples_of_event", "match_examples", ["event_id"])
    op.create_table(
        "match_verdicts",
        *_source_columns(),
        sa.Column("overall_status", sa.Text(), server_default="", nullable=False),
        sa.Column("read_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("lookback", "source_platform", "ingestion_source"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "match_components",
        *_source_columns(),
        sa.Column("event_name", sa.Text(), nullable=False),
        sa.Column("component", sa.Text(), nullable=False),
        sa.Column("coverage", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("overlap", sa.BigInteger(), nullable=True),
        sa.Column("issues", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint(
            *("lookback", "source_platform", "ingestion_source", "event_name", "component")
        ),
        sqlite_with_rowid=False,
    )


def _source_columns() -> list[sa.Column[str]]:
    names = ("lookback", "source_platform", "ingestion_source")
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]
