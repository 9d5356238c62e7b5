"""versions of spend, ads and Pinterest's figures: a number that changes with each change of them.

A process may then use again what it has read once. Triggers count, so that no writer can forget it,
of this release or of the last one. Readings tell the first day that they read.
"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_TABLES = ("spend", "ad_spend", "pinterest_ads", "pinterest_figures")
_EVENTS = ("INSERT", "UPDATE", "DELETE")
_NEXT = """
    INSERT INTO told_versions (name, version) VALUES ('{table}', {version})
    ON CONFLICT (name) DO UPDATE SET version = {next} WHERE told_versions.version <> {next}"""
_FIRST_DAYS = sa.text(
    """
    UPDATE pinterest_readings SET since = COALESCE(
        (SELECT min(date) FROM pinterest_figures
         WHERE pinterest_figures.account IN (pinterest_readings.account, '')), '')
    WHERE kind = 'conversions' AND through <> ''"""
)


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "told_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in _TABLES:
        (_count_on_sqlite if is_sqlite else _count_on_postgresql)(table)
    op.add_column(
        "pinterest_readings", sa.Column("since", sa.Text(), server_default="", nullable=False)
    )
    op.execute(_FIRST_DAYS)


def _count_on_sqlite(table: str) -> None:
    step = _NEXT.format(table=table, version=1, next="told_versions.version + 1")
    for event in _EVENTS:
        op.execute(
            f"CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table} BEGIN {step}; END"
        )


def _count_on_postgresql(table: str) -> None:
    # Once for each transaction: other rows of the same version would be left behind.
    step = _NEXT.format(table=table, version="txid_current()", next="txid_current()")
    name = f"{table}_told"
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"SET search_path FROM CURRENT AS $$ BEGIN {step}; RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} AFTER {' OR '.join(_EVENTS)} OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )
