"""shorter links: digests of people in base64 instead of hex."""

import re
from binascii import b2a_base64
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LINK = re.compile("(em|id|ph):([0-9a-f]{64})")
# Every column that holds links, alone or among other things.
_HOLDERS = (
    ("links", "link"),
    ("links", "visitor"),
    ("touches", "visitor"),
    ("checkouts", "visitor"),
    ("visitors", "visitor"),
    ("conversions", "visitor"),
    ("orders", "visitor"),
    ("orders", "links"),
    ("orders", "path"),
    ("privacy_requests", "links"),
)
_POSTGRESQL = """
CREATE FUNCTION pg_temp.relinked(told text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text[];
BEGIN
    FOR found IN SELECT DISTINCT regexp_matches(told, '(em|id|ph):([0-9a-f]{64})', 'g') LOOP
        told := replace(
            told,
            found[1] || ':' || found[2],
            found[1] || ':' || rtrim(encode(decode(found[2], 'hex'), 'base64'), '=')
        );
    END LOOP;
    RETURN told;
END
$$
"""


def upgrade() -> None:
    """Bring the data to this revision; the tables stay as they are."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        raw.create_function("relinked", 1, _relinked, deterministic=True)
        raw.create_function("remarked", 1, _remarked, deterministic=True)
        relinked, mark = "relinked({})", "remarked(mark)"
    else:
        connection.exec_driver_sql(_POSTGRESQL)
        relinked = "pg_temp.relinked({})"
        mark = "left(mark, 3) || left(encode(decode(substr(mark, 4), 'hex'), 'base64'), 10)"
    for table, column in _HOLDERS:
        connection.execute(
            sa.text(
                f"UPDATE {table} SET {column} = {relinked.format(column)}"  # noqa: S608
                f" WHERE {column} LIKE '%em:%' OR {column} LIKE '%id:%' OR {column} LIKE '%ph:%'"
            )
        )
    connection.execute(
        sa.text(
            f"UPDATE tombstones SET mark = {mark}"  # noqa: S608
            " WHERE mark LIKE 'em:%' OR mark LIKE 'id:%' OR mark LIKE 'ph:%'"
        )
    )


def _relinked(told: str) -> str:
    return _LINK.sub(lambda found: f"{found[1]}:{_base64(found[2])[:43]}", told)


def _remarked(mark: str) -> str:
    kind, _, digest = mark.partition(":")
    return f"{kind}:{_base64(digest)[:10]}"


def _base64(digits: str) -> str:
    return b2a_base64(bytes.fromhex(digits), newline=False).decode()
