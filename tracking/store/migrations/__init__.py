"""Brings a database to the current schema, by itself, at every start."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    event,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import OperationalError

from tracking.store.engine.file_locks import writing
from tracking.store.engine.schema_version import KNOWN, NEWEST, QUERY, is_sufficient

if TYPE_CHECKING:
    from alembic.config import Config

_HERE = Path(__file__).parent
_LOCK_KEY = 7_240_117_002  # any number that nobody else locks
# How long a start waits for another program that holds a SQLite database, and how long of it inside
# SQLite, where it holds the lock file that our writers wait for.
_WAIT_SECONDS = 60.0
_BUSY_ATTEMPT_MS = 200
_PAUSE_SECONDS = 0.1
_DEADLOCK, _ATTEMPTS = "40P01", 10
_PRIVATE = 0o600


class NewerSchema(Exception):
    """A newer release has brought the database to a schema that this one does not know."""


def migrate(database_url: str) -> None:
    """Runs every migration that is missing, in one transaction: all of them or none.

    Processes that start together take turns; those that come later find nothing left to do. Neither
    do those that find a newer schema which extends theirs, as while a release is rolled out.

    Raises:
        NewerSchema: this release cannot use the database.
    """
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _WAIT_SECONDS
    while not _is_migrated(url, database_url, deadline):
        time.sleep(_PAUSE_SECONDS)


def _is_migrated(url: URL, database_url: str, deadline: float) -> bool:
    """Migrates; returns False if another program holds a SQLite database, until the deadline.

    The caller waits for that program without our lock file: webhooks are refused then, and do not
    wait for this start.
    """
    try:
        with _turn(url):
            if url.get_backend_name() == "sqlite" and url.database:
                _make_private(Path(url.database))
            _upgrade(database_url)
    except (OperationalError, sqlite3.OperationalError) as error:
        if not _is_busy(error) or time.monotonic() >= deadline:
            raise
        return False
    return True


def _is_busy(error: Exception) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def _upgrade(database_url: str) -> None:
    """Runs every migration that is missing, again if it and a webhook waited for one another."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return _attempt(database_url)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _DEADLOCK:
                raise
    return _attempt(database_url)


def _attempt(database_url: str) -> None:
    with _begun(database_url) as connection:
        found = _revision_of(connection)
        if found is None or found in KNOWN - {NEWEST}:
            _run_missing(connection)
        elif found not in KNOWN and not is_sufficient(found):
            raise NewerSchema(
                f"the database is at schema {found}, this release has {NEWEST}: a newer release "
                "made it: start that one again, or restore a backup of this release's"
            )


def _revision_of(connection: Connection) -> str | None:
    """The revision of a database; None if it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text(QUERY))
    return found


def _run_missing(connection: Connection) -> None:
    # Most starts find nothing to do, and do not wait until Alembic is imported.
    from alembic import command

    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision this release knows."""
    return NEWEST


def is_known(revision: str) -> bool:
    """Returns True if this release can bring a database at this revision to its own."""
    return revision in KNOWN


def _make_private(path: Path) -> None:
    """Makes a SQLite file if there is none, and keeps it and its log from other users."""
    path.touch(mode=_PRIVATE)
    for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        # A file of another owner, or that is not there, stays as it is.
        with suppress(OSError):
            each.chmod(_PRIVATE)


def _turn(url: URL) -> AbstractContextManager[None]:
    """Holds SQLite's lock file: a migration writes, and may make a checkpoint."""
    if url.get_backend_name() == "sqlite" and url.database:
        return writing(Path(url.database))
    return nullcontext()


@contextmanager
def _begun(database_url: str) -> Iterator[Connection]:
    # A pooler may give the next transaction another session, without what was prepared in this one.
    is_server = make_url(database_url).get_backend_name() == "postgresql"
    more = {"connect_args": {"prepare_threshold": None}} if is_server else {}
    engine = create_engine(database_url, poolclass=NullPool, **more)
    if engine.dialect.name == "sqlite":
        _take_over_transactions(engine)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            yield connection
    finally:
        engine.dispose()


def _take_over_transactions(engine: Engine) -> None:
    """The driver would commit before each CREATE TABLE, and a kill would leave half a schema."""

    @event.listens_for(engine, "connect")
    def _connected(raw: object, record: object) -> None:
        raw.isolation_level = None  # type: ignore[attr-defined]
        raw.execute(f"PRAGMA busy_timeout={_BUSY_ATTEMPT_MS}")  # type: ignore[attr-defined]
        raw.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
        raw.execute("PRAGMA synchronous=FULL")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _began(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
