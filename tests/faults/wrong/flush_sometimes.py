"""Lets the system flush the log to disk when it likes: SQLite's NORMAL, PostgreSQL's off."""

import sqlite3

from tests.faults.start_up.clocked import create_app
from tracking.store.engine import postgres
from tracking.store.engine.sqlite_connections import SqliteConnections

_open = SqliteConnections.open


def _opened_carelessly(self: SqliteConnections) -> sqlite3.Connection:
    raw = _open(self)
    raw.execute("PRAGMA synchronous=NORMAL")
    return raw


SqliteConnections.open = _opened_carelessly  # type: ignore[method-assign]
# With this an order's transaction begins.
postgres._BEGIN_ATTEMPT = postgres._BEGIN_ATTEMPT.replace(
    "synchronous_commit = on", "synchronous_commit = off"
)

__all__ = ["create_app"]
