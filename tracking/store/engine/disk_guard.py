"""Refuses new data while the disk of the database is nearly full.

SQLite cannot even delete on a full disk. The space below the floor is reserved for the data that
is stored already: to deliver it, to report on it, and to delete it when it is old.
"""

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from tracking.store.engine.base import Store
from tracking.store.engine.statement import Connection, StoreUnavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)

# The call of the file system takes about a microsecond, but webhooks arrive by the thousand.
_CHECKS_EVERY_SECONDS = 1.0
MEGABYTE = 1_000_000


class DiskFull(StoreUnavailable):
    """Nothing was stored, since the disk is nearly full.

    It is logged once: a log line for each request would use up the rest of the disk.
    """

    is_logged = True


def free_bytes(folder: Path) -> int:
    """Returns the number of bytes that a process without privileges may still write.

    Raises:
        OSError: it cannot be read, for instance because the folder is gone.
    """
    stats = os.statvfs(folder)
    return stats.f_bavail * stats.f_frsize


class DiskGuard:
    """Checks once a second that a folder's disk has at least `floor` bytes left.

    `refused` are those who are refused below it, for the log.
    """

    def __init__(
        self,
        folder: Path,
        floor: int,
        free: Callable[[Path], int] = free_bytes,
        monotonic: Callable[[], float] = time.monotonic,
        refused: str = "webhooks",
    ) -> None:
        self.folder = folder
        self._floor = floor
        self._free = free
        self._monotonic = monotonic
        self._refused = refused
        self._checks_at = float("-inf")
        self._is_enough = True

    @property
    def has_space(self) -> bool:
        """Returns True if new data may be stored."""
        now = self._monotonic()
        if self._floor and now >= self._checks_at:
            self._checks_at = now + _CHECKS_EVERY_SECONDS
            self._check()
        return self._is_enough

    def has_room_for(self, size: int) -> bool:
        """Returns True if so many bytes can be written above the floor."""
        try:
            return self._free(self.folder) >= self._floor + size
        except OSError:
            return False

    def _check(self) -> None:
        try:
            is_enough = self._free(self.folder) >= self._floor
        except OSError:
            # The store's own error will be clearer.
            is_enough = True
        if is_enough != self._is_enough:
            lack = f"{self._refused} are refused: too little room in"
            change = "room again in" if is_enough else lack
            logger.warning("%s %s (floor: %d bytes)", change, self.folder, self._floor)
        self._is_enough = is_enough


class GuardedStore:
    """A store for receivers of new data. It refuses commits while the disk is nearly full."""

    def __init__(self, store: Store, disk_guard: DiskGuard) -> None:
        self.dialect = store.dialect
        self._store = store
        self._disk_guard = disk_guard

    def commit(self, work: Callable[[Connection], T]) -> T:
        """As `Store.commit`.

        Raises:
            DiskFull: the disk is nearly full.
            StoreUnavailable: it could not be written, or may not have been.
        """
        self._check()
        return self._store.commit(work)

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """As `Store.commit_later`.

        Raises:
            DiskFull: the disk is nearly full.
        """
        self._check()
        return self._store.commit_later(work)

    def yielding(self) -> Store:
        """As `Store.yielding`, with the same guard."""
        return GuardedStore(self._store.yielding(), self._disk_guard)

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
        """As `Store.close`."""
        self._store.close()

    def _check(self) -> None:
        if not self._disk_guard.has_space:
            raise DiskFull("the disk is nearly full, and nothing new is taken in")
