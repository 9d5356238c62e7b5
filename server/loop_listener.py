"""Whoever the main loop reports to, so that others do not slow it down while it is busy."""

from collections.abc import Callable
from typing import Protocol


class LoopListener(Protocol):
    """Hears whether the main loop has something to do, and wakes it in its own time."""

    def report_busy(self) -> None:
        """The loop reports that it has something to do."""

    def report_idle(self) -> None:
        """The loop reports that it has nothing to do."""

    def wake(self, call: Callable[[], None]) -> None:
        """Makes a call that wakes the loop, now or once this thread has given all its answers."""


class _NoListener:
    """Hears nothing, and wakes the loop at once."""

    def report_busy(self) -> None:
        pass

    def report_idle(self) -> None:
        pass

    def wake(self, call: Callable[[], None]) -> None:
        call()


NO_LISTENER = _NoListener()
