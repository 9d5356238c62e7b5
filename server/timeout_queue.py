"""Connections that are waited for equally long."""

import selectors
import time
from collections.abc import Callable

from server.connection import Client


class TimeoutQueue:
    """Clients that are waited for, all for equally long: whoever came first has to go first."""

    def __init__(self, poller: selectors.BaseSelector, event: int, seconds: float) -> None:
        self._poller = poller
        self._event = event
        self._seconds = seconds
        self._clients: dict[Client, None] = {}

    def __contains__(self, client: Client) -> bool:
        return client in self._clients

    def add(self, client: Client, called: Callable[[Client], None]) -> None:
        """Wait for a client, at most so long; `called` once there is something to do."""
        client.deadline = time.monotonic() + self._seconds
        self._clients[client] = None
        self._poller.register(client.raw, self._event, lambda _: called(client))

    def discard(self, client: Client) -> None:
        """Wait no longer."""
        del self._clients[client]
        self._poller.unregister(client.raw)

    def oldest(self) -> Client | None:
        """Who waits for longest."""
        return next(iter(self._clients), None)

    def overdue(self) -> Client | None:
        """Who waits for longest, if that is too long."""
        client = self.oldest()
        is_late = client is not None and client.deadline <= time.monotonic()
        return client if is_late else None

    def shorten(self, deadline: float) -> None:
        """Let nobody wait beyond a moment."""
        for client in self._clients:
            client.deadline = min(client.deadline, deadline)
