"""The store in one SQLite file: one writer at a time over all processes, readers beside it.

Up to 3.51.2 SQLite may lose pages if a checkpoint runs while another connection begins its log anew
(sqlite.org/wal.html, "the WAL-reset bug"). Here that cannot meet: every writer holds the lock file
while it writes, checkpoints are a part of writing, and no other connection makes any.
"""

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tracking.store.engine.file_locks import lock, lock_path, open_lock, presence_path, unlock
from tracking.store.engine.group_commit import (
    BatchableWrite,
    GroupCommit,
    PendingWrite,
    batches_by_class,
)
from tracking.store.engine.statement import Connection, StoreUnavailable

T = TypeVar("T")

# Below Shopify's five seconds, so that the answer is a clear 503 and not a time-out.
BUSY_SECONDS = 3.0
# How long one attempt waits inside SQLite while it holds our own lock. Only a foreign program
# can make it wait at all, since our own writers queue for the lock file first.
_BUSY_ATTEMPT_MS = 200
# The log is moved into the file once it has so many pages, by whoever commits then.
_CHECKPOINT_PAGES = 4000
# The log begins anew only while nobody reads from it. Where somebody always does, it is emptied by
# force once it has so many bytes: writers then wait for those who read, who do not wait for them.
LONGEST_LOG = 24 * 1024 * 1024
# Who reads for longer than an attempt lasts must not hold writers up at every commit.
_EMPTIES_EVERY_SECONDS = 0.5
# These say that one statement was wrong, not that the file cannot be written.
_FAULTS_OF_THE_ROW = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.NotSupportedError,
)


class SqliteStore:
    """Opened lazily by the process that uses it: a connection carried over a fork may corrupt
    the file.

    `setup` are statements that each writing connection runs when it is opened.
    """

    dialect = "sqlite"

    def __init__(self, path: Path, setup: Iterable[str] = ()) -> None:
        self.path = path
        self._setup = tuple(setup)
        self._group_commit = GroupCommit(self._commit, described=_described)
        self._pid = 0
        self._writer: sqlite3.Connection | None = None
        self._lock_file: int | None = None
        self._presence: int | None = None
        self._log = Path(f"{path}-wal")
        self._empties_at = 0.0
        self._wipes = False
        # Whether a foreign program had the file for longer than anybody may wait.
        self._is_held_up = False
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._opening = threading.Lock()

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Carry out the work in a transaction of its own and return when it is on disk.

        Works that wait at the same time share one transaction; one that fails, fails alone. A
        work may be carried out twice, the first time in vain, so it changes only the store.

        Raises:
            StoreUnavailable: it could not be written, or may not have been.
        """
        self._check_process()
        result: T = self._group_commit.run(work)
        return result

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `commit`, without waiting. The writing thread runs the callbacks of the future, so
        they must not wait."""
        self._check_process()
        return self._group_commit.later(work)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot of what is committed, which no writer waits for.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        try:
            with self._reading() as raw:
                yield Connection(raw, self.dialect)
        except (sqlite3.DatabaseError, OSError) as error:
            if isinstance(error, _FAULTS_OF_THE_ROW):
                raise
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._check_process()
        try:
            raw = self._readers.get_nowait()
        except queue.Empty:
            raw = self._open()
            raw.execute("PRAGMA query_only=ON")
        try:
            raw.execute("BEGIN")
            yield raw
        except BaseException:
            raw.close()
            raise
        raw.rollback()
        self._readers.put(raw)

    def wipe_log(self) -> None:
        """Empty the log, in which erased data stands until it begins anew. Where a reader is in the
        way, the next writer does it.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        self._wipes, self._empties_at = True, 0.0
        self.commit(lambda _: None)

    def close(self) -> None:
        """Close every connection of this process."""
        while not self._readers.empty():
            self._readers.get_nowait().close()
        self._drop_writer()
        for descriptor in (self._lock_file, self._presence):
            if descriptor is not None:
                os.close(descriptor)
        self._lock_file = self._presence = None

    def _commit(self, group_commit: GroupCommit) -> None:
        if self._is_held_up:
            # Nobody may wait for one batch after the other to be refused.
            self._commit_apart(group_commit.take(everything=True))
            return
        with self._locked():
            conn = Connection(self._writing(), self.dialect)
            pending = group_commit.take()
            kinds = batches_by_class(pending)
            put = [kind for kind, some in kinds.items() if self._is_put(conn, kind, some)]
        for kind in put:
            works = [write.work for write in kinds[kind]]
            for write, result in zip(kinds[kind], kind.results(conn, works), strict=True):
                write.result = result
        rest = [write for write in pending if write.result is None]
        if rest:
            self._commit_apart(rest)
        self._keep_log_short()

    def _keep_log_short(self) -> None:
        now = time.monotonic()
        # What was committed is committed, whether or not this succeeds.
        with suppress(sqlite3.Error, OSError):
            if now >= self._empties_at and (self._wipes or self._log.stat().st_size > LONGEST_LOG):
                self._empties_at = now + _EMPTIES_EVERY_SECONDS
                with self._locked():
                    checkpoint = self._writing().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    (is_in_the_way, *_) = checkpoint.fetchone()
                self._wipes = self._wipes and bool(is_in_the_way)

    def _is_put(
        self, conn: Connection, kind: type[BatchableWrite], pending: list[PendingWrite]
    ) -> bool:
        """Put writes of one class and commit, in the one call of SQLite that this takes: a thread
        that needs the interpreter in between holds the lock for longer than the writing lasts."""
        try:
            kind.put(conn, [write.work for write in pending])
        except sqlite3.Error:
            # Nothing of it was written. One by one it will show whose fault it is.
            return False
        return True

    def _commit_apart(self, pending: list[PendingWrite]) -> None:
        """Carry out works in a transaction of their own."""
        try:
            with self._begun(pending[0].since + BUSY_SECONDS) as conn:
                try:
                    for write in pending:
                        write.result = write.work(conn)
                except Exception:
                    self._carry_out_apart(conn, pending)
                conn.raw.execute("COMMIT")
            self._is_held_up = False
        except Exception as error:
            self._is_held_up = _is_busy(error)
            # What was put before is committed, whatever happens to these.
            for write in pending:
                write.error = error

    def _carry_out_apart(self, conn: Connection, pending: list[PendingWrite]) -> None:
        """Begin again with a savepoint around each work, so that the one at fault fails alone."""
        if not conn.raw.in_transaction:
            # A full disk or a broken file has taken the whole transaction with it.
            raise
        conn.raw.execute("ROLLBACK")
        conn.raw.execute("BEGIN IMMEDIATE")
        for write in pending:
            conn.raw.execute("SAVEPOINT ticket")
            try:
                write.result = write.work(conn)
            except Exception as error:
                if not conn.raw.in_transaction:
                    raise
                conn.raw.execute("ROLLBACK TO ticket")
                write.error = error
            conn.raw.execute("RELEASE ticket")

    @contextmanager
    def _begun(self, deadline: float) -> Iterator[Connection]:
        """A write transaction, tried until an instant of the monotonic clock and at least once.
        Whatever goes wrong in it, the connection is replaced."""
        while True:
            with self._locked():
                raw = self._writing()
                if self._begins(raw, deadline):
                    try:
                        yield Connection(raw, self.dialect)
                    except BaseException:
                        self._drop_writer()
                        raise
                    return
            time.sleep(0.02)

    def _begins(self, raw: sqlite3.Connection, deadline: float) -> bool:
        """Returns True if the write lock was free. A foreign holder is waited for without our own
        lock, so that no process waits twice.
        """
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if _is_busy(error) and time.monotonic() < deadline:
                return False
            self._drop_writer()
            raise
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """This process's turn among all processes that write the file. The busy handler of
        SQLite is no queue: under load it leaves writers waiting for seconds."""
        if self._lock_file is None:
            # First of all: whoever replaces the file has this one before the lock.
            self._be_present()
            # Kept open for as long as the process may write.
            self._lock_file = open_lock(lock_path(self.path))
        lock(self._lock_file)
        try:
            yield
        finally:
            unlock(self._lock_file)

    def _writing(self) -> sqlite3.Connection:
        if self._writer is None:
            writer = self._open()
            writer.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            for statement in self._setup:
                writer.execute(statement)
            self._writer = writer
        return self._writer

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _check_process(self) -> None:
        """After a fork nothing that the parent opened may be used or even closed."""
        if self._pid == os.getpid():
            return
        with self._opening:
            if self._pid not in (0, os.getpid()):
                self._inherited = (self._writer, self._lock_file, self._presence, self._readers)
                self._writer = self._lock_file = self._presence = None
                self._readers = queue.SimpleQueue()
                self._group_commit = GroupCommit(self._commit, described=_described)
            self._pid = os.getpid()

    def _open(self) -> sqlite3.Connection:
        self._be_present()
        raw = sqlite3.connect(
            self.path,
            timeout=_BUSY_ATTEMPT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        for pragma in (
            "journal_mode=WAL",
            # FULL flushes the log at every commit; with less, an acknowledged order can be gone
            # after a power cut.
            "synchronous=FULL",
            "temp_store=MEMORY",
            # What is erased (addresses, browsers, bodies) is overwritten, not only forgotten.
            "secure_delete=ON",
            "cache_size=-32000",
            # Only the writer makes checkpoints, since it holds the lock file meanwhile.
            "wal_autocheckpoint=0",
        ):
            raw.execute(f"PRAGMA {pragma}")
        return raw

    def _be_present(self) -> None:
        """Show that the file is in use, so that no other is put in its place meanwhile."""
        with self._opening:
            if self._presence is None:
                presence = open_lock(presence_path(self.path))
                lock(presence, shared=True)
                self._presence = presence


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY


def _described(error: BaseException) -> BaseException:
    """Returns the error that the caller of a failed write gets."""
    if isinstance(error, _FAULTS_OF_THE_ROW) or not isinstance(
        error, sqlite3.DatabaseError | OSError
    ):
        return error
    unavailable = StoreUnavailable(f"the database cannot be written: {error}")
    unavailable.__cause__ = error
    return unavailable


def protection(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """Returns what protects the file from the WAL-reset bug, as text for the log and doctor.

    It was fixed in 3.51.3, and in the maintenance releases 3.44.6 and 3.50.7.
    """
    named = "SQLite " + ".".join(map(str, version[:3]))
    mended = ((3, 44, 6), (3, 45)), ((3, 50, 7), (3, 51)), ((3, 51, 3), (4,))
    state = "without" if any(first <= version < end for first, end in mended) else "with"
    return f"{named}, {state} the WAL-reset bug; checkpoints only under the write lock"
