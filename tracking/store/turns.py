"""One commit for many waiting writers: the first to wait leads, the others are carried along.

A flush to disk costs more than all the statements of a webhook. While one leader flushes, the
requests that arrive queue up behind it, and the next leader commits all of them at once.
"""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any


class JointWork(ABC):
    """A work that can be written together with others of its kind, for less than each alone."""

    @abstractmethod
    def __call__(self, conn: Any) -> Any:
        """Carry it out alone."""

    @classmethod
    @abstractmethod
    def put(cls, conn: Any, works: Sequence[Any]) -> None:
        """Write works of this class in one statement, which is a transaction by itself."""

    @classmethod
    @abstractmethod
    def results(cls, conn: Any, works: Sequence[Any]) -> Sequence[Any]:
        """The result of each work just put, None for one that has to be carried out alone."""


class Ticket:
    """One writer's work and, once it was committed, its result or its error."""

    __slots__ = ("_waiting", "error", "is_done", "neighbour", "result", "work")

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self.neighbour: Ticket | None = None
        self._waiting = threading.Lock()
        self._waiting.acquire()

    def wait(self) -> None:
        """Until the work is done, or until it is this writer's turn to lead.

        Whoever wakes up wakes a neighbour: a crowd woken at once would only fight over the
        interpreter.
        """
        self._waiting.acquire()
        if self.neighbour is not None:
            self.neighbour.wake()

    def wake(self) -> None:
        self._waiting.release()


def kinds_of(tickets: Sequence[Ticket]) -> dict[type[JointWork], list[Ticket]]:
    """The joint works among the tickets, by their class."""
    kinds: dict[type[JointWork], list[Ticket]] = {}
    for ticket in tickets:
        if isinstance(ticket.work, JointWork):
            kinds.setdefault(type(ticket.work), []).append(ticket)
    return kinds


class Turns:
    """Queues writers and lets one at a time commit a batch.

    `commit(turns)` takes the lock that other processes respect, then the batch with `take()`,
    and fills in each ticket's result or error. What it raises is the error of every ticket of
    its batch.
    """

    def __init__(self, commit: Callable[["Turns"], None], most: int = 64) -> None:
        self._commit = commit
        self._most = most
        self._mutex = threading.Lock()
        self._queue: deque[Ticket] = deque()
        self._batch: list[Ticket] = []
        self._has_leader = False

    def run(self, work: Callable[[Any], Any]) -> Any:
        """The work's result, once it is committed.

        Raises:
            BaseException: whatever the work, or the commit of its batch, raised.
        """
        ticket = Ticket(work)
        with self._mutex:
            self._queue.append(ticket)
            leads = not self._has_leader
            self._has_leader = True
        if not leads:
            ticket.wait()
        if not ticket.is_done:
            self._lead(ticket)
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def take(self) -> list[Ticket]:
        """The batch to commit now. Called once the write lock is held, so that whoever arrived
        while the leader waited for it is carried along."""
        with self._mutex:
            count = min(self._most, len(self._queue))
            self._batch = [self._queue.popleft() for _ in range(count)]
        return self._batch

    def _lead(self, leader: Ticket) -> None:
        self._batch = []
        try:
            self._commit(self)
        except BaseException as error:
            for ticket in self._batch or self.take():
                ticket.error = error
        finally:
            self._hand_over([ticket for ticket in self._batch if ticket is not leader])

    def _hand_over(self, others: list[Ticket]) -> None:
        with self._mutex:
            heir = self._queue[0] if self._queue else None
            self._has_leader = heir is not None
        if heir is not None:
            heir.wake()
        for ticket, neighbour in zip_longest(others, others[1:]):
            ticket.neighbour = neighbour
            ticket.is_done = True
        if others:
            others[0].wake()
