"""All SQL: plain functions that take the connection first, none of which commits."""

from pathlib import Path

from sqlalchemy.engine import make_url

from tracking.store import new_orders, usual_calls
from tracking.store.engine import postgres
from tracking.store.engine.base import Store
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.statement import StoreUnavailable

__all__ = ["Store", "StoreUnavailable", "open_store", "wait_until_reachable", "why_unreachable"]


def open_store(database_url: str, main_loop: MainLoop | None = None) -> Store:
    """Returns the store at a SQLAlchemy URL (sqlite:///file or postgresql+psycopg://…).

    Args:
        main_loop: that of a process that has one, with which the writers take turns.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        setup = (*new_orders.SQLITE_SETUP, *usual_calls.SQLITE_SETUP)
        return SqliteStore(Path(url.database or ""), setup, main_loop)
    return postgres.PostgresStore(_conninfo(database_url), main_loop=main_loop)


def wait_until_reachable(database_url: str) -> None:
    """Waits until the database server can be reached; returns at once if the database is a file."""
    if make_url(database_url).get_backend_name() != "sqlite":
        postgres.wait_for_server(_conninfo(database_url))


def why_unreachable(database_url: str) -> str:
    """Returns why the database server lets nobody in; "" if it does, or the database is a file."""
    if make_url(database_url).get_backend_name() == "sqlite":
        return ""
    return postgres.why_unreachable(_conninfo(database_url))


def _conninfo(database_url: str) -> str:
    # The URL as it is configured: SQLAlchemy would write a space as "+", which libpq keeps.
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)
