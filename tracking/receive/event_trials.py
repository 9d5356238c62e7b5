"""Shows events to Pinterest for a trial; nothing is stored."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

import msgspec

from tracking.clients.outcome import Outcome, TryLater
from tracking.clients.responses import sanitized
from tracking.destinations import DestinationSettings
from tracking.destinations.base import PINTEREST
from tracking.destinations.pinterest_test_call import send_test_event, send_test_events
from tracking.domain.rate_limit import MICROS, next_slot
from tracking.receive.event_input import inbound_event_of
from tracking.receive.planner import Planner
from tracking.store import Store, accounts, limits
from tracking.store.engine.statement import Connection

# Pinterest takes ten test calls a second. Four in a burst and as many in the second after it stay
# below that.
TRIALS_A_SECOND = 4
# Under way at a time in a process: while Pinterest hangs, each of them holds a thread that a
# webhook may be waiting for.
_TRIALS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """Pinterest's answer to an event, as JSON or else as text, and the event it was shown."""

    http_status: int
    answer: object
    event: Mapping[str, Any]


class ReportOnly(Exception):
    """There is no Pinterest account to show an event to."""


class TooManyTrials(Exception):
    """Pinterest's rate limit leaves no call now. Another may be made in `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the next one may be made in {seconds} s")
        self.seconds = seconds


class NoAnswer(Exception):
    """Pinterest did not answer; the text says why."""


class EventTrials:
    """Shows events to Pinterest, which checks them. Nothing is stored."""

    def __init__(
        self,
        store: Store,
        planner: Planner,
        settings: DestinationSettings,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.planner = planner
        self.settings = settings
        self.clock = clock
        self._trials = BoundedSemaphore(_TRIALS_AT_ONCE)

    def try_out(self, body: bytes) -> Trial:
        """Shows one event to Pinterest, which checks it. Nothing is stored.

        Raises:
            ValidationError: the event has faults, and Pinterest was not asked.
            ReportOnly: there are no credentials to ask with.
            TooManyTrials: the account's rate limit leaves no call now.
            NoAnswer: Pinterest was asked and did not answer.
            StoreUnavailable: the rate limit cannot be read.
        """
        event = inbound_event_of(
            body,
            self.planner.policy,
            int(self.clock()),
            account_id=self.settings.pinterest_ad_account_id,
        )
        with self._trial():
            answer = send_test_event(self.settings, msgspec.json.encode(event.event))
        if isinstance(answer, TryLater):
            raise NoAnswer(answer.reason)
        return Trial(answer.status, _json_or_words(answer.body), event.event)

    def try_out_together(self, events: Sequence[bytes]) -> Outcome:
        """Shows up to MAX_TESTED finished events to Pinterest in one call. Nothing is stored.

        Raises:
            ReportOnly: there are no credentials to ask with.
            TooManyTrials: the account's rate limit leaves no call now.
            StoreUnavailable: the rate limit cannot be read.
        """
        with self._trial():
            return send_test_events(self.settings, events)

    @contextmanager
    def _trial(self) -> Iterator[None]:
        if PINTEREST not in self.planner.destinations:
            raise ReportOnly
        if not self._trials.acquire(blocking=False):
            raise TooManyTrials(1)
        try:
            seconds = self.store.commit(self._wait_for_trial)
            if seconds:
                raise TooManyTrials(seconds)
            yield
        finally:
            self._trials.release()

    def _wait_for_trial(self, conn: Connection) -> int:
        """Returns the seconds until a call may be made; 0 if the limits granted one now."""
        now = self.clock()
        interval_ms = 1000 / TRIALS_A_SECOND
        wait = limits.take(conn, "trials", 1, interval_ms, TRIALS_A_SECOND, int(now * 1000))
        if wait:
            return -(-wait // 1000)
        # The account's own limit, which the deliverers keep as well.
        account = accounts.of_destination(conn, PINTEREST)
        per_minute = self.planner.destinations[PINTEREST].calls_per_minute
        at = next_slot(account.next_call_at, int(now * MICROS), per_minute)
        if at is None:
            return 1
        accounts.put(conn, account._replace(next_call_at=at))
        return 0


def _json_or_words(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return sanitized(body.decode(errors="replace"))
