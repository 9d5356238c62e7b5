"""What the main loop tells the threads that write, so that they take turns with it."""

from collections.abc import Callable
from typing import Protocol


class Turns(Protocol):
    """The turns of the main loop with the threads whose results it waits for."""

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
