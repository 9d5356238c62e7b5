"""Outcomes of a delivery attempt, and their meaning for the events and the account."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accepted:
    """The destination accepted the event, possibly with a `warning` about it."""

    warning: str = ""


# Nearly every event's result: one for all of them.
ACCEPTED = Accepted()


@dataclass(frozen=True, slots=True)
class Refused:
    """The destination will never accept this event; `reason` is its own message."""

    reason: str


EventResult = Accepted | Refused


@dataclass(frozen=True, slots=True)
class Answered:
    """Results of the events, one for each, in the order the events were sent."""

    results: tuple[EventResult, ...]


@dataclass(frozen=True, slots=True)
class BatchRefused:
    """The destination refused the call because of one of its events.

    Several events must be split to find it; a single one is the event at fault.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The account may not send now. The events are not at fault, and no attempt is counted.

    `seconds` is the wait the destination requested, None if it requested none. With
    `is_credentials` an operator must correct the account's credentials.
    """

    reason: str
    seconds: int | None = None
    is_credentials: bool = False


@dataclass(frozen=True, slots=True)
class TryLater:
    """The result is unknown: the events may have arrived or not, and stay to be sent."""

    reason: str


Outcome = Answered | BatchRefused | Paused | TryLater
