"""ads by day: the sums of the credits by the ad and pin of their links.

The sums of the credits are made anew, as the worker writes both at once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_SIGNED = (
    "placed_at, credited_at, mask, currency, is_pinterest, campaign_id, campaign, "
    "share, gross, net, cancellations, customer_type, ad_id, pin_id"
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
        op.execute("LOCK TABLE credits IN ACCESS EXCLUSIVE MODE")
    _create_table()
    for name in ("ad_id", "pin_id"):
        op.add_column("credit_changes", sa.Column(name, sa.Text(), nullable=True))
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
    # As if another release had written them last: until they are made anew, reports count rows.
    op.execute("UPDATE report_progress SET numbers = version - 1 WHERE name = 'credits'")


def _create_table() -> None:
    texts = ("report_by", "ad_id", "pin_id", "currency")
    key = ("report_by", "day", "campaign", "ad_id", "pin_id", "is_told", "currency", "mask")
    op.create_table(
        "ad_days",
        *(
            sa.Column(name, sa.Text() if name in texts else sa.BigInteger(), nullable=False)
            for name in key
        ),
        *(
            sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
            for name in ("credits", "share", "gross", "net", "cancellations")
        ),
        sa.PrimaryKeyConstraint(*key),
        sqlite_with_rowid=False,
    )


def _journal(row: str, sign: int) -> str:
    values = ", ".join(f"{row}.{name}" for name in _SIGNED.split(", "))
    return f"INSERT INTO credit_changes (sign, {_SIGNED}) VALUES ({sign}, {values})"  # noqa: S608
