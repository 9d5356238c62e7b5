"""visitors once: in SQLite the consent of a visitor stands in the tree of their ids, not beside it.

A million visitors take about four seconds.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_COLUMNS = "visitor, marketing, marketing_at, sale_of_data, sale_of_data_at"


def upgrade() -> None:
    """Bring the schema to this revision."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute(
        "CREATE TABLE visitors_once (visitor TEXT NOT NULL, marketing INTEGER,"
        " marketing_at BIGINT DEFAULT '0' NOT NULL, sale_of_data INTEGER,"
        " sale_of_data_at BIGINT DEFAULT '0' NOT NULL, PRIMARY KEY (visitor)) WITHOUT ROWID"
    )
    # In the order of the new tree, which is then written once.
    op.execute(
        f"INSERT INTO visitors_once ({_COLUMNS}) SELECT {_COLUMNS} FROM visitors ORDER BY visitor"  # noqa: S608
    )
    op.execute("DROP TABLE visitors")
    op.execute("ALTER TABLE visitors_once RENAME TO visitors")
