"""Decides what becomes of the events in reserve, once the one in line was sent or refused."""

from collections.abc import Iterable, Sequence

from tracking.destinations.base import PINTEREST
from tracking.domain.conversion import TOLD_OTHERWISE, event_id_of, is_event_id_of_order
from tracking.domain.shared_id import waits_until
from tracking.store import conversions, naming_events, outbox
from tracking.store.claims import ClaimedEvent
from tracking.store.engine.statement import Connection
from tracking.store.naming_events import PurchaseEvent


def settle(conn: Connection, settled: Iterable[ClaimedEvent], now: int) -> None:
    """Withdraws the events in reserve of purchases that Pinterest has, and puts the next one in
    line where it refused the one that was."""
    # Another system's event may name an order only since it was claimed.
    event_ids = [
        event.event_id
        for event in settled
        if event.order_id or not is_event_id_of_order(event.event_id)
    ]
    named = naming_events.named_by(conn, event_ids) if event_ids else ()
    for order_id in sorted(named):
        events = naming_events.of_purchase(conn, order_id, PINTEREST)
        sent = [event for event in events if event.state == "sent"]
        if sent:
            spares = [event.id for event in events if event.is_spare]
            outbox.withdraw_spares(conn, spares, now)
            _replace(conn, order_id, sent[0].event_id, now, only_dead=True)
        elif next_id := _next_in_line(events, event_id_of(order_id)):
            due_at = _due_at(conn, next_id, now)
            # Whoever writes about the order meanwhile may have withdrawn it.
            if naming_events.put_in_line(conn, next_id, PINTEREST, due_at):
                conversions.set_reason(conn, [next_id], "")
                _replace(conn, order_id, next_id, now)


def _next_in_line(events: Sequence[PurchaseEvent], own_id: str) -> str:
    """Returns the event that is sent in place of the one that was refused: the order's own, or else
    the oldest; "" if there is none, or another event is in line."""
    if any(event.is_in_line for event in events):
        return ""
    if not any(event.is_refused for event in events):
        return ""
    ready = [
        event.event_id for event in events if event.is_spare and event.reason in TOLD_OTHERWISE
    ]
    return own_id if own_id in ready else next(iter(ready), "")


def _replace(
    conn: Connection, order_id: str, event_id: str, now: int, *, only_dead: bool = False
) -> None:
    """Stores of the other events of a purchase that this one is sent in their place."""
    reason = "told_by_order" if event_id == event_id_of(order_id) else "told_before"
    replaced = naming_events.replace(
        conn, order_id, event_id, PINTEREST, reason=reason, now=now, only_dead=only_dead
    )
    conversions.set_reason(conn, replaced, reason)


def _due_at(conn: Connection, event_id: str, now: int) -> int:
    """Returns when to send an event that is next in line: one that shares its id waits for that of
    the storefront."""
    ids = conversions.ids_of(conn, event_id)
    rows = outbox.of_event(conn, event_id)
    row = next((row for row in rows if row.destination == PINTEREST and row.shares_id), None)
    if row is None or ids is None or ids.storefront_id or ids.sent_as:
        return now
    return waits_until(row.event_time, row.queued_at, now)
