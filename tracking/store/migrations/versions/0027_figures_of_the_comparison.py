"""figures of the comparison: credits of Pinterest's touches by what became of their orders' events.

Triggers tell which orders are to be summed up anew, so that no writer can forget it, of this
release or of the last one. They only append rows, for which no transaction waits for another.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_MARK = "INSERT INTO compared_marks (placed_at, order_id)"
_MARK_CREDIT = {row: f"{_MARK} VALUES ({row}.placed_at, {row}.order_id)" for row in ("old", "new")}
_MARK_EVENT = {row: f"{_MARK} VALUES ({row}.at, {row}.order_id)" for row in ("old", "new")}
# The order that an event of the outbox is of, or that another system's event names.
_MARK_SENT = f"""
    {_MARK} SELECT at, order_id FROM conversions
    WHERE event_id = new.event_id AND stage = 'purchase' AND order_id <> ''"""  # noqa: S608
_MARK_NAMED = f"""
    {_MARK} SELECT at, order_id FROM conversions
    WHERE event_id = 'checkout-' || new.order_id AND stage = 'purchase'"""  # noqa: S608
_IS_OF_ORDER = "old.stage = 'purchase' AND old.order_id <> ''"
_IS_OTHER = " OR ".join(f"old.{name} <> new.{name}" for name in ("reason", "at", "is_counted"))
_IS_OURS = "new.destination = 'pinterest'"
_IS_OWN = f"{_IS_OURS} AND substr(new.event_id, 1, 9) = 'checkout-'"
# The name, the event, the condition, and the steps.
_TRIGGERS = (
    ("compared_added", "INSERT ON credits", "new.is_pinterest = 1", (_MARK_CREDIT["new"],)),
    ("compared_dropped", "DELETE ON credits", "old.is_pinterest = 1", (_MARK_CREDIT["old"],)),
    (
        "compared_changed",
        "UPDATE ON credits",
        "old.is_pinterest = 1 OR new.is_pinterest = 1",
        (_MARK_CREDIT["old"], _MARK_CREDIT["new"]),
    ),
    (
        "compared_decided",
        "UPDATE OF reason, at, is_counted ON conversions",
        f"{_IS_OF_ORDER} AND ({_IS_OTHER})",
        (_MARK_EVENT["old"], _MARK_EVENT["new"]),
    ),
    ("compared_queued", "INSERT ON outbox", _IS_OWN, (_MARK_SENT,)),
    (
        "compared_settled",
        "UPDATE OF state, reason ON outbox",
        f"(old.state <> new.state OR old.reason <> new.reason) AND {_IS_OWN}",
        (_MARK_SENT,),
    ),
    # By the visits before it, which may become known later, a deleted order has its shares.
    (
        "compared_visited",
        "UPDATE OF path ON orders",
        "new.is_counted = 0 AND new.path <> '' AND old.path <> new.path",
        (f"{_MARK} VALUES (new.placed_at, new.id)",),
    ),
    (
        "compared_named",
        "UPDATE OF state, order_id ON outbox",
        f"{_IS_OURS} AND new.order_id <> ''"
        " AND (old.state <> new.state OR old.order_id <> new.order_id)",
        (_MARK_NAMED,),
    ),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        # In the order in which the last release writes them, which works on meanwhile.
        op.execute("LOCK TABLE orders, credits, conversions, outbox IN SHARE ROW EXCLUSIVE MODE")
    _create_tables()
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


def _create_tables() -> None:
    op.create_table(
        "compared_credits",
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        *(_number(name) for name in ("mask", "credited_at", "campaign")),
        *(_text(name) for name in ("currency", "kind")),
        *(_number(name) for name in ("share", "net", "value")),
        sa.PrimaryKeyConstraint("placed_at", "order_id", "n"),
        sqlite_with_rowid=False,
    )
    key = ("report_by", "bit", "utc_day", "campaign", "shop_day", "currency", "kind")
    texts = ("report_by", "currency", "kind")
    op.create_table(
        "compared_days",
        *(
            sa.Column(name, sa.Text() if name in texts else sa.BigInteger(), nullable=False)
            for name in key
        ),
        *(_number(name) for name in ("credits", "share", "net", "value")),
        _text("order_ids"),
        sa.PrimaryKeyConstraint(*key),
        sqlite_with_rowid=False,
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "compared_marks",
        sa.Column("id", number, primary_key=True, autoincrement=True),
        _number("placed_at"),
        _text("order_id"),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
