"""What can become of a delivery attempt, and what follows from it for the event and the account."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The destination took the event. A `warning` is its remark on what it took."""

    warning: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The destination will never take this event; `reason` in its own words."""

    reason: str


EventResult = Accepted | Refused


@dataclass(frozen=True, slots=True)
class Answered:
    """The destination spoke about each event: one result each, in the order they were sent."""

    results: tuple[EventResult, ...]


@dataclass(frozen=True, slots=True)
class BatchRefused:
    """One of the events spoils the call. Several are to be split, a single one is the culprit."""

    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The account may not send now: no fault of the events, and no attempt of theirs.

    `seconds` is the wait the destination asked for, None if it named none. `is_credentials`
    says that somebody must set the account right.
    """

    reason: str
    seconds: int | None = None
    is_credentials: bool = False


@dataclass(frozen=True, slots=True)
class TryLater:
    """Nothing is known: the events may have arrived or not. It settles nothing."""

    reason: str


Outcome = Answered | BatchRefused | Paused | TryLater
