"""Runs the background workers of a process, a thread each."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tracking.operate.error_lines import error_line
from tracking.store import StoreUnavailable

# A little less than gunicorn and Docker wait before they kill a process that is asked to stop.
LONGEST_STOP = 9.0


class Worker(Protocol):
    """Work that goes on until its `stop` is set."""

    @property
    def name(self) -> str: ...

    def run(self, stop: threading.Event) -> None: ...


class BackgroundWorkers:
    """Runs a thread for each worker, beside the serving threads of this process.

    From the moment when they are asked to stop, their work in progress has `stop_seconds`.
    """

    def __init__(self, workers: Sequence[Worker], stop_seconds: float = 5.0) -> None:
        self._stop = threading.Event()
        self._stop_seconds = stop_seconds
        self._ends_at = 0.0
        self._threads = [
            threading.Thread(target=worker.run, args=(self._stop,), name=worker.name, daemon=True)
            for worker in workers
        ]

    def start(self) -> None:
        """Starts every worker."""
        for thread in self._threads:
            thread.start()

    def begin_stop(self) -> None:
        """Asks the workers to stop, and does not wait."""
        if not self._stop.is_set():
            self._ends_at = time.monotonic() + self._stop_seconds
            self._stop.set()

    def stop(self) -> None:
        """Stops the workers, and waits for their work in progress."""
        self.begin_stop()
        for thread in self._threads:
            thread.join(max(0.0, self._ends_at - time.monotonic()))


def stop_all(groups: Sequence[BackgroundWorkers]) -> None:
    """Asks all groups to stop, and then waits for one after the other."""
    for group in groups:
        group.begin_stop()
    for group in groups:
        group.stop()


@contextmanager
def outliving_errors(logger: logging.Logger, waits: str, fails: str) -> Iterator[None]:
    """Ends a piece of work at its first error, which is logged, as its thread must outlive it.

    An error of the store is logged after the words `waits`, any other one after `fails` and without
    its text, which may be personal data.
    """
    try:
        yield
    except StoreUnavailable as error:
        logger.log(error.level(logging.WARNING), "%s: %s", waits, error)
    except Exception as error:
        logger.error("%s: %s", fails, error_line(error))
