"""Carries waiting events to their destination: claim, send, settle, and never two at once.

No transaction is open while a call is under way. A deliverer that dies leaves a lease that ends
by itself; whoever claims the event next sends it under the same event_id.
"""

import logging
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tracking.clients.outcome import Answered, BatchRefused, EventResult, Outcome, Paused, TryLater
from tracking.deliver.retry import (
    OPEN_AT_MOST,
    Breaker,
    Verdict,
    expired,
    is_expired,
    pause_for,
    verdict,
)
from tracking.destinations import Destination
from tracking.domain.rate_limit import MICROS, next_slot
from tracking.store import Store, StoreUnavailable, accounts, attempts, outbox
from tracking.store.engine.statement import Connection, Row

logger = logging.getLogger(__name__)

# Longer than the longest call, which ends after 30 s.
LEASE_SECONDS = 120
# A call is only begun while this much of the lease is left.
_CALL_SECONDS = 45
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Claim:
    """Events that are this deliverer's until an instant (seconds UTC)."""

    token: str
    until: int
    rows: Sequence[Row]


class Deliverer:
    """Delivers the events of one destination. Any number may run, in any number of processes."""

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
        # While a culprit is looked for, the search may be interrupted; the next call goes on
        # with the half, or it would begin anew for ever.
        self._most = destination.max_batch

    @property
    def name(self) -> str:
        """What its thread is called."""
        return f"deliver-{self.destination.name}"

    def deliver(self) -> int:
        """Send one batch, if anything is due and the account may send; how many were tried.

        Raises:
            StoreUnavailable: the store cannot be read or written; leases end by themselves.
        """
        with self.store.read() as conn:
            has_due = outbox.has_due(conn, self.destination.name, self._now())
            has_overdue = outbox.has_overdue(conn, self._now())
        if has_overdue:
            self.store.commit(lambda conn: outbox.drop_expired(conn, self._now()))
        if not has_due:
            return 0
        claim = self.store.commit(self._claim)
        if claim is None:
            return 0
        now = self._now()
        # Withdrawn while somebody sent it who did not live to tell.
        withdrawn = [row for row in claim.rows if row.is_withdrawn]
        late = [row for row in claim.rows if not row.is_withdrawn and _is_late(row, now)]
        fresh = [row for row in claim.rows if not row.is_withdrawn and not _is_late(row, now)]
        for row in late:
            logger.warning("event %s dead: it expired", row.event_id)
        taken_back = Verdict("waiting", "", now, uses_attempt=False)
        self._settle(claim, [(row, taken_back) for row in withdrawn])
        self._settle(claim, [(row, expired(row.reason, now)) for row in late])
        concluded = len(withdrawn) + len(late)
        for rows, outcome in self._sent(claim, fresh):
            self._conclude(claim, rows, outcome)
            concluded += len(rows)
        if concluded < len(claim.rows):
            self.store.commit(lambda conn: outbox.release(conn, claim.token))
        return len(claim.rows)

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Deliver until told to stop."""
        while not stop.is_set():
            if not self._deliver_safely():
                stop.wait(poll)

    def _deliver_safely(self) -> int:
        try:
            return self.deliver()
        except StoreUnavailable as error:
            logger.warning("delivery waits for the store: %s", error)
        except Exception:
            # The thread must outlive whatever went wrong in one round.
            logger.exception("delivery to %s failed", self.destination.name)
        return 0

    def _now(self) -> int:
        return int(self.clock())

    def _claim(self, conn: Connection) -> Claim | None:
        now = self._now()
        account = accounts.of_destination(conn, self.destination.name)
        room = Breaker(account.failures, account.opened).allowance(self._most, now)
        if account.paused_until > now or room == 0:
            return None
        if not self._takes_slot(conn, account):
            return None
        token, until = secrets.token_hex(8), now + LEASE_SECONDS
        rows = outbox.claim(conn, self.destination.name, token, now, until, room)
        return Claim(token, until, rows) if rows else None

    def _takes_slot(self, conn: Connection, account: Row) -> bool:
        """Whether the account's rate limit, shared by all deliverers, allows a call now."""
        at = next_slot(
            account.next_call_at, int(self.clock() * MICROS), self.destination.calls_per_minute
        )
        if at is None:
            return False
        accounts.put(conn, **{**account._asdict(), "next_call_at": at})
        return True

    def _sent(self, claim: Claim, rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Outcome]]:
        """Send the rows; where one spoils the call, halve it until the culprit is alone.

        Ends early where the lease, the rate limit or the destination allows no further call.
        """
        pending = [rows] if rows else []
        while pending:
            batch = pending.pop()
            outcome = self.destination.send([bytes(row.payload) for row in batch])
            if isinstance(outcome, BatchRefused) and len(batch) > 1:
                half = len(batch) // 2
                pending += [batch[half:], batch[:half]]
                self._most = half
            else:
                yield batch, outcome
                self._most = self.destination.max_batch
            if isinstance(outcome, Paused | TryLater):
                return
            if pending and not self._may_call_again(claim):
                return

    def _may_call_again(self, claim: Claim) -> bool:
        """Whether one more call fits into the lease and the rate limit."""
        if claim.until - self._now() < _CALL_SECONDS:
            return False
        return self.store.commit(
            lambda conn: self._takes_slot(
                conn, accounts.of_destination(conn, self.destination.name)
            )
        )

    def _conclude(self, claim: Claim, rows: Sequence[Row], outcome: Outcome) -> None:
        now = self._now()
        fates = _fates(outcome, len(rows))
        verdicts = [
            (row, verdict(fate, row.attempts, row.event_time, now, self.jitter()))
            for row, fate in zip(rows, fates, strict=True)
        ]
        self._settle(claim, verdicts, outcome)
        self._tell(rows, outcome, verdicts)

    def _settle(
        self,
        claim: Claim,
        verdicts: Sequence[tuple[Row, Verdict]],
        outcome: Outcome | None = None,
    ) -> None:
        if not verdicts:
            return
        now = self._now()
        settled = [self._settled(row, found, now) for row, found in verdicts]
        made = [
            {
                "event_id": row.event_id,
                "destination": self.destination.name,
                "at": now,
                "outcome": found.state if found.state != "waiting" else "later",
                "detail": found.reason,
            }
            for row, found in verdicts
            if found.uses_attempt
        ]

        def write(conn: Connection) -> None:
            outbox.settle(conn, claim.token, settled)
            attempts.add(conn, made)
            if outcome is not None:
                self._note_account(conn, outcome, now)

        self.store.commit(write)

    def _settled(self, row: Row, found: Verdict, now: int) -> dict[str, Any]:
        is_over = found.state != "waiting"
        payload = bytes(row.payload)
        return {
            "b_id": row.id,
            "b_state": found.state,
            "b_payload": self.destination.strip(payload) if is_over else payload,
            "b_reason": found.reason,
            "b_due_at": found.due_at,
            "b_used": int(found.uses_attempt),
            "b_settled_at": now if is_over else 0,
        }

    def _note_account(self, conn: Connection, outcome: Outcome, now: int) -> None:
        account = accounts.of_destination(conn, self.destination.name)
        before = Breaker(account.failures, account.opened)
        after = before.after(outcome, now)
        changed = {**account._asdict(), "failures": after.failures, "opened": after.opened}
        match outcome:
            case Paused(reason):
                changed |= {"paused_until": now + pause_for(outcome), "pause_reason": reason}
            case Answered():
                changed |= {"paused_until": 0, "pause_reason": ""}
                if before.failures:
                    outbox.retry_now(conn, self.destination.name, now)
            case TryLater():
                # Each event may wait for longer than the breaker is open. One must be there to
                # find out that the destination answers again.
                outbox.bring_forward(conn, self.destination.name, now, now + OPEN_AT_MOST)
        accounts.put(conn, **changed)

    def _tell(
        self,
        rows: Sequence[Row],
        outcome: Outcome,
        verdicts: Sequence[tuple[Row, Verdict]],
    ) -> None:
        name = self.destination.name
        for row, found in verdicts:
            if found.state == "dead":
                logger.warning("event %s dead at %s: %s", row.event_id, name, found.reason)
        match outcome:
            case Paused(reason, _, is_credentials):
                level = logging.ERROR if is_credentials else logging.WARNING
                logger.log(level, "%s paused, %d events wait: %s", name, len(rows), reason)
            case TryLater(reason):
                logger.warning("%s failed, %d events wait: %s", name, len(rows), reason)
            case _:
                sent = sum(found.state == "sent" for _, found in verdicts)
                logger.info("%s took %d of %d events", name, sent, len(rows))


def _is_late(row: Row, now: int) -> bool:
    return is_expired(row.event_time, now, row.attempts)


def _fates(
    outcome: Outcome, count: int
) -> Sequence[EventResult | BatchRefused | Paused | TryLater]:
    return outcome.results if isinstance(outcome, Answered) else [outcome] * count
