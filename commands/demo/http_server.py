"""The HTTP server under the demo's stand-in for Pinterest."""

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request with its whole body."""

    method: str
    target: str
    headers: Message
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def is_test(self) -> bool:
        return parse_qs(urlsplit(self.target).query).get("test") == ["true"]


@dataclass(frozen=True)
class StandInReply:
    """The reply to a request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[ReceivedRequest], StandInReply]


class StandInHandler(BaseHTTPRequestHandler):
    """Serves the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "StandInServer"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: the stand-in keeps the calls itself."""

    def send(self, reply: StandInReply) -> None:
        """Sends the whole reply, as a well-behaved server does."""
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        request = ReceivedRequest(self.command, self.path, self.headers, body)
        self.send(self.server.respond(request))


class PromptServer(ThreadingHTTPServer):
    """Answers each connection in a thread of its own, and stops without waiting for a poll."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self._is_stopping = False
        self._stopped = threading.Event()
        super().__init__(("127.0.0.1", port), handler)

    def start(self, name: str) -> None:
        """Serves from a thread of its own until `shutdown`."""
        threading.Thread(target=self.serve_forever, name=name, daemon=True).start()

    def serve_forever(self, poll_interval: float = 0) -> None:
        """Serves until `shutdown`, without polling."""
        while not self._is_stopping:
            self.handle_request()
        self._stopped.set()

    def shutdown(self) -> None:
        """Stops serving."""
        self._is_stopping = True
        # Wakes the thread that waits for the next connection.
        socket.create_connection(("127.0.0.1", self.server_port)).close()
        self._stopped.wait()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Refuses the connections that come with the stop."""
        return not self._is_stopping


class StandInServer(PromptServer):
    """Listens on a loopback port, and can close every connection at once."""

    request_queue_size = 128

    def __init__(
        self, port: int, respond: Respond, handler: type[StandInHandler] = StandInHandler
    ) -> None:
        self.respond = respond
        self._connections: set[socket.socket] = set()
        super().__init__(port, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection and remembers it."""
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forgets a connection and closes it."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Reports an error of a connection, unless the client closed it."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def cut_connections(self) -> None:
        """Closes every open connection at once."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # The connection's own thread closed it first.
