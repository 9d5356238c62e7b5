"""The main loop of a server, as the threads that write know it: they take turns with it.

While both want the interpreter, each waits for the other at every call of the system, and the lock
of the database is held meanwhile. So a batch begins when the loop has received all that arrived,
and the loop is woken when all of a batch can be answered.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A loop that always has something to do must not keep batches from being written.
_PATIENCE_SECONDS = 0.005


class MainLoop:
    """The main loop of one process. Where none reports, nobody waits.

    A batch waits for `patience` seconds at most.
    """

    def __init__(self, patience: float = _PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._loop_is_idle = threading.Event()
        self._loop_is_idle.set()
        self._answering = threading.local()

    def report_busy(self) -> None:
        """The loop reports that it has something to do."""
        self._loop_is_idle.clear()

    def report_idle(self) -> None:
        """The loop reports that it has nothing to do."""
        self._loop_is_idle.set()

    def wait_until_idle(self) -> None:
        """Waits until the loop has nothing to do, or patience ends."""
        self._loop_is_idle.wait(self._patience)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Has the calls that this thread makes by `wake` wait until the end; each is made once."""
        calls: set[Callable[[], None]] = set()
        self._answering.calls = calls
        try:
            yield
        finally:
            self._answering.calls = None
            for call in calls:
                call()

    def wake(self, call: Callable[[], None]) -> None:
        """Makes a call that wakes the loop, now or once this thread has given all its answers."""
        calls = getattr(self._answering, "calls", None)
        if calls is None:
            call()
        else:
            calls.add(call)
