"""Never flushes the log to disk: SQLite's OFF."""

import sqlite3

from tests.faults.start_up.clocked import create_app
from tracking.store.engine.sqlite_connections import SqliteConnections

_open = SqliteConnections.open


def _opened_carelessly(self: SqliteConnections) -> sqlite3.Connection:
    raw = _open(self)
    raw.execute("PRAGMA synchronous=OFF")
    return raw


SqliteConnections.open = _opened_carelessly  # type: ignore[method-assign]

__all__ = ["create_app"]
