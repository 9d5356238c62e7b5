"""Counts the fates and hints of orders by quarters of an hour: all once, then what changes."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tracking.domain.shop_days import QUARTER_HOUR, WEEK
from tracking.report.accuracy import utc_days
from tracking.report.shared_figures import SharedFigures, is_of_this_release, written
from tracking.store import Store, accuracy, order_hints
from tracking.store.accuracy import FateCount, FateMark
from tracking.store.credit_figures import FOREVER
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Progress
from tracking.store.summed_weeks import ALL_WEEKS, ChangedWeek

_DAY = 86_400
# So many marks are dropped at once, and at most so many quarters counted anew.
MARKS = 1_000
# The figures are of no zone's days: any day is made up of quarters.
_ZONE = "UTC"


class _Recount(NamedTuple):
    """The figures that are to be put into the store, through which instant they then go, and
    which weeks of them change."""

    through: int
    put: Callable[[Connection], None]
    weeks: Sequence[ChangedWeek] = ()


class AccuracyWriter:
    """Brings the figures of the accuracy up to date, step by step.

    Each step reads a snapshot, counts without any lock, and writes, unless the figures changed
    meanwhile. Until the orders of all days are counted, it goes on by a day of orders at a step.
    """

    def __init__(self, store: Store, retention_days: int, clock: Callable[[], float]) -> None:
        """Deliveries settled `retention_days` ago are deleted: older figures stay as they are."""
        self._store = store
        self._figures = SharedFigures(store, "accuracy")
        self._retention = retention_days * _DAY
        self._clock = clock

    def restart(self) -> None:
        """Has the next steps make the figures anew, of which the deliveries are still known.

        Raises:
            StoreUnavailable: they will not.
        """
        self._figures.restart()

    def step(self) -> bool:
        """Writes the next figures; returns False if there was nothing to do.

        Raises:
            StoreUnavailable: nothing was written.
        """
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            if progress.zone != _ZONE or not is_of_this_release(progress):
                # They were never begun, or an older release wrote them, which counts no hints.
                change = self._beginning(conn)
            elif progress.through < FOREVER:
                change = self._next_day(conn, progress)
            else:
                marks = accuracy.marks(conn, MARKS)
                if not marks:
                    return False
                change = self._marked(conn, marks)
        new = written(progress)._replace(zone=_ZONE, through=change.through)
        self._figures.write(progress, new, change.put, change.weeks)
        return True

    def _beginning(self, conn: Connection) -> _Recount:
        kept_until = self._forgotten()
        through = kept_until if accuracy.has_before(conn, kept_until) else 0

        def drop(conn: Connection) -> None:
            accuracy.drop_since(conn, through)
            order_hints.drop_since(conn, 0)

        return _Recount(through, drop, [ALL_WEEKS])

    def _next_day(self, conn: Connection, known: Progress) -> _Recount:
        first = accuracy.first_order(conn, known.through)
        if first is None:
            return _Recount(FOREVER, lambda conn: None)
        since, through = max(known.through, first - first % _DAY), first - first % _DAY + _DAY
        counts = accuracy.counted(conn, since, through, QUARTER_HOUR, self._forgotten())
        rows = [_row(since, count) for count in counts]
        hints = order_hints.counted(conn, since, through, QUARTER_HOUR)

        def put(conn: Connection) -> None:
            accuracy.put(conn, (), rows)
            order_hints.put(conn, (), hints)

        return _Recount(through, put, _weeks_of(range(since, through, _DAY)))

    def _marked(self, conn: Connection, marks: Sequence[FateMark]) -> _Recount:
        forgotten = self._forgotten()
        # What is too old to be counted again stays as it was counted.
        quarters = {m.at - m.at % QUARTER_HOUR for m in marks if m.at >= forgotten}
        rows = [
            _row(at, count)
            for at in quarters
            for count in accuracy.counted(conn, at, at + QUARTER_HOUR, QUARTER_HOUR, forgotten)
        ]
        hints = [
            row
            for at in quarters
            for row in order_hints.counted(conn, at, at + QUARTER_HOUR, QUARTER_HOUR)
        ]

        def put(conn: Connection) -> None:
            accuracy.drop_marks(conn, [mark.id for mark in marks])
            accuracy.put(conn, quarters, rows)
            order_hints.put(conn, quarters, hints)

        return _Recount(FOREVER, put, _weeks_of(quarters))

    def _forgotten(self) -> int:
        at = int(self._clock()) - self._retention
        return at - at % QUARTER_HOUR


def _weeks_of(quarters: Iterable[int]) -> list[ChangedWeek]:
    days = {utc_days(at, at + 1).start for at in quarters}
    return [ChangedWeek("order_date", week) for week in {day // WEEK for day in days}]


def _row(since: int, count: FateCount) -> tuple[int, str, int]:
    return since + count.part * QUARTER_HOUR, count.fate, count.orders
