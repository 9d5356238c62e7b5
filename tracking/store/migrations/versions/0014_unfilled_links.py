"""unfilled links: which parameters of a visit hold the variable of a template."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("touches", sa.Column("unfilled", sa.Text, server_default="", nullable=False))
    is_set = sa.text("unfilled <> ''")
    op.create_index(
        "touches_unfilled", "touches", ["at"], sqlite_where=is_set, postgresql_where=is_set
    )
