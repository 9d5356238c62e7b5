"""Counts what became of the orders, by quarters of an hour: of all once, then of what changes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from tracking.domain.shop_days import QUARTER_HOUR
from tracking.report.shared_figures import SharedFigures
from tracking.store import Store, accuracy
from tracking.store.accuracy import FateCount, FateMark
from tracking.store.credit_figures import FOREVER
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Progress

_DAY = 86_400
# So many marks are dropped at once, and at most so many quarters counted anew.
MARKS = 1_000
# The figures are of no zone's days: any day is made up of quarters.
_ZONE = "UTC"


class _Recount(NamedTuple):
    """The figures that are to be put into the store, and through which instant they then go."""

    through: int
    put: Callable[[Connection], None]


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
            if progress.zone != _ZONE:
                change = self._beginning(conn)
            elif progress.through < FOREVER:
                change = self._next_day(conn, progress)
            else:
                marks = accuracy.marks(conn, MARKS)
                if not marks:
                    return False
                change = self._marked(conn, marks)
        new = progress._replace(zone=_ZONE, through=change.through)
        self._figures.write(progress, new, change.put)
        return True

    def _beginning(self, conn: Connection) -> _Recount:
        kept_until = self._forgotten()
        through = kept_until if accuracy.has_before(conn, kept_until) else 0
        return _Recount(through, partial(accuracy.drop_since, since=through))

    def _next_day(self, conn: Connection, known: Progress) -> _Recount:
        first = accuracy.first_order(conn, known.through)
        if first is None:
            return _Recount(FOREVER, partial(accuracy.put, quarters=(), counts=()))
        since, through = max(known.through, first - first % _DAY), first - first % _DAY + _DAY
        counts = accuracy.counted(conn, since, through, QUARTER_HOUR, self._forgotten())
        rows = [_row(since, count) for count in counts]
        return _Recount(through, partial(accuracy.put, quarters=(), counts=rows))

    def _marked(self, conn: Connection, marks: Sequence[FateMark]) -> _Recount:
        forgotten = self._forgotten()
        # What is too old to be counted again stays as it was counted.
        quarters = {m.at - m.at % QUARTER_HOUR for m in marks if m.at >= forgotten}
        rows = [
            _row(at, count)
            for at in quarters
            for count in accuracy.counted(conn, at, at + QUARTER_HOUR, QUARTER_HOUR, forgotten)
        ]

        def put(conn: Connection) -> None:
            accuracy.drop_marks(conn, [mark.id for mark in marks])
            accuracy.put(conn, quarters, rows)

        return _Recount(FOREVER, put)

    def _forgotten(self) -> int:
        at = int(self._clock()) - self._retention
        return at - at % QUARTER_HOUR


def _row(since: int, count: FateCount) -> tuple[int, str, int]:
    return since + count.part * QUARTER_HOUR, count.fate, count.orders
