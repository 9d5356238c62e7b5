"""The connections of one process to a SQLite file, and the lock by which it announces its use.

Each process opens connections of its own: one carried over a fork may corrupt the file.
"""

import os
import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracking.store.engine.file_locks import lock, open_lock, presence_path
from tracking.store.engine.open_files import FilesReplaced, Identity, identity_of
from tracking.store.engine.write_ahead_log import USUAL_LIMITS

# An attempt waits so long inside SQLite while it holds our own lock. Only a foreign program can
# make it wait at all, since our own writers queue for the lock file first.
_BUSY_ATTEMPT_MS = 200
# Kilobytes for each reader. There are several, and the system has in memory what they read, too.
_READERS_CACHE = 8_000


class SqliteConnections:
    """Opens the connections of this process, and keeps those of its readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # The database that every connection must have.
        self.database: Identity | None = None
        self._presence: int | None = None
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._opening = threading.Lock()

    def open(self) -> sqlite3.Connection:
        """Returns a new connection, which makes no checkpoints.

        Raises:
            FilesReplaced: the file at the path is not the one of the connections before.
        """
        self.announce_use()
        database = identity_of(self.path)
        if database is None or self.database not in (None, database):
            raise FilesReplaced(self.path)
        self.database = database
        # Only a migration makes a new file. SQLite would delete the log that is left beside it.
        raw = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_ATTEMPT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        for pragma in (
            "journal_mode=WAL",
            # FULL flushes the WAL at every commit; with less, an acknowledged order can be lost
            # in a power cut.
            "synchronous=FULL",
            "temp_store=MEMORY",
            # Erased data (addresses, browsers, bodies) is overwritten, not only unlinked.
            "secure_delete=ON",
            f"cache_size=-{USUAL_LIMITS.cache}",
            # Only the writer makes checkpoints, since it holds the lock file meanwhile.
            "wal_autocheckpoint=0",
        ):
            raw.execute(f"PRAGMA {pragma}")
        return raw

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yields a connection that only reads, in a transaction."""
        try:
            raw = self._readers.get_nowait()
        except queue.Empty:
            raw = self.open()
            raw.execute("PRAGMA query_only=ON")
            raw.execute(f"PRAGMA cache_size=-{_READERS_CACHE}")
        try:
            raw.execute("BEGIN")
            yield raw
        except BaseException:
            raw.close()
            raise
        raw.rollback()
        self._readers.put(raw)

    def announce_use(self) -> None:
        """Locks the presence file, so that no process replaces the database meanwhile."""
        with self._opening:
            if self._presence is None:
                presence = open_lock(presence_path(self.path))
                lock(presence, shared=True)
                self._presence = presence

    def close_readers(self) -> None:
        """Closes the connections that no reader uses."""
        while not self._readers.empty():
            self._readers.get_nowait().close()

    def end_use(self) -> None:
        """Lets other processes replace the database: every connection is closed."""
        if self._presence is not None:
            os.close(self._presence)
        self._presence = self.database = None
