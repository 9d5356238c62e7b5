"""Figures that any process may write: each writes only what it has made of the newest ones."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from tracking.store import Store, report_progress, summed_weeks
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Figures, Progress
from tracking.store.summed_weeks import ALL_WEEKS, ChangedWeek

# Where another process has just written the same figures, it may go ahead.
_STEPS_BACK_SECONDS = 1.0

_Some = TypeVar("_Some")


def written(progress: Progress) -> Progress:
    """Returns the progress with the version that this release writes next as its `numbers`: so it
    knows figures that an older release wrote, which lack something."""
    return progress._replace(numbers=progress.version + 1)


def is_of_this_release(progress: Progress) -> bool:
    """Returns True if no older release wrote the figures last."""
    return progress.numbers == progress.version


class SharedFigures:
    """The figures of one kind in the store, with how far they go."""

    def __init__(self, store: Store, kind: Figures) -> None:
        self._store = store
        self._kind = kind

    def progress(self, conn: Connection) -> Progress:
        """Returns how far the figures go."""
        return report_progress.of(conn, self._kind)

    def restart(self) -> None:
        """Has the next steps make all figures anew.

        Raises:
            StoreUnavailable: they will not.
        """
        restart = partial(report_progress.restart, figures=self._kind)
        while not self._store.commit(restart):
            pass  # Another process has just written some.

    def begin_anew(
        self,
        known: Progress,
        zone: str,
        some: Callable[[Connection], _Some | None],
        drop: Callable[[Connection, _Some], None],
    ) -> None:
        """Deletes `some` of the figures of other days; where there are none, those of the days of
        this zone begin."""

        def begin(conn: Connection) -> bool:
            old = some(conn)
            is_empty = old is None and not known.zone
            new = known._replace(zone=zone if is_empty else "", through=0)
            is_ours = report_progress.begin(conn, self._kind, known, new)
            if is_ours:
                summed_weeks.mark(conn, self._kind, [ALL_WEEKS], known.version + 1)
                if old is not None:
                    drop(conn, old)
            return is_ours

        self._commit(begin)

    def write(
        self,
        known: Progress,
        new: Progress,
        put: Callable[[Connection], None],
        weeks: Iterable[ChangedWeek] = (),
    ) -> None:
        """Puts figures into the store, which then go as far as `new`, unless they have changed
        since `known` was read. The sums of these `weeks` change."""

        def write(conn: Connection) -> bool:
            is_ours = report_progress.begin(conn, self._kind, known, new)
            if is_ours:
                put(conn)
                summed_weeks.mark(conn, self._kind, weeks, known.version + 1)
            return is_ours

        self._commit(write)

    def _commit(self, work: Callable[[Connection], bool]) -> None:
        if not self._store.commit(work):
            time.sleep(_STEPS_BACK_SECONDS)
