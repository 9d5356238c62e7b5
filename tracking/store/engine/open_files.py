"""Compares the files of a SQLite database that are open with those at their paths.

SQLite goes on with a file that was moved, replaced or deleted, and a restart would not find what
was acknowledged meanwhile. The same holds for the write-ahead log. Without the log's index a
second process would overwrite what the first has written.
"""

import os
from pathlib import Path

from tracking.store.engine.statement import StoreUnavailable

# Device and inode, which no other file has while this one is open.
Identity = tuple[int, int]


class FilesReplaced(StoreUnavailable):
    """A file of the database is not the one at its path. The store logs it once."""

    is_logged = True

    def __init__(self, path: str | Path) -> None:
        super().__init__(f"the file of the database is not at its path any more: {path}")


def identity_of(path: str | Path) -> Identity | None:
    """Returns the identity of the file at a path, links followed; None if there is none."""
    status = _status_of(path)
    return None if status is None else (status.st_dev, status.st_ino)


class OpenFiles:
    """The files of an open connection: the database, its write-ahead log and the log's index.

    `path` is the path of the configuration, and `file` the one that SQLite opened: SQLite follows
    a link, and has the log beside the file that the link leads to.
    """

    def __init__(self, path: Path, file: str) -> None:
        self._log = f"{file}-wal"
        self._paths = (str(path), self._log, f"{file}-shm")
        self._identities = tuple(map(identity_of, self._paths))
        # When the database was written for the last time that was seen, in nanoseconds.
        self._written_at = 0
        self.check()

    @property
    def database(self) -> Identity | None:
        """The identity of the database itself."""
        return self._identities[0]

    def check(self) -> None:
        """Asks the kernel about each path, which takes a few microseconds.

        Raises:
            FilesReplaced: a path has another file now, or none.
        """
        for path, identity in zip(self._paths, self._identities, strict=True):
            status = _status_of(path)
            if status is None or (status.st_dev, status.st_ino) != identity:
                raise FilesReplaced(path)
            if path == self._paths[0]:
                self._written_at = status.st_mtime_ns

    @property
    def log_bytes(self) -> int:
        """The size of the log at its path, in bytes."""
        status = _status_of(self._log)
        return 0 if status is None else status.st_size

    @property
    def has_lost_log(self) -> bool:
        """True if only the log is gone: the database is untouched since the last check, and no
        other process has begun a new log."""
        status = _status_of(self._paths[0])
        return (
            status is not None
            and (status.st_dev, status.st_ino) == self.database
            and status.st_mtime_ns == self._written_at
            and _status_of(self._log) is None
        )


def _status_of(path: str | Path) -> os.stat_result | None:
    # Several times a batch: a Path costs as much as the question to the kernel.
    try:
        return os.stat(path)  # noqa: PTH116
    except OSError:
        return None
