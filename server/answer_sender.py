"""Answers on their way out: each is sent as fast as its client reads, without waiting."""

import contextlib
import socket
from collections.abc import Callable

from server.connection import PIECE, Client
from server.open_connections import OpenConnections
from server.refusals import refusal


class AnswerSender:
    """Sends answers, then closes the connection, or calls `keep` if it stays for more requests."""

    def __init__(self, connections: OpenConnections, keep: Callable[[Client], None]) -> None:
        self._connections = connections
        self._keep = keep

    def finish(self, client: Client) -> None:
        """Sends the rest of an answer whose request is served."""
        self._connections.release_served(client)
        client.keep_alive = client.keep_alive and not client.sock.read_past_end
        self._send(client)

    def refuse(self, client: Client, status: int, detail: str) -> None:
        """Sends a refusal and closes the connection."""
        client.keep_alive = False
        with contextlib.suppress(OSError):
            client.sock.sendall(refusal(status, detail))
        self._send(client)

    def _send(self, client: Client) -> None:
        try:
            is_sent = client.sock.flush()
        except OSError:
            self._connections.close(client)
            return
        if not is_sent:
            self._connections.answering.add(client, self._send)
            return
        self._connections.answering.discard(client)
        if client.keep_alive:
            self._keep(client)
        else:
            self._linger(client)

    def _linger(self, client: Client) -> None:
        """Ends the sending side only: an immediate close could discard the answer unread."""
        try:
            client.raw.shutdown(socket.SHUT_WR)
        except OSError:
            self._connections.close(client)
            return
        self._connections.release_unserved(client)
        self._connections.lingering.add(client, self._drain)

    def _drain(self, client: Client) -> None:
        """Discards what a client still sends, and closes the connection at its end."""
        try:
            piece = client.raw.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        client.drained_bytes += len(piece)
        if not piece or client.drained_bytes > self._connections.limits.linger_bytes:
            self._connections.close(client)
