"""Clients that send what they like, when they like, and read when they please."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple

from tests.servers import PATIENCE, Server

POST = b"POST /webhooks/orders/create HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
# What each kind of slow client sends before it waits, and the window it reads through (0: usual).
SLOW = {
    "silent": (b"", 0),
    "half a head": (POST, 0),
    "half a body": (POST + b"Content-Length: 5000\r\n\r\nx", 0),
    "half a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nx", 0),
    "slow readers": (GET.replace(b"health", b"openapi.json") * 3, 2048),
}


class Answer(NamedTuple):
    """What a client was answered."""

    status: int
    headers: Message
    body: bytes


class Caller:
    """A client that sends what it likes, when it likes."""

    def __init__(self, server: Server, window: int = 0) -> None:
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def sends(self, *pieces: bytes) -> None:
        """Send each piece on its own; a server that hung up already is no error."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.socket.sendall(piece)

    def answer(self) -> Answer:
        """The next answer; of what comes behind it nothing is lost."""
        status = int(self._file.readline().split()[1])
        headers = http.client.parse_headers(self._file)
        return Answer(status, headers, self._file.read(int(headers["Content-Length"])))

    def rest(self) -> bytes:
        """Everything until the server hangs up."""
        found = bytearray()
        with contextlib.suppress(ConnectionError):
            while piece := self._file.read1(65_536):
                found += piece
        return bytes(found)


@contextlib.contextmanager
def crowd(server: Server, count: int, sends: bytes, window: int = 0) -> Iterator[list[Caller]]:
    """Many clients that send so much and wait."""
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(Caller(server, window)) for _ in range(count)]
        for caller in callers:
            caller.sends(sends)
        yield callers
