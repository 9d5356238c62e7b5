"""Forgets what is older than it may be, four times a day, by whichever process comes first."""

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
# What all processes of one store take their turn by.
_TURN = "purging"


class Forgotten(NamedTuple):
    """How many rows of a kind may be kept for so many days, and are gone."""

    kind: str
    rows: int
    days: int


class Retention:
    """Keeps nothing longer than `retention_days`, and quarantined bodies for 30 days at most."""

    name = "purge"

    def __init__(self, store: Store, retention_days: int, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock
        self._days = retention_days
        self._asks_at = 0.0

    def purge(self) -> Iterator[Forgotten]:
        """Forget what is too old now, kind by kind.

        Raises:
            StoreUnavailable: the rest is still there.
        """
        now = int(self.clock())
        for kind in retention.KINDS:
            if kind == retention.QUARANTINED:
                # What is not forgotten now may be so only an interval later, which is too late.
                before = now - QUARANTINE_DAYS * DAY + INTERVAL_SECONDS
                yield Forgotten(kind, self._forget(kind, before), QUARANTINE_DAYS)
            else:
                yield Forgotten(kind, self._forget(kind, now - self._days * DAY), self._days)

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Purge whenever it is time, until told to stop."""
        while not stop.is_set():
            self._purge_safely(stop)
            stop.wait(poll)

    def _purge_safely(self, stop: threading.Event) -> None:
        try:
            if self._is_due():
                self._purge_and_log(stop)
        except StoreUnavailable as error:
            logger.warning("forgetting what is old waits for the store: %s", error)
        except Exception:
            # The thread must outlive whatever went wrong in one round.
            logger.exception("forgetting what is old failed")

    def _purge_and_log(self, stop: threading.Event) -> None:
        for found in self.purge():
            if found.rows:
                logger.info("%s: %d older than %d days forgotten", *found)
            if stop.is_set():
                return

    def _is_due(self) -> bool:
        now = self.clock()
        # An instant further off was noted before the clock was set back.
        if 0 < self._asks_at - now <= INTERVAL_SECONDS:
            return False
        wait_ms = self.store.commit(
            lambda conn: limits.take(
                conn, _TURN, 1, INTERVAL_SECONDS * 1000, burst=1, now_ms=int(now * 1000)
            )
        )
        self._asks_at = now + (wait_ms / 1000 or INTERVAL_SECONDS)
        return not wait_ms

    def _forget(self, kind: str, before: int) -> int:
        count, last = 0, None
        while True:
            with self.store.read() as conn:
                rows = retention.page(conn, kind, before, last)
            if not rows:
                return count
            forget = partial(retention.forget, kind=kind, before=before, rows=rows)
            self.store.commit(forget)
            count, last = count + len(rows), rows[-1]
