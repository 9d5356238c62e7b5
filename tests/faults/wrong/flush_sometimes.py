"""Lets the system flush the log to disk when it likes: SQLite's NORMAL, PostgreSQL's off."""

import sqlite3
from typing import Any

import tracking.store.engine.postgres
from tests.faults.start_up.clocked import create_app
from tracking.store.engine.sqlite import SqliteStore

_open = SqliteStore._open
_configure = tracking.store.engine.postgres._configure


def _opened_carelessly(self: SqliteStore) -> sqlite3.Connection:
    raw = _open(self)
    raw.execute("PRAGMA synchronous=NORMAL")
    return raw


def _configured_carelessly(raw: Any) -> None:
    _configure(raw)
    raw.execute("SET synchronous_commit = off")


SqliteStore._open = _opened_carelessly  # type: ignore[method-assign]
tracking.store.engine.postgres._configure = _configured_carelessly

__all__ = ["create_app"]
