"""A worker of the server whose main loop does not run."""

import os
import selectors
from collections.abc import Iterator
from contextlib import contextmanager

from gunicorn.config import Config

from server.worker import BufferingWorker


@contextmanager
def resting_worker() -> Iterator[BufferingWorker]:
    """Yields a worker that does not run, without a socket."""
    made = BufferingWorker(1, os.getpid(), [], None, 30, Config(), None)
    made.poller = selectors.DefaultSelector()
    yield made
    made.poller.close()
    made.tmp.close()
