"""Counts what became of the orders, by quarters of an hour: of all once, then of what changes."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tracking.domain.shop_days import QUARTER_HOUR
from tracking.report.shared_figures import SharedFigures
from tracking.store import Store, accuracy, report_progress
from tracking.store.accuracy import FateCount
from tracking.store.credit_figures import FOREVER
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Progress

_DAY = 86_400
# So many marks are dropped at once, and at most so many quarters counted anew.
MARKS = 1_000
# The figures are of no zone's days: any day is made up of quarters.
_ZONE = "UTC"

_Work = Callable[[Connection], None]


class AccuracyWriter:
    """Brings the figures of the accuracy up to date, step by step.

    Each step reads a snapshot, counts without any lock, and writes, unless the figures changed
    meanwhile. Until the orders of all days are counted, it goes on by a day of orders at a step.
    """

    def __init__(self, store: Store, retention_days: int, clock: Callable[[], float]) -> None:
        """Deliveries settled `retention_days` ago are deleted: older figures stay as they are."""
        self._store = store
        self._retention = retention_days * _DAY
        self._clock = clock

    def restart(self) -> None:
        """Has the next steps make the figures anew, of which the deliveries are still known.

        Raises:
            StoreUnavailable: they will not.
        """
        SharedFigures(self._store, "accuracy").restart()

    def step(self) -> bool:
        """Writes the next figures; returns False if there was nothing to do.

        Raises:
            StoreUnavailable: nothing was written.
        """
        with self._store.read() as conn:
            progress = report_progress.of(conn, "accuracy")
            if progress.zone != _ZONE:
                work: _Work = partial(self._begin, known=progress)
            elif progress.through < FOREVER:
                work = self._next_day(conn, progress)
            else:
                marks = accuracy.marks(conn, MARKS)
                if not marks:
                    return False
                work = self._marked(conn, progress, marks)
        self._store.commit(work)
        return True

    def _begin(self, conn: Connection, known: Progress) -> None:
        kept_until = self._forgotten()
        through = kept_until if accuracy.has_before(conn, kept_until) else 0
        new = known._replace(zone=_ZONE, through=through)
        if report_progress.begin(conn, "accuracy", known, new):
            accuracy.drop_since(conn, through)

    def _next_day(self, conn: Connection, known: Progress) -> _Work:
        first = accuracy.first_order(conn, known.through)
        if first is None:
            return partial(_write, known=known, through=FOREVER)
        since, through = max(known.through, first - first % _DAY), first - first % _DAY + _DAY
        counts = accuracy.counted(conn, since, through, QUARTER_HOUR, self._forgotten())
        rows = [_row(since, count) for count in counts]
        return partial(_write, known=known, through=through, rows=rows)

    def _marked(
        self, conn: Connection, known: Progress, marks: Sequence[accuracy.FateMark]
    ) -> _Work:
        forgotten = self._forgotten()
        # What is too old to be counted again stays as it was counted.
        quarters = {m.at - m.at % QUARTER_HOUR for m in marks if m.at >= forgotten}
        rows = [
            _row(at, count)
            for at in quarters
            for count in accuracy.counted(conn, at, at + QUARTER_HOUR, QUARTER_HOUR, forgotten)
        ]
        ids = [mark.id for mark in marks]
        return partial(
            _write, known=known, through=known.through, rows=rows, quarters=quarters, marks=ids
        )

    def _forgotten(self) -> int:
        at = int(self._clock()) - self._retention
        return at - at % QUARTER_HOUR


def _row(since: int, count: FateCount) -> tuple[int, str, int]:
    return since + count.part * QUARTER_HOUR, count.fate, count.orders


def _write(
    conn: Connection,
    *,
    known: Progress,
    through: int,
    rows: Iterable[tuple[int, str, int]] = (),
    quarters: Iterable[int] = (),
    marks: Sequence[int] = (),
) -> None:
    if report_progress.advance(conn, "accuracy", known, known._replace(through=through)):
        accuracy.drop_marks(conn, marks)
        accuracy.put(conn, quarters, rows)
