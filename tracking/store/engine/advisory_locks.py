"""Serialises two transactions about the same order or person, on PostgreSQL by advisory locks."""

import hashlib
from collections.abc import Callable, Collection, Iterable

from tracking.store.engine.statement import Connection

# PostgreSQL's locks are the whole database's; with the schema in the key, shops of different
# schemas do not meet. In the default schema the keys stay those of earlier releases, which may
# still run beside this one.
_IN_SCHEMA = """CASE current_schema() WHEN 'public' THEN key
                ELSE key # hashtextextended(current_schema(), 0) END"""
_KEYS = "(SELECT DISTINCT unnest(%s::bigint[]) AS key ORDER BY key) AS keys"
# Always in the same order, so that two transactions never wait for one another.
_WAIT = f"SELECT pg_advisory_xact_lock({_IN_SCHEMA}) FROM {_KEYS}"  # noqa: S608
_TRY_EACH = f"""
SELECT pg_try_advisory_xact_lock({_IN_SCHEMA})
FROM unnest(%s::bigint[]) WITH ORDINALITY AS keys (key, n) ORDER BY n
"""  # noqa: S608
_TRY = f"SELECT bool_and(pg_try_advisory_xact_lock({_IN_SCHEMA})) FROM {_KEYS}"  # noqa: S608


class LockHeldElsewhere(Exception):
    """Another transaction has a lock that this one needs besides those that it holds already.

    Waiting for it could be mutual. The store begins the transaction anew and takes all `keys` in
    its first step.
    """

    def __init__(self, keys: frozenset[int]) -> None:
        super().__init__("another transaction has a lock that is needed")
        self.keys = keys


def hold(conn: Connection, names: Iterable[str]) -> None:
    """Locks these names until the transaction ends. SQLite has one writer at a time anyway.

    Raises:
        LockHeldElsewhere: it is not the transaction's first step, and a lock is not free.
    """
    if conn.dialect != "postgresql":
        return
    keys = {_key(name) for name in names} - conn.locks
    if not conn.locks:
        keys |= conn.needed_locks
        conn.cursor.execute(_WAIT, ([*keys],))
    elif keys and not conn.cursor.execute(_TRY, ([*keys],)).fetchone()[0]:
        raise LockHeldElsewhere(frozenset(conn.locks | keys))
    conn.locks |= keys


def hold_found(conn: Connection, find: Callable[[], Iterable[str]]) -> None:
    """Locks the names that are found, and those that are found once these are locked.

    What another transaction stored while this one waited may join them with more.

    Raises:
        LockHeldElsewhere: a lock is not free that was found in the second step.
    """
    if conn.dialect == "postgresql":
        hold(conn, find())
        hold(conn, find())


def try_hold(conn: Connection, names: Collection[str]) -> set[str]:
    """Locks those of the names that no other transaction has locked, and returns them.

    A transaction that has locked rows already must not wait for a name: one that holds the name
    may wait for the rows.
    """
    if conn.dialect != "postgresql" or not names:
        return set(names)
    listed = sorted(names)
    conn.cursor.execute(_TRY_EACH, ([_key(name) for name in listed],))
    found = conn.cursor.fetchall()
    return {name for name, (is_held,) in zip(listed, found, strict=True) if is_held}


def _key(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
