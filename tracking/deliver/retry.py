"""The verdict on each delivery attempt, the backoff, and the circuit breaker."""

from dataclasses import dataclass
from typing import Literal, assert_never

from tracking.clients.outcome import (
    Accepted,
    Answered,
    BatchRefused,
    EventResult,
    Outcome,
    Paused,
    Refused,
    TryLater,
)
from tracking.store.accounts import LONGEST_PAUSE
from tracking.store.outbox import EXPIRED, LONGEST_WAIT

_DAY = 86_400
_HOUR = 3_600
# Pinterest takes events of the last seven days (Amperity's documentation of the endpoint). The
# two hours left are for a clock that is wrong and for the last attempt's way.
GIVE_UP_AFTER = 6 * _DAY + 22 * _HOUR
BACKOFF_BASE = 10
BACKOFF_CAP = LONGEST_WAIT
THROTTLED_AT_LEAST = 60
THROTTLED_AT_MOST = LONGEST_PAUSE
LOCKED_OUT = 300
BREAKS_AFTER = 5
OPEN_AT_FIRST = 30
# An outage may last for days, and delivery must go on within a minute of its end. A call of one
# event every 45 s burdens neither side.
OPEN_AT_MOST = 45
State = Literal["sent", "dead", "waiting"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state that an attempt leaves an event in. `due_at` is seconds UTC, for waiting events."""

    state: State
    reason: str
    due_at: int
    uses_attempt: bool


def verdict(
    result: EventResult | BatchRefused | Paused | TryLater,
    attempts: int,
    event_time: int,
    now: int,
    jitter: float,
) -> Verdict:
    """Returns the verdict on one event, from its own result or the outcome of its whole call.

    `attempts` were used before this one; `jitter` is drawn from [0, 1). A `BatchRefused` must come
    from a call of one event: larger batches are split first.
    """
    match result:
        case Accepted(warning):
            return Verdict("sent", warning, now, uses_attempt=True)
        case Refused(reason) | BatchRefused(reason):
            return Verdict("dead", reason, now, uses_attempt=True)
        case Paused(reason):
            return _wait(reason, pause_for(result), event_time, now, uses_attempt=False)
        case TryLater(reason):
            return _wait(reason, backoff(attempts, jitter), event_time, now, uses_attempt=True)
        case _:
            assert_never(result)


def is_expired(event_time: int, now: int, *, was_tried: bool) -> bool:
    """Returns True if it is too late to send an event.

    An event that was never tried has the full seven days, so that one that arrives late is tried
    once.
    """
    return now - event_time >= (GIVE_UP_AFTER if was_tried else 7 * _DAY)


def expired(reason: str, now: int, *, uses_attempt: bool = False) -> Verdict:
    """Returns the verdict on an event that is too old; `reason` says why it was not sent before."""
    return Verdict("dead", f"{EXPIRED}{reason or 'never sent in time'}", now, uses_attempt)


def backoff(attempts: int, jitter: float) -> int:
    """Returns the seconds until the next attempt: 1 to 10, 1 to 20, ... 1 to 900, by `jitter`.

    Jitter over the whole range spreads events that failed together better than any other.
    """
    ceiling = min(BACKOFF_CAP, BACKOFF_BASE << min(attempts, BACKOFF_CAP.bit_length()))
    return 1 + int(jitter * ceiling)


def pause_for(paused: Paused) -> int:
    """Returns the seconds for which the whole account must not send."""
    if paused.is_credentials:
        return LOCKED_OUT
    return min(max(paused.seconds or THROTTLED_AT_LEAST, THROTTLED_AT_LEAST), THROTTLED_AT_MOST)


def _wait(reason: str, seconds: int, event_time: int, now: int, *, uses_attempt: bool) -> Verdict:
    if is_expired(event_time, now, was_tried=True):
        return expired(reason, now, uses_attempt=uses_attempt)
    return Verdict("waiting", reason, now + seconds, uses_attempt)


@dataclass(frozen=True, slots=True)
class Breaker:
    """The circuit breaker of a destination that does not answer, stored with its account.

    `failures` counts the failed calls in a row; `opened` is when the latest of them opened the
    breaker (seconds UTC), 0 while it is closed.
    """

    failures: int = 0
    opened: int = 0

    def after(self, outcome: Outcome, now: int) -> "Breaker":
        """Returns the breaker after a call: an answer closes it, repeated failures open it.

        A pause or a refused batch says nothing about the destination's health.
        """
        match outcome:
            case Answered():
                return Breaker()
            case TryLater():
                failures = self.failures + 1
                return Breaker(failures, now if failures >= BREAKS_AFTER else 0)
            case BatchRefused() | Paused():
                return self
            case _:
                assert_never(outcome)

    @property
    def seconds_open(self) -> int:
        """Seconds for which the latest failure keeps the breaker open: 30, then 45."""
        if self.failures < BREAKS_AFTER:
            return 0
        doublings = min(self.failures - BREAKS_AFTER, OPEN_AT_MOST.bit_length())
        return min(OPEN_AT_MOST, OPEN_AT_FIRST << doublings)

    def is_open(self, now: int) -> bool:
        """Returns True if no call may be made now."""
        # A clock that was set back must not keep the breaker open until the old time comes again.
        return 0 <= now - self.opened < self.seconds_open

    def allowance(self, max_batch: int, now: int) -> int:
        """Returns how many events the next call may carry: 0 while open, then 1 as a probe."""
        if self.is_open(now):
            return 0
        return 1 if self.failures >= BREAKS_AFTER else max_batch
