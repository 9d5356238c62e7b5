"""Group commit: one commit for many writes, which gather while the one before is flushed to disk.

A flush costs more than all the statements of a webhook. The caller of a write need not wait for
it: a future holds the result. Writes that yield wait in a queue of their own, and take turns with
the others, batch by batch.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Any

from tracking.store.engine.main_loop import MainLoop

# The result of a write that another transaction keeps from being written together with others. It
# may be soon.
BUSY = object()


class BatchableWrite(ABC):
    """A write that can share statements with others of its class, for less than each alone."""

    @property
    def size(self) -> int:
        """The bytes that have to be read before it is written; 0 for a few."""
        return 0

    @abstractmethod
    def __call__(self, conn: Any) -> Any:
        """Writes it alone, also where something of it is known already."""

    @classmethod  # noqa: B027 - most need nothing
    def prepare(cls, works: Sequence[Any]) -> None:
        """Does for many of this class what needs no transaction, before it begins. An error in it
        is that of one write, which raises it when it is written."""

    @classmethod
    @abstractmethod
    def attempt(cls, conn: Any, works: Sequence[Any]) -> Sequence[Any]:
        """Writes many of this class in a transaction of the caller's; returns the result of each,
        None for one that is not the usual case, and on PostgreSQL perhaps BUSY."""


class OneStatementWrite(BatchableWrite):
    """A write that shares one single statement with others of its class on SQLite."""

    @classmethod
    @abstractmethod
    def put(cls, conn: Any, works: Sequence[Any]) -> None:
        """Writes many of this class on SQLite, in one statement, a transaction by itself."""

    @classmethod
    @abstractmethod
    def results(cls, conn: Any, works: Sequence[Any]) -> Sequence[Any]:
        """Returns the result of each write just put, None for one that has to be written alone."""


class PendingWrite:
    """A queued write and, once its batch is committed, its result or its error.

    `queued_at` is in seconds of the monotonic clock. What it needs to be `is_ready` is done before
    the lock is held.
    """

    __slots__ = ("error", "future", "is_ready", "queued_at", "result", "work", "yields")

    def __init__(self, work: Callable[[Any], Any], *, yields: bool = False) -> None:
        self.work = work
        self.yields = yields
        self.is_ready = not isinstance(work, BatchableWrite)
        self.queued_at = time.monotonic()
        self.result: Any = None
        self.error: BaseException | None = None
        self.future: Future[Any] = Future()

    def settle(self, translate: Callable[[BaseException], BaseException]) -> None:
        """Sets the result of the future, or the translated error."""
        if self.error is not None:
            self.future.set_exception(translate(self.error))
        else:
            self.future.set_result(self.result)


def batches_by_class(
    pending: Sequence[PendingWrite],
) -> dict[type[BatchableWrite], list[PendingWrite]]:
    """Returns the pending writes that are batchable, by their class."""
    batches: dict[type[BatchableWrite], list[PendingWrite]] = {}
    for write in pending:
        if isinstance(write.work, BatchableWrite):
            batches.setdefault(type(write.work), []).append(write)
    return batches


class GroupCommit:
    """Queues writes, and lets one thread at a time commit a batch of them.

    Args:
        commit: takes the lock that other processes respect, then the batch with `take()`, and
            sets the result or the error of each write. An exception that it raises is the error
            of every write of its batch.
        most: the largest number of writes in a batch.
        translate: makes the exception that the caller sees of an error.
        idle_seconds: the writer thread ends after so long without a write.
        main_loop: what a batch waits for before it begins, and is answered through.
    """

    def __init__(
        self,
        commit: Callable[["GroupCommit"], None],
        most: int = 64,
        translate: Callable[[BaseException], BaseException] = lambda error: error,
        idle_seconds: float = 1.0,
        main_loop: MainLoop | None = None,
    ) -> None:
        self._commit = commit
        self._most = most
        self._translate = translate
        self._idle_seconds = idle_seconds
        self._main_loop = main_loop or MainLoop()
        self._mutex = threading.Lock()
        self._woken = threading.Condition(self._mutex)
        self._queue: deque[PendingWrite] = deque()
        self._yielding: deque[PendingWrite] = deque()
        self._is_turn_of_yielding = False
        # The queue of the next batch.
        self._prepared = self._queue
        self._batch: list[PendingWrite] = []
        # A thread commits, or was woken to: there is never a second.
        self._is_writing = False
        self._is_awake = False
        self._has_thread = False

    def run(self, work: Callable[[Any], Any], *, yields: bool = False) -> Any:
        """Commits a write and returns its result. Where no thread is writing, the caller writes.

        A write that `yields` shares no batch with the others.

        Raises:
            BaseException: the translated error of the write, or of the commit of its batch.
        """
        write = PendingWrite(work, yields=yields)
        with self._mutex:
            (self._yielding if yields else self._queue).append(write)
            leads = not self._is_writing
            self._is_writing = True
        if leads:
            self._write_batch()
            with self._mutex:
                self._is_writing = self._has_writes
                if self._is_writing:
                    self._wake_writer()
        return write.future.result()

    def submit(self, work: Callable[[Any], Any], *, yields: bool = False) -> Future[Any]:
        """Queues a write and returns the future of its result.

        The writer thread runs the callbacks of the future, so a callback must never block.
        """
        write = PendingWrite(work, yields=yields)
        with self._mutex:
            (self._yielding if yields else self._queue).append(write)
            if not self._is_writing:
                self._is_writing = True
                self._wake_writer()
        return write.future

    def take(self, *, everything: bool = False) -> list[PendingWrite]:
        """Returns the batch to commit now, oldest first: at most so many writes that are ready, or
        `everything`.

        Called once the write lock is held, so that the batch includes the writes that arrived
        during the wait for it.
        """
        with self._mutex:
            if everything:
                self._batch = [*self._queue, *self._yielding]
                self._queue.clear()
                self._yielding.clear()
            else:
                queue, self._batch = self._prepared, []
                while queue and queue[0].is_ready and len(self._batch) < self._most:
                    self._batch.append(queue.popleft())
        return self._batch

    def put_back(self, pending: Sequence[PendingWrite]) -> None:
        """Queues writes of a batch of yielding ones again, for their next turn."""
        with self._mutex:
            self._yielding.extendleft(reversed(pending))
            self._batch = [write for write in self._batch if write not in pending]

    @property
    def _has_writes(self) -> bool:
        return bool(self._queue or self._yielding)

    def _next_queue(self) -> deque[PendingWrite]:
        """Returns the queue whose turn it is; of two that wait, the one that was not served last.

        Called with the mutex.
        """
        is_theirs = bool(self._yielding) and (self._is_turn_of_yielding or not self._queue)
        self._is_turn_of_yielding = not is_theirs
        return self._yielding if is_theirs else self._queue

    def _wake_writer(self) -> None:
        self._is_awake = True
        if self._has_thread:
            self._woken.notify()
        else:
            self._has_thread = True
            threading.Thread(target=self._write, name="writer", daemon=True).start()

    def _write(self) -> None:
        while self._wait_for_writes():
            self._write_batch()

    def _wait_for_writes(self) -> bool:
        """Waits until there is a write; returns False after `idle_seconds` without one."""
        with self._mutex:
            if not self._is_awake:
                if self._has_writes:
                    return True
                self._is_writing = False
                self._woken.wait_for(lambda: self._is_awake, self._idle_seconds)
            self._has_thread, self._is_awake = self._is_awake, False
            return self._has_thread

    def _write_batch(self) -> None:
        self._batch = []
        self._main_loop.wait_until_idle()
        try:
            with self._mutex:
                self._prepared = self._next_queue()
            self.prepare()
            self._commit(self)
        except BaseException as error:
            for write in self._batch or self.take():
                write.error = error
        with self._main_loop.answering():
            for write in self._batch:
                write.settle(self._translate)

    def prepare(self) -> None:
        """Makes the writes of the next batch ready that wait now: before the write lock is held,
        for which other processes wait, and again while this one waits for it."""
        with self._mutex:
            waiting = list(islice(self._prepared, self._most))
        unready = [write for write in waiting if not write.is_ready]
        try:
            for kind, batch in batches_by_class(unready).items():
                kind.prepare([write.work for write in batch])
        finally:
            for write in unready:
                write.is_ready = True
