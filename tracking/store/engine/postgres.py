"""The store in PostgreSQL, for several machines: many concurrent writers with advisory locks.

Between us and the server there may be a pooler that hands a server's session to another client
after each transaction, as PgBouncer does in transaction mode. So nothing outlives a transaction:
settings and locks are its own, and statements are prepared only where no pooler is.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from tracking.store.engine import schema_version
from tracking.store.engine.advisory_locks import LockHeldElsewhere
from tracking.store.engine.group_commit import BUSY, BatchableWrite
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.statement import (
    Connection,
    Contended,
    ServerAway,
    StoreUnavailable,
)
from tracking.store.engine.writer_threads import WriterThreads

T = TypeVar("T")

logger = logging.getLogger(__name__)

POOL_SIZE = 4
# Callers that yield have as few connections as leave the server time for the others.
YIELDING_POOL_SIZE = 2
# A webhook waits at most so long for a connection, and then for a lock of another transaction:
# together less than the four seconds after which a response is too late. The wait for a lock is
# longer than PostgreSQL's deadlock_timeout.
BUSY_SECONDS = 2.2
_LOCKED_SECONDS = 1.2
# One that holds no thread may wait longer for its turn, as it waits for no connection then.
_QUEUED_SECONDS = 2.7
# While the server is unreachable a webhook fails at once: Shopify sends it again by itself.
_AWAY_SECONDS = 0.2
_RETRIES_EVERY_SECONDS = 1.0
_LEAVES_EVERY_SECONDS = 0.2
_ATTEMPTS = 3
# These errors mean that one statement was wrong, not that the database cannot be written.
_FAULTS_OF_THE_ROW = (psycopg.IntegrityError, psycopg.DataError)
# Transient states of PostgreSQL: serialisation failure, deadlock.
_TRANSIENT = frozenset({"40001", "40P01"})
# The states that tell of a session which a pooler gave to another client meanwhile: a prepared
# statement is missing, or is there already.
_SHARED_SESSION = frozenset({"26000", "42P05"})
# A migration changed what a prepared statement returns. Its connection would fail for ever.
_STALE_PLAN = "0A000"
# The lock timeout passed: after another attempt the response would be too late.
_LOCK_TIMEOUT = "55P03"
# In the same message as BEGIN, so that they cost no round trip. An acknowledged order must be on
# disk, also where the server's default is another. A migration may end between two transactions.
_SETTINGS = f"""
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = '{_LOCKED_SECONDS}s';
SET LOCAL idle_in_transaction_session_timeout = '30s';
{schema_version.QUERY}
"""
_BEGIN = f"BEGIN;{_SETTINGS}"
# Many writes in one large statement, which looks each of its rows up by a key. To plan it anew for
# each transaction takes as long as running it. A plan made once, while the tables are empty, must
# not read them from end to end.
_BEGIN_ATTEMPT = f"""
BEGIN;
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL enable_seqscan = off;
SET LOCAL jit = off;
{_SETTINGS}
"""
_BEGIN_SNAPSHOT = f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;{_SETTINGS}"
# Ends the session that a pooler has chosen for this statement, if it can only read.
_END_READ_ONLY_SESSION = """
SELECT pg_terminate_backend(pg_backend_pid()) WHERE current_setting('transaction_read_only')::bool
"""


class PostgresStore:
    """A store in PostgreSQL. Each process opens a small pool of connections of its own, and its
    writers take turns with its `main_loop`."""

    dialect = "postgresql"

    def __init__(
        self, conninfo: str, pool_size: int = POOL_SIZE, main_loop: MainLoop | None = None
    ) -> None:
        self._conninfo = conninfo
        self._pool_size = pool_size
        self._main_loop = main_loop
        self._yielding: PostgresStore | None = None
        self._pool: ConnectionPool[Any] | None = None
        self._pid = 0
        self._opening = threading.Lock()
        self._writers: WriterThreads | None = None
        self._writers_pid = 0
        # Whether a direct connection may prepare statements, which is faster.
        self._prepares = True
        # When read-only connections may be left again, by the monotonic clock.
        self._leaves_at = 0.0
        # The schema's version at the beginning of the last transaction.
        self._version = ""
        # A connection broke in use or none came free in time: the server was stopped, cannot be
        # reached, or is blocked by another client.
        self._is_away = False

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Runs the work in a transaction and returns its result once it is on disk.

        Raises:
            StoreUnavailable: it could not be written, or may not have been.
        """
        if isinstance(work, BatchableWrite):
            result: T | None
            (result,) = self._attempted(work)
            if result is not None and result is not BUSY:
                return result
            # The attempt's locks are released before more are taken: two transactions that lock
            # in steps would wait for one another.
        return self._commit(work)

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `commit`, in one of the writer threads. A callback of the future must never block."""
        return self._started_writers().submit(work)

    def _started_writers(self) -> WriterThreads:
        with self._opening:
            if self._writers is None or self._writers_pid != os.getpid():
                # After a fork, the threads of the old ones are the parent's.
                commit_batch = partial(self._commit, begin=_BEGIN_ATTEMPT)
                self._writers = WriterThreads(
                    self._commit,
                    commit_batch,
                    self._pool_size,
                    _QUEUED_SECONDS,
                    main_loop=self._main_loop,
                )
                self._writers_pid = os.getpid()
            return self._writers

    def _attempted(self, work: BatchableWrite) -> Sequence[Any]:
        kind = type(work)
        kind.prepare([work])
        return self._commit(lambda conn: kind.attempt(conn, [work]), _BEGIN_ATTEMPT)

    def _commit(self, work: Callable[[Connection], T], begin: str = _BEGIN) -> T:
        needed_locks: frozenset[int] = frozenset()
        failures, last_begin = 0, time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self._transaction(begin) as raw:
                    return work(Connection(raw, self.dialect, needed_locks))
            except LockHeldElsewhere as error:
                if time.monotonic() > last_begin:
                    raise Contended(f"the database cannot be written: {error}") from error
                needed_locks |= error.keys
            except psycopg.Error as error:
                failures += 1
                if isinstance(error, _FAULTS_OF_THE_ROW) and not self._is_of_schema(error):
                    raise
                if failures == _ATTEMPTS or not _is_transient(error):
                    kind = Contended if error.sqlstate == _LOCK_TIMEOUT else StoreUnavailable
                    raise kind(f"the database cannot be written: {_text_of(error)}") from error
                # Two transactions that collided must not collide again at once.
                time.sleep(random.uniform(0, 0.05))  # noqa: S311

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a snapshot of what is committed.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        try:
            with self._transaction(_BEGIN_SNAPSHOT) as raw:
                yield Connection(raw, self.dialect)
        except psycopg.Error as error:
            raise StoreUnavailable(f"the database cannot be read: {_text_of(error)}") from error

    def yielding(self) -> "PostgresStore":
        """Returns the same database for callers with a pool of connections of their own."""
        if self._yielding is None:
            self._yielding = PostgresStore(self._conninfo, YIELDING_POOL_SIZE, self._main_loop)
        return self._yielding

    def bulk(self) -> AbstractContextManager[None]:
        """Changes nothing: the server's settings decide about its log."""
        return nullcontext()

    def wipe_log(self) -> None:
        """Do nothing: the server recycles its WAL by itself."""

    def close(self) -> None:
        """Closes every connection of this process."""
        if self._yielding is not None:
            self._yielding.close()
        if self._pool is not None and self._pid == os.getpid():
            self._pool.close()
        self._pool = None

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Any]:
        with self._connection() as raw:
            try:
                self._version = _version_at(raw, begin)
                schema_version.check(self._version)
                yield raw
            except BaseException as error:
                _roll_back(raw)
                if isinstance(error, psycopg.Error):
                    self._leave_if_unusable(raw, error)
                raise
            if raw.execute("COMMIT", prepare=False).statusmessage != "COMMIT":
                # An error in it was caught, and the server has rolled everything back.
                raise StoreUnavailable("the transaction was rolled back")

    def _is_of_schema(self, error: psycopg.Error) -> bool:
        """Returns True if the row is at fault only because the schema is another release's."""
        return self._version != schema_version.NEWEST or schema_version.is_foreign(
            error.diag.table_name, error.diag.column_name
        )

    def _leave_if_unusable(self, raw: Any, error: psycopg.Error) -> None:
        """Takes connections from the pool that would fail in the same way again."""
        if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
            self._leave_read_only(raw)
        elif error.sqlstate in _SHARED_SESSION:
            raw.close()
            self._prepares = False
            self._opened_pool().drain()
        elif error.sqlstate == _STALE_PLAN:
            raw.close()

    def _leave_read_only(self, raw: Any) -> None:
        """Connects anew: after a failover the old connections lead to a server without writes.

        While the new ones do as well, this happens five times a second.
        """
        now = time.monotonic()
        if now < self._leaves_at:
            return
        self._leaves_at = now + _LEAVES_EVERY_SECONDS
        logger.warning("the database can only be read: connecting anew")
        with suppress(psycopg.Error):
            if not _is_direct(raw):
                raw.execute(_END_READ_ONLY_SESSION, prepare=False)
        raw.close()
        self._opened_pool().drain()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        timeout = _AWAY_SECONDS if self._is_away else BUSY_SECONDS
        try:
            with self._opened_pool().connection(timeout=timeout) as raw:
                try:
                    yield raw
                except psycopg.OperationalError:
                    self._is_away = self._is_away or raw.broken
                    raise
                self._is_away = False
        except PoolTimeout as error:
            self._is_away = True
            raise ServerAway(f"the database does not answer: {error}") from error

    def _opened_pool(self) -> ConnectionPool[Any]:
        with self._opening:
            if self._pool is None or self._pid != os.getpid():
                self._pool = ConnectionPool(
                    self._conninfo,
                    min_size=1,
                    max_size=self._pool_size,
                    open=True,
                    configure=self._configure,
                    reconnect_timeout=5,
                )
                self._pid = os.getpid()
            return self._pool

    def _configure(self, raw: Any) -> None:
        raw.autocommit = True
        if not (self._prepares and _is_direct(raw)):
            raw.prepare_threshold = None


def wait_for_server(conninfo: str, pause: float = _RETRIES_EVERY_SECONDS) -> None:
    """Waits until a connection can be made, and logs why none can, once for each reason.

    A worker that exited instead while the server starts would stop all other workers.
    """
    logged = ""
    while reason := why_unreachable(conninfo):
        if reason != logged:
            logger.warning("the start waits for the database: %s", reason)
            logged = reason
        time.sleep(pause)


def why_unreachable(conninfo: str) -> str:
    """Returns the reason in one line why no connection can be made; "" if one can."""
    try:
        psycopg.connect(conninfo, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return ""


def _is_direct(raw: Any) -> bool:
    """Returns True if no pooler is in between: a pooler makes up the id of the server's process."""
    row = raw.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return bool(row[0] == raw.info.backend_pid)


def _version_at(raw: Any, begin: str) -> str:
    """Begins a transaction; returns the schema's version, which its last statement returns."""
    try:
        cursor = raw.execute(begin, prepare=False)
    except psycopg.errors.UndefinedTable as error:
        raise schema_version.SchemaMissing from error
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    return "" if row is None else str(row[0])


def _roll_back(raw: Any) -> None:
    # Of a broken connection the server has rolled back everything already.
    with suppress(psycopg.Error):
        raw.execute("ROLLBACK", prepare=False)


def _text_of(error: psycopg.Error) -> str:
    """Returns the text of an error for the log, without the row, which PostgreSQL quotes."""
    if not isinstance(error, _FAULTS_OF_THE_ROW):
        # Behind its first line PostgreSQL quotes the statement.
        return str(error).partition("\n")[0]
    return f"{type(error).__name__} {error.diag.table_name}.{error.diag.column_name}"


def _is_transient(error: psycopg.Error) -> bool:
    if error.sqlstate == _LOCK_TIMEOUT:
        return False
    return error.sqlstate in _TRANSIENT | _SHARED_SESSION | {_STALE_PLAN} or isinstance(
        error, psycopg.OperationalError | psycopg.errors.ReadOnlySqlTransaction
    )
