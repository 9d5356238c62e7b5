"""Threads that commit queued writes beside one another, for a database with concurrent writers.

PostgreSQL flushes for many transactions at once by itself, but each of them costs it and us the
same round trips. So the writes of a class that can share a statement share a transaction: those
that were queued while all threads were busy.

Such a transaction waits for no other. One that is written alone may wait for the lock of a buyer,
and so may the next: they leave a thread to those that wait for none. Half of the threads write
together: with more of them each batch would be smaller, and cost the server as much.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from tracking.store.engine.group_commit import BUSY, BatchableWrite
from tracking.store.engine.statement import Contended, ServerAway

# Each locks some names, and PostgreSQL has room for some thousand locks.
MOST = 32
_IDLE_SECONDS = 1.0
# What another transaction keeps from being written is tried so often together with others, and then
# waits for it alone.
_MOST_TRIES = 3


class _Queued:
    """A queued write and the future of its result, to be begun by `last_begin` (monotonic clock).
    One that `is_alone` shares no transaction. `tries` counts those in which it was busy."""

    __slots__ = ("future", "is_alone", "last_begin", "tries", "work")

    def __init__(self, work: Callable[[Any], Any], last_begin: float) -> None:
        self.work = work
        self.last_begin = last_begin
        self.future: Future[Any] = Future()
        self.is_alone = not isinstance(work, BatchableWrite)
        self.tries = 0


class WriterThreads:
    """Queues writes, and commits them in up to `threads` threads, which end when nothing comes.

    `commit` commits one write and returns its result; `attempt` commits many of one class and
    returns the result of each: None for one that has to be committed alone, BUSY for one that may
    be committed with others later. A write that has waited for `patience` seconds is not begun any
    more.
    """

    def __init__(
        self,
        commit: Callable[[Callable[[Any], Any]], Any],
        attempt: Callable[[Sequence[BatchableWrite]], Sequence[Any]],
        threads: int,
        patience: float,
    ) -> None:
        self._commit = commit
        self._attempt = attempt
        self._patience = patience
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

    def submit(self, work: Callable[[Any], Any]) -> Future[Any]:
        """Queues a write and returns the future of its result.

        A writer thread runs the callbacks of the future, so a callback must never block.
        """
        queued = _Queued(work, time.monotonic() + self._patience)
        with self._woken:
            self._queue.append(queued)
            self._wake()
        return queued.future

    def _wake(self) -> None:
        if self._idle:
            self._woken.notify()
        elif self._threads < self._most_threads:
            self._threads += 1
            threading.Thread(target=self._write, name="writer", daemon=True).start()

    def _write(self) -> None:
        while batch := self._next_batch():
            in_time = [queued for queued in batch if not _is_refused(queued)]
            if is_alone := batch[0].is_alone:
                for queued in in_time:
                    self._write_alone(queued)
            elif in_time:
                self._write_together(in_time)
            with self._woken:
                self._alone -= is_alone
                self._together -= not is_alone

    def _next_batch(self) -> list[_Queued]:
        """Waits for writes; returns the oldest with those that can share its transaction.

        Returns none after some time without writes: the thread ends.
        """
        with self._woken:
            n = self._next()
            if n is None:
                self._idle += 1
                self._woken.wait_for(lambda: self._next() is not None, _IDLE_SECONDS)
                self._idle -= 1
                n = self._next()
            if n is None:
                self._threads -= 1
                return []
            batch = [self._taken(n)]
            while len(batch) < MOST and n < len(self._queue) and _share(batch[0], self._queue[n]):
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
        try:
            result = self._commit(queued.work)
        except BaseException as error:
            queued.future.set_exception(error)
        else:
            queued.future.set_result(result)

    def _write_together(self, batch: list[_Queued]) -> None:
        try:
            results = self._attempt([queued.work for queued in batch])  # type: ignore[misc]
        except ServerAway as error:
            for queued in batch:
                queued.future.set_exception(error)
            return
        except BaseException:
            # Committed one by one, only the write at fault fails.
            results = [None] * len(batch)
        rest = []
        for queued, result in zip(batch, results, strict=True):
            if result is None or result is BUSY:
                queued.tries = queued.tries + 1 if result is BUSY else _MOST_TRIES
                rest.append(queued)
            else:
                queued.future.set_result(result)
        self._queue_again(rest)

    def _queue_again(self, rest: Sequence[_Queued]) -> None:
        """Queues writes of a batch again: first those that need a transaction of their own."""
        with self._woken:
            for queued in reversed(rest):
                queued.is_alone = queued.tries >= _MOST_TRIES
                if queued.is_alone:
                    self._queue.appendleft(queued)
                else:
                    self._queue.append(queued)
                self._wake()


def _share(first: _Queued, other: _Queued) -> bool:
    both_batchable = not (first.is_alone or other.is_alone)
    return both_batchable and type(first.work) is type(other.work)


def _is_refused(queued: _Queued) -> bool:
    """Fails a write that has waited too long: whoever sent it would not hear of it any more."""
    if time.monotonic() <= queued.last_begin:
        return False
    queued.future.set_exception(Contended("the database cannot be written: too many writes wait"))
    return True
