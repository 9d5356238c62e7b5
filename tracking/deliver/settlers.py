"""When a call that was answered is settled: at once, or while the next one is made."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Protocol


class Settler(Protocol):
    """Settles the events of calls that were answered."""

    def settle(self, work: Callable[[], None]) -> None:
        """Settles a call, now or while the next one is made."""

    def begin(self) -> None:
        """Begins to settle what is left for now; the next call is about to be made."""

    def wait(self) -> None:
        """Returns once every call is settled."""


class SettlesAtOnce:
    """Settles each call before the next one is made."""

    def settle(self, work: Callable[[], None]) -> None:
        """Settles a call."""
        work()

    def begin(self) -> None:
        """Does nothing."""

    def wait(self) -> None:
        """Returns at once."""


class SettlesMeanwhile:
    """Settles a call in another thread while the next one is made, and no more than one.

    A process that dies leaves the events of two calls to those who claim them next, under the same
    ids, instead of those of one.
    """

    def __init__(self, thread: Executor) -> None:
        self._thread = thread
        self._next: Callable[[], None] | None = None
        self._last: Future[None] | None = None

    def settle(self, work: Callable[[], None]) -> None:
        """Settles a call from `begin` on, once the one before it is settled.

        Raises:
            StoreUnavailable: the one before it is not; its lease ends by itself.
        """
        self.begin()
        last, self._last, self._next = self._last, None, work
        if last is not None:
            last.result()

    def begin(self) -> None:
        """Begins to settle the last call."""
        if self._next is not None:
            self._last, self._next = self._thread.submit(self._next), None

    def wait(self) -> None:
        """Returns once the last call is settled.

        Raises:
            StoreUnavailable: it is not; its lease ends by itself.
        """
        self.begin()
        last, self._last = self._last, None
        if last is not None:
            last.result()
