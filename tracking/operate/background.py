"""Runs the background workers of a process, a thread each."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol


class Worker(Protocol):
    """Somebody who goes on until told to stop."""

    @property
    def name(self) -> str: ...

    def run(self, stop: threading.Event) -> None: ...


class Deliverers:
    """A thread for each worker, beside the serving threads of this process."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=each.run, args=(self._stop,), name=each.name, daemon=True)
            for each in workers
        ]

    def start(self) -> None:
        """Begin to deliver."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Begin nothing new, and wait a little for what is under way."""
        self._stop.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
