"""Never flushes the log to disk: SQLite's OFF."""

import sqlite3

from tests.faults.start_up.clocked import create_app
from tracking.store.engine.sqlite import SqliteStore

_open = SqliteStore._open


def _opened_carelessly(self: SqliteStore) -> sqlite3.Connection:
    raw = _open(self)
    raw.execute("PRAGMA synchronous=OFF")
    return raw


SqliteStore._open = _opened_carelessly  # type: ignore[method-assign]

__all__ = ["create_app"]
