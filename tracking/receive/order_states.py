"""Records the states of orders, their refunds and their deletions, each in one transaction."""

from collections.abc import Collection, Iterable

import msgspec

from tracking.domain.attribution import touch_key
from tracking.domain.consent import Consent
from tracking.domain.conversion import NO_EVIDENCE, Evidence, event_id_of
from tracking.domain.customer import customer_type_of, is_first_of
from tracking.domain.order import Order, Refund, changed_at, lists_refunds
from tracking.domain.visitor import Match, match_without_graph
from tracking.receive import customers
from tracking.receive.attributor import Attributor
from tracking.receive.order_facts import OrderFacts
from tracking.receive.planner import Planner
from tracking.receive.privacy.erasure import PersonEraser
from tracking.receive.privacy.tombstones import erased_of
from tracking.receive.receipt import Receipt
from tracking.receive.rows import purchase_of_unknown, unknown_deleted_order, with_credit
from tracking.store import consents, conversions, identity_graph, orders, outbox, refunds, touches
from tracking.store.conversions import ConversionRow
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.new_orders import OrderRows
from tracking.store.orders import OrderRow
from tracking.store.refunds import RefundChange
from tracking.store.values import json_of
from tracking.store.visits import in_their_browsers

# The reasons that an older state of the order may remove, by what the newest has lost.
_MENDED_BY_OLDER = frozenset({"unpaid", "never_paid", "no_identity"})


class OrderStates:
    """Records what is told of orders, in whatever order it arrives."""

    def __init__(self, planner: Planner, attributor: Attributor, eraser: PersonEraser) -> None:
        self.planner = planner
        self.attributor = attributor
        self.events = attributor.events
        self.eraser = eraser

    def record(
        self,
        conn: Connection,
        facts: OrderFacts,
        topic: str,
        now: int,
        planned: OrderRows | None = None,
    ) -> Receipt:
        """Records a state of an order; the order or its buyer may be known.

        `planned` are the rows of the order for the case that neither is known.
        """
        order = facts.order
        self._hold_person(conn, facts)
        is_erased, erased = erased_of(conn, order.id, facts.keys)
        if is_erased:
            return self._record_erased(conn, order, topic, now)
        known = orders.of_id(conn, order.id)
        if known is not None and known.is_forgotten:
            return self._record_without_buyer(conn, order, topic, now)
        stated = _without_keys(facts, erased)
        if not orders.is_new_body(conn, order.digest, topic, order.id, now):
            return Receipt("duplicate", order.id)
        changes = refunds.put(conn, order.refunds, order.id, order.currency)
        concerned = identity_graph.link_signed(conn, stated.keys, stated.visitor)
        # The event may be older than the order: another system may have sent it to us first.
        event = conversions.of_event(conn, event_id_of(order.id))
        if known is not None and known.version >= order.version:
            return self._record_stale(conn, known, event, stated, concerned, changes, now)

        facts, is_changed = self._completed(conn, stated, known, self._waiting(conn, event))
        facts = _without_keys(facts, erased)
        if facts.visitor != stated.visitor:
            concerned |= identity_graph.link_signed(conn, facts.keys, facts.visitor)
        person = self._person_of(conn, facts)
        if is_changed or erased:
            planned = None
        rows = self._rows_of(conn, facts, person, now, planned)
        moved = self._write(conn, facts, rows, known)
        self.events.write(conn, facts, rows, event)
        visits = [touch.at for touch in (stated.touch, facts.touch) if touch is not None]
        self._credit_others(conn, order.id, [*visits, *moved], person, concerned, now)
        self._credit_later(conn, order.id, now)
        return Receipt("accepted", order.id)

    def resend(self, conn: Connection, facts: OrderFacts, now: int) -> bool:
        """Puts the event of a known order in line that only a setting held back, which is another
        now; returns True if it is in line."""
        order_id = facts.order.id
        self._hold_person(conn, facts)
        known = orders.of_id(conn, order_id)
        event = conversions.of_event(conn, event_id_of(order_id))
        if known is None or event is None or not self.planner.is_lifted(event.reason):
            return False
        self._plan_again(conn, known, event, facts, now)
        event = conversions.of_event(conn, event.event_id)
        return event is not None and not event.reason

    def record_refund(
        self, conn: Connection, refund: Refund, currency: str, digest: str, topic: str, now: int
    ) -> Receipt:
        """Records a state of a refund; its order may be known or not."""
        advisory_locks.hold(conn, (refund.order_id,))
        if not orders.is_new_body(conn, digest, topic, refund.order_id, now):
            return Receipt("duplicate", refund.order_id)
        states = (refund,) if currency else ()
        changes = refunds.put(conn, states, refund.order_id, currency)
        known = orders.of_id(conn, refund.order_id)
        if known is not None:
            self.attributor.settle_money(conn, known, now, changes=changes)
        return Receipt("accepted", refund.order_id)

    def record_deletion(
        self, conn: Connection, order_id: str, digest: str, topic: str, now: int
    ) -> Receipt:
        """Takes an order out of the counts, and withdraws its event if it waits."""
        advisory_locks.hold(conn, (order_id,))
        if not orders.is_new_body(conn, digest, topic, order_id, now):
            return Receipt("duplicate", order_id)
        known = orders.of_id(conn, order_id)
        if known is None:
            orders.put(conn, unknown_deleted_order(order_id, now))
        else:
            row = known._replace(deleted_at=known.deleted_at or now, is_counted=0)
            self.attributor.write_credits(conn, known, row)
        known_event = conversions.of_event(conn, event_id_of(order_id))
        event = known_event or purchase_of_unknown(order_id, now)
        deleted = with_credit(event, None)._replace(
            is_counted=0, reason="deleted", detail="", recorded_at=now
        )
        conversions.put(conn, self.events.apply_reason(conn, deleted))
        self.events.settle_naming(conn, order_id, "deleted", Consent(), now, now)
        if known is not None:
            self._credit_behind_deleted(conn, known, now)
        return Receipt("accepted", order_id)

    def _hold_person(self, conn: Connection, facts: OrderFacts) -> None:
        """Waits until no other transaction writes about this order or its buyer."""
        advisory_locks.hold_found(
            conn, lambda: (*lock_names_of(facts), *self._person_of(conn, facts))
        )

    def _person_of(self, conn: Connection, facts: OrderFacts) -> tuple[str, ...]:
        at = facts.order.placed_at
        span = (at - self.planner.reach, at)
        return identity_graph.person_of(conn, facts.keys, facts.visitor, span)

    def _completed(
        self, conn: Connection, facts: OrderFacts, known: OrderRow | None, waiting: Evidence
    ) -> tuple[OrderFacts, bool]:
        """Returns the facts, completed by older states of the order, by its event that waits and
        by the pixel's data, and True if any of them changed the facts.

        A newer state may have lost what an older one told. The pixel may have stored a session of
        this checkout and the consent of this browser.
        """
        # Nearly always a newer state tells all that the older one told.
        before = known if known is not None and self._has_lost_any_of(facts, known) else None
        is_changed = before is not None or facts.evidence.lacks_any_of(waiting)
        if is_changed:
            facts = self.planner.facts_of(facts.order, known=before, waiting=waiting)
        stored = self.attributor.stored_session(conn, facts.keys)
        match = self.attributor.match(conn, facts.keys, facts.visitor)
        of_browser = consents.of_browser(conn, match)
        client = identity_graph.client_of_browser(conn, match)
        if stored is None and of_browser == Consent() and not client:
            return facts, is_changed
        completed = self.planner.facts_of(facts.order, stored, of_browser, before, waiting, client)
        return completed, True

    def _has_lost_any_of(self, facts: OrderFacts, known: OrderRow) -> bool:
        """Returns True if an older state of the order told what these facts do not."""
        stated = (json_of(facts.session), json_of(facts.stated))
        return (
            (known.session, known.consent) != stated
            or not set(known.keys) <= set(facts.keys)
            or bool(known.is_paid and not facts.order.is_paid)
            or known.deleted_at is not None
            or is_first_of(facts.order.is_first, known.is_first) != facts.order.is_first
            or self.planner.is_money_known(facts.order, known)
        )

    def _waiting(self, conn: Connection, event: ConversionRow | None) -> Evidence:
        if event is None:
            return NO_EVIDENCE
        return self.events.evidence_waiting(conn, outbox.of_event(conn, event.event_id))

    def _rows_of(
        self,
        conn: Connection,
        facts: OrderFacts,
        person: Iterable[str],
        now: int,
        planned: OrderRows | None,
    ) -> OrderRows:
        """Returns the rows of an order by all that is known; `planned` ones if that is nothing."""
        order = facts.order
        given_back = refunds.of_order(conn, order.id, order.currency)
        others = self.attributor.other_touches(conn, person, order)
        before = self.planner.touches_in_window(others, order.placed_at)
        own = () if facts.touch is None else (facts.touch,)
        match = self.attributor.match(conn, facts.keys, facts.visitor, (*before, *own))
        is_alone = not before and not given_back and match == match_without_graph(facts.visitor)
        known = orders.of_id(conn, order.id)
        customer = customers.facts_of(conn, order.id, facts.keys, order.placed_at, known)
        is_one = planned is not None and planned.order.customer_type == customer_type_of(
            msgspec.structs.replace(customer, is_first=order.is_first)
        )
        if planned is not None and is_alone and is_one and not customer.has_earlier:
            return planned
        others = in_their_browsers(conn, others)
        return self.planner.rows_of(facts, now, others, given_back, match, customer)

    def _write(
        self, conn: Connection, facts: OrderFacts, rows: OrderRows, known: OrderRow | None
    ) -> list[int]:
        """Writes the rows of an order; returns the instants of its visits that these replace."""
        order_id, moved, known_at = facts.order.id, [], None
        if known is not None:
            known_at = known.placed_at
            moved = touches.drop(conn, known.visitor, touch_key(order_id))
        touches.put(conn, rows.touch)
        orders.put(conn, rows.order)
        touches.put_credits(conn, order_id, rows.credits, known_at)
        return moved

    def _credit_others(
        self,
        conn: Connection,
        order_id: str,
        visits: Collection[int],
        person: Collection[str],
        concerned: Collection[str],
        now: int,
    ) -> None:
        """Credits again what this order's visits, by their instants, or its keys concern."""
        if concerned:
            self.attributor.credit(conn, {*person, *concerned}, ALWAYS, now, order_id)
        elif visits:
            span = (min(visits), max(visits) + self.planner.reach)
            self.attributor.credit(conn, person, span, now, order_id)

    def _credit_later(self, conn: Connection, order_id: str, now: int) -> None:
        """Credits the orders again that the buyer placed after this one, and that were taken for
        the first."""
        row = orders.of_id(conn, order_id)
        if row is not None and row.is_counted:
            reach = 2 * self.planner.reach
            later = customers.later_orders(conn, row, reach, has_earlier=False)
            self.attributor.credit_each(conn, later, ALWAYS, now)

    def _credit_behind_deleted(self, conn: Connection, deleted: OrderRow, now: int) -> None:
        """Credits the orders again that the buyer placed after a deleted one."""
        reach = 2 * self.planner.reach
        later = customers.later_orders(conn, deleted, reach, has_earlier=True)
        advisory_locks.hold(conn, later)
        for order_id in later:
            row = orders.of_id(conn, order_id)
            if row is not None:
                orders.put(conn, row._replace(has_earlier=0))
        self.attributor.credit_each(conn, later, ALWAYS, now)

    def _record_erased(self, conn: Connection, order: Order, topic: str, now: int) -> Receipt:
        """Records the money and the state of an order whose buyer was erased."""
        known = orders.of_id(conn, order.id)
        if known is not None and known.visitor:
            # Only this state of the order says that it is the erased person's.
            self.eraser.begin_with(conn, known, now)
        return self._record_without_buyer(conn, order, topic, now)

    def _record_without_buyer(
        self, conn: Connection, order: Order, topic: str, now: int
    ) -> Receipt:
        """Records the money and the state of an order whose buyer was erased or forgotten."""
        if not orders.is_new_body(conn, order.digest, topic, order.id, now):
            return Receipt("duplicate", order.id)
        if order.refunds:
            refunds.put(conn, order.refunds, order.id, order.currency)
        known = orders.of_id(conn, order.id)
        if known is not None and known.version >= order.version:
            row = self.planner.with_money(known, order)
            if order.refunds or row != known:
                self.attributor.settle_money(conn, known, now, row)
            conversions.count(conn, event_id_of(order.id), is_counted=bool(row.is_counted))
            return Receipt("stale", order.id)
        self.eraser.put_order(conn, order, known, now)
        return Receipt("accepted", order.id)

    def _record_stale(
        self,
        conn: Connection,
        known: OrderRow,
        event: ConversionRow | None,
        facts: OrderFacts,
        concerned: frozenset[str],
        changes: Iterable[RefundChange],
        now: int,
    ) -> Receipt:
        """Records what an older state of an order may still add: a refund, a payment, and what a
        newer state has lost of the buyer, the visit and the consent."""
        if changes:
            self.attributor.settle_money(conn, known, now, changes=changes)
            known = orders.of_id(conn, known.id) or known
        newer = self.attributor.complete(conn, known, facts)
        if newer is not None:
            known = newer
            concerned |= identity_graph.link_signed(conn, (*known.keys, *facts.keys), known.visitor)
        if event is not None:
            self._complete_event(conn, known, event, facts, now)
        if self.planner.is_beside_app:
            self.events.note_storefront_id(conn, known, facts.keys, now)
        if concerned or newer is not None:
            person = identity_graph.person_of(conn, known.keys, known.visitor)
            self.attributor.credit(conn, {*person, *concerned}, ALWAYS, now)
        self._credit_later(conn, known.id, now)
        return Receipt("stale", known.id)

    def _complete_event(
        self,
        conn: Connection,
        known: OrderRow,
        event: ConversionRow,
        facts: OrderFacts,
        now: int,
    ) -> None:
        """Completes the event of a known order by an older state, or makes it, if only what the
        older state tells lets it be sent."""
        if event.reason not in _MENDED_BY_OLDER:
            deliveries = outbox.of_event(conn, event.event_id)
            match = Match(event.visitor, known.match_method)
            client = identity_graph.client_of_browser(conn, match)
            evidence = msgspec.structs.replace(facts.evidence, client=client)
            self.events.amend_own(conn, deliveries, evidence, facts.consent)
            return
        self._plan_again(conn, known, event, facts, now)

    def _plan_again(
        self,
        conn: Connection,
        known: OrderRow,
        event: ConversionRow,
        facts: OrderFacts,
        now: int,
    ) -> None:
        """Decides again what becomes of the event of a known order."""
        planned = self.planner.facts_of(_in_state_of(known, facts.order), known=known)
        newest, _ = self._completed(conn, planned, known, NO_EVIDENCE)
        person = identity_graph.person_of(conn, newest.keys, newest.visitor)
        rows = self._rows_of(conn, newest, person, now, None)
        if rows.conversion.reason != event.reason:
            self.events.write(conn, newest, rows, event)


def _in_state_of(known: OrderRow, order: Order) -> Order:
    """Returns an order by an older state, as far as its newest state is not known any more."""
    return msgspec.structs.replace(
        order,
        name=known.name,
        updated_at=changed_at(known.version),
        lists_refunds=lists_refunds(known.version),
        cancelled_at=known.cancelled_at,
        currency=known.currency,
        net=known.gross,
        total=known.gross,
        test=bool(known.is_test),
        financial_status=known.financial_status,
        source_name=known.source_name,
        was_paid=bool(known.is_paid),
        taxes_included=None if known.taxes_included is None else bool(known.taxes_included),
        kept_net=known.kept,
        kept_total=known.kept,
    )


def lock_names_of(facts: OrderFacts) -> tuple[str, ...]:
    """Returns what two transactions about one order or one buyer have in common."""
    return (facts.order.id, facts.visitor, *facts.keys)


def _without_keys(facts: OrderFacts, erased: Collection[str]) -> OrderFacts:
    """Returns the facts without the keys that the buyer shared with an erased person."""
    if not erased:
        return facts
    return msgspec.structs.replace(
        facts,
        identity=facts.identity.without_phones(erased),
        keys=tuple(key for key in facts.keys if key not in erased),
    )
