"""Records what the pixel tells: at once if that is little work, else in the background."""

import logging
import threading
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future

import msgspec

from tracking.operate.background import outliving_errors
from tracking.operate.error_lines import error_line
from tracking.operate.rare_lines import RareLines
from tracking.operate.rate_limiter import Turn, take_together
from tracking.receive.attributor import Attributor
from tracking.receive.browser_events import Locked, Unrecorded, lock, record_events
from tracking.receive.pixel import PixelEvent
from tracking.receive.usual_calls import UsualCalls, known_of, may_be_usual, names_of
from tracking.store import Store, StoreUnavailable, pixel_backlog, usual_calls
from tracking.store.engine import advisory_locks
from tracking.store.engine.group_commit import BUSY, BatchableWrite
from tracking.store.engine.statement import Connection, Contended

logger = logging.getLogger(__name__)

# The calls whose rest may wait. More are refused: it would take too long to record them all.
LONGEST_BACKLOG = 500
# The calls that a process has not written yet. More are refused, so that their memory is bounded
# and none is answered later than its browser waits.
MOST_WAITING = 500
POLL_SECONDS = 1.0


class BacklogFull(StoreUnavailable):
    """A call was not stored, since too many wait to be recorded. It is logged once a minute."""

    is_logged = True


class PixelRecorder:
    """Records calls of the pixel, and in the background what is left of them.

    `store` is one that yields to the webhooks.
    """

    name = "pixel-backlog"

    def __init__(self, store: Store, attributor: Attributor, clock: Callable[[], float]) -> None:
        self._store = store
        self._attributor = attributor
        self._clock = clock
        self._lines = RareLines(logger)
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)

    def record(self, events: Sequence[PixelEvent]) -> None:
        """Records events; the same events again change nothing. What takes longer than others can
        wait for is stored to be recorded in the background.

        Raises:
            BacklogFull: nothing was stored.
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        if not events:
            return
        told = Unrecorded(tuple(events))
        try:
            try:
                self._store.commit(lambda conn: self._record(conn, told))
            except Contended:
                self._store.commit(lambda conn: self._add(conn, told))
        except BacklogFull as error:
            self._log_at_times(error)
            raise

    def record_later(self, read: Callable[[], Sequence[PixelEvent]], turn: Turn) -> Future[float]:
        """As `record`, without waiting, unless its turn is refused in the same transaction.

        The events are read, with those of other calls, by the thread that writes them. The result
        is 0, or the seconds to wait for a turn. A callback must never block.

        Raises:
            StoreUnavailable: nothing was stored, as too many calls wait, or the disk is full.
        """
        call = _CallWrite(self, read, turn)
        recorded: Future[float] = Future()

        def pass_on(written: Future[float]) -> None:
            self._waiting.release()
            error = written.exception()
            if isinstance(error, BacklogFull):
                self._log_at_times(error)
            if error is None:
                recorded.set_result(written.result())
            else:
                recorded.set_exception(error)

        def pass_on_or_add(written: Future[float]) -> None:
            if isinstance(written.exception(), Contended):
                try:
                    written = self._store.commit_later(_BacklogWrite(call))
                except StoreUnavailable as error:
                    written = Future()
                    written.set_exception(error)
            written.add_done_callback(pass_on)

        if not self._waiting.acquire(blocking=False):
            error = BacklogFull("too many calls of the pixel wait to be written")
            self._log_at_times(error)
            raise error
        try:
            written = self._store.commit_later(call)
        except BaseException:
            self._waiting.release()
            raise
        written.add_done_callback(pass_on_or_add)
        return recorded

    def record_call(self, conn: Connection, told: Unrecorded, turn: Turn) -> float:
        """Records a call in a transaction of the caller's; returns what `record_later` does."""
        # Who waits for the rows of limits must not be waited for because of a visitor.
        locked = lock(conn, told)
        return turn.take(conn) or self._record(conn, told, locked)

    def record_calls(
        self, conn: Connection, calls: Sequence[tuple[Unrecorded, Turn]]
    ) -> list[float | None]:
        """As `record_call` for many calls together; None for each that is not usual."""
        planner, now = self._attributor.planner, self._now()
        events = [told.events for told, _ in calls]
        known = known_of(conn, events)
        planned = UsualCalls(planner, known, now)
        usual = [n for n, call in enumerate(events) if planned.add(call)]
        taken = take_together(conn, [calls[n][1] for n in usual])
        results: list[float | None] = [None] * len(calls)
        for n, refused in zip(usual, taken, strict=True):
            results[n] = refused
        if any(taken):
            planned = UsualCalls(planner, known, now)
            for n, refused in zip(usual, taken, strict=True):
                if not refused and not planned.add(events[n]):
                    results[n] = None
        usual_calls.put(conn, planned.finished())
        return results

    def add_call(self, conn: Connection, told: Unrecorded, turn: Turn) -> float:
        """Stores a call to be recorded in the background; returns what `record_later` does.

        Raises:
            BacklogFull: too many calls wait.
        """
        return turn.take(conn) or self._add(conn, told)

    def add_calls(
        self, conn: Connection, calls: Sequence[tuple[Unrecorded, Turn]]
    ) -> list[float | None]:
        """As `add_call` for many calls together; None for each if not all of them have room."""
        if pixel_backlog.length(conn, LONGEST_BACKLOG) + len(calls) > LONGEST_BACKLOG:
            return [None] * len(calls)
        refused = take_together(conn, [turn for _, turn in calls])
        now = self._now()
        for (told, _), seconds in zip(calls, refused, strict=True):
            if told and not seconds:
                pixel_backlog.add(conn, msgspec.json.encode(told), now)
        return [*refused]

    def record_waiting(self) -> bool:
        """Records some of what waits; returns False if nothing does.

        Raises:
            StoreUnavailable: it waits on.
        """
        with self._store.read() as conn:
            if not pixel_backlog.has_rows(conn):
                return False
        taken: list[int] = []
        try:
            return self._store.commit(lambda conn: self._record_next(conn, taken))
        except StoreUnavailable:
            raise
        except Exception as error:
            if not taken:
                raise
            # What cannot be recorded must not keep the rest from it.
            logger.error("pixel backlog: row %s failed: %s", taken[-1:], error_line(error))
            now = self._now()
            self._store.commit(lambda conn: pixel_backlog.postpone(conn, taken[-1], now))
            return True

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Records what waits until `stop` is set."""
        while not stop.is_set():
            if not self._record_safely():
                stop.wait(poll)

    def _record_safely(self) -> bool:
        waits, fails = "the pixel's backlog waits for the store", "the pixel's backlog failed"
        with outliving_errors(logger, waits, fails):
            return self.record_waiting()
        return False

    def _record(self, conn: Connection, told: Unrecorded, locked: Locked | None = None) -> float:
        rest = told and record_events(conn, self._attributor, told, self._now(), locked)
        if rest:
            self._add(conn, rest)
        return 0.0

    def _add(self, conn: Connection, rest: Unrecorded) -> float:
        if not rest:
            return 0.0
        if pixel_backlog.length(conn, LONGEST_BACKLOG) >= LONGEST_BACKLOG:
            raise BacklogFull("too many calls of the pixel wait to be recorded")
        pixel_backlog.add(conn, msgspec.json.encode(rest), self._now())
        return 0.0

    def _record_next(self, conn: Connection, taken: list[int]) -> bool:
        """Records some of the oldest row that waits; notes its id in `taken`."""
        now = self._now()
        row = pixel_backlog.next_row(conn, now)
        if row is None:
            return False
        taken.append(row.id)
        told = msgspec.json.decode(row.body, type=Unrecorded)
        rest = record_events(conn, self._attributor, told, now)
        if rest:
            pixel_backlog.replace(conn, row.id, msgspec.json.encode(rest))
        else:
            pixel_backlog.remove(conn, row.id)
        return True

    def _log_at_times(self, error: BacklogFull) -> None:
        self._lines.log(logging.WARNING, f"calls of the pixel are refused: {error}")

    def _now(self) -> int:
        return int(self._clock())


class _CallWrite(BatchableWrite):
    """Records a call, whose events are read before the transaction begins."""

    __slots__ = ("_error", "_is_read", "_names", "_read", "_told", "recorder", "turn")

    def __init__(
        self, recorder: PixelRecorder, read: Callable[[], Sequence[PixelEvent]], turn: Turn
    ) -> None:
        self.recorder = recorder
        self._read = read
        self.turn = turn
        self._is_read = False
        self._error: Exception | None = None
        # What it has in common with other calls, if it may be usual.
        self._names: Set[str] = frozenset()
        self._told = Unrecorded(())

    def __call__(self, conn: Connection) -> float:
        return self.recorder.record_call(conn, self.unrecorded(), self.turn)

    def unrecorded(self) -> Unrecorded:
        """Returns its events, of which none is recorded.

        Raises:
            Exception: they could not be read.
        """
        self.prepare((self,))
        if self._error is not None:
            raise self._error
        return self._told

    @classmethod
    def prepare(cls, works: Sequence["_CallWrite"]) -> None:
        """Reads those that are not read yet."""
        for work in works:
            if work._is_read:
                continue
            work._is_read = True
            try:
                events = tuple(work._read())
            except Exception as error:
                work._error = error
                continue
            work._told = Unrecorded(events)
            if may_be_usual(events):
                work._names = names_of(events)

    @classmethod
    def attempt(cls, conn: Connection, works: Sequence["_CallWrite"]) -> Sequence[object]:
        """Records the calls that are usual. One whose visitor another transaction has is busy: to
        wait for it, all of them would have to."""
        results: list[object] = [0.0 if work._is_nothing else None for work in works]
        usual = [n for n, work in enumerate(works) if work._names]
        held = advisory_locks.try_hold(conn, {name for n in usual for name in works[n]._names})
        free = [n for n in usual if held.issuperset(works[n]._names)]
        for n in usual:
            results[n] = BUSY
        if free:
            calls = [(works[n]._told, works[n].turn) for n in free]
            recorded = works[0].recorder.record_calls(conn, calls)
            for n, result in zip(free, recorded, strict=True):
                results[n] = result
        return results

    @property
    def _is_nothing(self) -> bool:
        """True of a call that has nothing to write."""
        return not (self._error or self._told.events or self.turn.needs_store)


class _BacklogWrite(BatchableWrite):
    """Stores a call that waited in vain, to be recorded in the background.

    It waits for no buyer and for no visitor, so that it need not stand in line once more with the
    calls that do.
    """

    __slots__ = ("_call",)

    def __init__(self, call: _CallWrite) -> None:
        self._call = call

    def __call__(self, conn: Connection) -> float:
        call = self._call
        return call.recorder.add_call(conn, call.unrecorded(), call.turn)

    @classmethod
    def prepare(cls, works: Sequence["_BacklogWrite"]) -> None:
        """Reads those that are not read yet."""
        _CallWrite.prepare([work._call for work in works])

    @classmethod
    def attempt(cls, conn: Connection, works: Sequence["_BacklogWrite"]) -> Sequence[float | None]:
        """Stores all of them, if there is room."""
        calls = [(work._call.unrecorded(), work._call.turn) for work in works]
        return works[0]._call.recorder.add_calls(conn, calls)
