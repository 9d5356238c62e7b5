"""Where what came in meets what is known: gather, decide, write, in one transaction each."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import msgspec

from tracking.domain.attribution import touch_key
from tracking.domain.consent import Consent
from tracking.domain.order import Order, Refund
from tracking.domain.shopify_order import NotAnOrder, order_of, refund_of
from tracking.receive.attributor import ALWAYS, Attributor
from tracking.receive.browser_events import record_pixel_events
from tracking.receive.pixel import PixelEvent
from tracking.receive.planner import OrderFacts, OrderRows, Planner
from tracking.receive.privacy.erasure import PersonEraser, erased_of, without_phone
from tracking.receive.quarantine import Quarantine
from tracking.receive.receipt import Receipt, Work
from tracking.store import (
    Store,
    conversions,
    identity_graph,
    new_orders,
    orders,
    outbox,
    touches,
)
from tracking.store.engine import advisory_locks
from tracking.store.engine.group_commit import BatchableWrite
from tracking.store.engine.statement import Connection, Row
from tracking.store.new_orders import NewOrderRows
from tracking.store.values import json_of

_NOTHING_GIVEN_BACK = {"goods": 0, "paid": 0}


class Tracker:
    """Takes orders, refunds and storefront events in, exactly once each.

    Every public method returns after what it says is on disk.
    """

    def __init__(self, store: Store, planner: Planner, clock: Callable[[], float]) -> None:
        self.store = store
        self.planner = planner
        self.clock = clock
        self.quarantine = Quarantine(store, clock)
        self.attributor = Attributor(planner)
        self.eraser = PersonEraser(self.attributor)

    def receive_order(self, body: bytes, topic: str) -> Receipt:
        """Take in a body of the orders topics. The body alone decides what it changes.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(self._order_work(body, topic))

    def receive_order_deferred(self, body: bytes, topic: str) -> Future[Receipt]:
        """As `take_order`, without waiting for the disk.

        Raises:
            StoreUnavailable: nothing was stored, as the disk is full.
        """
        return self.store.commit_later(self._order_work(body, topic))

    def receive_refund(self, body: bytes, topic: str) -> Receipt:
        """Take in a body of refunds/create, which may come before its order.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            refund, currency = refund_of(body)
        except NotAnOrder as error:
            return self.quarantine.add(body, topic, str(error))
        digest = hashlib.sha256(body).hexdigest()
        return self.store.commit(
            lambda conn: self._record_refund(conn, refund, currency, digest, topic)
        )

    def record(self, order: Order, topic: str) -> Receipt:
        """Take in one state of an order, wherever it comes from.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(self._recording_work(order, topic))

    def _order_work(self, body: bytes, topic: str) -> Work:
        try:
            order = order_of(body)
        except NotAnOrder as error:
            return self.quarantine.adding(body, topic, str(error))
        return self._recording_work(order, topic)

    def _recording_work(self, order: Order, topic: str) -> Work:
        facts = self.planner.facts_of(order)
        # Of nearly every order nothing else is known. That case is decided before the write lock
        # is held, so that the lock is short.
        now = self._now()
        rows = self.planner.rows_of(facts, (), _NOTHING_GIVEN_BACK, now)
        new_rows = _new_order_rows(facts, rows, topic, now + self.planner.settling)
        if order.refunds or not new_rows.fits:
            return lambda conn: self.update_order(conn, facts, topic, now)
        values = new_orders.values_of(new_rows, *self.planner.span_of(facts))
        return _NewOrderWrite(self, facts, values, topic, now)

    def record_pixel_events(self, seen: Sequence[PixelEvent]) -> None:
        """Take in what happened in the storefront; the same events again change nothing.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        if seen:
            now = self._now()
            self.store.commit(lambda conn: record_pixel_events(conn, self.attributor, seen, now))

    def _now(self) -> int:
        return int(self.clock())

    def update_order(self, conn: Connection, facts: OrderFacts, topic: str, now: int) -> Receipt:
        """Record an order that may be known, or whose buyer is."""
        order = facts.order
        person = identity_graph.person_of(conn, facts.person, facts.visitor)
        advisory_locks.hold(conn, (*_names(facts), *person))
        is_erased, erased = erased_of(conn, order.id, facts.person)
        if is_erased:
            return self._record_erased(conn, order, topic, now)
        facts = _without(facts, erased)
        if not orders.is_new_body(conn, order.digest, topic, order.id, now):
            return Receipt("duplicate", order.id)
        for refund in order.refunds:
            _put_refund(conn, refund, order.currency)
        concerned = _linked(conn, facts.person, facts.visitor)
        known = orders.of_id(conn, order.id)
        if known is not None and known.version >= order.version:
            return self._record_stale(conn, known, facts, concerned, now)

        own, facts = facts, _without(self._completed(conn, facts, known), erased)
        if facts.visitor != own.visitor:
            concerned |= _linked(conn, facts.person, facts.visitor)
        given_back = orders.refunded(conn, order.id, order.currency)._asdict()
        person = identity_graph.person_of(conn, facts.person, facts.visitor)
        others = self.attributor.others(conn, person, order.id, *self.planner.span_of(facts))
        before = self.planner.inside(others, order.placed_at)
        match = self.attributor.match(conn, facts.person, facts.visitor, before)
        rows = self.planner.rows_of(facts, others, given_back, now, match)
        self._write(conn, facts, rows, known)

        if concerned:
            self.attributor.credit_orders(conn, {*person, *concerned}, ALWAYS, now, order.id)
        elif came := [touch.at for touch in (own.touch, facts.touch) if touch is not None]:
            span = (min(came), max(came) + self.planner.reach)
            self.attributor.credit_orders(conn, person, span, now, order.id)
        return Receipt("accepted", order.id)

    def _record_erased(self, conn: Connection, order: Order, topic: str, now: int) -> Receipt:
        """Record the money and the state of an order whose buyer was erased."""
        if not orders.is_new_body(conn, order.digest, topic, order.id, now):
            return Receipt("duplicate", order.id)
        for refund in order.refunds:
            _put_refund(conn, refund, order.currency)
        known = orders.of_id(conn, order.id)
        if known is not None and known.visitor:
            # That it is theirs, only this state of the order tells.
            self.eraser.erase(conn, (), (order.id,), now)
            known = orders.of_id(conn, order.id)
        if known is not None and known.version >= order.version:
            if order.refunds:
                self.attributor.settle_money(conn, known)
            return Receipt("stale", order.id)
        self.eraser.put_order(conn, order, known, now)
        return Receipt("accepted", order.id)

    def _completed(self, conn: Connection, facts: OrderFacts, known: Row | None) -> OrderFacts:
        """The draft with what older states told, which newer ones may have lost, and what the
        pixel knows of this checkout and this browser."""
        links, before = facts.person, None
        said = (json_of(facts.session), json_of(facts.said))
        # Nearly always a newer state says of both what the older one said.
        if known is not None and (known.session, known.consent) != said:
            before = known._asdict()
            facts = self.planner.facts_of(facts.order, known=before)
        stored = self.attributor.stored(conn, links)
        match = self.attributor.match(conn, links, facts.visitor)
        told = self.attributor.consent_of(conn, match)
        if stored is None and told == Consent():
            return facts
        return self.planner.facts_of(facts.order, stored, told, before)

    def _record_stale(
        self, conn: Connection, known: Row, facts: OrderFacts, concerned: frozenset[str], now: int
    ) -> Receipt:
        """An older state of an order may still tell of a refund, of who the buyer is, and of the
        visit and the consent that a newer state has lost."""
        if facts.order.refunds:
            self.attributor.settle_money(conn, known)
            known = orders.of_id(conn, known.id) or known
        newer = self.attributor.complete(conn, known, facts)
        if newer is not None:
            known = newer
            concerned |= _linked(conn, (*known.links.split(), *facts.person), known.visitor)
        if concerned or newer is not None:
            person = identity_graph.person_of(conn, known.links.split(), known.visitor)
            self.attributor.credit_orders(conn, {*person, *concerned}, ALWAYS, now)
        return Receipt("stale", known.id)

    def _write(
        self, conn: Connection, facts: OrderFacts, rows: OrderRows, known: Row | None
    ) -> None:
        order, conversion = facts.order, rows.conversion
        if known is not None:
            touches.drop(conn, known.visitor, touch_key(order.id))
        touches.put(conn, _touch_row(facts))
        orders.put(conn, rows.order)
        touches.put_credits(conn, order.id, rows.credits, is_new=known is None)
        # Its event may be older than the order: somebody else may have handed it in.
        first = conversions.of_event(conn, conversion["event_id"])
        if first is not None:
            conversion = self._reconsidered(conn, conversion)
        conversions.put(conn, conversion)
        now, event_id = conversion["recorded_at"], conversion["event_id"]
        until = None
        if conversion["reason"]:
            until = (first.recorded_at if first is not None else now) + self.planner.settling
        for name, payload in rows.payloads.items():
            outbox.queue(conn, event_id, name, payload, order.placed_at, now, until)
        if first is not None and facts.consent.sale_of_data is False:
            # What is under way keeps its payload, and is tried again if it does not arrive.
            self.attributor.amend(conn, outbox.of_event(conn, event_id), "", facts.consent)

    def _reconsidered(self, conn: Connection, conversion: Mapping[str, Any]) -> Mapping[str, Any]:
        """The conversion of a newer state of an order, in the light of what was sent already."""
        event_id, reason = conversion["event_id"], conversion["reason"]
        outbox.forget_held(conn, event_id)
        if reason:
            outbox.withdraw(conn, event_id, reason, conversion["recorded_at"])
        else:
            outbox.undo_withdrawal(conn, event_id)
        if any(row.state == "sent" for row in outbox.of_event(conn, event_id)):
            # It was told; whatever happens now changes only the shop's reports.
            return {**conversion, "reason": "", "detail": ""}
        return conversion

    def _record_refund(
        self, conn: Connection, refund: Refund, currency: str, digest: str, topic: str
    ) -> Receipt:
        advisory_locks.hold(conn, (refund.order_id,))
        if not orders.is_new_body(conn, digest, topic, refund.order_id, self._now()):
            return Receipt("duplicate", refund.order_id)
        _put_refund(conn, refund, currency)
        known = orders.of_id(conn, refund.order_id)
        if known is not None:
            self.attributor.settle_money(conn, known)
        return Receipt("accepted", refund.order_id)


@dataclass(frozen=True, slots=True)
class _NewOrderWrite(BatchableWrite):
    """Records an order that seems to be new, of a buyer who seems to be."""

    tracker: Tracker
    facts: OrderFacts
    values: Sequence[Any]
    topic: str
    now: int

    def __call__(self, conn: Connection) -> Receipt:
        return self.tracker.update_order(conn, self.facts, self.topic, self.now)

    def attempt(self, conn: Connection) -> Receipt | None:
        """Write it, if it is new."""
        advisory_locks.hold(conn, _names(self.facts))
        is_new = new_orders.write(conn, self.values)
        return Receipt("accepted", self.facts.order.id) if is_new else None

    @classmethod
    def put(cls, conn: Connection, works: Sequence["_NewOrderWrite"]) -> None:
        """Write the new ones in one statement."""
        new_orders.put(conn, [work.values for work in works])

    @classmethod
    def results(
        cls, conn: Connection, works: Sequence["_NewOrderWrite"]
    ) -> Sequence[Receipt | None]:
        """Those that were not new go the long way."""
        written = new_orders.taken(conn)
        return [
            Receipt("accepted", work.facts.order.id) if n in written else None
            for n, work in enumerate(works)
        ]


def _names(facts: OrderFacts) -> tuple[str, ...]:
    """What two transactions about one order or one buyer have in common."""
    return (facts.order.id, facts.visitor, *facts.person)


def _linked(conn: Connection, links: Iterable[str], visitor: str) -> frozenset[str]:
    """Note that a visitor was seen with these links; whom that concerns."""
    return identity_graph.joined_by(conn, identity_graph.link(conn, links, visitor), visitor)


def _without(facts: OrderFacts, erased: Collection[str]) -> OrderFacts:
    """The draft without what its buyer shared with a person who was erased."""
    if not erased:
        return facts
    return msgspec.structs.replace(
        facts,
        identity=without_phone(facts.identity, erased),
        person=tuple(link for link in facts.person if link not in erased),
    )


def _new_order_rows(
    facts: OrderFacts, rows: OrderRows, topic: str, held_until: int
) -> NewOrderRows:
    """All rows of an order nothing was known of. Without a reason not to, its event is sent."""
    return NewOrderRows(
        digest=facts.order.digest,
        topic=topic,
        order=rows.order,
        touch=_touch_row(facts),
        conversion=rows.conversion,
        person=facts.person,
        credits=rows.credits,
        payloads=rows.payloads,
        held_until=held_until if rows.conversion["reason"] else None,
    )


def _touch_row(facts: OrderFacts) -> Mapping[str, Any]:
    if facts.touch is not None:
        return touches.touch_row(facts.touch)
    return touches.marker_row(touch_key(facts.order.id), facts.visitor, facts.order.placed_at)


def _put_refund(conn: Connection, refund: Refund, currency: str) -> None:
    orders.put_refund(
        conn, refund.id, refund.order_id, refund.at, refund.goods, refund.paid, currency
    )
