"""Requests on their way in: each is read without waiting, and served once it is whole."""

import contextlib
from collections.abc import Callable

from server.connection import PIECE, Client
from server.open_connections import OpenConnections
from server.request_buffer import MAX_BODY, RequestBuffer, Stage

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CUT = "The body is shorter than announced."


class RequestReceiver:
    """Reads from connections, and calls `serve` with the client of each whole request.

    It calls `refuse` with a status and a detail where no more of a request can be of use.
    """

    def __init__(
        self,
        connections: OpenConnections,
        serve: Callable[[Client], None],
        refuse: Callable[[Client, int, str], None],
    ) -> None:
        self._connections = connections
        self._serve = serve
        self._refuse = refuse

    def receive(self, client: Client) -> None:
        """Reads what has arrived on a connection."""
        try:
            piece = client.raw.recv(PIECE)
        except BlockingIOError:
            self._connections.receiving.add(client, self.receive)
            return
        except OSError:
            self._connections.close(client)
            return
        if piece:
            self.add(client, piece)
        elif client.buffer.stage is Stage.BODY:
            self._refuse_unread(client, 400, _CUT)
        else:
            self._connections.close(client)

    def add(self, client: Client, piece: bytes) -> None:
        """Adds a piece to a client's request, and does what the request then needs."""
        stage = client.buffer.stage
        self._connections.add_buffered(len(piece))
        match client.buffer.add(piece):
            case Stage.WHOLE:
                self._complete(client)
            case Stage.HEAD_TOO_LARGE:
                self._refuse_unread(client, 431, "The head of the request is too large.")
            case Stage.BODY_TOO_LARGE:
                self._refuse_unread(client, 413, f"The body has at most {MAX_BODY} bytes.")
            case reached:
                if reached is not stage and client.buffer.expects_continue:
                    _send_continue(client)
                self._connections.receiving.add(client, self.receive)
                if self._connections.is_memory_full:
                    self._connections.close_oldest()

    def _complete(self, client: Client) -> None:
        self._connections.receiving.discard(client)
        client.served_bytes = len(client.buffer.data)
        client.sock.load(client.buffer.data)
        client.has_length = client.buffer.has_length
        client.buffer = RequestBuffer()
        self._serve(client)

    def _refuse_unread(self, client: Client, status: int, detail: str) -> None:
        self._connections.receiving.discard(client)
        self._refuse(client, status, detail)


def _send_continue(client: Client) -> None:
    with contextlib.suppress(OSError):
        client.sock.sendall(_CONTINUE)
        client.sock.flush()
