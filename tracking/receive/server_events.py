"""Events that a caller hands in: recorded once each, or shown to Pinterest for a trial."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import msgspec

from tracking.destinations.base import PINTEREST
from tracking.domain.attribution import Touch
from tracking.domain.conversion import event_id_of, reason_not_to_send_event
from tracking.domain.touch import touch_of_session
from tracking.receive.attributor import ALWAYS, Attributor
from tracking.receive.event_input import InboundEvent, inbound_event_of
from tracking.receive.planner import Planner
from tracking.receive.privacy.erasure import erased_of
from tracking.receive.rows import credited_to
from tracking.store import (
    Store,
    conversions,
    event_batches,
    identity_graph,
    outbox,
    touches,
)
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection

# What is recorded by itself shares its commit with what waits beside it. On PostgreSQL each takes
# a connection, of which there are few, and webhooks want one as well.
AT_ONCE = {"sqlite": 32, "postgresql": 2}
# On PostgreSQL each name takes a lock, of which there are some thousands for everybody.
_MOST_NAMES = 1000

EventStatus = Literal["accepted", "duplicate"]


@dataclass(frozen=True, slots=True)
class EventReceipt:
    """What became of an event that is on disk now. `left_out` are JSON pointers to values that
    could not be used, `reason` says why it is not sent (a key of REASONS), "" if it is."""

    event_id: str
    status: EventStatus
    left_out: tuple[str, ...]
    reason: str = ""


class EventIdConflict(Exception):
    """An event of another stage of the funnel has this event id already."""


class EventRow(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="event"):
    """An event with all that is written of it if it meets nobody known, made before the
    transaction, so that it is short.

    `links` are what the person is known by, `visit` is the one the event itself tells of, `row`
    what is noted of it, and `payload` what is sent, empty if nothing is.
    """

    event_id: str
    order_id: str
    at: int
    visitor: str
    links: tuple[str, ...]
    visit: Touch | None
    row: dict[str, str | int]
    payload: bytes

    @property
    def names(self) -> Sequence[str]:
        """What no other transaction may write about meanwhile."""
        return [name for name in (self.order_id, self.visitor, *self.links) if name]


class ServerEvents:
    """Takes in what another system hands over as an event of its own. Orders stay the only
    source of money: no event changes what a report says was earned."""

    def __init__(
        self,
        store: Store,
        planner: Planner,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.planner = planner
        self.clock = clock
        self.attributor = Attributor(planner)

    def take(self, body: bytes) -> EventReceipt:
        """Take in one event; the same event again is a duplicate. It is on disk afterwards.

        Raises:
            ValidationError: the event has faults, and nothing was stored.
            EventIdConflict: its event id is that of another event, and nothing was stored.
            StoreUnavailable: nothing may have been stored; the caller must send it again.
        """
        now = int(self.clock())
        given = inbound_event_of(body, self.planner.policy, now)
        work = self.prepared(given, now)
        if not self.store.commit(lambda conn: self._record(conn, work, now)):
            return EventReceipt(work.event_id, "duplicate", given.left_out)
        return EventReceipt(work.event_id, "accepted", given.left_out, str(work.row["reason"]))

    def record_all(self, works: Sequence[EventRow]) -> Iterator[list[EventStatus]]:
        """Take many events in, each as `take` does, in few transactions; what became of those of
        each transaction, once it is on disk.

        Raises:
            StoreUnavailable: some of the others may have been stored, and some not. Taken again,
                those that were are duplicates.
        """
        now = int(self.clock())
        for some in self._turns(works):
            told = self.store.commit(partial(self._record_all, some, now))
            yield self._each_alone(some, told, now)

    def _record(self, conn: Connection, work: EventRow, now: int) -> bool:
        """Whether the event is new, and then written down."""
        person = identity_graph.person_of(conn, work.links, work.visitor)
        advisory_locks.hold(conn, {work.event_id, *work.names, *person})
        found = conversions.of_event(conn, work.event_id)
        if found is not None and found.stage != work.row["stage"]:
            raise EventIdConflict
        if found is not None or _is_sent_by_the_order(conn, work):
            return False
        if any(erased_of(conn, work.order_id, work.links)):
            # It counts, and tells of nobody.
            nobody = {"visitor": work.event_id, **credited_to(None), "reason": "erased"}
            conversions.put(conn, {**work.row, **nobody})
            return True
        best = self._brought_by(conn, work, person)
        conversions.put(conn, {**work.row, **credited_to(best)})
        if work.payload:
            outbox.queue(conn, work.event_id, PINTEREST, work.payload, work.at, now)
        self._join(conn, work.links, work.visitor, now)
        return True

    def _turns(self, works: Sequence[EventRow]) -> Iterator[Sequence[EventRow]]:
        """Events as many at a time as one transaction may hold the names of."""
        if self.store.dialect != "postgresql":
            yield works
            return
        begin = names = 0
        for n, work in enumerate(works):
            names += len(work.names)
            if names > _MOST_NAMES:
                yield works[begin:n]
                begin, names = n, 0
        yield works[begin:]

    def prepared(self, given: InboundEvent, now: int) -> EventRow:
        """An event, received at an instant (seconds UTC), for `take_all`. Nothing is stored."""
        conversion = given.conversion
        at, links = conversion.event_time, conversion.identity.links()
        visitor = links[0] if links else conversion.event_id
        reason = self._reason(given, now)
        visit = _visit(given, visitor)
        best = self.planner.newest_from_pinterest([visit], at) if visit else None
        return EventRow(
            event_id=conversion.event_id,
            order_id=conversion.order_id,
            at=at,
            visitor=visitor,
            links=links,
            visit=visit,
            row=self._row(given, visitor, best, reason, now),
            payload=b"" if reason else msgspec.json.encode(given.event),
        )

    def _record_all(
        self, works: Sequence[EventRow], now: int, conn: Connection
    ) -> list[EventStatus | None]:
        """Write down what meets nobody known, all at once. None stands for an event that has to
        be recorded by itself."""
        advisory_locks.hold(conn, {name for work in works for name in work.names})
        ids = {work.event_id for work in works} | {_orders_own(work) for work in works}
        links = {link for work in works for link in work.links}
        visitors = {work.visitor for work in works}
        order_ids = {work.order_id for work in works}
        known = event_batches.known(conn, ids, links, visitors, order_ids)
        seen = set(known.events)
        found: list[EventStatus | None] = []
        new: list[EventRow] = []
        for work in works:
            if work.event_id in seen:
                found.append("duplicate")
                continue
            seen.add(work.event_id)
            is_met = known.is_met(work.links, work.visitor)
            known.meet(work.links, work.visitor)
            is_met = is_met or _orders_own(work) in known.events
            if is_met or known.any_erased(work.links, work.order_id):
                found.append(None)
            else:
                found.append("accepted")
                new.append(work)
        event_batches.put(
            conn,
            [work.row for work in new],
            [(w.event_id, PINTEREST, w.payload, w.at) for w in new if w.payload],
            [(link, work.visitor) for work in new for link in work.links],
            now,
        )
        return found

    def _each_alone(
        self, works: Sequence[EventRow], told: Sequence[EventStatus | None], now: int
    ) -> list[EventStatus]:
        """What became of events, those that are left over recorded by themselves."""
        if None not in told:
            return [status for status in told if status]

        def record(work: EventRow, status: EventStatus | None) -> EventStatus:
            if status is not None:
                return status
            try:
                is_new = self.store.commit(lambda conn: self._record(conn, work, now))
            except EventIdConflict:
                is_new = False
            return "accepted" if is_new else "duplicate"

        with ThreadPoolExecutor(AT_ONCE[self.store.dialect]) as threads:
            return list(threads.map(record, works, told))

    def _reason(self, given: InboundEvent, now: int) -> str:
        """Why it is not sent (a key of REASONS), or "". Whoever hands an event over decided that
        Pinterest is to know it, so that it is not asked who earned it."""
        reason = reason_not_to_send_event(
            given.conversion, given.consent, self.planner.policy, is_credited=True, now=now
        )
        return reason or ("" if PINTEREST in self.planner.destinations else "report_only")

    def _row(
        self, given: InboundEvent, visitor: str, best: Touch | None, reason: str, now: int
    ) -> dict[str, str | int]:
        conversion = given.conversion
        # Of other checkouts the order may be told of as well, and would count twice.
        is_purchase = given.stage == "purchase"
        is_counted = given.is_orders_own if is_purchase else given.stage is not None
        return {
            "event_id": conversion.event_id,
            "stage": given.stage or "",
            # That of an order that was received. This one tells of itself alone.
            "order_id": "",
            "visitor": visitor,
            "at": conversion.event_time,
            "is_counted": int(is_counted),
            **credited_to(best),
            "currency": conversion.currency,
            "value": given.value,
            "reason": reason,
            "detail": "",
            "recorded_at": now,
            "credited_then": "",
        }

    def _brought_by(self, conn: Connection, work: EventRow, person: Iterable[str]) -> Touch | None:
        """The Pinterest touch that led to the event: one on record of the same person, or the
        visit that the event itself tells of."""
        found = touches.seen_by(conn, person, work.at - self.planner.reach, work.at)
        visits = [*found, work.visit] if work.visit else found
        return self.planner.newest_from_pinterest(visits, work.at)

    def _join(self, conn: Connection, links: Iterable[str], visitor: str, now: int) -> None:
        """Note that whoever is known by these links is one person, as an order would tell."""
        concerned = identity_graph.joined_by(
            conn, identity_graph.link(conn, links, visitor), visitor
        )
        if concerned:
            person = identity_graph.person_of(conn, links, visitor)
            self.attributor.credit_orders(conn, {*person, *concerned}, ALWAYS, now)


def _visit(given: InboundEvent, visitor: str) -> Touch | None:
    """The visit from Pinterest that an event itself tells of."""
    conversion = given.conversion
    if not (conversion.click_id or conversion.event_source_url) or not given.session.is_pinterest:
        return None
    key = f"event:{conversion.event_id}"
    return touch_of_session(given.session, key, visitor, conversion.event_time)


def _orders_own(work: EventRow) -> str:
    """The event id of the order that a checkout is of; that of the event for any other."""
    is_checkout = work.row["stage"] == "purchase" and work.order_id
    return event_id_of(work.order_id) if is_checkout else work.event_id


def _is_sent_by_the_order(conn: Connection, work: EventRow) -> bool:
    """Whether it is the checkout of an order whose own event Pinterest gets or got."""
    own = _orders_own(work)
    if own == work.event_id:
        return False
    return any(one.state in ("waiting", "sent") for one in outbox.of_event(conn, own))
