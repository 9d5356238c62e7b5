"""The interface of a store, whichever database it uses."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from tracking.store.engine.statement import Connection

T = TypeVar("T")


class Store(Protocol):
    """A database. It opens its connections lazily; its owner closes it."""

    dialect: str

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Runs the work in a transaction; returns its result once it is on disk."""

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `commit`, without waiting. A callback of the future must never block."""

    def yielding(self) -> "Store":
        """Returns the same database for callers of lesser urgency.

        They have connections and turns of their own, so that the callers of this store wait for
        one of their transactions at most. Its owner closes it with this store.
        """

    def read(self) -> AbstractContextManager[Connection]:
        """Returns a snapshot of what is committed."""

    def bulk(self) -> AbstractContextManager[None]:
        """Announces, while it is open, many transactions of many rows each by this process."""

    def wipe_log(self) -> None:
        """Removes erased data from the write-ahead log too, which holds it until it begins anew."""

    def close(self) -> None:
        """Closes every connection of this process."""
