"""One commit for many waiting writes: while one is flushed to disk the next ones gather.

A flush costs more than all the statements of a webhook. No thread has to wait while it lasts: a
caller may go on, and gets the result of its write by a future.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any


class BatchableWrite(ABC):
    """A work that can be written together with others of its kind, for less than each alone."""

    @abstractmethod
    def __call__(self, conn: Any) -> Any:
        """Carry it out alone, whatever is known already."""

    @abstractmethod
    def attempt(self, conn: Any) -> Any:
        """Carry it out in one statement if it is the usual case; None if it is not."""

    @classmethod
    @abstractmethod
    def put(cls, conn: Any, works: Sequence[Any]) -> None:
        """Write works of this class in one statement, which is a transaction by itself."""

    @classmethod
    @abstractmethod
    def results(cls, conn: Any, works: Sequence[Any]) -> Sequence[Any]:
        """The result of each work just put, None for one that has to be carried out alone."""


class PendingWrite:
    """A write that waits for its commit, and its result or error afterwards.

    `since` is when it was queued, in seconds of the monotonic clock.
    """

    __slots__ = ("error", "future", "result", "since", "work")

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.since = time.monotonic()
        self.result: Any = None
        self.error: BaseException | None = None
        self.future: Future[Any] = Future()

    def settle(self, described: Callable[[BaseException], BaseException]) -> None:
        """Set the result or the error of the future."""
        if self.error is not None:
            self.future.set_exception(described(self.error))
        else:
            self.future.set_result(self.result)


def batches_by_class(
    pending: Sequence[PendingWrite],
) -> dict[type[BatchableWrite], list[PendingWrite]]:
    """The joint works among the tickets, by their class."""
    kinds: dict[type[BatchableWrite], list[PendingWrite]] = {}
    for write in pending:
        if isinstance(write.work, BatchableWrite):
            kinds.setdefault(type(write.work), []).append(write)
    return kinds


class GroupCommit:
    """Queues writes and has one thread at a time commit a batch of them.

    `commit(group_commit)` takes the lock that other processes respect, then the batch with
    `take()`, and sets the result or error of each write. An exception that it raises is the error
    of every write of its batch, as `described` returns it. The thread that writes for others ends
    after so many idle seconds.
    """

    def __init__(
        self,
        commit: Callable[["GroupCommit"], None],
        most: int = 64,
        described: Callable[[BaseException], BaseException] = lambda error: error,
        idle_seconds: float = 1.0,
    ) -> None:
        self._commit = commit
        self._most = most
        self._described = described
        self._idle_seconds = idle_seconds
        self._mutex = threading.Lock()
        self._called = threading.Condition(self._mutex)
        self._queue: deque[PendingWrite] = deque()
        self._batch: list[PendingWrite] = []
        # Whether somebody commits, or was called to: there is never a second.
        self._is_writing = False
        self._is_called = False
        self._has_thread = False

    def run(self, work: Callable[[Any], Any]) -> Any:
        """Returns the result of a write once it is committed. If no thread writes, the caller does.

        Raises:
            BaseException: whatever the write, or the commit of its batch, raised.
        """
        write = PendingWrite(work)
        with self._mutex:
            self._queue.append(write)
            leads = not self._is_writing
            self._is_writing = True
        if leads:
            self._write_batch()
            with self._mutex:
                self._is_writing = bool(self._queue)
                if self._queue:
                    self._call()
        return write.future.result()

    def later(self, work: Callable[[Any], Any]) -> Future[Any]:
        """The work's result to be, or whatever it or the commit of its batch raised. What is to
        be done with it then is done by the thread that writes, so it must not wait for anything.
        """
        write = PendingWrite(work)
        with self._mutex:
            self._queue.append(write)
            if not self._is_writing:
                self._is_writing = True
                self._call()
        return write.future

    def take(self, *, everything: bool = False) -> list[PendingWrite]:
        """The batch to commit now, oldest first, at most so many works or `everything`. Called
        once the write lock is held, so that whatever arrived while it was waited for is carried
        along."""
        with self._mutex:
            count = len(self._queue) if everything else min(self._most, len(self._queue))
            self._batch = [self._queue.popleft() for _ in range(count)]
        return self._batch

    def _call(self) -> None:
        self._is_called = True
        if self._has_thread:
            self._called.notify()
        else:
            self._has_thread = True
            threading.Thread(target=self._write, name="writer", daemon=True).start()

    def _write(self) -> None:
        while self._is_wanted():
            self._write_batch()

    def _is_wanted(self) -> bool:
        """Waits for a write; returns False if there was none for so many seconds."""
        with self._mutex:
            if not self._is_called:
                if self._queue:
                    return True
                self._is_writing = False
                self._called.wait_for(lambda: self._is_called, self._idle_seconds)
            self._has_thread, self._is_called = self._is_called, False
            return self._has_thread

    def _write_batch(self) -> None:
        self._batch = []
        try:
            self._commit(self)
        except BaseException as error:
            for write in self._batch or self.take():
                write.error = error
        for write in self._batch:
            write.settle(self._described)
