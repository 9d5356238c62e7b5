"""What an operator watches, read from the store, so that every process tells the same."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from tracking.operate.prometheus import Family, Sample, gauge, text_of
from tracking.store import Store, accounts, conversions, metrics, privacy_requests
from tracking.store.engine.statement import Connection
from tracking.store.metrics import AttemptCount, BodyCount, OpenEvents
from tracking.store.privacy_requests import DATA_REQUEST

_DAY = 86_400
# Counting what was taken in reads a row for each webhook ever kept.
TAKEN_SECONDS = 300.0
# Attempts are numbered when they are written and seen when they are committed: of the newest ones
# some may still be missing, so they are counted again each time.
UNSETTLED = 20_000


class Monitor:
    """Tells the figures as text. Remembers what cannot change any more, or seldom has to be asked.

    `modes` are switches of the settings, told as 0 and 1.
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
        self._taken: list[BodyCount] = []
        self._taken_until = 0.0

    def text(self) -> str:
        """All figures in Prometheus' text format.

        Raises:
            StoreUnavailable: they cannot be read now.
        """
        with self._lock, self._store.read() as conn:
            return text_of([*self._of_webhooks(conn), *self._of_events(conn), *self._of_rest(conn)])

    def _of_webhooks(self, conn: Connection) -> Iterator[Family]:
        now = self._clock()
        if not now < self._taken_until <= now + TAKEN_SECONDS:
            self._taken, self._taken_until = metrics.webhooks_stored(conn), now + TAKEN_SECONDS
        kept = [_sample(row.bodies, topic=row.topic, status="accepted") for row in self._taken]
        odd = [
            _sample(row.bodies, topic=row.topic, status="quarantined")
            for row in metrics.quarantined(conn)
        ]
        yield Family(
            "tracking_webhooks_stored",
            "gauge",
            "Distinct webhook bodies on record; accepted ones are counted every five minutes.",
            (*kept, *odd),
        )

    def _of_events(self, conn: Connection) -> Iterator[Family]:
        now = int(self._clock())
        found = {state: metrics.open_events(conn, state) for state in metrics.OPEN_STATES}
        yield Family(
            "tracking_outbox_events",
            "gauge",
            "Events that are not settled (waiting, held), and dead letters.",
            tuple(self._of_each_destination(found)),
        )
        oldest = {row.destination: row.oldest for row in found["waiting"]}
        yield Family(
            "tracking_oldest_waiting_seconds",
            "gauge",
            "For how long the oldest event waits to be delivered; 0 if none does.",
            tuple(
                _sample(max(0, now - oldest.get(name, now)), destination=name)
                for name in self._known(oldest)
            ),
        )
        yield Family(
            "tracking_delivery_attempts_total",
            "counter",
            "Ends of delivery attempts; sent is an event that was delivered.",
            tuple(
                _sample(count, destination=name, outcome=outcome)
                for (name, outcome), count in sorted(self._attempted(conn).items())
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

    def _of_each_destination(self, found: dict[str, list[OpenEvents]]) -> Iterator[Sample]:
        for state, rows in found.items():
            events = {row.destination: row.events for row in rows}
            for name in self._known(events):
                yield _sample(events.get(name, 0), destination=name, state=state)

    def _known(self, found: Iterable[str]) -> list[str]:
        """Every destination, configured or with something left for it."""
        return sorted({*self._destinations, *found})

    def _attempted(self, conn: Connection) -> Counter[tuple[str, str]]:
        last = metrics.last_attempt(conn)
        settled = max(self._counted_through, last - self._unsettled)
        self._attempts += _tally(metrics.attempts_between(conn, self._counted_through, settled))
        self._counted_through = settled
        return self._attempts + _tally(metrics.attempts_between(conn, settled, last))

    def _of_rest(self, conn: Connection) -> Iterator[Family]:
        now = int(self._clock())
        by_name = {row.destination: row for row in accounts.list_all(conn)}
        known = [name for name in self._destinations if name in by_name]
        yield Family(
            "tracking_account_paused",
            "gauge",
            "1 while nothing is sent because the destination asked for it or does not answer.",
            tuple(_sample(by_name[n].paused_until > now, destination=n) for n in known),
        )
        yield Family(
            "tracking_account_failures",
            "gauge",
            "Calls that failed in a row.",
            tuple(_sample(by_name[n].failures, destination=n) for n in known),
        )
        asked = privacy_requests.open_of(privacy_requests.of_topic(conn, DATA_REQUEST))
        yield gauge("tracking_data_requests_open", "Customers who wait to be told.", len(asked))
        yield gauge(
            "tracking_newest_event_timestamp_seconds",
            "When the newest event was recorded; 0 if none was.",
            conversions.last_recorded(conn) or 0,
        )
        yield gauge("tracking_database_bytes", "Size of the database.", metrics.size(conn))
        for name, is_on in self._modes().items():
            yield gauge(f"tracking_{name}", "1 if the service is in this mode.", is_on)


def _sample(value: float, **labels: str) -> Sample:
    return Sample(value, labels)


def _tally(rows: Iterable[AttemptCount]) -> Counter[tuple[str, str]]:
    return Counter({(row.destination, row.outcome): row.events for row in rows})
