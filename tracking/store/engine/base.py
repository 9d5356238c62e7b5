"""The protocol of a store, whichever database it uses."""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from tracking.store.engine.statement import Connection

T = TypeVar("T")


class Store(Protocol):
    """A database. Opened lazily, closed by its owner."""

    dialect: str

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Carry out the work in a transaction; return when it is on disk."""

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `commit`, without waiting. Callbacks of the future must not wait either."""

    def read(self) -> AbstractContextManager[Connection]:
        """A snapshot of what is committed."""

    def wipe_log(self) -> None:
        """Have what was erased gone from the log too, in which it stands until that begins anew."""

    def close(self) -> None:
        """Close every connection of this process."""
