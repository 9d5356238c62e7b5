"""fates of orders: how many were sent, left out and lost, counted by quarters of an hour.

Triggers tell which quarter is to be counted anew, so that no writer can forget it, of this release
or of the last one. They only append rows, for which no transaction waits for another. What the
retention deletes marks nothing: an old quarter stays as it was counted.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_MARK_NEW = "INSERT INTO accuracy_marks (at) VALUES (new.at)"
_MARK_OLD = "INSERT INTO accuracy_marks (at) VALUES (old.at)"
_MARK_ORDER = "INSERT INTO accuracy_marks (at) VALUES (new.placed_at)"
_MARK_EVENT = """
    INSERT INTO accuracy_marks (at) SELECT at FROM conversions
    WHERE event_id = new.event_id AND stage = 'purchase' AND order_id <> ''"""
# An order's event is queued in the transaction that records the order, which marks it already.
_MARK_LATER_EVENT = f"{_MARK_EVENT} AND recorded_at < new.queued_at"


def _is_of_order(row: str) -> str:
    return f"{row}.stage = 'purchase' AND {row}.order_id <> ''"


_IS_OTHER = "({} OR {}) AND ({})".format(
    _is_of_order("old"),
    _is_of_order("new"),
    " OR ".join(f"old.{name} <> new.{name}" for name in ("reason", "at", "stage", "order_id")),
)
_IS_OWN_EVENT = "new.destination = 'pinterest' AND substr(new.event_id, 1, 9) = 'checkout-'"
# What was read from a file is known from Shopify itself now.
_IS_TOLD = "substr(old.version, 1, 1) = '-' AND substr(new.version, 1, 1) <> '-'"
# The name, the event, the condition, and the steps.
_TRIGGERS = (
    ("fates_added", "INSERT ON conversions", _is_of_order("new"), (_MARK_NEW,)),
    (
        "fates_decided",
        "UPDATE OF reason, at, stage, order_id ON conversions",
        _IS_OTHER,
        (_MARK_OLD, _MARK_NEW),
    ),
    ("fates_deleted", "DELETE ON conversions", _is_of_order("old"), (_MARK_OLD,)),
    ("fates_queued", "INSERT ON outbox", _IS_OWN_EVENT, (_MARK_LATER_EVENT,)),
    (
        "fates_settled",
        "UPDATE OF state, reason ON outbox",
        f"old.state <> new.state AND {_IS_OWN_EVENT}",
        (_MARK_EVENT,),
    ),
    ("fates_told", "UPDATE OF version ON orders", _IS_TOLD, (_MARK_ORDER,)),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        # In the order in which the last release writes them, which works on meanwhile.
        op.execute("LOCK TABLE orders, conversions, outbox IN SHARE ROW EXCLUSIVE MODE")
    op.create_table(
        "accuracy_quarters",
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("fate", sa.Text(), nullable=False),
        sa.Column("orders", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("at", "fate"),
        sqlite_with_rowid=False,
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "accuracy_marks",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False),
    )
    for name, event, condition, steps in _TRIGGERS:
        body = f"BEGIN {'; '.join(steps)}; "
        head = f"CREATE TRIGGER {name} AFTER {event}"
        if is_sqlite:
            op.execute(f"{head} WHEN {condition} {body} END")
            continue
        op.execute(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
            f"SET search_path FROM CURRENT AS $$ {body} RETURN NULL; END $$"
        )
        op.execute(f"{head} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION {name}()")
