"""The store in PostgreSQL, for several machines: many writers at once, kept apart by row."""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from tracking.store.engine.group_commit import BatchableWrite
from tracking.store.engine.statement import Connection, StoreUnavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)

POOL_SIZE = 4
# How long a webhook may wait for a connection, and then for what another transaction holds:
# together less than the four seconds after which an answer comes too late. A lock is waited for
# longer than PostgreSQL waits before it looks for a deadlock.
BUSY_SECONDS = 2.2
_LOCKED_SECONDS = 1.2
# A webhook that nobody can store is told so at once: Shopify comes again by itself.
_AWAY_SECONDS = 0.2
_ASKED_EVERY = 1.0
_ATTEMPTS = 3
# These say that one statement was wrong, not that the database cannot be written.
_FAULTS_OF_THE_ROW = (psycopg.IntegrityError, psycopg.DataError)
# What PostgreSQL reports when nothing is wrong but the moment: serialisation failure, deadlock.
_PASSING = frozenset({"40001", "40P01"})
# Somebody held a lock for as long as an answer may take: trying again would come too late.
_TOO_LATE = "55P03"


class PostgresStore:
    """A small pool of connections for each process, opened by the process that uses it."""

    dialect = "postgresql"

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._pool: ConnectionPool[Any] | None = None
        self._pid = 0
        self._opening = threading.Lock()
        # Whether nobody gets through, since a connection broke in use or none came free in time:
        # the server was stopped, is out of reach, or is held up by somebody else.
        self._is_away = False

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Carry out the work in a transaction and return when it is on disk.

        Raises:
            StoreUnavailable: it could not be written, or may not have been.
        """
        if isinstance(work, BatchableWrite):
            result: T | None = self._commit(work.attempt)
            if result is not None:
                return result
            # What was locked for the attempt is let go of before more is: two that lock in steps
            # would wait for one another.
        return self._commit(work)

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `commit`, done when this returns: PostgreSQL commits concurrently, so no group commit
        is needed."""
        settled: Future[T] = Future()
        try:
            settled.set_result(self.commit(work))
        except Exception as error:
            settled.set_exception(error)
        return settled

    def _commit(self, work: Callable[[Connection], T]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._connection() as raw, raw.transaction():
                    return work(Connection(raw, self.dialect))
            except psycopg.Error as error:
                if isinstance(error, _FAULTS_OF_THE_ROW):
                    raise
                if attempt == _ATTEMPTS or not _is_passing(error):
                    raise StoreUnavailable(f"the database cannot be written: {error}") from error
                # Two that collided must not collide again at once.
                time.sleep(random.uniform(0, 0.05))  # noqa: S311
        raise AssertionError("unreachable")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot of what is committed."""
        try:
            with self._connection() as raw, raw.transaction():
                raw.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield Connection(raw, self.dialect)
        except psycopg.Error as error:
            raise StoreUnavailable(f"the database cannot be read: {error}") from error

    def wipe_log(self) -> None:
        """The server's log is its own, and begins anew by itself."""

    def close(self) -> None:
        """Close every connection of this process."""
        if self._pool is not None and self._pid == os.getpid():
            self._pool.close()
        self._pool = None

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        patience = _AWAY_SECONDS if self._is_away else BUSY_SECONDS
        try:
            with self._opened().connection(timeout=patience) as raw:
                try:
                    yield raw
                except psycopg.OperationalError:
                    self._is_away = self._is_away or raw.broken
                    raise
                self._is_away = False
        except PoolTimeout as error:
            self._is_away = True
            raise StoreUnavailable(f"the database does not answer: {error}") from error

    def _opened(self) -> ConnectionPool[Any]:
        with self._opening:
            if self._pool is None or self._pid != os.getpid():
                self._pool = ConnectionPool(
                    self._conninfo,
                    min_size=1,
                    max_size=POOL_SIZE,
                    open=True,
                    configure=_configure,
                    reconnect_timeout=5,
                )
                self._pid = os.getpid()
            return self._pool


def wait_for_server(conninfo: str, pause: float = _ASKED_EVERY) -> None:
    """Return once a connection can be made. A serving process that ended instead, because it was
    started in a bad moment, would take all the others with it."""
    while True:
        try:
            psycopg.connect(conninfo, connect_timeout=3).close()
            return
        except psycopg.OperationalError as error:
            logger.warning("the start waits for the database: %s", str(error).partition("\n")[0])
        time.sleep(pause)


def _configure(raw: Any) -> None:
    raw.autocommit = True
    # An acknowledged order must be on disk, whatever the server's own default is.
    raw.execute("SET synchronous_commit = on")
    raw.execute(f"SET lock_timeout = '{_LOCKED_SECONDS}s'")
    raw.execute("SET idle_in_transaction_session_timeout = '30s'")


def _is_passing(error: psycopg.Error) -> bool:
    if error.sqlstate == _TOO_LATE:
        return False
    return error.sqlstate in _PASSING or isinstance(error, psycopg.OperationalError)
