"""Records server events: what other systems send as events of their own, each once."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeVar

import msgspec

from tracking.destinations.base import PINTEREST
from tracking.domain.attribution import Touch
from tracking.domain.conversion import (
    MAY_END,
    NO_EVIDENCE,
    event_id_of,
    reason_not_to_send_event,
    reason_of_naming,
)
from tracking.receive.attributor import Attributor
from tracking.receive.event_input import InboundEvent, inbound_events_of
from tracking.receive.handed_in_purchases import (
    NOT_TOLD,
    is_sent_by_the_order,
    of_told_order,
    queue,
    told_otherwise,
)
from tracking.receive.planner import Planner, figures_in
from tracking.receive.prepared_event import (
    PreparedEvent,
    event_row,
    is_another,
    not_sent,
    visit_named_by,
)
from tracking.receive.privacy.tombstones import erased_of
from tracking.receive.rows import with_credit
from tracking.store import (
    Store,
    consents,
    conversions,
    event_batches,
    identity_graph,
    naming_events,
    orders,
    outbox,
    touches,
)
from tracking.store.conversions import ConversionRow
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection, Contended
from tracking.store.event_batches import KnownBatch, QueuedEvent, RecordedEvent
from tracking.store.identity_graph import ALWAYS

# Events that are recorded one by one share their commit with what waits beside them. On PostgreSQL
# each takes a connection, of which there are few, and webhooks want one as well.
AT_ONCE = {"sqlite": 32, "postgresql": 2}
# On PostgreSQL each name takes a lock, of which all connections share some thousands.
_MOST_NAMES = 1000

# A conflict stands only in a list of events; of one alone it is an error.
# How often a part of many events is tried while others hold what it needs, a few seconds each time.
_TRIES = 10

_Result = TypeVar("_Result")
EventStatus = Literal["accepted", "duplicate", "conflict"]
# Resent: it was held back by a setting, and waits now. A conflict: an event of this id is on
# record, and is another one.
BatchStatus = Literal["accepted", "resent", "duplicate", "conflict"]


class BatchResult(NamedTuple):
    """The result of an event of many. `reason` says why a new one is not sent (a key of REASONS),
    "" if it is."""

    status: BatchStatus
    reason: str = ""


_ACCEPTED, _DUPLICATE = BatchResult("accepted"), BatchResult("duplicate")


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """The result of an event that is on disk now.

    `left_out` are JSON pointers to values that could not be used, `reason` says why it is not
    sent (a key of REASONS), "" if it is.
    """

    event_id: str
    status: EventStatus
    left_out: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EventReceipts:
    """The results of a list of events, in its order. All are on disk now, apart from conflicts."""

    events: Sequence[EventReceipt]


class EventIdConflict(Exception):
    """Another event has this event id already."""


class ServerEvents:
    """Records events that other systems send. Orders stay the only source of money: no event
    changes what a report says was earned."""

    def __init__(
        self, store: Store, planner: Planner, clock: Callable[[], float], account_id: str = ""
    ) -> None:
        self.store = store
        self.planner = planner
        self.clock = clock
        self.account_id = account_id
        self.attributor = Attributor(planner)

    def record(self, body: bytes) -> EventReceipt | EventReceipts:
        """Records one event, or a list of them; the same event again is a duplicate. They are on
        disk afterwards.

        Raises:
            ValidationError: an event has faults, and nothing was stored.
            EventIdConflict: the event id of the only one is that of another event, and nothing was
                stored.
            StoreUnavailable: nothing may have been stored; the caller must send it again.
        """
        now = int(self.clock())
        found = inbound_events_of(body, self.planner.policy, now, self.account_id)
        if isinstance(found, InboundEvent):
            return self._record_one(found, now)
        prepared = [self.prepare(event, now) for event in found]
        results = (result for chunk in self.record_all(prepared) for result in chunk)
        return EventReceipts([_receipt(e, r) for e, r in zip(found, results, strict=True)])

    def _record_one(self, event: InboundEvent, now: int) -> EventReceipt:
        prepared = self.prepare(event, now)
        return _receipt(event, self.store.commit(lambda conn: self._record(conn, prepared, now)))

    def record_all(
        self, events: Sequence[PreparedEvent], *, resends: bool = False
    ) -> Iterator[list[BatchResult]]:
        """Records many events, each as `record` does, in few transactions. With `resends` those on
        record that only a setting held back, which is another now, are sent.

        Yields the results of each transaction, once it is on disk.

        Raises:
            StoreUnavailable: some of the others may have been stored, and some not. Recorded
                again, those that were are duplicates.
        """
        now = int(self.clock())
        for chunk in self._chunks(events):
            results = self._committed(partial(self._record_all, chunk, now, resends))
            yield self._each_alone(chunk, results, now, resends=resends)

    def prepare(self, event: InboundEvent, now: int) -> PreparedEvent:
        """Prepares an event, received at an instant (seconds UTC), for `record_all`."""
        conversion = event.conversion
        at, keys = conversion.event_time, conversion.identity.graph_keys()
        visitor = keys[0] if keys else conversion.event_id
        reason = self._reason(event, now)
        visit = visit_named_by(event, visitor, self.planner.policy.pinterest_media)
        best = self.planner.newest_from_pinterest([visit], at) if visit else None
        return PreparedEvent(
            event_id=conversion.event_id,
            order_id=conversion.order_id,
            at=at,
            visitor=visitor,
            keys=keys,
            visit=visit,
            conversion=event_row(event, visitor, visit, best, reason, now),
            payload=b"" if reason else msgspec.json.encode(event.event),
        )

    def _committed(self, work: Callable[[Connection], _Result]) -> _Result:
        """Commits a part of many events, which may wait for others as long as webhooks may not.

        Raises:
            StoreUnavailable: nothing of the part was stored.
        """
        for _ in range(_TRIES - 1):
            with suppress(Contended):
                return self.store.commit(work)
        return self.store.commit(work)

    def _record(
        self, conn: Connection, event: PreparedEvent, now: int, *, resends: bool = False
    ) -> BatchResult:
        """Records an event that may be known.

        Raises:
            EventIdConflict: its event id is that of another event.
        """

        def person() -> tuple[str, ...]:
            return identity_graph.person_of(conn, event.keys, event.visitor)

        advisory_locks.hold_found(conn, lambda: {event.event_id, *event.lock_names, *person()})
        known = conversions.under_id(conn, event.event_id)
        if known is not None and is_another(known, event):
            raise EventIdConflict
        event = of_told_order(conn, event)
        if is_sent_by_the_order(conn, event):
            return _DUPLICATE
        if known is not None:
            is_sent = resends and self._resend(conn, known, event, now)
            return BatchResult("resent") if is_sent else _DUPLICATE
        if any(erased_of(conn, event.order_id, event.keys)):
            # It counts, and names no person.
            anonymous = with_credit(event.conversion, None)
            conversions.put(conn, anonymous._replace(visitor=event.event_id, reason="erased"))
            return BatchResult("accepted", "erased")
        best = self._earned_by(conn, event, person())
        event, held_until = self._as_its_order_allows(conn, event, now)
        told = told_otherwise(conn, event, now) if event.payload else NOT_TOLD
        row = event.conversion
        if told.reason:
            row = row._replace(reason=told.reason)
        conversions.put(conn, with_credit(row, best))
        if event.payload:
            # What becomes of the order may still be the reason instead.
            queue(conn, event, now, held_until, told)
        self._join(conn, event.keys, event.visitor, now)
        is_duplicate = told.reason == "told_by_order"
        return _DUPLICATE if is_duplicate else BatchResult("accepted", row.reason)

    def _resend(
        self, conn: Connection, known: ConversionRow, event: PreparedEvent, now: int
    ) -> bool:
        """Puts an event on record in line that only a setting held back, which is another now;
        returns True if it is in line."""
        if not self.planner.is_lifted(known.reason):
            return False
        event, held_until = self._as_its_order_allows(conn, event, now)
        if not event.payload or outbox.of_event(conn, event.event_id):
            return False
        if told_otherwise(conn, event, now).reason:
            return False
        conversions.put(conn, known._replace(reason=event.conversion.reason, detail=""))
        queue(conn, event, now, held_until)
        return held_until is None

    def _as_its_order_allows(
        self, conn: Connection, event: PreparedEvent, now: int
    ) -> tuple[PreparedEvent, int | None]:
        """Returns an event as the order that it names may be told of: as it is, only with the
        limited use of the buyer's data, or not at all.

        The second value is until when it is held (seconds UTC), if the reason may end; else None.
        """
        if not (event.order_id and event.payload):
            return event, None
        own = conversions.of_event(conn, event_id_of(event.order_id))
        order = orders.of_id(conn, event.order_id)
        if own is None or order is None:
            return event, None
        consent = consents.of_order(conn, order, own.visitor)
        if consent.sale_of_data is False:
            destination = self.planner.destinations[PINTEREST]
            limited = destination.amend(event.payload, NO_EVIDENCE, limited=True)
            event = msgspec.structs.replace(event, payload=limited)
        is_refunded = figures_in(order).is_refunded
        reason = reason_of_naming(own.reason, consent, is_refunded=is_refunded)
        if not reason:
            return event, None
        until = self.planner.settles_at(order.source_name, own.at, own.recorded_at)
        if reason in MAY_END and until > now:
            row = event.conversion._replace(reason=reason)
            return msgspec.structs.replace(event, conversion=row), until
        return not_sent(event, reason), None

    def _chunks(self, events: Sequence[PreparedEvent]) -> Iterator[Sequence[PreparedEvent]]:
        """Yields as many events at a time as one transaction may hold the names of."""
        if self.store.dialect != "postgresql":
            yield events
            return
        begin = names = 0
        for n, event in enumerate(events):
            names += len(self._lock_names(event))
            if names > _MOST_NAMES:
                yield events[begin:n]
                begin, names = n, 0
        yield events[begin:]

    def _lock_names(self, event: PreparedEvent) -> Sequence[str]:
        """Returns the names that no other transaction may write about meanwhile. Beside
        Pinterest's own app another event may be about to be sent under the event's id."""
        if self.planner.is_beside_app:
            return (event.event_id, *event.lock_names)
        return event.lock_names

    def _record_all(
        self, events: Sequence[PreparedEvent], now: int, resends: bool, conn: Connection
    ) -> list[BatchResult | None]:
        """Records the events of new persons, all at once. None stands for an event that has to be
        recorded by itself."""
        advisory_locks.hold(conn, (name for event in events for name in self._lock_names(event)))
        ids = {event.event_id for event in events}
        ids.update(event_id_of(event.order_id) for event in events if event.order_id)
        keys = {key for event in events for key in event.keys}
        visitors = {event.visitor for event in events}
        order_ids = {event.order_id for event in events}
        known = event_batches.known_of(conn, ids, keys, visitors, order_ids)
        seen: dict[str, ConversionRow | RecordedEvent] = dict(known.events)
        named = naming_events.named(conn, order_ids)
        results: list[BatchResult | None] = []
        new: list[PreparedEvent] = []
        for event in events:
            first = seen.setdefault(event.event_id, event.conversion)
            if first is not event.conversion:
                if resends and isinstance(first, RecordedEvent):
                    results.append(None)
                else:
                    differs = is_another(first, event)
                    results.append(BatchResult("conflict") if differs else _DUPLICATE)
                continue
            is_known = (
                known.add(event.keys, event.visitor)
                or event.event_id in known.shared_ids
                or (bool(event.order_id) and _is_of_known_order(event, known, named))
            )
            if is_known or known.any_erased(event.keys, event.order_id):
                results.append(None)
            else:
                reason = event.conversion.reason
                results.append(BatchResult("accepted", reason) if reason else _ACCEPTED)
                new.append(event)
                if event.order_id:
                    named.add(event.order_id)
        event_batches.put(
            conn,
            [event.conversion for event in new],
            [
                QueuedEvent(e.event_id, PINTEREST, e.payload, e.at, e.order_id)
                for e in new
                if e.payload
            ],
            {(key, event.visitor) for event in new for key in event.keys},
            now,
        )
        return results

    def _each_alone(
        self,
        events: Sequence[PreparedEvent],
        results: Sequence[BatchResult | None],
        now: int,
        *,
        resends: bool,
    ) -> list[BatchResult]:
        """Records the events that are left over one by one; returns the result of all."""
        if None not in results:
            return [result for result in results if result]

        def record(event: PreparedEvent, result: BatchResult | None) -> BatchResult:
            if result is not None:
                return result
            try:
                return self._committed(lambda conn: self._record(conn, event, now, resends=resends))
            except EventIdConflict:
                return BatchResult("conflict")

        with ThreadPoolExecutor(AT_ONCE[self.store.dialect]) as threads:
            return list(threads.map(record, events, results))

    def _reason(self, event: InboundEvent, now: int) -> str:
        """Returns why an event is not sent (a key of REASONS), "" if it is.

        A caller that sends an event wants Pinterest to have it, whichever touch earned it.
        """
        reason = reason_not_to_send_event(
            event.conversion, event.consent, self.planner.policy, is_credited=True, now=now
        )
        return reason or ("" if PINTEREST in self.planner.destinations else "report_only")

    def _earned_by(
        self, conn: Connection, event: PreparedEvent, person: Iterable[str]
    ) -> Touch | None:
        """Returns the Pinterest touch that led to the event: one on record of the same person, or
        the visit that the event itself names."""
        found = touches.seen_by(conn, person, event.at - self.planner.reach, event.at)
        visits = [*found, event.visit] if event.visit else found
        return self.planner.newest_from_pinterest(visits, event.at)

    def _join(self, conn: Connection, keys: Iterable[str], visitor: str, now: int) -> None:
        """Stores the keys of the event's person, and credits again what that concerns."""
        concerned = identity_graph.joined_by(
            conn, identity_graph.link(conn, keys, visitor), visitor
        )
        if concerned:
            person = identity_graph.person_of(conn, keys, visitor)
            self.attributor.credit(conn, {*person, *concerned}, ALWAYS, now)


def _receipt(event: InboundEvent, result: BatchResult) -> EventReceipt:
    status: EventStatus = "duplicate" if result.status == "resent" else result.status
    return EventReceipt(event.conversion.event_id, status, event.left_out, result.reason)


def _is_of_known_order(event: PreparedEvent, known: KnownBatch, named: Container[str]) -> bool:
    """Returns True if the order that an event names is on record, or another checkout names it."""
    if known.events and event_id_of(event.order_id) in known.events:
        return True
    return event.conversion.stage == "purchase" and event.order_id in named
