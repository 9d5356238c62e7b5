"""Threads that commit queued writes beside one another, for a database with concurrent writers.

PostgreSQL flushes for many transactions at once by itself, but each of them costs it and us the
same round trips. So the writes of a class that can share a statement share a transaction: those
that were queued while all threads were busy.

Such a transaction waits for no other. One that is written alone may wait for the lock of a buyer,
and so may the next: they leave a thread to those that wait for none. Half of the threads write
together: with more of them each batch would be smaller, and cost the server as much.

A write waits for a thread, for its batch to be prepared and for a connection. Whichever of them it
is that takes too long, whoever sent the write hears of it in time: it is refused then.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from tracking.store.engine.group_commit import BUSY, BatchableWrite
from tracking.store.engine.main_loop import MainLoop
from tracking.store.engine.statement import Contended, ServerAway

# Each locks some names, and PostgreSQL has room for some thousand locks.
MOST = 32
# Bytes of a batch that are read before it is written: a few tens of milliseconds.
MOST_BYTES = 512 * 1024
_IDLE_SECONDS = 1.0
# What another transaction keeps from being written is tried so often together with others, and then
# waits for it alone.
_MOST_TRIES = 3
_LOOKS_EVERY_SECONDS = 0.2
# What was begun in time may begin anew for so long, if it needs more locks than it knew.
_ANEW_SECONDS = 0.7
_TOO_LATE = "the database cannot be written: too many writes wait"


class _Queued:
    """A queued write and the future of its result, to be begun by `last_begin` (monotonic clock).
    One that `is_alone` shares no transaction. `tries` counts those in which it was busy."""

    __slots__ = ("future", "is_alone", "last_begin", "size", "tries", "work")

    def __init__(self, work: Callable[[Any], Any], last_begin: float) -> None:
        self.work = work
        self.last_begin = last_begin
        self.future: Future[Any] = Future()
        self.is_alone = not isinstance(work, BatchableWrite)
        self.size = 0 if self.is_alone else work.size  # type: ignore[attr-defined]
        self.tries = 0


class WriterThreads:
    """Queues writes, and commits them in up to `threads` threads, which end when nothing comes.

    `commit` runs a work in a transaction, commits it and returns its result, `commit_batch` does
    so with the work of a batch. A write that has waited for `patience` seconds is not begun any
    more, and is refused at once, also while all threads wait for others. `now` is in seconds. The
    threads take turns with the `main_loop`.
    """

    def __init__(
        self,
        commit: Callable[[Callable[[Any], Any]], Any],
        commit_batch: Callable[[Callable[[Any], Any]], Any],
        threads: int,
        patience: float,
        now: Callable[[], float] = time.monotonic,
        main_loop: MainLoop | None = None,
    ) -> None:
        self._commit = commit
        self._commit_batch = commit_batch
        self._patience = patience
        self._main_loop = main_loop or MainLoop()
        self._now = now
        self._most_threads = threads
        self._most_alone = max(1, threads - 1)
        self._most_together = max(1, threads // 2)
        self._woken = threading.Condition()
        self._queue: deque[_Queued] = deque()
        self._threads = 0
        self._idle = 0
        # The threads that write something alone, and those that write a batch.
        self._alone = 0
        self._together = 0
        self._is_watched = False

    def submit(self, work: Callable[[Any], Any]) -> Future[Any]:
        """Queues a write and returns the future of its result.

        A writer thread runs the callbacks of the future, so a callback must never block.
        """
        queued = _Queued(work, self._now() + self._patience)
        with self._woken:
            self._queue.append(queued)
            self._wake()
        return queued.future

    def _wake(self) -> None:
        self._woken.notify()
        # A thread that was woken counts as idle until it runs, and takes one of these writes.
        if len(self._queue) > self._idle and self._threads < self._most_threads:
            self._threads += 1
            threading.Thread(target=self._write, name="writer", daemon=True).start()
        # What waits behind others may wait for a thread that waits itself.
        is_free = self._idle or self._threads < self._most_threads
        is_crowded = len(self._queue) > 1 or not is_free or self._next() is None
        if is_crowded and not self._is_watched:
            self._is_watched = True
            threading.Thread(target=self._watch, name="writers-queue", daemon=True).start()

    def _watch(self) -> None:
        """Refuses the writes that have waited too long, until none wait."""
        idle, some_wait = threading.Event(), True
        while some_wait:
            idle.wait(_LOOKS_EVERY_SECONDS)
            with self._woken:
                late = [queued for queued in self._queue if self._is_late(queued)]
                for queued in late:
                    self._queue.remove(queued)
                # From here on another thread may have begun to watch.
                self._is_watched = some_wait = bool(self._queue)
            for queued in late:
                _refuse(queued)

    def _write(self) -> None:
        while batch := self._next_batch():
            if is_alone := batch[0].is_alone:
                for queued in batch:
                    self._write_alone(queued)
            else:
                self._write_together(batch)
            with self._woken:
                self._alone -= is_alone
                self._together -= not is_alone

    def _next_batch(self) -> list[_Queued]:
        """Waits for writes; returns the oldest with those that can share its transaction.

        Returns none after some time without writes: the thread ends.
        """
        while self._waits_for_writes():
            self._main_loop.wait_until_idle()
            with self._woken:
                # Another thread may have taken them meanwhile.
                if (n := self._next()) is not None:
                    return self._batch_from(n)
        return []

    def _waits_for_writes(self) -> bool:
        """Waits until a write may begin; returns False after some time without, as the thread
        ends."""
        with self._woken:
            if self._next() is None:
                self._idle += 1
                self._woken.wait_for(lambda: self._next() is not None, _IDLE_SECONDS)
                self._idle -= 1
            is_wanted = self._next() is not None
            self._threads -= not is_wanted
        return is_wanted

    def _batch_from(self, n: int) -> list[_Queued]:
        batch = [self._taken(n)]
        size = batch[0].size
        while len(batch) < MOST and n < len(self._queue) and _share(batch[0], self._queue[n]):
            size += self._queue[n].size
            if size > MOST_BYTES:
                break
            batch.append(self._taken(n))
        self._alone += batch[0].is_alone
        self._together += not batch[0].is_alone
        return batch

    def _next(self) -> int | None:
        """Returns the place in the queue of the oldest write that may begin, None if none may."""
        may_begin = {
            True: self._alone < self._most_alone,
            False: self._together < self._most_together,
        }
        return next((n for n, queued in enumerate(self._queue) if may_begin[queued.is_alone]), None)

    def _taken(self, n: int) -> _Queued:
        queued = self._queue[n]
        del self._queue[n]
        return queued

    def _write_alone(self, queued: _Queued) -> None:
        last_begin = queued.last_begin

        def write_in_time(conn: Any) -> Any:
            nonlocal last_begin
            if self._now() > last_begin:
                raise Contended(_TOO_LATE)
            last_begin = queued.last_begin + _ANEW_SECONDS
            return queued.work(conn)

        try:
            if self._is_late(queued):
                raise Contended(_TOO_LATE)
            result = self._commit(write_in_time)
        except BaseException as error:
            queued.future.set_exception(error)
        else:
            queued.future.set_result(result)

    def _write_together(self, batch: list[_Queued]) -> None:
        in_time = self._those_in_time(batch)
        if not in_time:
            return
        kind: type[BatchableWrite] = type(in_time[0].work)  # type: ignore[assignment]
        try:
            kind.prepare([queued.work for queued in in_time])
            in_time = self._those_in_time(in_time)
            results = self._commit_batch(partial(self._attempt, in_time)) if in_time else ()
        except ServerAway as error:
            for queued in in_time:
                queued.future.set_exception(error)
            return
        except BaseException:
            # Committed one by one, only the write at fault fails.
            results = [None] * len(in_time)
        rest = []
        # Around no transaction: until a thread wakes the loop, the answers of the others wait too.
        with self._main_loop.answering():
            for queued, result in zip(in_time, results, strict=True):
                if result is None or result is BUSY:
                    queued.tries = queued.tries + 1 if result is BUSY else _MOST_TRIES
                    rest.append(queued)
                else:
                    queued.future.set_result(result)
        self._queue_again(rest)

    def _attempt(self, batch: Sequence[_Queued], conn: Any) -> Sequence[Any]:
        """Writes those of a batch that the connection did not come too late for; returns None for
        the others, which are refused as soon as it is their turn again."""
        is_late = [self._is_late(queued) for queued in batch]
        works: list[Any] = [
            queued.work for queued, late in zip(batch, is_late, strict=True) if not late
        ]
        results = iter(type(works[0]).attempt(conn, works) if works else ())
        return [None if late else next(results) for late in is_late]

    def _queue_again(self, rest: Sequence[_Queued]) -> None:
        """Queues writes of a batch again: those that need a transaction of their own before all
        that came later."""
        with self._woken:
            for queued in rest:
                queued.is_alone = queued.tries >= _MOST_TRIES
                if queued.is_alone:
                    self._queue.insert(self._place_of(queued), queued)
                else:
                    self._queue.append(queued)
                self._wake()

    def _place_of(self, queued: _Queued) -> int:
        later = (n for n, other in enumerate(self._queue) if other.last_begin > queued.last_begin)
        return next(later, len(self._queue))

    def _those_in_time(self, batch: Sequence[_Queued]) -> list[_Queued]:
        """Refuses those that have waited too long, and returns the others."""
        in_time = []
        for queued in batch:
            if self._is_late(queued):
                _refuse(queued)
            else:
                in_time.append(queued)
        return in_time

    def _is_late(self, queued: _Queued) -> bool:
        return self._now() > queued.last_begin


def _share(first: _Queued, other: _Queued) -> bool:
    both_batchable = not (first.is_alone or other.is_alone)
    return both_batchable and type(first.work) is type(other.work)


def _refuse(queued: _Queued) -> None:
    """Fails a write that has waited too long: whoever sent it would not hear of it any more."""
    queued.future.set_exception(Contended(_TOO_LATE))
