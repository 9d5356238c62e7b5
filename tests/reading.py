"""The thread that reads Pinterest, for a while."""

import threading
import time
from collections.abc import Callable

from tracking.receive.pinterest.sync import PinterestSync

# On a machine that is busy with other things.
PATIENCE = 60.0


class Watch:
    """A deliverer's thread, for a while."""

    def __init__(self, reader: PinterestSync) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=reader.run, args=(self._stop, 0.01))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def until(holds: Callable[[], bool]) -> None:
    passed, end = threading.Event(), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if holds():
            return
        passed.wait(0.01)
    raise AssertionError("it did not come true")
