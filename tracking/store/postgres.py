"""The store in PostgreSQL, for several machines: many writers at once, kept apart by row."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from tracking.store.statement import Connection, StoreUnavailable

T = TypeVar("T")

POOL_SIZE = 4
BUSY_SECONDS = 3.0
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

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Carry out the work in a transaction and return when it is on disk.

        Raises:
            StoreUnavailable: it could not be written, or may not have been.
        """
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

    def close(self) -> None:
        """Close every connection of this process."""
        if self._pool is not None and self._pid == os.getpid():
            self._pool.close()
        self._pool = None

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            with self._opened().connection(timeout=BUSY_SECONDS) as raw:
                yield raw
        except PoolTimeout as error:
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


def _configure(raw: Any) -> None:
    raw.autocommit = True
    # An acknowledged order must be on disk, whatever the server's own default is.
    raw.execute("SET synchronous_commit = on")
    raw.execute("SET lock_timeout = '3s'")
    raw.execute("SET idle_in_transaction_session_timeout = '30s'")


def _is_passing(error: psycopg.Error) -> bool:
    if error.sqlstate == _TOO_LATE:
        return False
    return error.sqlstate in _PASSING or isinstance(error, psycopg.OperationalError)
