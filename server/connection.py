"""A connection that nobody waits for: what came over it, what is to go out, and until when."""

import socket
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
        self.read_past_end = False
        self._read = 0

    def load(self, data: bytes | bytearray) -> None:
        """Put a request there to be read."""
        self.incoming, self._read = data, 0

    def take_unread(self) -> bytes:
        """What was not read, taken away."""
        rest = bytes(self.incoming[self._read :])
        self.load(b"")
        return rest

    def recv(self, most: int) -> bytes:
        """As a socket does it, whose client sends no more than it has sent."""
        piece = bytes(self.incoming[self._read : self._read + most])
        self._read += len(piece)
        self.read_past_end |= not piece
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
        self.buffer = RequestBuffer()
        self.deadline = 0.0
        self.drained_bytes = 0
        self.keep_alive = False
        # What its thread has in hand counts until it is answered.
        self.served_bytes = 0
        # gunicorn's handler would wait for the first byte otherwise.
        self.data_ready = True

    def close(self, graceful: bool = False) -> None:
        """Cut the line. Whoever is to read to the end first was left to linger before."""
        self.raw.close()
