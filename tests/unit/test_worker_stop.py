"""A worker that begins to stop."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.last_connections import keep_out
from server.worker import BufferingWorker
from tests.resting_worker import resting_worker

PATIENCE = 10.0


@pytest.fixture
def worker() -> Iterator[BufferingWorker]:
    with resting_worker() as made:
        yield made


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


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone keeps callers out of a listener")
def test_others_are_called_although_a_worker_was_killed_while_it_stopped(
    worker: BufferingWorker,
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        worker.sockets = [listener]
        worker.set_accept_enabled(True)
        # It had no time left to let anybody in.
        assert keep_out(listener)

        worker.notify()

        socket.create_connection(listener.getsockname(), PATIENCE).close()


def test_a_thread_that_ends_after_the_main_loop_writes_into_no_other_file(
    worker: BufferingWorker, tmp_path: Path
) -> None:
    worker.method_queue.init()
    worker.method_queue.close()
    opened = [tmp_path / "first", tmp_path / "second"]
    with opened[0].open("wb", buffering=0), opened[1].open("wb", buffering=0):
        worker.deferred_answers.add(None, None)  # type: ignore[arg-type]

    assert [path.read_bytes() for path in opened] == [b"", b""]
