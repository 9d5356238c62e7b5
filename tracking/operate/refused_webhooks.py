"""Counts refused webhooks, so that an operator sees a wrong secret in the log, doctor and metrics.

Anyone on the internet can have a webhook refused. A process writes the first counts at once, and
then gathers them: a flood costs the store a write every five seconds, and the log a line every ten
minutes.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Literal

from tracking.operate.error_lines import error_line
from tracking.store import Store, StoreUnavailable, refused_webhooks
from tracking.store.engine.statement import Connection
from tracking.store.refused_webhooks import RefusedKey

logger = logging.getLogger(__name__)

Reason = Literal["wrong_signature", "no_signature", "other_shop"]

# How the webhooks are described, and what to ask the operator.
REASONS: Mapping[str, tuple[str, str]] = {
    "wrong_signature": (
        "with a wrong signature",
        "is the secret that of Settings › Notifications or of the app?",
    ),
    "no_signature": (
        "without a signature",
        "does a proxy drop the header X-Shopify-Hmac-Sha256?",
    ),
    "other_shop": (
        "of another shop",
        "does SHOPIFY_STORE_URL name each shop that may send them?",
    ),
}
WRITE_SECONDS = 5.0
# Writes that may come at once after a pause.
WRITES_AT_ONCE = 20
LOG_SECONDS = 600.0


class RefusedWebhooks:
    """Counts refused webhooks in the store, over all processes. As a worker it writes the rest."""

    name = "refused-webhooks"

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._pending: Counter[RefusedKey] = Counter()
        self._unlogged: Counter[Reason] = Counter()
        self._log_at: dict[Reason, float] = {}
        # The instant at which all writes that may come at once are free again.
        self._free_at = 0.0

    def count(self, reason: Reason, topic: str, *, may_wait: bool = True) -> None:
        """Counts a refused webhook, and logs and writes it unless many came before it.

        It is on disk then, unless the caller may not wait for that.
        """
        with self._mutex:
            self._pending[RefusedKey(reason, topic)] += 1
            self._unlogged[reason] += 1
            logged = self._take_unlogged(reason)
            may_write = self._take_write()
        if logged:
            manner, question = REASONS[reason]
            webhooks = "1 webhook" if logged == 1 else f"{logged} webhooks"
            logger.warning("refused: %s %s (%s); %s", webhooks, manner, topic, question)
        if may_write and may_wait:
            self.write()
        elif may_write:
            self._write_later()

    def write(self) -> None:
        """Writes what was counted since the last time; without the store it stays to be written."""
        if not (counts := self._take_counts()):
            return
        try:
            self._store.commit(self._addition_of(counts))
        except Exception as error:
            self._put_back(counts, error)

    def _write_later(self) -> None:
        counts = self._take_counts()
        try:
            written = self._store.commit_later(self._addition_of(counts))
        except Exception as error:
            self._put_back(counts, error)
        else:
            written.add_done_callback(partial(self._put_back_if_failed, counts))

    def _put_back_if_failed(self, counts: Counter[RefusedKey], written: Future[None]) -> None:
        if (error := written.exception()) is not None:
            self._put_back(counts, error)

    def _take_counts(self) -> Counter[RefusedKey]:
        with self._mutex:
            counts, self._pending = self._pending, Counter()
        return counts

    def _addition_of(self, counts: Counter[RefusedKey]) -> Callable[[Connection], None]:
        return partial(refused_webhooks.add, counts=counts, now=int(self._clock()))

    def _put_back(self, counts: Counter[RefusedKey], error: BaseException) -> None:
        # Whatever happens, the refusal is answered. Its caller must not wait for the store again
        # and again.
        if not isinstance(error, StoreUnavailable):
            logger.error("refused webhooks are not counted: %s", error_line(error))
        with self._mutex:
            self._pending += counts
            self._free_at = self._monotonic() + WRITES_AT_ONCE * WRITE_SECONDS

    def run(self, stop: threading.Event) -> None:
        """Writes what was counted, every few seconds, until `stop` is set."""
        while not stop.wait(WRITE_SECONDS):
            self.write()
        self.write()

    def _take_unlogged(self, reason: Reason) -> int:
        now = self._monotonic()
        if now < self._log_at.get(reason, now):
            return 0
        self._log_at[reason] = now + LOG_SECONDS
        return self._unlogged.pop(reason)

    def _take_write(self) -> bool:
        now = self._monotonic()
        free_at = max(now, self._free_at) + WRITE_SECONDS
        if free_at > now + WRITES_AT_ONCE * WRITE_SECONDS:
            return False
        self._free_at = free_at
        return True
