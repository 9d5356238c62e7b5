"""When the events of the next call are claimed: once it can be made, or while a call is out."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

from tracking.store.claims import ClaimedEvent


@dataclass(frozen=True, slots=True)
class Claim:
    """Events that this deliverer has leased until an instant (seconds UTC).

    `sent_as` has the ids of those that are not sent under their event id, `is_browser` tells
    whether they are the pixel's, and `is_full` whether more of them may be due.
    """

    token: str
    until: int
    events: Sequence[ClaimedEvent]
    sent_as: Mapping[str, str]
    is_browser: bool
    is_full: bool


class NextClaim(Protocol):
    """The claim for the call after the one that is being made."""

    def begin(self) -> None:
        """Begins to claim, if that may be done ahead."""

    def take(self) -> Claim | None:
        """Returns the claim made ahead, once; None if there is none."""


class ClaimsInTurn:
    """Claims nothing ahead."""

    def begin(self) -> None:
        """Does nothing."""

    def take(self) -> Claim | None:
        """Returns None."""
        return None


class ClaimsAhead:
    """Claims in another thread while a call is out, and no more than one claim."""

    def __init__(self, thread: Executor, claim: Callable[[], Claim | None]) -> None:
        self._thread = thread
        self._claim = claim
        self._next: Future[Claim | None] | None = None

    def begin(self) -> None:
        """Begins to claim, unless a claim is there already."""
        if self._next is None:
            self._next = self._thread.submit(self._claim)

    def take(self) -> Claim | None:
        """Returns the claim made ahead, once; None if nothing was due.

        Raises:
            StoreUnavailable: nothing was claimed, or it is unknown if it was; its lease ends by
                itself.
        """
        claimed, self._next = self._next, None
        return None if claimed is None else claimed.result()
