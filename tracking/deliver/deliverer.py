"""Delivers waiting events to their destination: claim, send, settle.

No transaction is open during a call. A deliverer that dies leaves a lease: another one of the same
machine takes it over at once, those of other machines when it ends. The deliverer that claims the
event next sends it under the same event_id.
"""

import logging
import random
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from tracking.clients.outcome import (
    ACCEPTED,
    Answered,
    BatchRefused,
    EventResult,
    Outcome,
    Paused,
    TryLater,
)
from tracking.deliver import processes, retry, sent_ids, spare_purchases
from tracking.deliver.next_claim import Claim, ClaimsAhead, ClaimsInTurn, NextClaim
from tracking.deliver.one_thread import OneThread
from tracking.deliver.retry import OPEN_AT_MOST, Breaker, Verdict
from tracking.deliver.sent_fields import sent_events
from tracking.deliver.settlers import Settler, SettlesAtOnce, SettlesMeanwhile
from tracking.destinations import Destination
from tracking.destinations.base import PINTEREST
from tracking.domain.rate_limit import MICROS, next_slot
from tracking.domain.shared_id import is_late
from tracking.operate.background import outliving_errors
from tracking.store import (
    Store,
    accounts,
    attempts,
    claims,
    deliverers,
    match_quality,
    outbox,
)
from tracking.store.accounts import AccountRow
from tracking.store.attempts import DeliveryAttempt
from tracking.store.claims import ClaimedEvent, Settlement
from tracking.store.deliverers import DelivererRow
from tracking.store.engine.statement import Connection

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Longer than the longest call, which ends after 30 s.
LEASE_SECONDS = outbox.LONGEST_LEASE
# A call begins only while this much of the lease is left.
_CALL_SECONDS = 45
POLL_SECONDS = 1.0
# A process of another machine that has claimed nothing for so long is forgotten.
_FORGOTTEN_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class _CallResult:
    """The events of one call and its outcome."""

    events: Sequence[ClaimedEvent]
    outcome: Outcome


class Deliverer:
    """Delivers the events of one destination.

    Any number of deliverers may run at the same time, in any number of processes.
    """

    def __init__(
        self,
        store: Store,
        destination: Destination,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.store = store
        self.destination = destination
        self.clock = clock
        self.jitter = jitter
        # The search for an event that spoils its batch may be interrupted. The next claim is no
        # larger than the half that was reached, or the search would begin anew for ever.
        self._batch_limit = destination.max_batch
        self._last_look_at = float("inf")
        self._stop = threading.Event()

    @property
    def name(self) -> str:
        """The name of its thread."""
        return f"deliver-{self.destination.name}"

    def deliver(self) -> int:
        """Sends one batch, if an event is due and the account may send; returns its size.

        Raises:
            StoreUnavailable: the store cannot be read or written; leases end by themselves.
        """
        return self._deliver(SettlesAtOnce(), ClaimsInTurn())

    def _deliver(self, settler: Settler, next_claim: NextClaim) -> int:
        try:
            claim = self._renamed(self._confirmed(next_claim.take()) or self._claim_due())
            if claim is not None and claim.is_full and not self._stop.is_set():
                next_claim.begin()
        finally:
            # Last: settling keeps the interpreter busy, and the call would go out later.
            settler.begin()
        if claim is None:
            return 0
        unsent, sendable = self._unsent(claim)
        self._settle(claim, unsent)
        settled = len(unsent)
        for result in self._send(claim, sendable):
            if isinstance(result.outcome, Answered):
                settler.settle(partial(self._settle_call, claim, result))
                if not claim.is_full:
                    # No call follows that it would delay.
                    settler.begin()
            else:
                # What the account may do next depends on it.
                self._give_back(next_claim.take())
                settler.wait()
                self._settle_call(claim, result)
            settled += len(result.events)
        if settled < len(claim.events):
            self._give_back(next_claim.take())
            settler.wait()
            self._give_back(claim)
        return len(claim.events)

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Delivers until `stop` is set; what is claimed then and not sent is given back."""
        self._stop = stop
        with OneThread(f"settle-{self.destination.name}") as thread:
            settler = SettlesMeanwhile(thread)
            next_claim = ClaimsAhead(thread, self._claim_due)
            while not stop.is_set():
                if not self._deliver_safely(settler, next_claim):
                    stop.wait(poll)
            self._safely(settler.wait)
            self._safely(lambda: self._give_back(next_claim.take()))

    def _deliver_safely(self, settler: Settler, next_claim: NextClaim) -> int:
        def deliver() -> int:
            count = self._deliver(settler, next_claim)
            if not count:
                settler.wait()
            return count

        return self._safely(deliver) or 0

    def _safely(self, work: Callable[[], T]) -> T | None:
        fails = f"delivery to {self.destination.name} failed"
        with outliving_errors(logger, "delivery waits for the store", fails):
            return work()
        return None

    def _now(self) -> int:
        return int(self.clock())

    def _has_due(self) -> bool:
        """Returns True if an event is due, after clearing away what is in its way: the claims of
        dead processes, instants from before the clock was set back, held events that are over."""
        now, name = self._now(), self.destination.name
        was_set_back, self._last_look_at = now < self._last_look_at, now
        with self.store.read() as conn:
            known = deliverers.to(conn, name)
            gone = [row for row in known if processes.is_gone(row.owner)]
            longest = now + LEASE_SECONDS + outbox.CLOCKS_DIFFER
            is_ahead = any(row.leased_until > longest for row in known)
            is_ahead = is_ahead or was_set_back or claims.has_due_too_late(conn, name, now)
            is_ahead = is_ahead and claims.has_ahead(conn, name, now)
            has_due = claims.has_due(conn, name, now)
            has_overdue = outbox.has_overdue(conn, now)
            idle = [row for row in known if row.leased_until < now - _FORGOTTEN_SECONDS]
        if gone or idle or is_ahead or has_overdue:
            self.store.commit(
                lambda conn: self._clear_away(conn, gone, idle, now, is_ahead=is_ahead)
            )
        return has_due or bool(gone) or is_ahead

    def _clear_away(
        self,
        conn: Connection,
        gone: Sequence[DelivererRow],
        idle: Sequence[DelivererRow],
        now: int,
        *,
        is_ahead: bool,
    ) -> None:
        for row in gone:
            claims.end_leases(conn, row.destination, row.owner)
        for row in {*gone, *idle}:
            deliverers.remove(conn, row)
        if is_ahead:
            claims.bring_back(conn, self.destination.name, now)
        outbox.drop_expired(conn, now)

    def _claim_due(self) -> Claim | None:
        """Claims the events of a call; None if none is due or the account may not send."""
        return self.store.commit(self._claim) if self._has_due() else None

    def _confirmed(self, claim: Claim | None) -> Claim | None:
        """Returns what may be sent of a claim that was made ahead, and gives the rest back.

        While the call before was out, another deliverer may have paused the account, and events may
        have been withdrawn or amended.
        """
        if claim is None:
            return None
        now, count = self._now(), len(claim.events)
        with self.store.read() as conn:
            rows = accounts.list_all(conn)
            held = claims.held(conn, claim.token, [event.id for event in claim.events])
        account = next(row for row in rows if row.destination == self.destination.name)
        allowance = Breaker(account.failures, account.opened).allowance(count, now)
        if account.is_paused(now) or allowance < count or claim.until - now < _CALL_SECONDS:
            held = {}
        if len(held) < count:
            self._give_back(claim, kept=held)
        events = [
            event._replace(payload=held[event.id]) for event in claim.events if event.id in held
        ]
        return replace(claim, events=events) if events else None

    def _give_back(self, claim: Claim | None, kept: Collection[int] = ()) -> None:
        """Ends the leases of the events of a claim that are not settled; none of them is `kept`."""
        if claim is not None:
            ids = [event.id for event in claim.events if event.id not in kept]
            self.store.commit(lambda conn: claims.release(conn, claim.token, ids))

    def _claim(self, conn: Connection) -> Claim | None:
        now, name = self._now(), self.destination.name
        account = accounts.of_destination(conn, name)
        allowance = Breaker(account.failures, account.opened).allowance(self._batch_limit, now)
        if account.is_paused(now) or allowance == 0:
            return None
        # The pixel's events, which anybody can make, come after all others.
        is_browser = not claims.has_due(conn, name, now, is_browser=False)
        if not self._take_slot(conn, account, is_browser=is_browser):
            return None
        owner, until = processes.this_process(), now + LEASE_SECONDS
        token = f"{owner}{claims.CLAIM_SEPARATOR}{secrets.token_hex(8)}"
        claimed = claims.claim(conn, name, token, now, until, allowance, is_browser=is_browser)
        deliverers.put(conn, DelivererRow(owner, name, until))
        events, sent_as = sent_ids.choose(conn, name, claimed, now)
        is_full = len(claimed) == self.destination.max_batch and not account.failures
        return Claim(token, until, events, sent_as, is_browser, is_full) if events else None

    def _take_slot(self, conn: Connection, account: AccountRow, *, is_browser: bool) -> bool:
        """Takes a call from the rate limit that all deliverers share; False if none is left.

        Calls with the pixel's events take one from half of that limit as well.
        """
        now, limit = int(self.clock() * MICROS), self.destination.calls_per_minute
        at = next_slot(account.next_call_at, now, limit)
        changed = account
        if is_browser:
            browser_at = next_slot(account.next_browser_call_at, now, max(1, limit // 2))
            if browser_at is None:
                return False
            changed = changed._replace(next_browser_call_at=browser_at)
        if at is None:
            return False
        accounts.put(conn, changed._replace(next_call_at=at))
        return True

    def _renamed(self, claim: Claim | None) -> Claim | None:
        """Returns the claim with each event as it is sent, under the id chosen for it."""
        if claim is None or not claim.sent_as:
            return claim
        rename, sent_as = self.destination.rename, claim.sent_as
        events = [
            event._replace(payload=rename(event.payload, sent_as[event.event_id]))
            if event.event_id in sent_as and event.payload
            else event
            for event in claim.events
        ]
        return replace(claim, events=events)

    def _unsent(
        self, claim: Claim
    ) -> tuple[list[tuple[ClaimedEvent, Verdict]], list[ClaimedEvent]]:
        """Returns the events that must not be sent, each with its verdict, and the others."""
        now = self._now()
        # Another deliverer was sending these when they were withdrawn, and died.
        withdrawn = [event for event in claim.events if event.is_withdrawn]
        others = [event for event in claim.events if not event.is_withdrawn]
        late = [event for event in others if _is_late(event, now)]
        for event in late:
            logger.warning("event %s dead: it expired", event.event_id)
        keep_withdrawn = Verdict("waiting", "", now, uses_attempt=False)
        unsent = [
            *((event, keep_withdrawn) for event in withdrawn),
            *((event, retry.expired(event.reason, now)) for event in late),
        ]
        return unsent, [event for event in others if not _is_late(event, now)]

    def _send(self, claim: Claim, events: Sequence[ClaimedEvent]) -> Iterator[_CallResult]:
        """Sends the events; a batch that is refused is halved until the culprit is alone.

        Ends early at a stop, or if the lease, the rate limit or the destination allows no further
        call.
        """
        pending = [events] if events else []
        while pending and not self._stop.is_set():
            batch = pending.pop()
            outcome = self.destination.send([event.payload for event in batch])
            if isinstance(outcome, BatchRefused) and len(batch) > 1:
                half = len(batch) // 2
                pending += [batch[half:], batch[:half]]
                self._batch_limit = half
            else:
                yield _CallResult(batch, outcome)
                self._batch_limit = self.destination.max_batch
            if isinstance(outcome, Paused | TryLater):
                return
            if pending and not self._may_call_again(claim):
                return

    def _may_call_again(self, claim: Claim) -> bool:
        """Returns True if the lease and the rate limit allow one more call, which is then taken."""
        if claim.until - self._now() < _CALL_SECONDS:
            return False
        return self.store.commit(
            lambda conn: self._take_slot(
                conn,
                accounts.of_destination(conn, self.destination.name),
                is_browser=claim.is_browser,
            )
        )

    def _settle_call(self, claim: Claim, result: _CallResult) -> None:
        now = self._now()
        # Nearly all events of a call have this one.
        accepted = retry.verdict(ACCEPTED, 0, now, now, 0.0)
        verdicts = [
            (
                event,
                accepted
                if each is ACCEPTED
                else retry.verdict(each, event.attempts, event.event_time, now, self.jitter()),
            )
            for event, each in zip(result.events, _results_of(result), strict=True)
        ]
        self._settle(claim, verdicts, result.outcome)
        self._log_call(result.outcome, verdicts)

    def _settle(
        self,
        claim: Claim,
        verdicts: Sequence[tuple[ClaimedEvent, Verdict]],
        outcome: Outcome | None = None,
    ) -> None:
        """Stores the verdicts, the attempts they used and the state of the account."""
        if not verdicts:
            return
        now = self._now()
        settlements = [self._settlement(event, verdict, now) for event, verdict in verdicts]
        made = [
            self._attempt(event, verdict, now)
            for event, verdict in verdicts
            if verdict.uses_attempt
        ]

        is_pinterest = self.destination.name == PINTEREST
        sent = [event for event, verdict in verdicts if verdict.state == "sent"]
        counted = sent_events(sent) if is_pinterest else {}

        def write(conn: Connection, *, each: bool = False) -> None:
            settled = claims.settle(conn, claim.token, settlements, each=each)
            if is_pinterest and not claim.is_browser:
                spare_purchases.settle(conn, [event for event, _ in verdicts], now)
            attempts.add(conn, made)
            if outcome is not None:
                self._update_account(conn, outcome, now)
            # Last, as every process counts in the same rows: nobody waits for them while it waits.
            match_quality.add(conn, (counted[id] for id in counted if id in settled))

        try:
            self.store.commit(write)
        except claims.PartlyLost:
            self.store.commit(partial(write, each=True))

    def _settlement(self, event: ClaimedEvent, verdict: Verdict, now: int) -> Settlement:
        is_final = verdict.state != "waiting"
        return Settlement(
            id=event.id,
            state=verdict.state,
            payload=self.destination.strip(event.payload) if is_final else event.payload,
            reason=verdict.reason,
            due_at=verdict.due_at,
            used=int(verdict.uses_attempt),
            settled_at=now if is_final else 0,
        )

    def _attempt(self, event: ClaimedEvent, verdict: Verdict, now: int) -> DeliveryAttempt:
        outcome = "later" if verdict.state == "waiting" else str(verdict.state)
        if outcome == "sent" and event.shares_id and is_late(event.event_time, now):
            outcome = "late"
        return DeliveryAttempt(event.event_id, self.destination.name, now, outcome, verdict.reason)

    def _update_account(self, conn: Connection, outcome: Outcome, now: int) -> None:
        account = accounts.of_destination(conn, self.destination.name)
        breaker = Breaker(account.failures, account.opened).after(outcome, now)
        changed = account._replace(failures=breaker.failures, opened=breaker.opened)
        match outcome:
            case Paused(reason):
                changed = changed._replace(
                    paused_until=now + retry.pause_for(outcome), pause_reason=reason
                )
            case Answered():
                changed = changed._replace(paused_until=0, pause_reason="")
                if account.failures:
                    claims.retry_now(conn, self.destination.name, now)
            case TryLater():
                # Each event may wait for longer than the breaker is open, and only a call shows
                # that the destination answers again.
                claims.bring_forward(conn, self.destination.name, now, now + OPEN_AT_MOST)
        accounts.put(conn, changed)

    def _log_call(self, outcome: Outcome, verdicts: Sequence[tuple[ClaimedEvent, Verdict]]) -> None:
        name = self.destination.name
        for event, verdict in verdicts:
            if verdict.state == "dead":
                logger.warning("event %s dead at %s: %s", event.event_id, name, verdict.reason)
        match outcome:
            case Paused(reason, _, is_credentials):
                level = logging.ERROR if is_credentials else logging.WARNING
                logger.log(level, "%s paused, %d events wait: %s", name, len(verdicts), reason)
            case TryLater(reason):
                logger.warning("%s failed, %d events wait: %s", name, len(verdicts), reason)
            case _:
                sent = sum(verdict.state == "sent" for _, verdict in verdicts)
                logger.info("%s took %d of %d events", name, sent, len(verdicts))


def _is_late(event: ClaimedEvent, now: int) -> bool:
    return retry.is_expired(event.event_time, now, was_tried=event.attempts > 0)


def _results_of(
    result: _CallResult,
) -> Sequence[EventResult | BatchRefused | Paused | TryLater]:
    if isinstance(result.outcome, Answered):
        return result.outcome.results
    return [result.outcome] * len(result.events)
