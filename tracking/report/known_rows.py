"""Keeps what this process has read of sums, spend, ads and Pinterest's figures, until they change.

Pinterest is asked for its figures once an hour, or every six hours; reports read them far more
often. Sums of orders change every few seconds, but hardly those of weeks ago.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sized
from typing import Any, NamedTuple, TypeVar

from tracking.domain.shop_days import WEEK
from tracking.store import summed_weeks, told_versions
from tracking.store.credit_figures import ReportDay
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Figures
from tracking.store.told_versions import Told

# The comparison of ninety days of 200 campaigns and the report by their 1,000 ads are some 11,000
# rows of half a kilobyte each.
MOST_ROWS = 40_000
# Before so many of the last days of a span a new part of it begins. Orders change the sums of the
# last days every few seconds; the visits that they are credited to, and what becomes of older
# orders, those of a month every few minutes.
_BEGINS = (5 * WEEK, WEEK)
_Rows = TypeVar("_Rows", bound=Sized)


class SummedDays(NamedTuple):
    """Days (ordinals) by one date of which there are sums."""

    figures: Figures
    report_by: ReportDay
    days: range

    def version(self, conn: Connection) -> int:
        """Returns a number that changes with each change of the sums of these days."""
        weeks = self.days.start // WEEK, (self.days.stop - 1) // WEEK
        return summed_weeks.newest(conn, self.figures, self.report_by, *weeks)


def parts_of(days: range) -> list[range]:
    """Returns the days of a span in up to three parts, of which the last one changes most often;
    no part ends within a week."""
    begins = [(days.stop - last) // WEEK * WEEK for last in _BEGINS]
    begins = [days.start, *(begin for begin in begins if begin >= days.start + WEEK)]
    return [range(*ends) for ends in zip(begins, [*begins[1:], days.stop], strict=True)]


class _RowsOfVersion(NamedTuple):
    version: int
    rows: Any

    @property
    def size(self) -> int:
        """The room that they take, in rows: where there are none, what was asked for takes some."""
        return len(self.rows) + 1


class KnownRows:
    """The rows that were asked for last, by any number of threads. Nobody may change them."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._rows = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _RowsOfVersion] = OrderedDict()

    def of(
        self,
        conn: Connection,
        table: Told,
        query: Callable[..., _Rows],
        *asked: Hashable,
    ) -> _Rows:
        """Returns what a query finds in a table, which it reads nothing else of, for these
        arguments; the query is not run if it is known of this version of the table."""
        version = told_versions.of_all(conn).get(table, 0)
        return self._of(version, conn, query, asked)

    def of_sums(
        self,
        conn: Connection,
        days: SummedDays,
        query: Callable[..., _Rows],
        *asked: Hashable,
    ) -> _Rows:
        """Returns what a query finds in the sums of some days, as `of` does."""
        return self._of(days.version(conn), conn, query, asked)

    def _of(
        self,
        version: int,
        conn: Connection,
        query: Callable[..., _Rows],
        asked: tuple[Hashable, ...],
    ) -> _Rows:
        key = (query, *asked)
        with self._lock:
            known = self._known.get(key)
            if known is not None and known.version == version:
                self._known.move_to_end(key)
                rows: _Rows = known.rows
                return rows
        rows = query(conn, *asked)
        self._keep(key, _RowsOfVersion(version, rows))
        return rows

    def _keep(self, key: Hashable, known: _RowsOfVersion) -> None:
        with self._lock:
            replaced = self._known.pop(key, None)
            self._known[key] = known
            self._rows += known.size - (replaced.size if replaced else 0)
            while self._rows > self._most_rows:
                _, oldest = self._known.popitem(last=False)
                self._rows -= oldest.size
