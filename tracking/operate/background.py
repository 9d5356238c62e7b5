"""Runs the background workers of a process, a thread each."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from tracking.operate.error_lines import error_line
from tracking.store import StoreUnavailable


class Worker(Protocol):
    """Work that goes on until its `stop` is set."""

    @property
    def name(self) -> str: ...

    def run(self, stop: threading.Event) -> None: ...


class BackgroundWorkers:
    """Runs a thread for each worker, beside the serving threads of this process."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=worker.run, args=(self._stop,), name=worker.name, daemon=True)
            for worker in workers
        ]

    def start(self) -> None:
        """Starts every worker."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Stops the workers, and waits up to `timeout` seconds for their work in progress."""
        self._stop.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


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
