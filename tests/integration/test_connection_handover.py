"""Once an answer is to come later, the connection is the main loop's and nobody else's."""

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from server.connection import Client
from server.deferred import DEFERRED
from server.worker import BufferingWorker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REQUEST = b"POST /webhooks/orders/create HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\n{}"


class Forbidden:
    """A connection that must not be touched."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the thread used {name} of a connection that it had handed over")


@pytest.fixture
def worker() -> Iterator[BufferingWorker]:
    """A worker that was not started: what its threads do is done here by hand."""
    cfg = Config()
    worker = BufferingWorker(0, 0, [], None, 30, cfg, Logger(cfg))
    yield worker
    worker.tmp.close()


@pytest.fixture
def client(worker: BufferingWorker) -> Iterator[Client]:
    """A client whose request has come."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = Client(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 8000))
        client.sock.load(REQUEST)
        yield client


def test_a_thread_does_not_touch_a_connection_it_has_handed_over(
    worker: BufferingWorker, client: Client
) -> None:
    def app(environ: "WSGIEnvironment", start_response: object) -> object:
        client.sock = client.parser = Forbidden()  # type: ignore[assignment]
        return DEFERRED

    worker.wsgi = app
    assert worker.handle(client) is DEFERRED
