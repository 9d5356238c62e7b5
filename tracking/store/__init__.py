"""All SQL. Plain functions, connection first, and none of them commits."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy.engine import make_url

from tracking.store.engine.postgres import PostgresStore, wait_for_server
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.statement import Connection, StoreUnavailable

__all__ = ["Store", "StoreUnavailable", "open_store", "wait_until_reachable"]

T = TypeVar("T")


class Store(Protocol):
    """Where everything is kept. Opened lazily, closed by its owner."""

    dialect: str

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Carry out the work in a transaction; return when it is on disk."""

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `commit`, without waiting. What is done with the result must not wait either."""

    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot of what is committed."""

    def wipe_log(self) -> None:
        """Have what was erased gone from the log too, in which it stands until that begins anew."""

    def close(self) -> None:
        """Close every connection of this process."""


def open_store(database_url: str) -> Store:
    """The store at a SQLAlchemy address (sqlite:///file or postgresql+psycopg://…)."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return SqliteStore(Path(url.database or ""))
    return PostgresStore(_conninfo(database_url))


def wait_until_reachable(database_url: str) -> None:
    """Return once the database server answers; at once where the database is a file."""
    if make_url(database_url).get_backend_name() != "sqlite":
        wait_for_server(_conninfo(database_url))


def _conninfo(database_url: str) -> str:
    # As it was given: SQLAlchemy would write a space in the query as "+", which libpq keeps.
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)
