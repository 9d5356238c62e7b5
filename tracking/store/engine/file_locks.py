"""Lock files beside a SQLite database, by which its processes take turns.

A lock belongs to the open file, and ends with the process even if that crashes. The files are
never removed here: a process that has one open would hold a lock that no other process sees.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tracking.store.engine.open_files import identity_of


class InUse(Exception):
    """Another process has the database open."""


def lock_path(database: Path) -> Path:
    """Returns the path of the lock that a process holds while it writes.

    It lies beside the file itself: a database that has two names has one lock.
    """
    return Path(f"{database.resolve()}.lock")


def presence_path(database: Path) -> Path:
    """Returns the path of the lock that every process shares while it has the database open."""
    return Path(f"{database.resolve()}.in-use")


def open_lock(path: Path) -> int:
    """Returns the file as a descriptor, opened for reading so that another user can lock it too.

    Raises:
        OSError: it cannot be opened or made.
    """
    return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)


def lock_at(path: Path, opened: int | None, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Waits for the lock at a path and returns its descriptor.

    That is `opened`, from an earlier call, unless the file was removed since. If another process
    holds the lock, `meanwhile` is called before the wait.

    Raises:
        OSError: nothing was opened earlier, and the file cannot be opened or made.
    """
    descriptor = open_lock(path) if opened is None else opened
    if not _lock_at_once(descriptor):
        meanwhile()
        lock(descriptor)
    while True:
        status = os.fstat(descriptor)
        if identity_of(path) == (status.st_dev, status.st_ino):
            return descriptor
        try:
            other = open_lock(path)
        except OSError:
            # The folder is gone, so no other process finds the lock either.
            return descriptor
        os.close(descriptor)
        descriptor = other
        lock(descriptor)


def _lock_at_once(descriptor: int) -> bool:
    """Acquires the lock and returns True, unless another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(descriptor: int, *, shared: bool = False) -> None:
    """Waits for the lock and acquires it."""
    fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def unlock(descriptor: int) -> None:
    """Releases the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def writing(database: Path) -> Iterator[None]:
    """Holds the write lock, for a caller that writes to the database without the store."""
    descriptor = open_lock(lock_path(database))
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def present(database: Path) -> Iterator[None]:
    """Holds the shared presence lock, so that no process replaces the database meanwhile."""
    descriptor = open_lock(presence_path(database))
    try:
        lock(descriptor, shared=True)
        yield
    finally:
        os.close(descriptor)


def is_in_use(database: Path) -> bool:
    """Returns True if a process has the database open, even if its file is gone."""
    try:
        descriptor = os.open(presence_path(database), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def alone(database: Path) -> Iterator[None]:
    """Holds the database exclusively: no other process has it open or opens it meanwhile.

    Raises:
        InUse: another process has it open.
    """
    descriptor = open_lock(presence_path(database))
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InUse(f"{database} is in use") from None
        with writing(database):
            yield
    finally:
        os.close(descriptor)
