"""The metrics for Prometheus, read from the store, so that every process returns the same."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from tracking.operate.alerts.rules import RULES
from tracking.operate.prometheus import Family, Sample, gauge, text_of
from tracking.operate.refused_webhooks import REASONS
from tracking.store import (
    Store,
    accounts,
    alerts,
    conversions,
    metrics,
    privacy_requests,
    refused_webhooks,
)
from tracking.store.engine.statement import Connection
from tracking.store.metrics import AttemptCount, BodyCount, OpenEvents
from tracking.store.privacy_requests import DATA_REQUEST

_DAY = 86_400
# Counting the stored webhooks reads a row for each of them.
WEBHOOKS_COUNTED_EVERY = 300.0
# Attempts are numbered when they are written and visible when they are committed: some of the
# newest may still be missing, so they are counted again each time.
UNSETTLED = 20_000


class Monitor:
    """Returns the metrics as text. Caches the counts that are final or slow to read.

    `modes` are switches of the settings, shown as 0 and 1.
    """

    def __init__(
        self,
        store: Store,
        destinations: Collection[str],
        clock: Callable[[], float],
        modes: Callable[[], dict[str, bool]],
        unsettled: int = UNSETTLED,
    ) -> None:
        self._store = store
        self._destinations = destinations
        self._clock = clock
        self._modes = modes
        self._unsettled = unsettled
        self._lock = threading.Lock()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._counted_through = 0
        self._deleted: Counter[tuple[str, str]] = Counter()
        self._webhooks: list[BodyCount] = []
        self._webhooks_until = 0.0

    def text(self) -> str:
        """Returns all metrics in Prometheus' text format.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        with self._lock, self._store.read() as conn:
            return text_of(
                [
                    *self._webhook_families(conn),
                    *self._event_families(conn),
                    *self._other_families(conn),
                ]
            )

    def _webhook_families(self, conn: Connection) -> Iterator[Family]:
        now = self._clock()
        if not now < self._webhooks_until <= now + WEBHOOKS_COUNTED_EVERY:
            self._webhooks, self._webhooks_until = (
                metrics.webhooks_stored(conn),
                now + WEBHOOKS_COUNTED_EVERY,
            )
        accepted = [
            _sample(row.bodies, topic=row.topic, status="accepted") for row in self._webhooks
        ]
        quarantined = [
            _sample(row.bodies, topic=row.topic, status="quarantined")
            for row in metrics.quarantined(conn)
        ]
        yield Family(
            "tracking_webhooks_stored",
            "gauge",
            "Distinct webhook bodies on record; accepted ones are counted every five minutes.",
            (*accepted, *quarantined),
        )
        refused = {row.reason: row.webhooks for row in refused_webhooks.totals(conn)}
        yield Family(
            "tracking_webhooks_refused_total",
            "counter",
            "Webhooks that were refused: wrong or no signature, or a shop that is not ours.",
            tuple(_sample(refused.get(reason, 0), reason=reason) for reason in REASONS),
        )

    def _event_families(self, conn: Connection) -> Iterator[Family]:
        now = int(self._clock())
        open_events = {state: metrics.open_events(conn, state) for state in metrics.OPEN_STATES}
        yield Family(
            "tracking_outbox_events",
            "gauge",
            "Events that are not settled (waiting, held), and dead letters.",
            tuple(self._open_samples(open_events)),
        )
        oldest = {row.destination: row.oldest for row in open_events["waiting"]}
        yield Family(
            "tracking_oldest_waiting_seconds",
            "gauge",
            "For how long the oldest event waits to be delivered; 0 if none does.",
            tuple(
                _sample(max(0, now - oldest.get(name, now)), destination=name)
                for name in self._destinations_with(oldest)
            ),
        )
        yield Family(
            "tracking_delivery_attempts_total",
            "counter",
            "Ends of delivery attempts; sent is an event that was delivered.",
            tuple(
                _sample(count, destination=name, outcome=outcome)
                for (name, outcome), count in sorted(self._count_attempts(conn).items())
            ),
        )
        yield Family(
            "tracking_events_last_day",
            "gauge",
            "Events of the last 24 hours, by stage; the reason says why one is not sent.",
            tuple(
                _sample(row.events, stage=row.stage, reason=row.reason)
                for row in metrics.recorded(conn, now - _DAY)
            ),
        )

    def _open_samples(self, open_events: dict[str, list[OpenEvents]]) -> Iterator[Sample]:
        for state, rows in open_events.items():
            events = {row.destination: row.events for row in rows}
            for name in self._destinations_with(events):
                yield _sample(events.get(name, 0), destination=name, state=state)

    def _destinations_with(self, others: Iterable[str]) -> list[str]:
        """Returns the configured destinations and the others, sorted."""
        return sorted({*self._destinations, *others})

    def _count_attempts(self, conn: Connection) -> Counter[tuple[str, str]]:
        deleted = _tally(metrics.deleted_attempts(conn))
        if deleted != self._deleted:
            # Some that were counted here may be among them.
            self._attempts, self._counted_through, self._deleted = Counter(), 0, deleted
        last = metrics.last_attempt(conn)
        settled = max(self._counted_through, last - self._unsettled)
        self._attempts += _tally(metrics.attempts_between(conn, self._counted_through, settled))
        self._counted_through = settled
        newest = _tally(metrics.attempts_between(conn, settled, last))
        return deleted + self._attempts + newest

    def _other_families(self, conn: Connection) -> Iterator[Family]:
        now = int(self._clock())
        by_name = {row.destination: row for row in accounts.list_all(conn)}
        known = [name for name in self._destinations if name in by_name]
        yield Family(
            "tracking_account_paused",
            "gauge",
            "1 while nothing is sent because the destination asked for it or does not answer.",
            tuple(_sample(by_name[n].is_paused(now), destination=n) for n in known),
        )
        yield Family(
            "tracking_account_failures",
            "gauge",
            "Calls that failed in a row.",
            tuple(_sample(by_name[n].failures, destination=n) for n in known),
        )
        requests = privacy_requests.open_of(privacy_requests.of_topic(conn, DATA_REQUEST))
        yield gauge(
            "tracking_data_requests_open", "Data requests that wait for an answer.", len(requests)
        )
        yield gauge(
            "tracking_newest_event_timestamp_seconds",
            "When the newest event was recorded; 0 if none was.",
            conversions.last_recorded(conn) or 0,
        )
        yield gauge("tracking_database_bytes", "Size of the database.", metrics.size(conn))
        standing = {row.name for row in alerts.list_all(conn) if row.stands}
        yield Family(
            "tracking_alert",
            "gauge",
            "1 while the alert stands.",
            tuple(_sample(name in standing, alert=name) for name in RULES),
        )
        for name, is_on in self._modes().items():
            yield gauge(f"tracking_{name}", "1 if the service is in this mode.", is_on)


def _sample(value: float, **labels: str) -> Sample:
    return Sample(value, labels)


def _tally(rows: Iterable[AttemptCount]) -> Counter[tuple[str, str]]:
    return Counter({(row.destination, row.outcome): row.events for row in rows})
