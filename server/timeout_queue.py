"""A queue of connections that wait equally long, so that the oldest is always due first."""

import selectors
import time
from collections.abc import Callable

from server.connection import Client


class TimeoutQueue:
    """Clients in the order in which they were added, which is that of their deadlines."""

    def __init__(self, poller: selectors.BaseSelector, event: int, seconds: float) -> None:
        self._poller = poller
        self._event = event
        self._seconds = seconds
        self._clients: dict[Client, None] = {}

    def add(self, client: Client, ready: Callable[[Client], None]) -> None:
        """Calls `ready` on each event of the client; a client in the queue keeps its deadline."""
        if client in self._clients:
            return
        client.deadline = time.monotonic() + self._seconds
        self._clients[client] = None
        self._poller.register(client.raw, self._event, lambda _: ready(client))

    def discard(self, client: Client) -> None:
        """Removes a client, if it is in the queue."""
        if client in self._clients:
            del self._clients[client]
            self._poller.unregister(client.raw)

    def oldest(self) -> Client | None:
        """Returns the client that has waited longest."""
        return next(iter(self._clients), None)

    def overdue(self) -> Client | None:
        """Returns the client that has waited longest, if its deadline has passed."""
        client = self.oldest()
        is_overdue = client is not None and client.deadline <= time.monotonic()
        return client if is_overdue else None

    def shorten(self, deadline: float) -> None:
        """Moves every later deadline to this one, in seconds of the monotonic clock."""
        for client in self._clients:
            client.deadline = min(client.deadline, deadline)
