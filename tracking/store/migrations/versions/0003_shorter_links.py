"""shorter links: digests of people in base64 instead of hex."""

import re
from binascii import b2a_base64
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A whole digest, or as much of it as is known of whoever was erased.
_LINK = re.compile("(em|id|ph):([0-9a-f]{64}|[0-9a-f]{16}$)")
# The columns that hold a link and nothing else, and those that hold some among other things.
_ALONE = {
    "links": ("link", "visitor"),
    "touches": ("visitor",),
    "checkouts": ("visitor",),
    "visitors": ("visitor",),
    "conversions": ("visitor",),
    "orders": ("visitor",),
}
_AMONG_OTHERS = {"orders": ("links", "path"), "privacy_requests": ("links",)}
# A function is dear there, so that it is left to the columns of the second kind.
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
_ALONE_THERE = (
    "CASE WHEN {0} ~ '^(em|id|ph):[0-9a-f]+$'"
    " THEN left({0}, 3) || left(encode(decode(substr({0}, 4), 'hex'), 'base64'), {1}) ELSE {0} END"
)


def upgrade() -> None:
    """Bring the data to this revision; the tables stay as they are."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        raw.create_function("relinked", 2, _relinked, deterministic=True)
        alone = among = "relinked({0}, {1})"
    else:
        connection.exec_driver_sql(_POSTGRESQL)
        alone, among = _ALONE_THERE, "pg_temp.relinked({0})"
    for table, columns in _ALONE.items():
        _rewrite(connection, table, columns, alone, 43)
    for table, columns in _AMONG_OTHERS.items():
        _rewrite(connection, table, columns, among, 43)
    if connection.dialect.name == "postgresql":
        # What an older release still writes meanwhile would be of nobody known, and erased by
        # nobody: it is refused there, and Shopify sends it again.
        connection.execute(
            sa.text("ALTER TABLE links ADD CONSTRAINT links_are_short CHECK (length(link) <= 46)")
        )
    # What was erased is known by the beginning of its digest: 64 bits once, 60 now.
    _rewrite(connection, "tombstones", ("mark",), alone, 10)


def _rewrite(
    connection: sa.Connection, table: str, columns: Sequence[str], form: str, length: int
) -> None:
    values = ", ".join(f"{name} = {form.format(name, length)}" for name in columns)
    linked = " OR ".join(
        f"{name} LIKE '%{kind}:%'" for name in columns for kind in ("em", "id", "ph")
    )
    connection.execute(sa.text(f"UPDATE {table} SET {values} WHERE {linked}"))  # noqa: S608


def _relinked(told: str, length: int) -> str:
    return _LINK.sub(lambda found: f"{found[1]}:{_base64(found[2])[:length]}", told)


def _base64(digits: str) -> str:
    return b2a_base64(bytes.fromhex(digits), newline=False).decode()
