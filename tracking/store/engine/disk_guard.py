"""Takes nothing new in while the disk of the database is nearly full.

SQLite cannot even delete on a full disk. What is left below the floor belongs to what was taken in
before: to deliver it, to report of it, and to forget what is old.
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

# Asking the file system takes about a microsecond, but webhooks come by the thousand.
_LOOK_EVERY_SECONDS = 1.0
MEGABYTE = 1_000_000


class DiskFull(StoreUnavailable):
    """Nothing was stored, since the disk is nearly full. Said in the log once, not each time."""


def free_bytes(folder: Path) -> int:
    """Returns the number of bytes that a process without privileges may still write.

    Raises:
        OSError: it cannot be read, for instance because the folder is gone.
    """
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class DiskGuard:
    """Watches that a folder's disk has at least `floor` bytes left, once a second."""

    def __init__(
        self,
        folder: Path,
        floor: int,
        free: Callable[[Path], int] = free_bytes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._floor = floor
        self._free = free
        self._monotonic = monotonic
        self._looks_at = float("-inf")
        self._is_enough = True

    @property
    def has_space(self) -> bool:
        """True if new data may be stored."""
        now = self._monotonic()
        if self._floor and now >= self._looks_at:
            self._looks_at = now + _LOOK_EVERY_SECONDS
            self._look()
        return self._is_enough

    def _look(self) -> None:
        try:
            is_enough = self._free(self._folder) >= self._floor
        except OSError:
            # What is wrong there the store itself will say better.
            is_enough = True
        if is_enough != self._is_enough:
            text = "room again in" if is_enough else "webhooks are refused: too little room in"
            logger.warning("%s %s (floor: %d bytes)", text, self._folder, self._floor)
        self._is_enough = is_enough


class GuardedStore:
    """A store as those see it who take something in: closed while there is too little room."""

    def __init__(self, store: Store, room: DiskGuard) -> None:
        self.dialect = store.dialect
        self._store = store
        self._room = room

    def commit(self, work: Callable[[Connection], T]) -> T:
        """Commit as the store does.

        Raises:
            DiskFull: the disk is nearly full.
            StoreUnavailable: it could not be written, or may not have been.
        """
        self._check()
        return self._store.commit(work)

    def commit_later(self, work: Callable[[Connection], T]) -> Future[T]:
        """Commit later as the store does.

        Raises:
            DiskFull: the disk is nearly full.
        """
        self._check()
        return self._store.commit_later(work)

    def read(self) -> AbstractContextManager[Connection]:
        """Read as the store does."""
        return self._store.read()

    def wipe_log(self) -> None:
        """Wipe the log as the store does."""
        self._store.wipe_log()

    def close(self) -> None:
        """Close as the store does."""
        self._store.close()

    def _check(self) -> None:
        if not self._room.has_space:
            raise DiskFull("the disk is nearly full, and nothing new is taken in")
