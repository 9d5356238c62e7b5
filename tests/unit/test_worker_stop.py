"""A worker that begins to stop."""

import os
from collections.abc import Iterator

import pytest
from gunicorn.config import Config

from server.worker import BufferingWorker


@pytest.fixture
def worker() -> Iterator[BufferingWorker]:
    """A worker that does not run, without a socket."""
    made = BufferingWorker(1, os.getpid(), [], None, 30, Config(), None)
    yield made
    made.tmp.close()


def test_who_waits_for_a_stop_is_told_once_as_soon_as_it_begins(worker: BufferingWorker) -> None:
    told: list[str] = []
    worker.call_at_stop([lambda: told.append("deliverers")])
    worker.set_accept_enabled(True)
    # Too many connections are no stop.
    worker.set_accept_enabled(False)
    assert told == []

    worker.alive = False
    worker.set_accept_enabled(False)
    worker.set_accept_enabled(False)
    assert told == ["deliverers"]
