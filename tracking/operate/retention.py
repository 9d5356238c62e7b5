"""Deletes rows that are too old, four times a day, by whichever process comes first."""

import hashlib
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from tracking.operate.background import outliving_errors
from tracking.operate.event_retention import EventRetention
from tracking.operate.settled_rows import (
    BROWSER_PAYLOAD_DAYS,
    LINES_DAYS,
    PACKED_AFTER_DAYS,
    SettledRows,
)
from tracking.store import (
    Store,
    conversions,
    funnel_figures,
    limits,
    retention,
)

logger = logging.getLogger(__name__)

DAY = 86_400
QUARANTINE_DAYS = 30
# Of the pixel's backlog only what a release failed on gets so old. Pinterest takes nothing older.
UNRECORDABLE_DAYS = 7
INTERVAL_SECONDS = 6 * 3_600
POLL_SECONDS = 60.0
# A clock that is too far ahead must not have everything forgotten. It is right if an order, whose
# time is Shopify's, or a purge came within so many days.
LONGEST_GAP_DAYS = 7


class PurgeCount(NamedTuple):
    """The number of deleted rows of a kind, which are kept for `days`."""

    kind: str
    rows: int
    days: int


class Retention:
    """Deletes rows after `retention_days`, quarantined bodies after 30 days at the latest, and a
    call of the pixel that cannot be recorded after 7.

    Of an order that is older the money, the state and the credits stay, and nothing of its buyer.
    A touch stays as long as a younger order may be credited to it within the `window` (seconds).
    """

    name = "purge"

    def __init__(
        self,
        store: Store,
        retention_days: int,
        clock: Callable[[], float],
        window: int = 0,
        events: EventRetention | None = None,
    ) -> None:
        self.store = store
        self._events = events
        self._window = window
        self.clock = clock
        self._days = retention_days
        self._next_check = 0.0
        self._was_doubtful = False
        self.settled = SettledRows(store, clock)

    def purge(self) -> Iterator[PurgeCount]:
        """Deletes the rows that are too old now, kind by kind.

        Raises:
            StoreUnavailable: the rest was not deleted.
        """
        now = int(self.clock())
        next_at = (now + INTERVAL_SECONDS) * 1000
        self.store.commit(partial(limits.put, name=limits.PURGING, next_at=next_at))
        if self._events is not None:
            yield PurgeCount(
                "events of the storefront", self._events.purge(), self._events.kept_days
            )
        for kind in retention.KINDS:
            if kind == retention.QUARANTINED:
                # The next purge comes an interval later, which would be too late.
                before = now - QUARANTINE_DAYS * DAY + INTERVAL_SECONDS
                yield PurgeCount(kind, self._delete(kind, before), QUARANTINE_DAYS)
            else:
                days = self._days
                if kind == retention.UNRECORDABLE:
                    days = min(days, UNRECORDABLE_DAYS)
                yield PurgeCount(kind, self._delete(kind, now - days * DAY), days)
        count = self._forget_visitors(now - self._days * DAY)
        yield PurgeCount("visitors of events", count, self._days)
        kind, before = retention.VISITORS_OF_FIGURES, now - self._days * DAY
        yield PurgeCount(kind, self._delete(kind, before), self._days)
        yield from self._make_settled_smaller()

    def _make_settled_smaller(self) -> Iterator[PurgeCount]:
        days = min(self._days, BROWSER_PAYLOAD_DAYS)
        count = self.settled.erase_payloads(days)
        yield PurgeCount("payloads of storefront events", count, days)
        count = self.settled.delete_attempts()
        yield PurgeCount("attempts that succeeded at once", count, PACKED_AFTER_DAYS)
        yield PurgeCount("lines of orders", self.settled.empty_lines(), LINES_DAYS)

    def is_doubtful(self) -> bool:
        """Returns True if the clock may be ahead: nothing was bought or purged for so long by it.

        As long as that is so, only the command purges.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        now, gap = self.clock(), LONGEST_GAP_DAYS * DAY
        with self.store.read() as conn:
            next_at = limits.next_at(conn, limits.PURGING)
            last = 0.0 if next_at is None else next_at / 1000 - INTERVAL_SECONDS
            return not (
                # A clock that was set back by hours was hardly ever ahead by years.
                now - gap <= last <= now + DAY
                or conversions.has_purchase_since(conn, int(now) - gap)
                or conversions.last_recorded(conn) is None
            )

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Purges whenever it is time, until `stop` is set."""
        while not stop.is_set():
            self._purge_safely(stop)
            stop.wait(poll)

    def _purge_safely(self, stop: threading.Event) -> None:
        with outliving_errors(logger, "purge waits for the store", "purge failed"):
            if self._is_due():
                self._purge_and_log(stop)

    def _purge_and_log(self, stop: threading.Event) -> None:
        for count in self.purge():
            if count.rows:
                logger.info("%s: %d older than %d days forgotten", *count)
            if stop.is_set():
                return
        packed = self.settled.pack_payloads()
        if packed:
            logger.info("payloads of events sent before: %d packed", packed)

    def _is_due(self) -> bool:
        now = self.clock()
        # An instant further ahead was stored before the clock was set back.
        if 0 < self._next_check - now <= INTERVAL_SECONDS or self._is_held():
            return False
        wait_ms = self.store.commit(
            lambda conn: limits.take(
                conn, limits.PURGING, 1, INTERVAL_SECONDS * 1000, burst=1, now_ms=int(now * 1000)
            )
        )
        self._next_check = now + (wait_ms / 1000 or INTERVAL_SECONDS)
        return not wait_ms

    def _is_held(self) -> bool:
        was_doubtful, self._was_doubtful = self._was_doubtful, self.is_doubtful()
        if self._was_doubtful and not was_doubtful:
            text = "nothing is forgotten: no order and no purge for %d days; is the clock right?"
            logger.warning(text, LONGEST_GAP_DAYS)
        return self._was_doubtful

    def _delete(self, kind: str, before: int) -> int:
        count, last = 0, None
        while True:
            with self.store.read() as conn:
                rows = retention.page(conn, kind, before, last, self._window)
            if not rows:
                return count
            delete = partial(
                retention.forget, kind=kind, before=before, rows=rows, window=self._window
            )
            self.store.commit(delete)
            count, last = count + len(rows), rows[-1]

    def _forget_visitors(self, before: int) -> int:
        """Has old events count for new visitor ids, the same for all of one visitor.

        As long as a visitor has a younger event their id stays, so that no report counts one
        visitor as two.
        """
        count, last, secret = 0, 0, secrets.token_bytes(32)
        while True:
            with self.store.read() as conn:
                rows = retention.old_events(conn, before, last)
                young = retention.young_visitors(conn, before, {row.visitor for row in rows})
            if not rows:
                while self.store.commit(funnel_figures.forget_renamed):
                    pass
                return count
            new = {row.id: _new_id(secret, row.visitor) for row in rows if row.visitor not in young}
            for ids in _pages(list(new)):
                names = {id: new[id] for id in ids}
                self.store.commit(partial(retention.rename_events, names=names))
            count, last = count + len(new), rows[-1].id


def _new_id(secret: bytes, visitor: str) -> str:
    digest = hashlib.blake2b(visitor.encode(), key=secret, digest_size=8)
    return f"{retention.NOBODY}{digest.hexdigest()}"


def _pages(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[first : first + retention.PAGE] for first in range(0, len(ids), retention.PAGE))
