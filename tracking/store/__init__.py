"""All SQL. Plain functions, connection first, and none of them commits."""

from pathlib import Path

from sqlalchemy.engine import make_url

from tracking.store.engine.base import Store
from tracking.store.engine.postgres import PostgresStore, wait_for_server
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.statement import StoreUnavailable
from tracking.store.new_orders import SQLITE_SETUP

__all__ = ["Store", "StoreUnavailable", "open_store", "wait_until_reachable"]


def open_store(database_url: str) -> Store:
    """The store at a SQLAlchemy address (sqlite:///file or postgresql+psycopg://…)."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return SqliteStore(Path(url.database or ""), setup=SQLITE_SETUP)
    return PostgresStore(_conninfo(database_url))


def wait_until_reachable(database_url: str) -> None:
    """Return once the database server answers; at once where the database is a file."""
    if make_url(database_url).get_backend_name() != "sqlite":
        wait_for_server(_conninfo(database_url))


def _conninfo(database_url: str) -> str:
    # As it was given: SQLAlchemy would write a space in the query as "+", which libpq keeps.
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)
