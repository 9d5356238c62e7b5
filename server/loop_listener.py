"""The turns that the main loop takes with the threads that write, whose results it waits for."""

from collections.abc import Callable
from typing import Protocol


class LoopTurns(Protocol):
    """The turns as the main loop takes them."""

    def loop_works(self) -> None:
        """The loop reports that it has something to do."""

    def loop_waits(self) -> None:
        """The loop reports that it has nothing to do."""

    def wake(self, call: Callable[[], None]) -> None:
        """Makes a call that wakes the loop, now or once this thread has given all its answers."""


class _NoTurns:
    """The turns of a loop beside which nobody writes."""

    def loop_works(self) -> None:
        pass

    def loop_waits(self) -> None:
        pass

    def wake(self, call: Callable[[], None]) -> None:
        call()


NO_TURNS = _NoTurns()
