"""The connection that writes a SQLite file, under the lock for which all writers queue.

The log is moved into the file here too, by checkpoints under the same lock.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tracking.store.engine import schema_version
from tracking.store.engine.file_locks import lock_at, lock_path, unlock
from tracking.store.engine.open_files import FilesReplaced, OpenFiles
from tracking.store.engine.sqlite_connections import SqliteConnections
from tracking.store.engine.sqlite_errors import is_busy
from tracking.store.engine.write_ahead_log import USUAL_LIMITS

# A reader that lasts longer than an attempt must not delay the writer at every commit.
_TRUNCATES_EVERY_SECONDS = 0.5


class SqliteWriter:
    """The writing connection of this process, opened once it is needed.

    `setup` are statements that it runs when it is opened.
    """

    def __init__(self, connections: SqliteConnections, setup: tuple[str, ...]) -> None:
        self.limits = USUAL_LIMITS
        # The schema's version at the beginning of the last transaction.
        self.version = ""
        self._connections = connections
        self._setup = setup
        self._raw: sqlite3.Connection | None = None
        self._lock_file: int | None = None
        # The files of the connection.
        self._files: OpenFiles | None = None
        # The limit that the connection has.
        self._pages = 0
        self._truncates_at = 0.0
        self._must_truncate = False

    @contextmanager
    def transaction(self, deadline: float) -> Iterator[sqlite3.Connection]:
        """Begins a write transaction; tries until an instant of the monotonic clock, at least once.

        After any error in it, the connection is replaced.
        """
        while True:
            with self.locked():
                raw = self.opened()
                if self._try_begin(raw, deadline):
                    try:
                        yield raw
                    except BaseException:
                        self.drop()
                        raise
                    return
            time.sleep(0.02)

    def _try_begin(self, raw: sqlite3.Connection, deadline: float) -> bool:
        """Begins a transaction; returns False if a foreign program holds SQLite's write lock.

        The caller waits for that program without our own lock, so that no process waits twice.
        """
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if is_busy(error) and time.monotonic() < deadline:
                return False
            self.drop()
            raise
        return True

    @contextmanager
    def locked(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Holds the lock file; the files that are open are those at their paths, before and after.

        Args:
            meanwhile: what can be done first if another process holds it.

        Raises:
            FilesReplaced: they are not, and a restart may not find what was written.
        """
        with self._lock(meanwhile):
            self._check_files()
            yield
            self._check_files()

    def _check_files(self) -> None:
        if self._raw is not None and self._files is not None:
            self._files.check()

    @contextmanager
    def _lock(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Holds the lock file, for which all processes that write the database queue.

        The busy handler of SQLite is no queue: under load it leaves writers waiting for seconds.
        """
        # First of all: a process that replaces the file takes this lock before the other.
        self._connections.announce_use()
        # Stays open for as long as the process may write.
        path = lock_path(self._connections.path)
        self._lock_file = lock_at(path, self._lock_file, meanwhile)
        try:
            yield
        finally:
            unlock(self._lock_file)

    def opened(self) -> sqlite3.Connection:
        """Returns the connection, with the limits that hold now. Called while it is `locked`.

        Raises:
            FilesReplaced: the files at their paths are not those of the connections before.
            SchemaChanged: a newer release has brought the database to a schema of its own.
            SchemaMissing: no release has.
        """
        if self._raw is None:
            raw = self._connections.open()
            try:
                for statement in self._setup:
                    raw.execute(statement)
                files = _files_of(raw, self._connections.path)
                if files.database != self._connections.database:
                    raise FilesReplaced(self._connections.path)
            except BaseException:
                raw.close()
                raise
            self._raw, self._files, self._pages = raw, files, 0
        if self._pages != self.limits.pages:
            self._pages = self.limits.pages
            self._raw.execute(f"PRAGMA wal_autocheckpoint={self._pages}")
            self._raw.execute(f"PRAGMA cache_size=-{self.limits.cache}")
        self._check_schema(self._raw)
        return self._raw

    def _check_schema(self, raw: sqlite3.Connection) -> None:
        """Checks the version under the lock, for which migrations queue as well."""
        try:
            row = raw.execute(schema_version.QUERY).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            raise schema_version.SchemaMissing from error
        self.version = "" if row is None else str(row[0])
        schema_version.check(self.version)

    def truncate_log_soon(self) -> None:
        """Has the log truncated when it is asked for next, however short it is."""
        self._must_truncate, self._truncates_at = True, 0.0

    def truncate_log_if_due(self) -> None:
        """Truncates the log if it is too long, or has to be; what is committed stays so if this
        fails."""
        now = time.monotonic()
        with suppress(sqlite3.Error, OSError):
            if now >= self._truncates_at and (
                self._must_truncate
                or (self._files is not None and self._files.log_bytes > self.limits.longest)
            ):
                self._truncates_at = now + _TRUNCATES_EVERY_SECONDS
                with self.locked():
                    checkpoint = self.opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    (is_blocked_by_reader, *_) = checkpoint.fetchone()
                self._must_truncate = self._must_truncate and bool(is_blocked_by_reader)

    def rescue_log(self) -> None:
        """Moves a log that was deleted into the database.

        It holds acknowledged orders, and ends with this process.
        """
        with suppress(sqlite3.Error, OSError), self._lock():
            if self._raw is not None and self._files is not None and self._files.has_lost_log:
                self._raw.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def drop(self) -> None:
        """Closes the connection; the next transaction opens another."""
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.close()

    def close(self) -> None:
        """Closes the connection and the lock file."""
        self.drop()
        if self._lock_file is not None:
            os.close(self._lock_file)
        self._lock_file = None


def _files_of(raw: sqlite3.Connection, path: Path) -> OpenFiles:
    """Returns the files of a connection, and makes it open all of them.

    Raises:
        FilesReplaced: the log was replaced, and other processes go on with the old one.
    """
    raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
    files = OpenFiles(path, raw.execute("PRAGMA database_list").fetchone()[2])
    (_, pages, _) = raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    (page_size,) = raw.execute("PRAGMA page_size").fetchone()
    if files.log_bytes < pages * page_size:
        raise FilesReplaced(path)
    return files
