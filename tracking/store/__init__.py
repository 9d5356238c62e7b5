"""All SQL. Plain functions, connection first, and none of them commits."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy.engine import make_url

from tracking.store.postgres import PostgresStore
from tracking.store.sqlite import SqliteStore
from tracking.store.statement import Connection, StoreUnavailable

__all__ = ["Store", "StoreUnavailable", "open_store"]

T = TypeVar("T")


class Store(Protocol):
    """Where everything is kept. Opened lazily, closed by its owner."""

    dialect: str

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Carry out the work in a transaction; return when it is on disk."""

    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot of what is committed."""

    def close(self) -> None:
        """Close every connection of this process."""


def open_store(database_url: str) -> Store:
    """The store at a SQLAlchemy address (sqlite:///file or postgresql+psycopg://…)."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return SqliteStore(Path(url.database or ""))
    # As it was given: SQLAlchemy would write a space in the query as "+", which libpq keeps.
    return PostgresStore(database_url.replace("postgresql+psycopg://", "postgresql://", 1))
