"""Turns by which a test sees that a thread that writes waits for the main loop."""

import threading

from tracking.store.engine.turns import Turns


class WatchedTurns(Turns):
    """Turns that tell when somebody waits for the loop."""

    def __init__(self, patience: float) -> None:
        super().__init__(patience)
        self.is_waited_for = threading.Event()

    def wait_for_loop(self) -> None:
        """Tell of it, and wait."""
        self.is_waited_for.set()
        super().wait_for_loop()
