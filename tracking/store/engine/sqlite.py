"""The store in one SQLite file: one writer at a time over all processes, readers beside it."""

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tracking.store.engine import schema_version
from tracking.store.engine.base import Store
from tracking.store.engine.file_locks import (
    lock,
    lock_at,
    lock_path,
    open_lock,
    presence_path,
    unlock,
)
from tracking.store.engine.group_commit import (
    GroupCommit,
    OneStatementWrite,
    PendingWrite,
    batches_by_class,
)
from tracking.store.engine.open_files import FilesReplaced, Identity, OpenFiles, identity_of
from tracking.store.engine.sqlite_errors import FAULTS_OF_THE_ROW, is_busy, is_foreign
from tracking.store.engine.statement import SHORT_TRANSACTION, Connection, StoreUnavailable
from tracking.store.engine.write_ahead_log import BULK_LIMITS, USUAL_LIMITS

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Below Shopify's five seconds, so that the response is a clear 503 and not a time-out.
BUSY_SECONDS = 3.0
# An attempt waits so long inside SQLite while it holds our own lock. Only a foreign program can
# make it wait at all, since our own writers queue for the lock file first.
_BUSY_ATTEMPT_MS = 200
# Kilobytes for each reader. There are several, and the system has in memory what they read, too.
_READERS_CACHE = 8_000
# A reader that lasts longer than an attempt must not delay the writer at every commit.
_TRUNCATES_EVERY_SECONDS = 0.5


class SqliteStore:
    """A store in a SQLite file.

    Each process opens its own connections: one carried over a fork may corrupt the file. `setup`
    are statements that each writing connection runs when it is opened.
    """

    dialect = "sqlite"

    def __init__(self, path: Path, setup: Iterable[str] = ()) -> None:
        self.path = path
        self._setup = tuple(setup)
        self._group_commit = GroupCommit(self._commit, translate=self._store_error)
        self._pid = 0
        self._writer: sqlite3.Connection | None = None
        self._lock_file: int | None = None
        self._presence: int | None = None
        # The files of the writing connection, and the database that every connection must have.
        self._files: OpenFiles | None = None
        self._database: Identity | None = None
        self._is_in_place = True
        # The schema's version at the beginning of the last transaction.
        self._version = ""
        self._truncates_at = 0.0
        self._must_truncate = False
        self._limits = USUAL_LIMITS
        # The limit that the writing connection has.
        self._pages = 0
        # A foreign program held the file for longer than a caller may wait.
        self._is_blocked = False
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._opening = threading.Lock()

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Runs the work in a transaction and returns its result once it is on disk.

        Works that wait at the same time share one transaction; one that fails, fails alone. A
        work may run twice, the first time being rolled back, so it must change only the store.

        Raises:
            StoreUnavailable: it could not be written, or may not have been.
        """
        return self.run(work, yields=False)

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `commit`, without waiting.

        The writer thread runs the callbacks of the future, so a callback must never block.
        """
        return self.submit(work, yields=False)

    def run(self, work: Callable[[Connection], T], *, yields: bool) -> T:
        """As `commit`, in the queue of the writes that yield if this one `yields`."""
        self._check_process()
        result: T = self._group_commit.run(work, yields=yields)
        return result

    def submit(self, work: Callable[[Connection], T], *, yields: bool) -> Future[T]:
        """As `commit_later`, in the queue of the writes that yield if this one `yields`."""
        self._check_process()
        return self._group_commit.submit(work, yields=yields)

    def yielding(self) -> Store:
        """Returns the same file for writers that take turns with those of this store."""
        return _YieldingStore(self)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a snapshot of what is committed. No writer waits for it.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        try:
            with self._reader() as raw:
                yield Connection(raw, self.dialect)
        except FilesReplaced as error:
            self._report_place(error)
            raise
        except (sqlite3.DatabaseError, OSError) as error:
            if isinstance(error, FAULTS_OF_THE_ROW):
                raise
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        self._check_process()
        try:
            raw = self._readers.get_nowait()
        except queue.Empty:
            raw = self._open()
            raw.execute("PRAGMA query_only=ON")
            raw.execute(f"PRAGMA cache_size=-{_READERS_CACHE}")
        try:
            raw.execute("BEGIN")
            yield raw
        except BaseException:
            raw.close()
            raise
        raw.rollback()
        self._readers.put(raw)

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Lets the WAL grow longer, so that a page that many transactions write is moved into the
        file once."""
        self._limits = BULK_LIMITS
        try:
            yield
        finally:
            self._limits = USUAL_LIMITS
            with suppress(StoreUnavailable):
                self.commit(lambda _: None)

    def wipe_log(self) -> None:
        """Truncate the WAL, which holds erased data until it begins anew.

        Where a reader prevents it, the next commit truncates the WAL.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        self._must_truncate, self._truncates_at = True, 0.0
        self.commit(lambda _: None)

    def close(self) -> None:
        """Closes every connection of this process."""
        while not self._readers.empty():
            self._readers.get_nowait().close()
        self._drop_writer()
        for descriptor in (self._lock_file, self._presence):
            if descriptor is not None:
                os.close(descriptor)
        self._lock_file = self._presence = self._database = None
        self._is_in_place = True

    def _commit(self, group_commit: GroupCommit) -> None:
        try:
            self._write(group_commit)
        except FilesReplaced as error:
            self._report_place(error)
            self._rescue_log()
            raise
        self._report_place(None)

    def _report_place(self, error: FilesReplaced | None) -> None:
        """Logs that the files are not at their paths, or that they are again; each once."""
        if (error is None) == self._is_in_place:
            return
        self._is_in_place = error is None
        if error is None:
            logger.warning("%s is at its path again, and is written again", self.path)
        else:
            advice = "put it back, or stop the service and restore a backup"
            logger.error("%s: nothing is taken in: %s; %s", self.path, error, advice)

    def _rescue_log(self) -> None:
        """Moves a log that was deleted into the database.

        It holds acknowledged orders, and ends with this process.
        """
        with suppress(sqlite3.Error, OSError), self._lock():
            if self._writer is not None and self._files is not None and self._files.has_lost_log:
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _write(self, group_commit: GroupCommit) -> None:
        if self._is_blocked:
            # No caller may wait while one batch after the other fails.
            group_commit.put_back(self._commit_rest(group_commit.take(everything=True)))
            return
        put: list[type[OneStatementWrite]] = []
        try:
            with self._locked():
                conn = Connection(self._opened_writer(), self.dialect)
                pending = group_commit.take()
                batches = batches_by_class(pending)
                put += [
                    kind
                    for kind, batch in batches.items()
                    if issubclass(kind, OneStatementWrite) and self._put_batch(conn, kind, batch)
                ]
        finally:
            # Also where the files are gone by now, or the next batch would get these results.
            for kind in put:
                works = [write.work for write in batches[kind]]
                for write, result in zip(batches[kind], kind.results(conn, works), strict=True):
                    write.result = result
        rest = [write for write in pending if write.result is None]
        if rest:
            group_commit.put_back(self._commit_rest(rest))
        self._truncate_log_if_due()

    def _truncate_log_if_due(self) -> None:
        now = time.monotonic()
        # The batch is committed, even if this fails.
        with suppress(sqlite3.Error, OSError):
            if now >= self._truncates_at and (
                self._must_truncate
                or (self._files is not None and self._files.log_bytes > self._limits.longest)
            ):
                self._truncates_at = now + _TRUNCATES_EVERY_SECONDS
                with self._locked():
                    checkpoint = self._opened_writer().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    (is_blocked_by_reader, *_) = checkpoint.fetchone()
                self._must_truncate = self._must_truncate and bool(is_blocked_by_reader)

    def _put_batch(
        self, conn: Connection, kind: type[OneStatementWrite], pending: list[PendingWrite]
    ) -> bool:
        """Writes a batch of one class and commits it, in a single call of SQLite; returns False if
        nothing was written.

        Between two calls the thread may wait for the interpreter while it holds the lock.
        """
        try:
            kind.put(conn, [write.work for write in pending])
        except Exception:
            # Written one by one, only the write at fault fails: its value may be one that the
            # driver cannot pass on.
            return False
        return True

    def _commit_rest(self, pending: list[PendingWrite]) -> list[PendingWrite]:
        """Runs the works that no statement wrote together, in one transaction.

        Returns those of the yielding ones that are left, once the transaction has done as much as
        others may have to wait for.
        """
        done, left = 0, pending
        try:
            with self._transaction(pending[0].queued_at + BUSY_SECONDS) as conn:
                try:
                    _attempt_together(conn, pending)
                    left = [write for write in pending if write.result is None]
                    for write in left:
                        if write.yields and conn.executed > SHORT_TRANSACTION:
                            break
                        write.result = write.work(conn)
                        done += 1
                except Exception:
                    done, left = len(pending), pending
                    self._run_with_savepoints(conn, pending)
                conn.raw.execute("COMMIT")
            self._is_blocked = False
        except FilesReplaced:
            raise
        except Exception as error:
            self._is_blocked = is_busy(error)
            done, left = len(pending), pending
            # What was put before stays committed.
            for write in pending:
                write.error = error
        return left[done:]

    def _run_with_savepoints(self, conn: Connection, pending: list[PendingWrite]) -> None:
        """Begins again with a savepoint around each work, so that the one at fault fails alone."""
        if not conn.raw.in_transaction:
            # A full disk or a broken file has rolled back the whole transaction.
            raise
        conn.raw.execute("ROLLBACK")
        conn.raw.execute("BEGIN IMMEDIATE")
        for write in pending:
            conn.raw.execute("SAVEPOINT pending_write")
            try:
                write.result = write.work(conn)
            except Exception as error:
                if not conn.raw.in_transaction:
                    raise
                conn.raw.execute("ROLLBACK TO pending_write")
                write.error = error
            conn.raw.execute("RELEASE pending_write")

    @contextmanager
    def _transaction(self, deadline: float) -> Iterator[Connection]:
        """Begins a write transaction; tries until an instant of the monotonic clock, at least once.

        After any error in it, the connection is replaced.
        """
        while True:
            with self._locked():
                raw = self._opened_writer()
                if self._try_begin(raw, deadline):
                    try:
                        yield Connection(raw, self.dialect)
                    except BaseException:
                        self._drop_writer()
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
            self._drop_writer()
            raise
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the lock file; the files that are open are those at their paths, before and after.

        Raises:
            FilesReplaced: they are not, and a restart may not find what was written.
        """
        with self._lock():
            self._check_files()
            yield
            self._check_files()

    def _check_files(self) -> None:
        if self._writer is not None and self._files is not None:
            self._files.check()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Holds the lock file, for which all processes that write the database queue.

        The busy handler of SQLite is no queue: under load it leaves writers waiting for seconds.
        """
        # First of all: a process that replaces the file takes this lock before the other.
        self._announce_use()
        # Stays open for as long as the process may write.
        self._lock_file = lock_at(lock_path(self.path), self._lock_file)
        try:
            yield
        finally:
            unlock(self._lock_file)

    def _opened_writer(self) -> sqlite3.Connection:
        if self._writer is None:
            writer = self._open()
            try:
                for statement in self._setup:
                    writer.execute(statement)
                files = _files_of(writer, self.path)
                if files.database != self._database:
                    raise FilesReplaced(self.path)
            except BaseException:
                writer.close()
                raise
            self._writer, self._files, self._pages = writer, files, 0
        if self._pages != self._limits.pages:
            self._pages = self._limits.pages
            self._writer.execute(f"PRAGMA wal_autocheckpoint={self._pages}")
            self._writer.execute(f"PRAGMA cache_size=-{self._limits.cache}")
        self._check_schema(self._writer)
        return self._writer

    def _check_schema(self, writer: sqlite3.Connection) -> None:
        """Checks the version under the lock, for which migrations queue as well.

        Raises:
            SchemaChanged: a newer release has brought the database to a schema of its own.
            SchemaMissing: no release has.
        """
        try:
            row = writer.execute(schema_version.QUERY).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            raise schema_version.SchemaMissing from error
        self._version = "" if row is None else str(row[0])
        schema_version.check(self._version)

    def _store_error(self, error: BaseException) -> BaseException:
        """Returns the error that the caller of a failed work sees."""
        is_of_row = isinstance(error, FAULTS_OF_THE_ROW)
        is_of_schema = self._version != schema_version.NEWEST or is_foreign(error)
        if (is_of_row and not is_of_schema) or not isinstance(
            error, sqlite3.DatabaseError | OSError
        ):
            return error
        unavailable = StoreUnavailable(f"the database cannot be written: {error}")
        unavailable.__cause__ = error
        return unavailable

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _check_process(self) -> None:
        """After a fork, forget what the parent opened, which may not be used nor even closed."""
        if self._pid == os.getpid():
            return
        with self._opening:
            if self._pid not in (0, os.getpid()):
                self._inherited = (self._writer, self._lock_file, self._presence, self._readers)
                self._writer = self._lock_file = self._presence = self._database = None
                self._readers = queue.SimpleQueue()
                self._group_commit = GroupCommit(self._commit, translate=self._store_error)
            self._pid = os.getpid()

    def _open(self) -> sqlite3.Connection:
        self._announce_use()
        database = identity_of(self.path)
        if database is None or self._database not in (None, database):
            raise FilesReplaced(self.path)
        self._database = database
        # Only a migration makes a new file. SQLite would delete the log that is left beside it.
        raw = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_ATTEMPT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        for pragma in (
            "journal_mode=WAL",
            # FULL flushes the WAL at every commit; with less, an acknowledged order can be lost
            # in a power cut.
            "synchronous=FULL",
            "temp_store=MEMORY",
            # Erased data (addresses, browsers, bodies) is overwritten, not only unlinked.
            "secure_delete=ON",
            f"cache_size=-{USUAL_LIMITS.cache}",
            # Only the writer makes checkpoints, since it holds the lock file meanwhile.
            "wal_autocheckpoint=0",
        ):
            raw.execute(f"PRAGMA {pragma}")
        return raw

    def _announce_use(self) -> None:
        """Locks the presence file, so that no process replaces the database meanwhile."""
        with self._opening:
            if self._presence is None:
                presence = open_lock(presence_path(self.path))
                lock(presence, shared=True)
                self._presence = presence


class _YieldingStore:
    """A SQLite file as its writers of lesser urgency see it."""

    def __init__(self, store: SqliteStore) -> None:
        self.dialect = store.dialect
        self._store = store

    def commit(self, work: Callable[[Connection], T]) -> T:
        """As `Store.commit`, in a queue of its own."""
        return self._store.run(work, yields=True)

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `Store.commit_later`, in a queue of its own."""
        return self._store.submit(work, yields=True)

    def yielding(self) -> Store:
        """Returns this store."""
        return self

    def read(self) -> AbstractContextManager[Connection]:
        """As `Store.read`."""
        return self._store.read()

    def bulk(self) -> AbstractContextManager[None]:
        """As `Store.bulk`."""
        return self._store.bulk()

    def wipe_log(self) -> None:
        """As `Store.wipe_log`."""
        self._store.wipe_log()

    def close(self) -> None:
        """Closes nothing: the connections are those of the store."""


def _attempt_together(conn: Connection, pending: Sequence[PendingWrite]) -> None:
    """Runs the works of a class together where they can share statements."""
    for kind, batch in batches_by_class(pending).items():
        if not issubclass(kind, OneStatementWrite):
            results = kind.attempt(conn, [write.work for write in batch])
            for write, result in zip(batch, results, strict=True):
                write.result = result


def _files_of(writer: sqlite3.Connection, path: Path) -> OpenFiles:
    """Returns the files of a connection, and makes it open all of them.

    Raises:
        FilesReplaced: the log was replaced, and other processes go on with the old one.
    """
    writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
    files = OpenFiles(path, writer.execute("PRAGMA database_list").fetchone()[2])
    (_, pages, _) = writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    (page_size,) = writer.execute("PRAGMA page_size").fetchone()
    if files.log_bytes < pages * page_size:
        raise FilesReplaced(path)
    return files
