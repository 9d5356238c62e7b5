"""Closes shop days, and deletes the storefront's events of closed days."""

from collections.abc import Callable
from functools import partial
from zoneinfo import ZoneInfo

from tracking.domain.shop_days import ShopDays
from tracking.store import Store, event_retention, report_progress
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Progress


class EventRetention:
    """Deletes the storefront's events after so many shop days. Their figures by day stay, so that
    the reports before and after are the same. Purchases stay for good."""

    def __init__(
        self, store: Store, days: ShopDays, kept_days: int, clock: Callable[[], float]
    ) -> None:
        self.kept_days = kept_days
        self._store = store
        self._days = days
        self._clock = clock

    def purge(self) -> int:
        """Closes the days that are old enough and deletes their events; returns how many.

        As long as figures of these days are being made, no more days are closed.

        Raises:
            StoreUnavailable: the rest was not deleted.
        """
        today = self._days.day_of(int(self._clock()))
        self._store.commit(partial(self._close, until=self._days.begin(today - self.kept_days)))
        with self._store.read() as conn:
            closed = report_progress.of(conn, "funnel").closed
        count, last = 0, 0
        while True:
            with self._store.read() as conn:
                rows = event_retention.page(conn, closed, last)
            if not rows:
                return count
            self._store.commit(partial(event_retention.delete_events, rows=rows, closed=closed))
            # Others of this instant may come on the next page.
            count, last = count + len(rows), rows[-1].at

    def _close(self, conn: Connection, until: int) -> None:
        progress = report_progress.of(conn, "funnel")
        if self._is_later_day(progress, until) and self._is_counted(conn, progress, until):
            closed = progress._replace(closed=until, closed_zone=self._days.zone.key)
            report_progress.advance(conn, "funnel", progress, closed)

    def _is_later_day(self, progress: Progress, until: int) -> bool:
        """Returns True if more days end before an instant than are closed: of a day that begins
        later than in the zone of the closed ones, not a part alone must be closed."""
        if not progress.closed:
            return True
        closed_days = ShopDays(ZoneInfo(progress.closed_zone))
        return self._days.day_of(until) > closed_days.day_of(progress.closed)

    def _is_counted(self, conn: Connection, progress: Progress, until: int) -> bool:
        return (
            progress.zone == self._days.zone.key
            and not report_progress.has_open_marks(conn, until)
            and not event_retention.has_event_after(conn, progress.through, until)
        )
