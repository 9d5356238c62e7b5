"""gunicorn's threaded worker, which gives a request a thread only once all of it has arrived.

A client that sends slowly, or reads its answer slowly, costs a socket and a buffer here. Under
gunicorn's own worker it costs a thread, and as many such clients as there are threads stop it.
"""

import contextlib
import errno
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import ChunkMissingTerminator, NoMoreData
from gunicorn.workers import gthread

from server import request_ids
from server.answer_sender import AnswerSender
from server.at_once import AtOnce
from server.connection import Client
from server.deferred import ANSWER_DEFERRED, DEFERRED, MUST_NOT_WAIT
from server.deferred_answers import DeferredAnswers
from server.exchange import Exchange
from server.last_connections import accept_last, let_in
from server.loop_listener import NO_LISTENER, LoopListener
from server.method_queue import LastingMethodQueue
from server.open_connections import ConnectionLimits, OpenConnections
from server.refusals import refusal, status_of
from server.request_receiver import RequestReceiver
from server.side_threads import SideThreads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Open files that are not connections of clients: database, log, Pinterest.
_OTHER_FILES = 128


class BufferingWorker(gthread.ThreadWorker):  # type: ignore[misc]
    """Receives requests whole and sends answers whole in its main loop; threads do the work."""

    limits = ConnectionLimits()

    alive: bool

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = max(files - _OTHER_FILES, self.cfg.threads + 1)
        self.worker_connections: int = min(self.cfg.worker_connections, most)
        self.max_keepalived = self.worker_connections - self.cfg.threads
        self.notified_at = 0.0
        self.let_in_at = 0.0
        self.is_stopped = False
        self.has_left = False
        self.side_threads: SideThreads | None = None
        self.at_once = AtOnce()
        self.calls_at_stop: tuple[Callable[[], None], ...] = ()
        self.listener: LoopListener = NO_LISTENER
        self.method_queue = LastingMethodQueue()
        wake = partial(self.method_queue.defer, self._send_deferred)
        self.deferred_answers = DeferredAnswers(lambda: self.listener.wake(wake))

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuses TLS and HTTP/2, which this worker cannot serve.

        Raises:
            RuntimeError: the configuration asks for one of them.
        """
        super().check_config(cfg, log)
        if cfg.is_ssl or "h2" in cfg.http_protocols:
            raise RuntimeError("TLS and HTTP/2 end at the proxy in front of this service.")

    def init_process(self) -> None:
        """Puts the parts of the main loop together in the new process, and runs it."""
        self.tpool = self.get_thread_pool()
        self.poller = selectors.DefaultSelector()
        self.connections = OpenConnections(
            self.poller, self.limits, self.keepalived_conns, self._count_closed
        )
        self.sender = AnswerSender(self.connections, self._keep)
        self.receiver = RequestReceiver(self.connections, self.enqueue_req, self.sender.refuse)
        self.method_queue.init()
        super(gthread.ThreadWorker, self).init_process()

    def serve_aside(self, path: str, threads: int) -> None:
        """Has threads of their own serve the requests to a path, from now on."""
        self.side_threads = SideThreads(path.encode(), threads)

    def serve_at_once(self, longest: Mapping[str, int]) -> None:
        """Has the main loop itself serve requests to paths where the application says that it never
        waits, up to a size for each, from now on."""
        self.at_once = AtOnce(longest)

    def call_at_stop(self, calls: Iterable[Callable[[], None]]) -> None:
        """Has the main loop call these, which must not wait, as soon as the worker begins to stop:
        it still serves those who are connected."""
        self.calls_at_stop = tuple(calls)

    def report_to(self, listener: LoopListener) -> None:
        """Has the main loop report when it has nothing to do, and be woken in turn, from now on."""
        self.listener = listener

    # --- In the main loop

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Waits for events and calls their handlers.

        It notifies the arbiter in between: a flood of events takes longer than the arbiter waits.
        """
        registered = self.poller.get_map()
        for key, _ in self._next_events(timeout):
            # The handler of an earlier event may have closed this connection to make space.
            if registered.get(key.fd) is key:
                key.data(key.fileobj)
            if time.monotonic() >= self.notified_at + 1:
                self.notified_at = time.monotonic()
                self.notify()

    def _next_events(self, timeout: float) -> Iterable[tuple[selectors.SelectorKey, int]]:
        if events := self.poller.select(0):
            return events
        self.listener.report_idle()
        events = self.poller.select(timeout)
        self.listener.report_busy()
        return events

    def notify(self) -> None:
        """Notifies the arbiter, and makes sure every second that the kernel lets everybody in: a
        worker that was killed while it stopped cannot do so for the listener that all share."""
        super().notify()
        if self._accepting and time.monotonic() >= self.let_in_at + 1:
            self.let_in_at = time.monotonic()
            for listener in self.sockets:
                let_in(listener)

    def accept(self, listener: socket.socket) -> None:
        """Accepts a connection, and receives what arrived with it."""
        try:
            raw, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.connections.close_oldest()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self._add_client(raw, address, listener.getsockname())

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begins to stop, as the arbiter asks."""
        self.is_stopped = True
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begins or ceases to accept; a worker that ends gives its listeners up at once, and tells
        who is to know of it."""
        super().set_accept_enabled(enabled)
        if not self.alive and not self.has_left:
            self.has_left = True
            for call in self.calls_at_stop:
                call()
            for listener in self.sockets:
                self._leave(listener)

    def _leave(self, listener: Any) -> None:
        """Closes a listener, which the arbiter and the other workers keep, unless all stop.

        At once: whoever comes later is refused, and may come to another machine.
        """
        if not self.is_stopped:
            listener.close()
            return
        address = listener.getsockname()
        for raw, client_address in accept_last(listener):
            self._add_client(raw, client_address, address)

    def _add_client(self, raw: socket.socket, address: Any, server: Any) -> None:
        raw.setblocking(False)
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self.connections.close_oldest()
        self.receiver.receive(Client(self.cfg, raw, address, server))

    def on_client_socket_readable(self, conn: Client, client: socket.socket) -> None:
        """Receives the next request of an idle connection."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self.receiver.receive(conn)

    def enqueue_req(self, conn: Client) -> None:
        """Submits a whole request to the threads, or serves it where nothing is waited for."""
        # Many small chunks would take the parser long.
        conn.is_served_at_once = conn.has_length and self.at_once.takes(conn.sock.incoming)
        if conn.is_served_at_once:
            self._serve_at_once(conn)
            return
        side = self.side_threads
        threads = side if side and side.takes(conn.sock.incoming) else self.tpool
        threads.submit(self.handle, conn).add_done_callback(partial(self._handled, conn))

    def _serve_at_once(self, conn: Client) -> None:
        """Serves a request without a thread: to hand it over costs as much as most of its work."""
        result = self.handle(conn)
        if result is not DEFERRED:
            conn.keep_alive = result is True
            # Later, since the next request of this connection may have arrived as well.
            self.method_queue.defer(self.sender.finish, conn)

    def finish_request(self, conn: Client, fs: "Future[Any]") -> None:
        """Sends the answer of a request that its thread has served."""
        failed = fs.cancelled() or fs.exception() is not None
        conn.keep_alive = not failed and fs.result() is True
        self.sender.finish(conn)

    def _send_deferred(self) -> None:
        for exchange, answer in self.deferred_answers.take_all():
            with request_ids.Serving(exchange.request_id):
                self._send(exchange, answer)
            self.sender.finish(exchange.client)

    def _send(self, exchange: Exchange, answer: "WSGIApplication") -> None:
        client = exchange.client
        try:
            exchange.run(answer, self._is_full)
            client.keep_alive = self._keepalive_after(client, exchange.keeps_alive)
        except OSError:
            client.keep_alive = False
        except Exception as error:
            client.keep_alive = False
            self.handle_error(None, client.sock, client.client, error)

    def _keep(self, client: Client) -> None:
        """Waits for the next request, or receives it if it arrived together with the last."""
        unread = client.parser.unreader.take_buffered() + client.sock.take_unread()
        if unread:
            self.receiver.add(client, unread)
            return
        client.set_timeout()
        if not self.alive:
            client.timeout = min(client.timeout, time.monotonic() + gthread.STOP_KEEPALIVE_LINGER)
        self.keepalived_conns.append(client)
        self.poller.register(
            client.raw, selectors.EVENT_READ, partial(self.on_client_socket_readable, client)
        )

    def murder_keepalived(self, force: bool = False) -> None:
        """Closes the connections that were idle for too long. A process that was itself held up
        finds them so before it has seen what arrived meanwhile, so it looks once more."""
        idle = self.keepalived_conns
        if idle and not force and idle[0].timeout <= time.monotonic():
            self.wait_for_and_dispatch_events(0)
        super().murder_keepalived(force)

    def murder_pending(self) -> None:
        """Closes the connections whose clients were too slow."""
        self.connections.close_overdue()

    def _cap_keepalive(self, deadline: float) -> None:
        """While stopping, serves no request that has not begun to arrive by the deadline."""
        super()._cap_keepalive(deadline)
        self.connections.shorten_timeouts(deadline)

    def _count_closed(self) -> None:
        self.nr_conns -= 1

    # --- In a thread, or at once

    def handle(self, conn: Client) -> Any:
        """Serves a request as gunicorn does, with an id for all that is logged of it."""
        with request_ids.Serving(request_ids.new()):
            return super().handle(conn)

    def handle_request(self, req: Any, conn: Client) -> Any:
        """Serves a request as gunicorn does, after it has checked the form of the whole body."""
        # The body has arrived unasked, or its client was sent 100 Continue.
        req._expected_100_continue = False
        try:
            req.body = BytesIO(req.body.read())
        except NoMoreData:
            raise ChunkMissingTerminator(b"") from None
        self.cfg.pre_request(self, req)
        self._count_request()
        exchange = Exchange(self.cfg, self.log, req, conn)
        exchange.environ[ANSWER_DEFERRED] = partial(self.deferred_answers.add, exchange)
        exchange.environ[MUST_NOT_WAIT] = conn.is_served_at_once
        try:
            if not exchange.run(self.wsgi, self._is_full):
                # The main loop owns the connection from here on, and may be sending the answer.
                return DEFERRED
            conn.sock.flush()
            return exchange.keeps_alive
        except Exception:
            if exchange.has_sent_headers:
                # A client would take a second answer for the rest of the first.
                self.log.error("answer broken off")
                raise StopIteration from None
            raise
        finally:
            self.cfg.post_request(self, req, exchange.environ, exchange.response)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers a failed request, without repeating any of it."""
        status = status_of(exc)
        if status == 500:
            self.log.error("request failed: %s", type(exc).__name__)
        with contextlib.suppress(OSError):
            client.sendall(refusal(status, "" if status == 500 else "This is not a request."))

    def _keepalive_after(self, conn: Client, keepalive: Any) -> Any:
        return DEFERRED if keepalive is DEFERRED else super()._keepalive_after(conn, keepalive)

    def _count_request(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False

    def _is_full(self) -> bool:
        """True if a connection cannot stay open after its answer."""
        is_crowded = len(self.keepalived_conns) >= self.max_keepalived
        return is_crowded or not (self.alive and self.cfg.keepalive)

    def _handled(self, client: Client, future: "Future[Any]") -> None:
        if future.cancelled() or future.exception() is not None or future.result() is not DEFERRED:
            self.method_queue.defer(self.finish_request, client, future)
