"""Keeps signed bodies that cannot be understood, so that they can be replayed after a fix."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future

from tracking.receive.receipt import Receipt, Work
from tracking.store import Store, quarantine
from tracking.store.engine import health
from tracking.store.engine.schema_version import NEWEST, SchemaChanged
from tracking.store.engine.statement import Connection

_LONGEST_REASON = 500


class Quarantine:
    """Stores bodies with the reason why they could not be understood."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock

    def add(self, body: bytes, topic: str, reason: str) -> Receipt:
        """Stores a signed body; returns when it is on disk.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(self.add_work(body, topic, reason))

    def add_failed(self, body: bytes, topic: str, reason: str) -> Receipt:
        """As `add`, for a body on which this release failed.

        Raises:
            StoreUnavailable: as for `add`, or a newer release has the database and may succeed.
        """
        return self.store.commit(self._failed_work(body, topic, reason))

    def add_failed_deferred(self, body: bytes, topic: str, reason: str) -> Future[Receipt]:
        """As `add_failed`, without waiting for the disk.

        Raises:
            StoreUnavailable: nothing was stored, as the disk is full.
        """
        return self.store.commit_later(self._failed_work(body, topic, reason))

    def _failed_work(self, body: bytes, topic: str, reason: str) -> Work:
        add = self.add_work(body, topic, reason)

        def add_unless_newer(conn: Connection) -> Receipt:
            if (version := health.revision(conn)) != NEWEST:
                raise SchemaChanged(version)
            return add(conn)

        return add_unless_newer

    def add_work(self, body: bytes, topic: str, reason: str, *, is_kept: bool = True) -> Work:
        """Returns the work that stores a body, for the caller's own transaction.

        A body that is not kept leaves its digest and the reason.
        """
        digest = hashlib.sha256(body).hexdigest()
        now = int(self.clock())

        def add(conn: Connection) -> Receipt:
            kept = body if is_kept else b""
            quarantine.add(conn, digest, topic, reason[:_LONGEST_REASON], kept, now)
            return Receipt("quarantined")

        return add
