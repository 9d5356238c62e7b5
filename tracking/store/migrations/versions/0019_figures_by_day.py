"""figures by day: events, visitors and credits of each shop day, so that a report adds up days.

Triggers tell what changes after it was counted, so that no writer can forget it, of this release or
of the last one. They only append rows, for which no transaction waits for another; of those that
rename visitors one waits for the other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_SIGNED = (
    "placed_at, credited_at, mask, currency, is_pinterest, campaign_id, campaign, "
    "share, gross, net, cancellations"
)
# A person who was erased or forgotten goes on counting as the same one, under another id.
_IS_RENAMED = (
    "old.visitor <> new.visitor AND old.visitor <> '' AND substr(new.visitor, 1, 3) = 'er:'"
)
# What an event counts as. An event that counts in no report changes none.
_COUNTED = ("stage", "at", "is_counted", "is_pinterest", "campaign_id", "campaign")
_IS_OTHER = "(old.is_counted = 1 OR new.is_counted = 1) AND ({})".format(
    " OR ".join(
        (
            *(f"old.{name} <> new.{name}" for name in _COUNTED),
            f"(old.visitor <> new.visitor AND NOT ({_IS_RENAMED}))",
        )
    )
)
_OLD_NUMBER = "(SELECT number FROM report_visitors WHERE visitor = old.visitor)"
_NEW_NUMBER = "(SELECT number FROM report_visitors WHERE visitor = new.visitor)"
_MARK_OLD = "INSERT INTO report_marks (at, stage) VALUES (old.at, old.stage)"
_MARK_NEW = """
    INSERT INTO report_marks (at, stage) SELECT new.at, new.stage
    WHERE new.at <> old.at OR new.stage <> old.stage"""
_MARK_UNLESS_SAME_VISITOR = f"""
    INSERT INTO report_marks (at, stage) SELECT old.at, old.stage
    WHERE {_OLD_NUMBER} IS DISTINCT FROM {_NEW_NUMBER}"""  # noqa: S608
# First of all, so that a transaction that numbers visitors meanwhile comes wholly before or after.
_RENAMING = "UPDATE report_progress SET renamed = renamed + 1 WHERE name = 'funnel'"
# Once a transaction: PostgreSQL would keep each version of the row until its end, and read them all
# for the next one.
_RENAMING_ONCE = """
    UPDATE report_progress SET renamed = txid_current()
    WHERE name = 'funnel' AND renamed <> txid_current()"""
_SHARE_NUMBER = """
    INSERT INTO report_visitors (visitor, number)
    SELECT new.visitor, number FROM report_visitors WHERE visitor = old.visitor
    ON CONFLICT DO NOTHING"""
_FORGET_LATER = """
    UPDATE report_visitors SET is_renamed = 1 WHERE visitor = old.visitor AND is_renamed = 0"""
# A visitor id that has lost its number gets another one, so all its events are counted anew.
_MARK_EVENTS = tuple(
    f"""
    INSERT INTO report_marks (at, stage) SELECT at, stage FROM conversions
    WHERE visitor = old.visitor AND {has_order} AND is_counted = 1"""  # noqa: S608
    for has_order in ("order_id = ''", "order_id <> ''")
)
# SQLite gives the number of the newest event again, once that one was deleted.
_RENAMING_IF_NEWEST = f"{_RENAMING} AND old.id > (SELECT coalesce(max(id), 0) FROM conversions)"  # noqa: S608


def upgrade() -> None:
    """Bring the schema to this revision."""
    if op.get_bind().dialect.name == "postgresql":
        # In the order in which the last release writes them, which works on meanwhile.
        op.execute("LOCK TABLE credits, conversions IN SHARE ROW EXCLUSIVE MODE")
    _create_tables()
    if op.get_bind().dialect.name == "sqlite":
        for statement in _sqlite_triggers():
            op.execute(statement)
    else:
        for statement in _postgresql_triggers():
            op.execute(statement)


def _create_tables() -> None:
    op.create_table(
        "report_progress",
        sa.Column("name", sa.Text(), nullable=False),
        _text("zone"),
        *(_number(name) for name in ("through", "numbers", "version", "renamed", "closed")),
        _text("closed_zone"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "report_visitors",
        sa.Column("visitor", sa.Text(), nullable=False),
        _number("number"),
        _number("is_renamed"),
        sa.PrimaryKeyConstraint("visitor"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "report_visitors_renamed",
        "report_visitors",
        ["visitor"],
        sqlite_where=sa.text("is_renamed = 1"),
        postgresql_where=sa.text("is_renamed = 1"),
    )
    op.create_table(
        "report_campaigns",
        _id(),
        _number("is_pinterest"),
        _text("campaign_id"),
        _text("campaign"),
        sa.UniqueConstraint("is_pinterest", "campaign_id", "campaign", name="report_campaign_once"),
    )
    op.create_table(
        "funnel_totals",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("is_pinterest", sa.BigInteger(), nullable=False),
        _number("events"),
        sa.Column("visitors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "stage", "is_pinterest"),
    )
    op.create_table(
        "funnel_campaigns",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("campaign", sa.BigInteger(), nullable=False),
        _number("events"),
        _number("newest"),
        sa.Column("visitors", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "stage", "campaign"),
        sqlite_with_rowid=False,
    )
    op.create_table("report_marks", _id(), _number("at"), _text("stage"))
    op.create_table(
        "credit_days",
        sa.Column("report_by", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("bit", "day", "campaign")),
        sa.Column("currency", sa.Text(), nullable=False),
        *(
            _number(name)
            for name in ("credits", "share", "gross", "net", "cancellations", "newest")
        ),
        sa.PrimaryKeyConstraint("report_by", "bit", "day", "campaign", "currency"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "credit_changes",
        _id(),
        _number("sign"),
        *(_number(name) for name in ("placed_at", "credited_at", "mask")),
        _text("currency"),
        _number("is_pinterest"),
        _text("campaign_id"),
        _text("campaign"),
        *(_number(name) for name in ("share", "gross", "net", "cancellations")),
    )
    op.create_index(
        "conversions_purchases",
        "conversions",
        ["at"],
        sqlite_where=sa.text("stage = 'purchase'"),
        postgresql_where=sa.text("stage = 'purchase'"),
    )
    op.create_index(
        "conversions_of_buyer",
        "conversions",
        ["visitor"],
        sqlite_where=sa.text("order_id <> ''"),
        postgresql_where=sa.text("order_id <> ''"),
    )


def _sqlite_triggers() -> list[str]:
    signed = {
        row: ", ".join(f"{row}.{name}" for name in _SIGNED.split(", ")) for row in ("old", "new")
    }
    journal = {
        row: f"INSERT INTO credit_changes (sign, {_SIGNED}) VALUES ({sign}, {signed[row]})"  # noqa: S608
        for row, sign in (("old", -1), ("new", 1))
    }
    through = "(SELECT through FROM report_progress WHERE name = 'funnel')"
    return [
        _sqlite_trigger(
            "conversions_changed",
            f"UPDATE OF {', '.join(_COUNTED)}, visitor ON conversions WHEN {_IS_OTHER}",
            _MARK_OLD,
            _MARK_NEW,
        ),
        _sqlite_trigger(
            "conversions_renamed",
            f"UPDATE OF visitor ON conversions WHEN {_IS_RENAMED}",
            _RENAMING,
            _SHARE_NUMBER,
            _FORGET_LATER,
            _MARK_UNLESS_SAME_VISITOR.replace("IS DISTINCT FROM", "IS NOT"),
        ),
        _sqlite_trigger(
            "conversions_deleted", "DELETE ON conversions", _RENAMING_IF_NEWEST, _MARK_OLD
        ),
        _sqlite_trigger(
            "conversions_numbered_again",
            f"INSERT ON conversions WHEN new.id <= {through}",
            "INSERT INTO report_marks (at, stage) VALUES (new.at, new.stage)",
        ),
        _sqlite_trigger(
            "report_visitors_deleted", "DELETE ON report_visitors", _RENAMING, *_MARK_EVENTS
        ),
        _sqlite_trigger("credits_added", "INSERT ON credits", journal["new"]),
        _sqlite_trigger("credits_dropped", "DELETE ON credits", journal["old"]),
        _sqlite_trigger("credits_changed", "UPDATE ON credits", journal["old"], journal["new"]),
    ]


def _sqlite_trigger(name: str, event: str, *steps: str) -> str:
    return f"CREATE TRIGGER {name} AFTER {event} BEGIN {'; '.join(steps)}; END"


def _postgresql_triggers() -> list[str]:
    old, new = (
        f"INSERT INTO credit_changes (sign, {_SIGNED}) SELECT {sign}, "
        + ", ".join(f"{row}.{name}" for name in _SIGNED.split(", "))
        for row, sign in (("old", -1), ("new", 1))
    )
    return [
        *_postgresql_trigger(
            "conversions_changed",
            f"UPDATE OF {', '.join(_COUNTED)}, visitor ON conversions",
            _IS_OTHER,
            _MARK_OLD,
            _MARK_NEW,
        ),
        *_postgresql_trigger(
            "conversions_renamed",
            "UPDATE OF visitor ON conversions",
            _IS_RENAMED,
            _RENAMING_ONCE,
            _SHARE_NUMBER,
            _FORGET_LATER,
            _MARK_UNLESS_SAME_VISITOR,
        ),
        *_postgresql_trigger(
            "report_visitors_deleted", "DELETE ON report_visitors", "", *_MARK_EVENTS
        ),
        # Before it locks the first row, which an erasure may wait for.
        *_postgresql_trigger(
            "report_visitors_to_delete",
            "DELETE ON report_visitors",
            "",
            _RENAMING_ONCE,
            fires="BEFORE {} FOR EACH STATEMENT",
        ),
        *_postgresql_trigger("conversions_deleted", "DELETE ON conversions", "", _MARK_OLD),
        *_postgresql_trigger("credits_added", "INSERT ON credits", "", new),
        *_postgresql_trigger("credits_dropped", "DELETE ON credits", "", old),
        *_postgresql_trigger("credits_changed", "UPDATE ON credits", "", old, new),
    ]


def _postgresql_trigger(
    name: str, event: str, condition: str, *steps: str, fires: str = "AFTER {} FOR EACH ROW"
) -> tuple[str, str]:
    when = f" WHEN ({condition})" if condition else ""
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"SET search_path FROM CURRENT AS $$ BEGIN {'; '.join(steps)}; RETURN NULL; END $$",
        f"CREATE TRIGGER {name} {fires.format(event)}{when} EXECUTE FUNCTION {name}()",
    )


def _id() -> sa.Column[int]:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", number, primary_key=True, autoincrement=True)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)
