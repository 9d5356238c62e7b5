"""versions of days: a number that grows with each change of a day's figures.

A process may then use figures again that it has read once. Triggers count, so that no writer can
forget it, of this release or of the last one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# Whatever changes the figures of a campaign on a day changes the day's totals, too.
_NEXT = """
    INSERT INTO funnel_versions (day, stage, version) VALUES ({row}.day, {row}.stage, 1)
    ON CONFLICT (day, stage) DO UPDATE SET version = funnel_versions.version + 1"""
_ROW_OF = {"INSERT": "new", "UPDATE": "new", "DELETE": "old"}


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "funnel_versions",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("day", "stage"),
        sqlite_with_rowid=False,
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    create = _create_on_sqlite if is_sqlite else _create_on_postgresql
    for event, row in _ROW_OF.items():
        create(f"funnel_totals_{event.lower()}", event, _NEXT.format(row=row))


def _create_on_sqlite(name: str, event: str, step: str) -> None:
    op.execute(f"CREATE TRIGGER {name} AFTER {event} ON funnel_totals BEGIN {step}; END")


def _create_on_postgresql(name: str, event: str, step: str) -> None:
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"SET search_path FROM CURRENT AS $$ BEGIN {step}; RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} AFTER {event} ON funnel_totals FOR EACH ROW "
        f"EXECUTE FUNCTION {name}()"
    )
