"""gunicorn's threaded worker, which gives a request a thread only once all of it has come.

A client that sends slowly, or reads its answer slowly, costs a socket and a buffer here. Under
gunicorn's own worker it costs a thread, and as many such clients as there are threads stop it.
"""

import contextlib
import errno
import resource
import selectors
import socket
import threading
import time
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import (
    ChunkMissingTerminator,
    ConfigurationProblem,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
)
from gunicorn.workers import gthread

from server.connection import PIECE, Client
from server.deferred import ANSWER_DEFERRED, DEFERRED
from server.exchange import Exchange
from server.problems import CONTENT_TYPE, problem_body
from server.request_buffer import MAX_BODY, RequestBuffer, Stage
from server.security_headers import HEADERS
from server.timeout_queue import TimeoutQueue

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Open files that are not connections of clients: database, log, Pinterest.
_OTHER_FILES = 128
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_TOO_SLOW = "The request did not arrive in time."
_CUT = "The body is shorter than announced."
_NO_ROOM = "Too many requests are on their way."


class BufferingWorker(gthread.ThreadWorker):  # type: ignore[misc]
    """Receives requests whole and sends answers whole in its main loop; threads do the work."""

    # Everything of a request must have come by then, and everything of an answer have been read.
    request_seconds = 30.0
    answer_seconds = 60.0
    # So long and so much is still read of a client that was refused, or it would not see why.
    linger_seconds = 2.0
    linger_bytes = 2 * MAX_BODY
    # What all requests together may take up in memory before they are served.
    max_buffered = 64 * 1024 * 1024

    alive: bool

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = max(files - _OTHER_FILES, self.cfg.threads + 1)
        self.worker_connections: int = min(self.cfg.worker_connections, most)
        self.max_keepalived = self.worker_connections - self.cfg.threads
        self.buffered = 0
        self.shown_alive = 0.0

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what this worker cannot do.

        Raises:
            RuntimeError: it is to speak TLS or HTTP/2, which are the proxy's.
        """
        super().check_config(cfg, log)
        if cfg.is_ssl or "h2" in cfg.http_protocols:
            raise RuntimeError("TLS and HTTP/2 end at the proxy in front of this service.")

    def init_process(self) -> None:
        """Begin in the new process: here the main loop gets what it looks at."""
        self.tpool = self.get_thread_pool()
        self.poller = selectors.DefaultSelector()
        self.arriving = TimeoutQueue(self.poller, selectors.EVENT_READ, self.request_seconds)
        self.answering = TimeoutQueue(self.poller, selectors.EVENT_WRITE, self.answer_seconds)
        self.lingering = TimeoutQueue(self.poller, selectors.EVENT_READ, self.linger_seconds)
        self.method_queue.init()
        self.answers: list[tuple[Exchange, WSGIApplication]] = []
        self.answers_lock = threading.Lock()
        super(gthread.ThreadWorker, self).init_process()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait until there is something to do, and do it.

        What a flood brings takes longer than the arbiter waits for a sign of life.
        """
        registered = self.poller.get_map()
        for key, _ in self.poller.select(timeout):
            # Whoever had to go for somebody else meanwhile is not looked at any more.
            if registered.get(key.fd) is key:
                key.data(key.fileobj)
            if time.monotonic() >= self.shown_alive + 1:
                self.shown_alive = time.monotonic()
                self.notify()

    # --- Requests on their way

    def accept(self, listener: socket.socket) -> None:
        """Take a connection in, with what came along with it."""
        try:
            raw, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        raw.setblocking(False)
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self._receive(Client(self.cfg, raw, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Client, client: socket.socket) -> None:
        """A client that was idle begins its next request."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._receive(conn)

    def _receive(self, client: Client) -> None:
        try:
            piece = client.raw.recv(PIECE)
        except BlockingIOError:
            if client not in self.arriving:
                self.arriving.add(client, self._receive)
            return
        except OSError:
            self._drop(client)
            return
        if piece:
            self._take(client, piece)
        elif client.buffer.stage is Stage.BODY:
            self._refuse(client, 400, _CUT)
        else:
            self._drop(client)

    def _take(self, client: Client, piece: bytes) -> None:
        """Go on as what has come demands."""
        stage = client.buffer.stage
        self.buffered += len(piece)
        match client.buffer.add(piece):
            case Stage.WHOLE:
                self._serve(client)
            case Stage.HEAD_TOO_LARGE:
                self._refuse(client, 431, "The head of the request is too large.")
            case Stage.BODY_TOO_LARGE:
                self._refuse(client, 413, f"The body has at most {MAX_BODY} bytes.")
            case reached:
                if reached is not stage and client.buffer.expects_continue:
                    with contextlib.suppress(OSError):
                        client.sock.sendall(_CONTINUE)
                        client.sock.flush()
                if client not in self.arriving:
                    self.arriving.add(client, self._receive)
                if self.buffered > self.max_buffered:
                    self._make_room()

    def _serve(self, client: Client) -> None:
        if client in self.arriving:
            self.arriving.discard(client)
        client.served_bytes = len(client.buffer.data)
        client.sock.load(client.buffer.data)
        client.buffer = RequestBuffer()
        self.enqueue_req(client)

    def enqueue_req(self, conn: Client) -> None:
        """Have a thread see to a request."""
        self.tpool.submit(self.handle, conn).add_done_callback(partial(self._handled, conn))

    # --- In a thread

    def handle_request(self, req: Any, conn: Client) -> Any:
        """As gunicorn does it, with a body whose form was checked before anybody reads it."""
        # The body has come without being asked for, or its client was told to go on.
        req._expected_100_continue = False
        try:
            req.body = BytesIO(req.body.read())
        except NoMoreData:
            raise ChunkMissingTerminator(b"") from None
        self.cfg.pre_request(self, req)
        self._count_request()
        exchange = Exchange(self.cfg, self.log, req, conn)
        exchange.environ[ANSWER_DEFERRED] = partial(self._answer_later, exchange)
        try:
            if not exchange.run(self.wsgi, is_last=self._is_full):
                # The connection is the main loop's from here on, which may be answering by now.
                return DEFERRED
            conn.sock.flush()
            return exchange.keeps_alive
        except Exception:
            if exchange.has_sent_headers:
                # A second answer behind half of the first would only be taken for the rest of it.
                self.log.error("answer broken off")
                raise StopIteration from None
            raise
        finally:
            self.cfg.post_request(self, req, exchange.environ, exchange.response)

    def _keepalive_after(self, conn: Client, keepalive: Any) -> Any:
        return DEFERRED if keepalive is DEFERRED else super()._keepalive_after(conn, keepalive)

    def _count_request(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False

    @property
    def _is_full(self) -> bool:
        """Whether a client that is answered now cannot stay."""
        is_crowded = len(self.keepalived_conns) >= self.max_keepalived
        return is_crowded or not (self.alive and self.cfg.keepalive)

    def _handled(self, client: Client, future: "Future[Any]") -> None:
        if future.cancelled() or future.exception() is not None or future.result() is not DEFERRED:
            self.method_queue.defer(self.finish_request, client, future)

    def _answer_later(self, exchange: Exchange, answer: "WSGIApplication") -> None:
        """Called once the answer is known, by whichever thread knows it."""
        with self.answers_lock:
            self.answers.append((exchange, answer))
            is_first = len(self.answers) == 1
        if is_first:
            self.method_queue.defer(self._give_answers)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no request, or what failed, without repeating any of it."""
        match exc:
            case LimitRequestLine():
                status = 414
            case LimitRequestHeaders():
                status = 431
            case ParseException() if not isinstance(exc, ConfigurationProblem):
                # Of an unknown transfer coding too, which is the client's fault as much.
                status = 400
            case _:
                status = 500
                self.log.error("request failed: %s", type(exc).__name__)
        with contextlib.suppress(OSError):
            client.sendall(_refusal(status, "" if status == 500 else "This is not a request."))

    # --- Answers on their way

    def _give_answers(self) -> None:
        with self.answers_lock:
            answers, self.answers = self.answers, []
        for exchange, answer in answers:
            client = exchange.client
            try:
                exchange.run(answer, is_last=self._is_full)
                client.keep_alive = self._keepalive_after(client, exchange.keeps_alive)
            except OSError:
                client.keep_alive = False
            except Exception as error:
                client.keep_alive = False
                self.handle_error(None, client.sock, client.client, error)
            self._answered(client)

    def finish_request(self, conn: Client, fs: "Future[Any]") -> None:
        """A thread is done with a request."""
        failed = fs.cancelled() or fs.exception() is not None
        conn.keep_alive = not failed and fs.result() is True
        self._answered(conn)

    def _answered(self, client: Client) -> None:
        self.buffered -= client.served_bytes
        client.served_bytes = 0
        client.keep_alive = client.keep_alive and not client.sock.read_past_end
        self._send(client)

    def _send(self, client: Client) -> None:
        try:
            is_sent = client.sock.flush()
        except OSError:
            self._drop(client)
            return
        if not is_sent:
            if client not in self.answering:
                self.answering.add(client, self._send)
            return
        if client in self.answering:
            self.answering.discard(client)
        if client.keep_alive:
            self._go_on(client)
        else:
            self._end(client)

    def _go_on(self, client: Client) -> None:
        """Wait for the next request, or take it up if it has come with the last."""
        rest = client.parser.unreader.take_buffered() + client.sock.take_unread()
        if rest:
            self._take(client, rest)
            return
        client.set_timeout()
        if not self.alive:
            client.timeout = min(client.timeout, time.monotonic() + gthread.STOP_KEEPALIVE_LINGER)
        self.keepalived_conns.append(client)
        self.poller.register(
            client.raw, selectors.EVENT_READ, partial(self.on_client_socket_readable, client)
        )

    def _refuse(self, client: Client, status: int, detail: str) -> None:
        if client in self.arriving:
            self.arriving.discard(client)
        client.keep_alive = False
        with contextlib.suppress(OSError):
            client.sock.sendall(_refusal(status, detail))
        self._send(client)

    def _end(self, client: Client) -> None:
        """Say that nothing more comes, and let the client read that before the line is cut."""
        try:
            client.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(client)
            return
        self._forget(client)
        self.lingering.add(client, self._drain)

    def _drain(self, client: Client) -> None:
        try:
            piece = client.raw.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        client.drained_bytes += len(piece)
        if not piece or client.drained_bytes > self.linger_bytes:
            self._drop(client)

    # --- Clients that go

    def murder_pending(self) -> None:
        """Part with everybody who was waited for too long."""
        while client := self.arriving.overdue():
            self._give_up(client, 408, _TOO_SLOW)
        while client := self.answering.overdue() or self.lingering.overdue():
            self._drop(client)

    def _cap_keepalive(self, deadline: float) -> None:
        """Stopping: what has not begun to come by then will not be served."""
        super()._cap_keepalive(deadline)
        self.arriving.shorten(deadline)
        self.answering.shorten(deadline)

    def _make_room(self) -> bool:
        """Part with whoever has been waited for longest; whether there was anybody."""
        if client := self.lingering.oldest():
            self._drop(client)
        elif client := self.arriving.oldest():
            self._give_up(client, 503, _NO_ROOM)
        elif client := self.answering.oldest():
            self._drop(client)
        elif self.keepalived_conns:
            idle = self.keepalived_conns.popleft()
            self.poller.unregister(idle.raw)
            self._drop(idle)
        else:
            return False
        return True

    def _give_up(self, client: Client, status: int, detail: str) -> None:
        """Part with a client whose request did not come to its end; not a word to a silent one."""
        if client.buffer.data:
            with contextlib.suppress(OSError):
                client.sock.sendall(_refusal(status, detail))
                client.sock.flush()
        self._drop(client)

    def _drop(self, client: Client) -> None:
        for room in (self.arriving, self.answering, self.lingering):
            if client in room:
                room.discard(client)
        self._forget(client)
        self.nr_conns -= 1
        client.close()

    def _forget(self, client: Client) -> None:
        """Drop what has come of a request that will not be served."""
        self.buffered -= len(client.buffer.data)
        client.buffer = RequestBuffer()


def _refusal(status: int, detail: str) -> bytes:
    body = problem_body(status, HTTPStatus(status).phrase, detail)
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in HEADERS),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
