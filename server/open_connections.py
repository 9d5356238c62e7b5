"""The open connections of a worker: how long each may wait, and how many and how much fit."""

import contextlib
import selectors
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from server.connection import Client
from server.refusals import refusal
from server.request_buffer import MAX_BODY, RequestBuffer
from server.timeout_queue import TimeoutQueue

_TOO_SLOW = "The request did not arrive in time."
_TOO_MANY = "Too many requests are on their way."


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The longest waits in seconds, and the most bytes, of one worker."""

    # A whole request must have arrived by then, and a whole answer have been read.
    request_seconds: float = 30.0
    answer_seconds: float = 60.0
    # A refused client that is still sending would not see its answer without this.
    linger_seconds: float = 2.0
    linger_bytes: int = 2 * MAX_BODY
    # All requests together, before they are served.
    buffered_bytes: int = 64 * 1024 * 1024


class OpenConnections:
    """The connections that the main loop waits for, and the memory that their requests take up.

    `idle` holds the connections between two requests, whose timeouts are gunicorn's. `on_close` is
    called for each connection that is closed here.
    """

    def __init__(
        self,
        poller: selectors.BaseSelector,
        limits: ConnectionLimits,
        idle: deque[Client],
        on_close: Callable[[], None],
    ) -> None:
        self.limits = limits
        self.receiving = TimeoutQueue(poller, selectors.EVENT_READ, limits.request_seconds)
        self.answering = TimeoutQueue(poller, selectors.EVENT_WRITE, limits.answer_seconds)
        self.lingering = TimeoutQueue(poller, selectors.EVENT_READ, limits.linger_seconds)
        self._poller = poller
        self._idle = idle
        self._on_close = on_close
        self._buffered = 0

    # --- Memory

    def add_buffered(self, size: int) -> None:
        """Counts bytes that have arrived of a request."""
        self._buffered += size

    def release_served(self, client: Client) -> None:
        """Stops counting the request that a thread has served."""
        self._buffered -= client.served_bytes
        client.served_bytes = 0

    def release_unserved(self, client: Client) -> None:
        """Discards the bytes of a request that will not be served."""
        self._buffered -= len(client.buffer.data)
        client.buffer = RequestBuffer()

    @property
    def is_memory_full(self) -> bool:
        """True if the requests together take up more memory than allowed."""
        return self._buffered > self.limits.buffered_bytes

    # --- Timeouts

    def close_overdue(self) -> None:
        """Closes every connection whose deadline has passed."""
        while client := self.receiving.overdue():
            self._abort(client, 408, _TOO_SLOW)
        while client := self.answering.overdue() or self.lingering.overdue():
            self.close(client)

    def shorten_timeouts(self, deadline: float) -> None:
        """Waits for requests and for readers of answers no longer than until the deadline."""
        self.receiving.shorten(deadline)
        self.answering.shorten(deadline)

    # --- Closing

    def close_oldest(self) -> None:
        """Closes one connection to make space for another.

        An answered one goes first, then one whose request is arriving, then one whose answer is
        being sent, then an idle one; of several the one that has waited longest.
        """
        if client := self.lingering.oldest():
            self.close(client)
        elif client := self.receiving.oldest():
            self._abort(client, 503, _TOO_MANY)
        elif client := self.answering.oldest():
            self.close(client)
        elif self._idle:
            idle = self._idle.popleft()
            self._poller.unregister(idle.raw)
            self.close(idle)

    def close(self, client: Client) -> None:
        """Closes a connection at once."""
        for queue in (self.receiving, self.answering, self.lingering):
            queue.discard(client)
        self.release_unserved(client)
        self._on_close()
        client.close()

    def _abort(self, client: Client, status: int, detail: str) -> None:
        """Closes a connection in the middle of a request; a silent client gets no answer."""
        if client.buffer.data:
            with contextlib.suppress(OSError):
                client.sock.sendall(refusal(status, detail))
                client.sock.flush()
        self.close(client)
