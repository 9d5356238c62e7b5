"""A store that is watched: how often it was written to, and a switch that takes it away."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from tracking.store import Store, StoreUnavailable
from tracking.store.engine.statement import Connection

T = TypeVar("T")


class WatchedStore:
    """Another store, with a count of its write transactions, in vain or not, and what becomes of
    those that nobody waits for. It may break after some of them."""

    def __init__(self, store: Store) -> None:
        self.dialect = store.dialect
        self.commits = 0
        self.is_away = False
        self.breaks_after: int | None = None
        self.later: list[Future[Any]] = []
        self._store = store

    def commit(self, work: Callable[[Connection], T]) -> T:
        """As the store does it.

        Raises:
            StoreUnavailable: it is away.
        """
        self.commits += 1
        if self.is_away or self.commits - 1 == self.breaks_after:
            raise StoreUnavailable("the disk is gone")
        return self._store.commit(work)

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As the store does it.

        Raises:
            StoreUnavailable: it is away.
        """
        self.commits += 1
        if self.is_away:
            raise StoreUnavailable("the disk is gone")
        written = self._store.commit_later(work)
        self.later.append(written)
        return written

    def yielding(self) -> Store:
        """This store: what yields is counted like all else."""
        return self

    def read(self) -> AbstractContextManager[Connection]:
        """As the store does it."""
        return self._store.read()

    def bulk(self) -> AbstractContextManager[None]:
        """As the store does it."""
        return self._store.bulk()

    def wipe_log(self) -> None:
        """As the store does it."""
        self._store.wipe_log()

    def close(self) -> None:
        """As the store does it."""
        self._store.close()


class MeasuredStore(WatchedStore):
    """A store that measures its largest transaction that writes, and all transactions together, in
    statements."""

    largest = 0
    total = 0

    def commit(self, work: Callable[[Connection], T]) -> T:
        """As the store does it."""

        def measured(conn: Connection) -> T:
            begun = conn.executed
            result = work(conn)
            self.largest = max(self.largest, conn.executed - begun)
            self.total += conn.executed - begun
            return result

        return super().commit(measured)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """As the store does it."""
        with super().read() as conn:
            yield conn
            self.total += conn.executed
