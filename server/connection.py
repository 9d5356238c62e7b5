"""A connection that nobody waits for: what came over it, what is to go out, and until when."""

import selectors
import socket
import time
from collections.abc import Callable
from typing import Any

from gunicorn.workers import gthread

from server.request_buffer import RequestBuffer

PIECE = 64 * 1024


class BufferedSocket:
    """A connection as the thread that serves it sees it. Nothing here waits for the client.

    What is read has come already; what the client does not take at once is kept for later.
    """

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.incoming: bytes | bytearray = b""
        self.unsent = bytearray()
        # Whether more was asked for than had come: the parser and we disagree on where it ends.
        self.starved = False
        self._read = 0

    def give(self, data: bytes | bytearray) -> None:
        """Put a request there to be read."""
        self.incoming, self._read = data, 0

    def rest(self) -> bytes:
        """What was not read, taken away."""
        rest = bytes(self.incoming[self._read :])
        self.give(b"")
        return rest

    def recv(self, most: int) -> bytes:
        """As a socket does it, whose client sends no more than it has sent."""
        piece = bytes(self.incoming[self._read : self._read + most])
        self._read += len(piece)
        self.starved |= not piece
        return piece

    def sendall(self, data: bytes) -> None:
        """As a socket does it, without waiting. What is little goes with what follows.

        Raises:
            OSError: the client is gone.
        """
        self.unsent += data
        if len(self.unsent) >= PIECE:
            self.flush()

    def send(self, data: bytes) -> int:
        """As a socket does it, without waiting."""
        self.sendall(data)
        return len(data)

    def flush(self) -> bool:
        """Send what the client takes of what was kept; whether nothing is left.

        Raises:
            OSError: the client is gone.
        """
        while self.unsent:
            try:
                sent = self.raw.send(self.unsent)
            except BlockingIOError:
                return False
            del self.unsent[:sent]
        return True

    def fileno(self) -> int:
        """What the system knows the connection by."""
        return self.raw.fileno()

    # gunicorn switches, ends and closes what it takes for a socket. The worker does it, in time.

    def setblocking(self, flag: bool) -> None:
        """Never waits, whatever is asked."""

    def settimeout(self, seconds: float | None) -> None:
        """Never waits, whatever is asked."""

    def shutdown(self, how: int) -> None:
        """The end is the worker's to make."""

    def close(self) -> None:
        """The end is the worker's to make."""


class Client(gthread.TConn):  # type: ignore[misc]
    """A connection, and what is on its way over it."""

    sock: BufferedSocket

    def __init__(self, cfg: Any, raw: socket.socket, address: Any, server: Any) -> None:
        super().__init__(cfg, BufferedSocket(raw), address, server)
        self.raw = raw
        self.arrival = RequestBuffer()
        self.deadline = 0.0
        self.drained = 0
        self.keep = False
        # What its thread has in hand counts until it is answered.
        self.in_hand = 0
        # gunicorn's handler would wait for the first byte otherwise.
        self.data_ready = True

    def close(self, graceful: bool = False) -> None:
        """Cut the line. Whoever is to read to the end first was left to linger before."""
        self.raw.close()


class TimeoutQueue:
    """Clients that are waited for, all for equally long: whoever came first has to go first."""

    def __init__(self, poller: selectors.BaseSelector, event: int, seconds: float) -> None:
        self._poller = poller
        self._event = event
        self._seconds = seconds
        self._clients: dict[Client, None] = {}

    def __contains__(self, client: Client) -> bool:
        return client in self._clients

    def enter(self, client: Client, called: Callable[[Client], None]) -> None:
        """Wait for a client, at most so long; `called` once there is something to do."""
        client.deadline = time.monotonic() + self._seconds
        self._clients[client] = None
        self._poller.register(client.raw, self._event, lambda _: called(client))

    def leave(self, client: Client) -> None:
        """Wait no longer."""
        del self._clients[client]
        self._poller.unregister(client.raw)

    def first(self) -> Client | None:
        """Who waits for longest."""
        return next(iter(self._clients), None)

    def late(self) -> Client | None:
        """Who waits for longest, if that is too long."""
        client = self.first()
        is_late = client is not None and client.deadline <= time.monotonic()
        return client if is_late else None

    def hurry(self, deadline: float) -> None:
        """Let nobody wait beyond a moment."""
        for client in self._clients:
            client.deadline = min(client.deadline, deadline)
