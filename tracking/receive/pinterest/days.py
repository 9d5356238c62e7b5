"""Readings of figures by day: which days, in which windows, and how far they have come.

Days are Pinterest's, which are UTC.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import ClassVar, TypeVar

from tracking.clients.pinterest_ads import MAX_DAYS, MAX_IDS
from tracking.receive.pinterest.reading import Reading

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class DaysReading(Reading):
    """Reads figures window after window, oldest first, and the last days again each time."""

    # A day and an id make a row; so many of them fit into one response.
    most_rows: ClassVar[int]
    # The remedy for days that were missed, for the log.
    remedy: ClassVar[str] = "Pinterest does not report them any more"

    @property
    @abstractmethod
    def again_days(self) -> int:
        """The number of the last days that are read again, as Pinterest may restate them."""

    @abstractmethod
    def read_window(self, first: date, last: date) -> None:
        """Reads and stores the figures of these days."""

    def read_days(self, since: date | None, ids: int) -> date:
        """Reads the days from one on, for so many ids; returns the first of them.

        By default it begins with the days that may have been restated since the last reading; the
        first time with the oldest day that Pinterest reports.

        Raises:
            PinterestAdsError: a request failed for good.
        """
        today = self._session.today
        begin = first_day(self._row.through, today, self.again_days)
        for first, last in windows(since or begin, today, ids, self.most_rows):
            self.read_window(first, last)
            self._advance(first, last, begin)
        return since or begin

    def _advance(self, first: date, last: date, begin: date) -> None:
        """Stores the last day that was read, unless a later sync can still fill a gap before it."""
        following, through = begin, self._row.through
        if through:
            following = date.fromisoformat(through) + timedelta(1)
        if first <= max(following, begin):
            if first > following:
                self._log_skipped(following, first - timedelta(1))
            through = max(through, last.isoformat())
        # A release that did not note it may have read the first days.
        known = self._row.since if self._row.since or self._row.through else first.isoformat()
        self._reach(min(known, first.isoformat()), through)

    def _log_skipped(self, first: date, last: date) -> None:
        kind, remedy = self.kind, self.remedy
        logger.warning("the %s of %s to %s was not read in time: %s", kind, first, last, remedy)

    def _days(self, start: date) -> str:
        return f"{start} to {self._session.today} (UTC days)"


def first_day(through: str, today: date, again: int) -> date:
    """Returns the first day to read: the oldest reported, or the first that may be restated."""
    furthest = today - timedelta(MAX_DAYS - 1)
    if not through:
        return furthest
    reached = min(date.fromisoformat(through), today)
    return max(furthest, reached - timedelta(again - 1))


def windows(start: date, end: date, ids: int, most_rows: int) -> Iterator[tuple[date, date]]:
    """Yields the days from `start` to `end` in windows that one call can return, oldest first."""
    most = max(1, min(MAX_DAYS, most_rows // max(1, min(ids, MAX_IDS))))
    while start <= end:
        last = min(end, start + timedelta(most - 1))
        yield start, last
        start = last + timedelta(1)


def chunks(ids: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yields as many ids as one call may ask for."""
    for first in range(0, len(ids), MAX_IDS):
        yield ids[first : first + MAX_IDS]
