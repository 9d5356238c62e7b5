"""Answers that arrive from any thread after their requests have left theirs."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from server.exchange import Exchange

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class DeferredAnswers:
    """A queue that calls `wake` once for all the answers added since it was last emptied."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._answers: list[tuple[Exchange, WSGIApplication]] = []

    def add(self, exchange: Exchange, answer: "WSGIApplication") -> None:
        """Adds the answer to an exchange; any thread may call this."""
        with self._lock:
            self._answers.append((exchange, answer))
            is_first = len(self._answers) == 1
        if is_first:
            self._wake()

    def take_all(self) -> "list[tuple[Exchange, WSGIApplication]]":
        """Removes and returns the answers in the order of their arrival."""
        with self._lock:
            answers, self._answers = self._answers, []
        return answers
