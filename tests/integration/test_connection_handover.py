"""Who has a connection: the main loop, or the one thread that serves its request."""

import selectors
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from server.connection import Client
from server.deferred import DEFERRED, MUST_NOT_WAIT
from server.open_connections import OpenConnections
from server.request_receiver import RequestReceiver
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


@pytest.mark.parametrize(("has_length", "is_at_once"), [(True, True), (False, False)])
def test_the_main_loop_serves_an_order_itself_unless_its_body_is_in_chunks(
    worker: BufferingWorker, client: Client, has_length: bool, is_at_once: bool
) -> None:
    served: list[tuple[object, bool]] = []

    def app(environ: "WSGIEnvironment", start_response: object) -> object:
        in_main_loop = threading.current_thread() is threading.main_thread()
        served.append((environ[MUST_NOT_WAIT], in_main_loop))
        return DEFERRED

    worker.wsgi = app
    worker.tpool = worker.get_thread_pool()
    worker.serve_at_once({"/webhooks/orders/create": 64_000})
    client.has_length = has_length
    worker.enqueue_req(client)
    worker.tpool.shutdown()

    assert served == [(is_at_once, is_at_once)]


def test_a_request_that_came_while_the_worker_itself_was_held_up_is_served(
    worker: BufferingWorker,
) -> None:
    begun: list[Client] = []
    ours, theirs = socket.socketpair()
    with ours, theirs, selectors.DefaultSelector() as worker.poller:
        worker.connections = OpenConnections(
            worker.poller, worker.limits, worker.keepalived_conns, lambda: None
        )
        worker.receiver = RequestReceiver(
            worker.connections, begun.append, lambda client, status, detail: None
        )
        client = Client(worker.cfg, ours, ("127.0.0.1", 1), ("127.0.0.1", 8000))
        client.init()
        worker._keep(client)
        theirs.sendall(REQUEST)
        client.timeout = 0.0

        worker.murder_keepalived()

    assert begun == [client]
