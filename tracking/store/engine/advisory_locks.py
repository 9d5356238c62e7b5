"""Serialises two transactions about the same order or person, on PostgreSQL by advisory locks."""

import hashlib
from collections.abc import Iterable

from tracking.store.engine.statement import Connection

# Always in the same order, so that two transactions never wait for one another. PostgreSQL's locks
# are the whole database's; with the schema in the key, shops of different schemas do not meet. In
# the default schema the keys stay those of earlier releases, which may still run beside this one.
_HOLD = """
SELECT pg_advisory_xact_lock(CASE current_schema() WHEN 'public' THEN key
                             ELSE key # hashtextextended(current_schema(), 0) END)
FROM (SELECT DISTINCT unnest(%s::bigint[]) AS key ORDER BY key) AS keys
"""


def hold(conn: Connection, names: Iterable[str]) -> None:
    """Locks these names until the transaction ends. SQLite has one writer at a time anyway."""
    if conn.dialect == "postgresql":
        conn.cursor.execute(_HOLD, ([_key(name) for name in names],))


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
