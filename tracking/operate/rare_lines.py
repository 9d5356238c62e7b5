"""Lets the same line into the log once a minute.

One for each refused request would fill the disk and hide all others.
"""

import logging
import threading
import time
from collections.abc import Callable

EVERY_SECONDS = 60.0
# Texts that are remembered. Errors have few.
_MOST_REMEMBERED = 100


class RareLines:
    """Logs a text at once, and then at most once a minute, with the number of times that it was
    left out."""

    def __init__(
        self, logger: logging.Logger, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        # The instant at which each text may be logged again, and how often it was left out.
        self._texts: dict[str, tuple[float, int]] = {}

    def log(self, level: int, text: str) -> None:
        """Logs a text, unless it was logged within the last minute."""
        now = self._monotonic()
        with self._mutex:
            again_at, left_out = self._texts.get(text, (now, 0))
            if now < again_at:
                self._texts[text] = again_at, left_out + 1
                return
            if len(self._texts) >= _MOST_REMEMBERED:
                self._texts.clear()
            self._texts[text] = now + EVERY_SECONDS, 0
        more = f" ({left_out} more times since it was logged last)" if left_out else ""
        self._logger.log(level, "%s%s", text, more)
