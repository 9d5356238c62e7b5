"""hints by quarter: how many orders of a quarter of an hour Pinterest may count otherwise.

They are counted with the fates of the orders, which are counted anew for it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_MARK = "INSERT INTO accuracy_marks (at) VALUES (new.at)"
_CONDITION = (
    "new.stage = 'purchase' AND new.order_id <> ''"
    " AND (old.storefront_id <> new.storefront_id OR old.sent_as <> new.sent_as)"
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "hint_quarters",
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("orders", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("at", "hint"),
        sqlite_with_rowid=False,
    )
    head = "CREATE TRIGGER fates_named AFTER UPDATE OF storefront_id, sent_as ON conversions"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"{head} WHEN {_CONDITION} BEGIN {_MARK}; END")
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION fates_named() RETURNS trigger LANGUAGE plpgsql "
        f"SET search_path FROM CURRENT AS $$ BEGIN {_MARK}; RETURN NULL; END $$"
    )
    op.execute(f"{head} FOR EACH ROW WHEN ({_CONDITION}) EXECUTE FUNCTION fates_named()")
