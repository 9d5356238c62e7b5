"""customers: whether an order is the first of its customer, and the credits of new customers.

The sums of the days go on as they are: of the orders in them it is not known whose they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_SIGNED = (
    "placed_at, credited_at, mask, currency, is_pinterest, campaign_id, campaign, "
    "share, gross, net, cancellations, customer_type"
)
# Each trigger and its event, with the rows that it tells of and their sign.
_TRIGGERS = (
    ("credits_added", "INSERT", (("new", 1),)),
    ("credits_dropped", "DELETE", (("old", -1),)),
    ("credits_changed", "UPDATE", (("old", -1), ("new", 1))),
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        # In the order in which the last release writes them, which works on meanwhile.
        op.execute("LOCK TABLE orders, credits IN ACCESS EXCLUSIVE MODE")
    op.add_column("orders", sa.Column("is_first", sa.BigInteger(), nullable=True))
    op.add_column("orders", _number("has_earlier"))
    op.add_column("orders", _text("customer_type"))
    op.add_column("checkouts", sa.Column("is_first", sa.BigInteger(), nullable=True))
    op.add_column("credits", _text("customer_type"))
    op.add_column("credit_changes", _text("customer_type"))
    for name in ("new_share", "new_net", "returning_share"):
        op.add_column("credit_days", _number(name))
    # Until a process of the last release writes figures, they are whole.
    op.execute("UPDATE report_progress SET numbers = version WHERE name = 'credits'")
    for name, event, told in _TRIGGERS:
        body = f"BEGIN {'; '.join(_journal(*each) for each in told)}; "
        if is_sqlite:
            op.execute(f"DROP TRIGGER {name}")
            op.execute(f"CREATE TRIGGER {name} AFTER {event} ON credits {body} END")
        else:
            op.execute(
                f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
                f"SET search_path FROM CURRENT AS $$ {body} RETURN NULL; END $$"
            )


def _journal(row: str, sign: int) -> str:
    values = ", ".join(f"{row}.{name}" for name in _SIGNED.split(", "))
    return f"INSERT INTO credit_changes (sign, {_SIGNED}) VALUES ({sign}, {values})"  # noqa: S608


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
