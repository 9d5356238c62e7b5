"""Deletes rows that are too old, four times a day, by whichever process comes first."""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from tracking.store import Store, StoreUnavailable, limits, retention

logger = logging.getLogger(__name__)

DAY = 86_400
QUARANTINE_DAYS = 30
INTERVAL_SECONDS = 6 * 3_600
POLL_SECONDS = 60.0
# The rate limit that all processes of one store share.
_LIMIT = "purging"


class PurgeCount(NamedTuple):
    """The number of deleted rows of a kind, which are kept for `days`."""

    kind: str
    rows: int
    days: int


class Retention:
    """Deletes rows after `retention_days`, and quarantined bodies after 30 days at the latest."""

    name = "purge"

    def __init__(self, store: Store, retention_days: int, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock
        self._days = retention_days
        self._next_check = 0.0

    def purge(self) -> Iterator[PurgeCount]:
        """Deletes the rows that are too old now, kind by kind.

        Raises:
            StoreUnavailable: the rest was not deleted.
        """
        now = int(self.clock())
        for kind in retention.KINDS:
            if kind == retention.QUARANTINED:
                # The next purge comes an interval later, which would be too late.
                before = now - QUARANTINE_DAYS * DAY + INTERVAL_SECONDS
                yield PurgeCount(kind, self._delete(kind, before), QUARANTINE_DAYS)
            else:
                yield PurgeCount(kind, self._delete(kind, now - self._days * DAY), self._days)

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Purges whenever it is time, until `stop` is set."""
        while not stop.is_set():
            self._purge_safely(stop)
            stop.wait(poll)

    def _purge_safely(self, stop: threading.Event) -> None:
        try:
            if self._is_due():
                self._purge_and_log(stop)
        except StoreUnavailable as error:
            logger.log(error.level(logging.WARNING), "purge waits for the store: %s", error)
        except Exception:
            # The thread must outlive every error of one purge.
            logger.exception("purge failed")

    def _purge_and_log(self, stop: threading.Event) -> None:
        for count in self.purge():
            if count.rows:
                logger.info("%s: %d older than %d days forgotten", *count)
            if stop.is_set():
                return

    def _is_due(self) -> bool:
        now = self.clock()
        # An instant further ahead was stored before the clock was set back.
        if 0 < self._next_check - now <= INTERVAL_SECONDS:
            return False
        wait_ms = self.store.commit(
            lambda conn: limits.take(
                conn, _LIMIT, 1, INTERVAL_SECONDS * 1000, burst=1, now_ms=int(now * 1000)
            )
        )
        self._next_check = now + (wait_ms / 1000 or INTERVAL_SECONDS)
        return not wait_ms

    def _delete(self, kind: str, before: int) -> int:
        count, last = 0, None
        while True:
            with self.store.read() as conn:
                rows = retention.page(conn, kind, before, last)
            if not rows:
                return count
            delete = partial(retention.forget, kind=kind, before=before, rows=rows)
            self.store.commit(delete)
            count, last = count + len(rows), rows[-1]
