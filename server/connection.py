"""A connection with buffers for both directions, so that no thread waits for the client."""

import socket
from typing import Any

from gunicorn.workers import gthread

from server.request_buffer import RequestBuffer

PIECE = 64 * 1024


class BufferedSocket:
    """The socket that gunicorn's parser reads from and writes to. It never waits for the client.

    Reads return bytes that have arrived; writes keep the bytes that the client does not take yet.
    """

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.incoming: bytes | bytearray = b""
        self.unsent = bytearray()
        # True once the parser wanted more than had arrived: it disagrees on where the request ends.
        self.read_past_end = False
        self._read = 0

    def load(self, data: bytes | bytearray) -> None:
        """Makes the bytes of a request readable."""
        self.incoming, self._read = data, 0

    def take_unread(self) -> bytes:
        """Removes and returns the bytes that were not read."""
        unread = bytes(self.incoming[self._read :])
        self.load(b"")
        return unread

    def recv(self, size: int) -> bytes:
        """Returns up to `size` bytes; none after the last, as a socket at the end of its input."""
        piece = bytes(self.incoming[self._read : self._read + size])
        self._read += len(piece)
        self.read_past_end |= not piece
        return piece

    def sendall(self, data: bytes) -> None:
        """Sends what the client takes now, and keeps the rest; small pieces are sent together.

        Raises:
            OSError: the connection is broken.
        """
        self.unsent += data
        if len(self.unsent) >= PIECE:
            self.flush()

    def send(self, data: bytes) -> int:
        """Sends or keeps all of the data, and returns its size."""
        self.sendall(data)
        return len(data)

    def flush(self) -> bool:
        """Sends what the client takes of the kept bytes. Returns True if none are left.

        Raises:
            OSError: the connection is broken.
        """
        while self.unsent:
            try:
                sent = self.raw.send(self.unsent)
            except BlockingIOError:
                return False
            del self.unsent[:sent]
        return True

    def fileno(self) -> int:
        """Returns the file descriptor."""
        return self.raw.fileno()

    # gunicorn calls these as on any socket. The main loop of the worker closes the connection.

    def setblocking(self, flag: bool) -> None:
        """Has no effect: the socket never blocks."""

    def settimeout(self, seconds: float | None) -> None:
        """Has no effect: the socket never blocks."""

    def shutdown(self, how: int) -> None:
        """Has no effect: the worker closes the connection."""

    def close(self) -> None:
        """Has no effect: the worker closes the connection."""


class Client(gthread.TConn):  # type: ignore[misc]
    """A client's connection, with the state of its request and its answer."""

    sock: BufferedSocket

    def __init__(self, cfg: Any, raw: socket.socket, address: Any, server: Any) -> None:
        super().__init__(cfg, BufferedSocket(raw), address, server)
        self.raw = raw
        self.buffer = RequestBuffer()
        self.deadline = 0.0
        self.drained_bytes = 0
        self.keep_alive = False
        # The body of the request is not in chunks.
        self.has_length = False
        # The main loop serves the request itself.
        self.is_served_at_once = False
        # The size of the request that a thread serves; it counts as buffered until it is answered.
        self.served_bytes = 0
        # gunicorn's handler would otherwise wait for the first byte.
        self.data_ready = True

    def close(self, graceful: bool = False) -> None:
        """Closes the connection at once, without gunicorn's wait for the client."""
        self.raw.close()
