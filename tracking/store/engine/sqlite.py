"""The store in one SQLite file: one writer at a time over all processes, readers beside it."""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from tracking.store.engine.base import Store
from tracking.store.engine.group_commit import GroupCommit
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.open_files import FilesReplaced
from tracking.store.engine.sqlite_batches import DIALECT, SqliteBatches
from tracking.store.engine.sqlite_connections import SqliteConnections
from tracking.store.engine.sqlite_errors import FAULTS_OF_THE_ROW, seen_by_caller
from tracking.store.engine.sqlite_writer import SqliteWriter
from tracking.store.engine.statement import Connection, StoreUnavailable
from tracking.store.engine.write_ahead_log import BULK_LIMITS, USUAL_LIMITS

T = TypeVar("T")
logger = logging.getLogger(__name__)


class SqliteStore:
    """A store in a SQLite file.

    `setup` are statements that each writing connection runs when it is opened. Its writers take
    turns with the `main_loop` of the process.
    """

    dialect = DIALECT

    def __init__(
        self, path: Path, setup: Iterable[str] = (), main_loop: MainLoop | None = None
    ) -> None:
        self.path = path
        self._setup = tuple(setup)
        self._main_loop = main_loop
        self._is_in_place = True
        self._pid = 0
        self._forking = threading.Lock()
        self._start()

    def _start(self) -> None:
        """Makes what opens connections once they are needed."""
        self._connections = SqliteConnections(self.path)
        self._writer = SqliteWriter(self._connections, self._setup)
        self._batches = SqliteBatches(self._writer)
        self._group_commit = GroupCommit(
            self._commit, translate=self._store_error, main_loop=self._main_loop
        )

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
        self._check_process()
        try:
            with self._connections.reading() as raw:
                yield Connection(raw, self.dialect)
        except FilesReplaced as error:
            self._report_place(error)
            raise
        except (sqlite3.DatabaseError, OSError) as error:
            if isinstance(error, FAULTS_OF_THE_ROW):
                raise
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Lets the WAL grow longer, so that a page that many transactions write is moved into the
        file once."""
        self._check_process()
        self._writer.limits = BULK_LIMITS
        try:
            yield
        finally:
            self._writer.limits = USUAL_LIMITS
            with suppress(StoreUnavailable):
                self.commit(lambda _: None)

    def wipe_log(self) -> None:
        """Truncate the WAL, which holds erased data until it begins anew.

        Where a reader prevents it, the next commit truncates the WAL.

        Raises:
            StoreUnavailable: it cannot be written.
        """
        self._check_process()
        self._writer.truncate_log_soon()
        self.commit(lambda _: None)

    def close(self) -> None:
        """Closes every connection of this process."""
        self._connections.close_readers()
        self._writer.close()
        self._connections.end_use()
        self._is_in_place = True

    def _commit(self, group_commit: GroupCommit) -> None:
        try:
            self._batches.commit(group_commit)
        except FilesReplaced as error:
            self._report_place(error)
            self._writer.rescue_log()
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

    def _store_error(self, error: BaseException) -> BaseException:
        return seen_by_caller(error, self._writer.version)

    def _check_process(self) -> None:
        """After a fork, forget what the parent opened, which may not be used nor even closed."""
        if self._pid == os.getpid():
            return
        with self._forking:
            if self._pid not in (0, os.getpid()):
                self._inherited = (self._connections, self._writer)
                self._start()
            self._pid = os.getpid()


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
