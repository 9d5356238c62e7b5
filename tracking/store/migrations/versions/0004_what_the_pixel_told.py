"""what the pixel told: identities that no signed body has confirmed.

The links that are there already were told by signed bodies and by the pixel alike, and stay: they
count as confirmed.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "told_links",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("visitor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("link", "visitor"),
        sqlite_with_rowid=False,
    )
    op.create_index("told_links_of_visitor", "told_links", ["visitor", "link"])
