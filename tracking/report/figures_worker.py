"""Keeps the figures of the reports up to date, in the background."""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from tracking.operate.background import outliving_errors

logger = logging.getLogger(__name__)

# The reports count by themselves what came since. Of several processes each looks in turn.
POLL_SECONDS = 10.0


class FiguresWriter(Protocol):
    """Writes figures step by step."""

    def restart(self) -> None:
        """Has the next steps make all figures anew."""

    def step(self) -> bool:
        """Writes the next figures; returns False if there was nothing to do."""


class FiguresWorker:
    """Has each writer write its figures, whenever there is something to do."""

    name = "figures"

    def __init__(self, *writers: FiguresWriter) -> None:
        self._writers = writers

    def restart(self) -> None:
        """Has all figures be made anew; until then the reports count the rows.

        Raises:
            StoreUnavailable: not all figures will be.
        """
        for writer in self._writers:
            writer.restart()

    def finish(self, tell: Callable[[], None] = lambda: None) -> None:
        """Writes all that is to be written; calls `tell` after each step.

        Raises:
            StoreUnavailable: the rest was not written.
        """
        for writer in self._writers:
            while writer.step():
                tell()

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Writes until `stop` is set."""
        while not stop.is_set():
            for writer in self._writers:
                self._write_safely(writer, stop)
            stop.wait(poll)

    def _write_safely(self, writer: FiguresWriter, stop: threading.Event) -> None:
        with outliving_errors(logger, "figures wait for the store", "figures were not written"):
            while not stop.is_set() and writer.step():
                pass
