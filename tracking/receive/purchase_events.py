"""Keeps the event of each order as it is known, until the event is sent."""

from collections.abc import Iterable, Sequence

import msgspec

from tracking.destinations.base import PINTEREST
from tracking.domain.attribution import Touch
from tracking.domain.consent import Consent
from tracking.domain.conversion import (
    MAY_CHANGE,
    MAY_END,
    NO_EVIDENCE,
    Content,
    Evidence,
    event_id_of,
    reason_of_naming,
    revised_reason,
)
from tracking.domain.money import to_major
from tracking.domain.visitor import Match
from tracking.receive import storefront_ids
from tracking.receive.order_facts import OrderFacts
from tracking.receive.planner import Planner, figures_in
from tracking.receive.rows import with_credit, with_visit
from tracking.store import (
    attempts,
    consents,
    conversions,
    erasure,
    identity_graph,
    naming_events,
    outbox,
)
from tracking.store.conversions import ConversionRow
from tracking.store.engine.statement import Connection
from tracking.store.new_orders import OrderRows
from tracking.store.orders import OrderRow
from tracking.store.outbox import OutboxRow
from tracking.store.values import json_of, session_from_json


class PurchaseEvents:
    """Writes the events of orders, and changes them for as long as they were not sent."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def write(
        self, conn: Connection, facts: OrderFacts, rows: OrderRows, first: ConversionRow | None
    ) -> None:
        """Stores the conversion of an order, and queues its event; `first` is the conversion that
        was stored before."""
        order, conversion = facts.order, rows.conversion
        of_naming = reason_of_naming(
            conversion.reason, facts.consent, is_refunded=figures_in(rows.order).is_refunded
        )
        if first is not None:
            conversion = self.apply_reason(conn, conversion)
        conversions.put(conn, conversion)
        now, event_id = conversion.recorded_at, conversion.event_id
        recorded_at = first.recorded_at if first is not None else now
        settles_at = self.planner.settles_at(order.source_name, order.placed_at, recorded_at)
        until = settles_at if conversion.reason else None
        due_at = self.planner.due_at(order, facts.keys, recorded_at, now)
        for name, payload in rows.payloads.items():
            outbox.queue(
                conn,
                event_id,
                name,
                payload,
                event_time=order.placed_at,
                now=now,
                held_until=until,
                due_at=due_at,
                shares_id=rows.shares_id,
            )
        if self.planner.is_beside_app:
            storefront_ids.note(conn, facts.keys, order.id, now)
        if first is not None and facts.consent.sale_of_data is False:
            # An event that is being sent keeps its payload, and is tried again if it fails.
            deliveries = outbox.of_event(conn, event_id)
            self.amend(conn, deliveries, NO_EVIDENCE, facts.consent)
        if self.settle_naming(conn, order.id, of_naming, facts.consent, settles_at, now):
            conversions.set_reason(conn, [event_id], "told_before")

    def update(
        self,
        conn: Connection,
        order: OrderRow,
        match: Match,
        best: Touch | None,
        click_id: str,
        now: int,
        gone: Sequence[Content] = (),
    ) -> None:
        """Updates the order's conversion, and its event for as long as it was not sent."""
        stored = conversions.of_event(conn, event_id_of(order.id))
        if stored is None:
            return
        consent = consents.of_order(conn, order, match.visitor)
        deliveries = outbox.of_event(conn, stored.event_id)
        before = self._out_of_reserve(conn, order, stored, deliveries, now)
        visited = with_visit(before, session_from_json(order.session))
        after = with_credit(visited, best)._replace(visitor=match.visitor)
        figures = figures_in(order)
        if any(_is_known_to_destination(row, now) for row in deliveries):
            after = after._replace(credited_then=_credited_then(before, after, now))
            if consent.marketing is False:
                # An event that is being sent may arrive; if it does not, it is not tried again.
                outbox.withdraw(conn, before.event_id, "consent_refused", now)
            self.amend(conn, deliveries, NO_EVIDENCE, consent)
        else:
            reason = revised_reason(
                before.reason,
                consent,
                self.planner.policy,
                is_credited=best is not None,
                is_refunded=figures.is_refunded,
            )
            after = after._replace(
                reason=self._apply_decision(conn, order, before, reason, deliveries, now)
            )
            value = to_major(figures.revenue, order.currency)
            evidence = Evidence(
                client=_client_of(conn, match, consent),
                click_id=click_id,
                customer_type=order.customer_type,
            )
            self.amend_own(conn, deliveries, evidence, consent, value, gone)
        of_naming = reason_of_naming(before.reason, consent, is_refunded=figures.is_refunded)
        until = self.planner.settles_at(order.source_name, before.at, before.recorded_at)
        if self.settle_naming(conn, order.id, of_naming, consent, until, now):
            after = after._replace(reason="told_before")
        if after != stored:
            conversions.set_credit(conn, after)

    def note_storefront_id(
        self, conn: Connection, order: OrderRow, keys: Iterable[str], now: int
    ) -> None:
        """Notes the id that the storefront tells the purchase of a known order by, if it did.

        `keys` are the identity keys of the order.
        """
        if not storefront_ids.note(conn, keys, order.id, now):
            return
        event = conversions.of_event(conn, event_id_of(order.id))
        if event is None:
            return
        consent = consents.of_order(conn, order, event.visitor)
        is_refunded = figures_in(order).is_refunded
        reason = reason_of_naming(event.reason, consent, is_refunded=is_refunded)
        until = self.planner.settles_at(order.source_name, event.at, event.recorded_at)
        if self.settle_naming(conn, order.id, reason, consent, until, now):
            conversions.set_reason(conn, [event.event_id], "told_before")

    def apply_reason(self, conn: Connection, conversion: ConversionRow) -> ConversionRow:
        """Withdraws or restores the event of a newer state of an order; returns its conversion."""
        event_id, reason = conversion.event_id, conversion.reason
        outbox.forget_held(conn, event_id)
        if reason:
            outbox.withdraw(conn, event_id, reason, conversion.recorded_at)
        else:
            outbox.undo_withdrawal(conn, event_id)
        if any(row.state == "sent" for row in outbox.of_event(conn, event_id)):
            # Pinterest has it; a later change concerns only the shop's reports.
            return conversion._replace(reason="", detail="")
        return conversion

    def evidence_waiting(self, conn: Connection, deliveries: Iterable[OutboxRow]) -> Evidence:
        """Returns the evidence of buyer and visit in an event that was not sent yet."""
        for row in deliveries:
            destination = self.planner.destinations.get(row.destination)
            if destination is not None and row.state in ("waiting", "held") and row.payload:
                return _of_person(conn, destination.evidence_of(row.payload))
        return NO_EVIDENCE

    def settle_naming(
        self,
        conn: Connection,
        order_id: str,
        reason: str,
        consent: Consent,
        until: int,
        now: int,
    ) -> bool:
        """Holds, withdraws, releases or limits the events of other systems that name an order, by
        what is known of the order.

        Of the order's own event and the checkouts among them Pinterest gets one.

        Args:
            order_id: the order.
            reason: why no event that names it may be sent (of OF_THE_ORDER), "" if one may be.
            consent: the buyer's.
            until: when a reason that may end is taken as final (seconds UTC).
            now: the time, in seconds UTC.

        Returns:
            True if the order's own event is not sent, since another one was before.
        """
        named_by = naming_events.of_order(conn, order_id)
        if not named_by:
            return False
        is_told = False
        own_id = event_id_of(order_id)
        if reason:
            self._hold_back_naming(conn, order_id, reason, until, now)
        else:
            is_told = self._is_told_before(conn, order_id, now)
            released = naming_events.release(conn, order_id, own_id, now)
            conversions.set_reason(conn, released, "")
        if consent.sale_of_data is False:
            for event_id in named_by:
                self.amend(conn, outbox.of_event(conn, event_id), NO_EVIDENCE, consent)
        return is_told

    def _hold_back_naming(
        self, conn: Connection, order_id: str, reason: str, until: int, now: int
    ) -> None:
        own_id = event_id_of(order_id)
        if reason in MAY_END and until > now:
            concerned = naming_events.hold(conn, order_id, own_id, reason, until, now)
        else:
            concerned = naming_events.withdraw(conn, order_id, reason, now)
        if not any(
            row.destination == PINTEREST and row.state == "sent"
            for row in outbox.of_event(conn, own_id)
        ):
            concerned += naming_events.explain(conn, order_id, own_id, reason)
        conversions.set_reason(conn, concerned, reason)

    def _is_told_before(self, conn: Connection, order_id: str, now: int) -> bool:
        """Holds the checkouts in reserve that the order's own event replaces, or that event, if
        Pinterest was or may have been told by another one.

        Returns True if the own event is not in line at all then.
        """
        own_id = event_id_of(order_id)
        own = {row.destination: row for row in outbox.of_event(conn, own_id)}.get(PINTEREST)
        if own is None or own.state not in ("waiting", "sent"):
            is_spare = own is not None and outbox.is_spare(own)
            if not (is_spare or _was_tried(conn, own_id, own)):
                self._put_spare_in_line(conn, order_id, now)
            return False
        naming_events.name_order(conn, own_id, order_id)
        replaced = naming_events.replace(
            conn,
            order_id,
            own_id,
            PINTEREST,
            reason="told_by_order",
            now=now,
            is_sent=own.state == "sent",
        )
        conversions.set_reason(conn, replaced, "told_by_order")
        rival = naming_events.rival(conn, order_id, own_id, PINTEREST)
        if not rival:
            return False
        if rival == "sent":
            outbox.withdraw_from(conn, own_id, PINTEREST, "told_before", now)
        else:
            outbox.reserve(conn, own_id, PINTEREST, "told_before")
        return not any(row.state in ("waiting", "sent") for row in outbox.of_event(conn, own_id))

    def _put_spare_in_line(self, conn: Connection, order_id: str, now: int) -> None:
        """Puts the first checkout in line that was in reserve for the order's own event, which is
        not to be sent, unless another one is in line."""
        own_id = event_id_of(order_id)
        if not naming_events.rival(conn, order_id, own_id, PINTEREST):
            released = naming_events.release_spare(conn, order_id, own_id, PINTEREST, now)
            conversions.set_reason(conn, released, "")
        spares = naming_events.keep_spares(conn, order_id, own_id, PINTEREST, "told_before")
        conversions.set_reason(conn, spares, "told_before")

    def amend_own(
        self,
        conn: Connection,
        deliveries: Sequence[OutboxRow],
        evidence: Evidence,
        consent: Consent,
        value: str = "",
        gone: Sequence[Content] = (),
    ) -> None:
        """As `amend`, for the event of an order: it names the browser that the evidence names, and
        no other."""
        external = {
            digest
            for row in deliveries
            if (destination := self.planner.destinations.get(row.destination)) is not None
            and row.payload
            for digest in destination.evidence_of(row.payload).identity.external_id
        }
        former = identity_graph.clients_among(conn, external - {evidence.client})
        evidence = msgspec.structs.replace(evidence, former_clients=tuple(sorted(former)))
        self.amend(conn, deliveries, evidence, consent, value, gone)

    def amend(
        self,
        conn: Connection,
        deliveries: Iterable[OutboxRow],
        evidence: Evidence,
        consent: Consent,
        value: str = "",
        gone: Sequence[Content] = (),
    ) -> None:
        """Adds to events that were not sent yet what became known since they were finished."""
        limited = consent.sale_of_data is False
        for row in deliveries:
            destination = self.planner.destinations.get(row.destination)
            if destination is None or row.state not in ("waiting", "held"):
                continue
            payload = destination.amend(row.payload, evidence, limited, value, gone)
            if payload != row.payload:
                outbox.amend(conn, row.id, payload)

    def _out_of_reserve(
        self,
        conn: Connection,
        order: OrderRow,
        event: ConversionRow,
        deliveries: Iterable[OutboxRow],
        now: int,
    ) -> ConversionRow:
        """Returns an event as it is without another one of its purchase: it is decided anew, and
        goes back in reserve if it may be sent."""
        if not any(outbox.is_spare(row) for row in deliveries):
            return event
        outbox.release_held(conn, event.event_id, self._release_at(conn, order, event, now))
        return event._replace(reason="")

    def _apply_decision(
        self,
        conn: Connection,
        order: OrderRow,
        event: ConversionRow,
        reason: str,
        deliveries: Iterable[OutboxRow],
        now: int,
    ) -> str:
        """Carries out what a reason means for an event; returns the reason that stays."""
        until = self.planner.settles_at(order.source_name, event.at, event.recorded_at)
        if reason in MAY_CHANGE and not event.reason and until > now:
            # Another fact may remove the reason that this one gave.
            outbox.hold(conn, event.event_id, until, now)
        elif reason and not event.reason:
            outbox.withdraw(conn, event.event_id, reason, now)
        elif reason == "consent_refused":
            outbox.forget_held(conn, event.event_id)
        elif not reason and event.reason:
            if not any(row.state == "held" and row.due_at > now for row in deliveries):
                # What could have been sent was kept for the settling time only.
                if event.reason == "refunded":
                    return event.reason
                return "credited_late" if self.planner.destinations else "report_only"
            outbox.release_held(conn, event.event_id, self._release_at(conn, order, event, now))
        return reason

    def _release_at(self, conn: Connection, order: OrderRow, event: ConversionRow, now: int) -> int:
        """Returns when to send the event of an order that a later fact lets be sent."""
        ids = conversions.ids_of(conn, event.event_id)
        if ids is None or ids.storefront_id or ids.sent_as:
            return now
        return self.planner.release_at(
            order.source_name, order.keys, event.at, event.recorded_at, now
        )


def _of_person(conn: Connection, evidence: Evidence) -> Evidence:
    """Returns the evidence without the ids of browsers, which are read anew, and without the phones
    of erased persons, who may have shared one."""
    sent = evidence.identity
    identity = sent.without_browsers(identity_graph.clients_among(conn, sent.external_id))
    erased = erasure.tombstoned(conn, identity.graph_keys())
    return msgspec.structs.replace(evidence, identity=identity.without_phones(erased))


def _client_of(conn: Connection, match: Match, consent: Consent) -> str:
    """Returns the digest of Shopify's id of an order's browser, "" if it must not be told."""
    return "" if consent.marketing is False else identity_graph.client_of_browser(conn, match)


def _was_tried(conn: Connection, event_id: str, row: OutboxRow | None) -> bool:
    """Returns True if Pinterest may have been told of an event; `row` is it in the outbox, if it is
    there."""
    is_claimed = row is not None and bool(row.claim)
    made = attempts.of_event(conn, event_id)
    return is_claimed or any(attempt.destination == PINTEREST for attempt in made)


def _is_known_to_destination(row: OutboxRow, now: int) -> bool:
    """Returns True if the destination has the event, or may have it."""
    return row.state in outbox.SETTLED or (row.state == "waiting" and row.leased_until > now)


def _credited_then(before: ConversionRow, after: ConversionRow, now: int) -> str:
    """Returns what an event was credited to when it was sent, as JSON, from the first change on."""
    names = ("is_pinterest", "campaign_id", "campaign")
    if before.credited_then or all(getattr(before, n) == getattr(after, n) for n in names):
        return before.credited_then
    return json_of({"until": now, **{name: getattr(before, name) for name in names}})
