"""A main loop by which a test sees that a thread that writes waits for it."""

import threading

from tracking.store.engine.main_loop import MainLoop


class WatchedLoop(MainLoop):
    """A main loop that tells when somebody waits for it."""

    def __init__(self, patience: float) -> None:
        super().__init__(patience)
        self.is_waited_for = threading.Event()

    def wait_until_idle(self) -> None:
        """Tell of it, and wait."""
        self.is_waited_for.set()
        super().wait_until_idle()
