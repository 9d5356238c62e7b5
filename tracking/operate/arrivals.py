"""Counts the webhooks and the pixel's calls that arrive, so that silence can be told from calm."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

from tracking.operate.error_lines import error_line
from tracking.store import Store, StoreUnavailable, arrivals
from tracking.store.arrivals import SLOT, Kind

logger = logging.getLogger(__name__)

WRITE_SECONDS = 30.0


class Arrivals:
    """Counts in memory, and writes the counts every half minute: a crash loses those since."""

    name = "arrivals"

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._mutex = threading.Lock()
        self._counts: Counter[tuple[Kind, int]] = Counter()

    def count(self, kind: Kind) -> None:
        """Counts one that has arrived."""
        now = int(self._clock())
        with self._mutex:
            self._counts[kind, now - now % SLOT] += 1

    def write(self) -> None:
        """Writes what was counted since the last time; without the store it stays to be written."""
        with self._mutex:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            self._store.commit(partial(arrivals.add, counts=counts, now=int(self._clock())))
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                logger.error("arrivals are not counted: %s", error_line(error))
            with self._mutex:
                self._counts += counts

    def run(self, stop: threading.Event) -> None:
        """Writes what was counted until `stop` is set."""
        while not stop.wait(WRITE_SECONDS):
            self.write()
        self.write()
