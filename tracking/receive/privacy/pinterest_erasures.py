"""Has Pinterest delete the events of erased persons, after the webhook was answered.

The e-mail is in the memory of the process that received it, and nowhere else.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple, Protocol

from tracking.clients.pinterest_deletions import DeletionAnswer
from tracking.destinations import Destination
from tracking.destinations.base import PINTEREST
from tracking.domain.conversion import event_id_of
from tracking.operate.background import outliving_errors
from tracking.receive.privacy.footprint import exclusive_of
from tracking.receive.privacy.subjects import ClearEmail, PrivacySubject
from tracking.store import (
    Store,
    erasure,
    orders,
    outbox,
    pinterest_erasures,
)
from tracking.store.engine.statement import Connection
from tracking.store.pinterest_erasures import ASKED, LOST, REFUSED, WAITING, PinterestErasure

logger = logging.getLogger(__name__)

POLL_SECONDS = 30.0
# Who waits for an e-mail looks so often for a stop.
_STOP_POLL_SECONDS = 0.25
# E-mails that wait in memory. There are hardly ever two.
MOST_WAITING = 1_000
# After it a request is taken for one whose process has ended.
HANDED_OVER_SECONDS = 900
# The pauses before the second and the third attempt.
PAUSES = (1.0, 5.0)
# Click ids are asked about again after an hour, until Pinterest would have deleted them by itself.
_AGAIN_SECONDS = 3_600
_LONGEST_SECONDS = 30 * 86_400
# A person with more orders and browsers is looked through as far.
_MOST = 500
_MOST_EVENTS = 2_000
_MOST_CLICK_IDS = 100


class Deletions(Protocol):
    """Asks Pinterest to delete events."""

    def ask(self, emails: list[str], click_ids: list[str]) -> DeletionAnswer:
        """Asks once."""


class SentEvents(NamedTuple):
    """The events of a person that Pinterest has: whether there are any, and their click ids."""

    are_any: bool
    click_ids: tuple[str, ...]


class _Handed(NamedTuple):
    id: int
    email: ClearEmail


class PinterestErasures:
    """Asks Pinterest to delete, in a thread of its own."""

    name = "erasures at pinterest"

    def __init__(
        self,
        store: Store,
        destinations: Mapping[str, Destination],
        deletions: Deletions | None,
        clock: Callable[[], float],
    ) -> None:
        """Without `deletions` nothing is asked."""
        self._store = store
        self._pinterest = destinations.get(PINTEREST)
        self._deletions = deletions
        self._clock = clock
        self._handed: queue.Queue[_Handed] = queue.Queue(MOST_WAITING)

    def sent_events(self, subject: PrivacySubject) -> SentEvents:
        """Returns which events of a person Pinterest has, as long as the person is not erased.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        if self._deletions is None or self._pinterest is None:
            return SentEvents(False, ())
        with self._store.read() as conn:
            return _told_in(_sent_payloads(conn, subject), self._pinterest)

    def add(
        self, conn: Connection, digest: str, sent: SentEvents, now: int, *, has_email: bool
    ) -> int | None:
        """Stores the request about a person, if Pinterest has events; returns its id."""
        if not sent.are_any or self._deletions is None:
            return None
        due_at = now + HANDED_OVER_SECONDS if has_email else now
        click_ids = " ".join(sent.click_ids)
        return pinterest_erasures.add(conn, digest, click_ids, now, due_at, has_email=has_email)

    def hand_over(self, id: int | None, email: ClearEmail | None) -> None:
        """Hands the e-mail of a stored request to the thread; never waits."""
        if id is None or email is None:
            return
        try:
            self._handed.put_nowait(_Handed(id, email))
        except queue.Full:
            # It is found without its e-mail when it is due.
            logger.warning("erasure %d at pinterest: too many e-mails wait", id)

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Asks about what was handed over, and about what is due, until `stop` is set; what is
        handed over then is asked once."""
        while not stop.is_set():
            with _outliving_errors():
                while not stop.is_set() and self._ask_about_due(stop):
                    pass
            self._ask_about_next(stop, poll)
        # No other process has these e-mails.
        while self._ask_about_next(stop):
            pass

    def go_on(self, stop: threading.Event) -> bool:
        """Asks about one person whose e-mail no process has, and about all whose e-mail this one
        has; returns False if there is nobody.

        Raises:
            StoreUnavailable: what became of it may not have been stored.
        """
        if self._deletions is None:
            return False
        try:
            handed = self._handed.get_nowait()
        except queue.Empty:
            return self._ask_about_due(stop)
        self._ask(handed, stop)
        return True

    def _ask_about_next(self, stop: threading.Event, seconds: float = 0.0) -> bool:
        """Asks about who is handed over next within so many seconds, or until `stop` is set;
        returns False if nobody is."""
        handed = self._next_handed(stop, seconds)
        if handed is not None:
            with _outliving_errors():
                self._ask(handed, stop)
        return handed is not None

    def _next_handed(self, stop: threading.Event, seconds: float) -> _Handed | None:
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            with suppress(queue.Empty):
                return self._handed.get(timeout=min(_STOP_POLL_SECONDS, left))
            if not left or stop.is_set():
                return None

    def _ask(self, handed: _Handed, stop: threading.Event) -> None:
        """Asks with the e-mail in memory and the stored click ids."""
        with self._store.read() as conn:
            row = pinterest_erasures.of_id(conn, handed.id)
        if row is None or row.email != WAITING:
            return
        answer = self._answer([handed.email.text], row, stop)
        email = REFUSED if answer.refusal else ASKED
        self._settle(row._replace(email=email), answer)

    def _ask_about_due(self, stop: threading.Event) -> bool:
        """Asks with the click ids of a request whose e-mail no process has any more."""
        now = int(self._clock())
        if self._deletions is None:
            return False
        with self._store.read() as conn:
            row = pinterest_erasures.due(conn, now)
        if row is None:
            return False
        until, known = now + HANDED_OVER_SECONDS, row
        if not self._store.commit(lambda conn: pinterest_erasures.claim(conn, known, until)):
            return True
        if row.email == WAITING:
            logger.warning("erasure %d at pinterest: its e-mail was lost, and not asked", row.id)
            row = row._replace(email=LOST)
        answer = self._answer([], row, stop) if row.click_ids else DeletionAnswer(row.answer)
        self._settle(row, answer)
        return True

    def _answer(
        self, emails: list[str], row: PinterestErasure, stop: threading.Event
    ) -> DeletionAnswer:
        """Asks up to three times."""
        answer = DeletionAnswer("nobody was asked")
        for pause in (0.0, *PAUSES):
            if pause and stop.wait(pause):
                break
            if self._deletions is not None:
                answer = self._deletions.ask(emails, row.click_ids.split())
            if not answer.refusal or answer.is_final:
                break
        return answer

    def _settle(self, row: PinterestErasure, answer: DeletionAnswer) -> None:
        now = int(self._clock())
        is_over = not answer.refusal or now - row.received_at > _LONGEST_SECONDS
        settled = row._replace(
            click_ids="" if is_over else row.click_ids,
            attempts=row.attempts + 1,
            due_at=now + _AGAIN_SECONDS,
            answer=answer.refusal,
        )
        self._store.commit(lambda conn: pinterest_erasures.settle(conn, settled))
        if answer.refusal:
            logger.warning("erasure %d at pinterest: refused, %s", row.id, answer.refusal)
        else:
            logger.info("erasure %d at pinterest: asked", row.id)


def _outliving_errors() -> AbstractContextManager[None]:
    fails = "an erasure at pinterest failed"
    return outliving_errors(logger, "erasures at pinterest wait for the store", fails)


def _told_in(payloads: Iterable[bytes], pinterest: Destination) -> SentEvents:
    """Returns the events by their payloads, of which no more are read than have to be."""
    are_any, click_ids = False, dict[str, None]()
    for payload in payloads:
        are_any = True
        if payload and (click_id := pinterest.evidence_of(payload).click_id):
            click_ids[click_id] = None
        if len(click_ids) == _MOST_CLICK_IDS:
            break
    return SentEvents(are_any, tuple(click_ids))


def _sent_payloads(conn: Connection, subject: PrivacySubject) -> Iterator[bytes]:
    """Yields the payloads of a person's events that Pinterest has; old ones are empty.

    A webhook waits for it, so all are read in few statements.
    """
    seen = {visitor for key in subject.keys for visitor in erasure.visitors_of(conn, key)}
    visitors = sorted(seen)[:_MOST]
    order_ids = {*subject.orders, *_orders_of(conn, visitors, subject)}
    for page in _pages(sorted(map(event_id_of, order_ids))):
        yield from outbox.sent_payloads(conn, PINTEREST, page)
    # What others did in a shared browser stays.
    own = exclusive_of(conn, visitors, subject.keys, subject.keys, order_ids)
    yield from outbox.sent_payloads_of(conn, PINTEREST, own, _MOST_EVENTS)


def _orders_of(conn: Connection, visitors: Sequence[str], subject: PrivacySubject) -> Iterator[str]:
    """Yields orders of the person, by the visitor ids that they may have been placed under."""
    placed = frozenset[str]().union(*erasure.orders_at_each(conn, visitors).values())
    for order_id, keys in orders.keys_by_id(conn, placed).items():
        if not keys.isdisjoint(subject.keys):
            yield order_id


def _pages(event_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (event_ids[first : first + _MOST] for first in range(0, len(event_ids), _MOST))
