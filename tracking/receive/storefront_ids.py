"""The ids by which the storefront tells purchases, as Pinterest's own Shopify app sends them."""

from collections.abc import Iterable

from tracking.domain.conversion import event_id_of, is_event_id_of_order
from tracking.receive.pixel import PixelEvent
from tracking.store import (
    attempts,
    checkouts,
    conversions,
    identity_graph,
    naming_events,
    orders,
    outbox,
    touches,
)
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.orders import OrderRow

_CHECKOUT = "ck:"


def keep(conn: Connection, event: PixelEvent, reach: int) -> list[OrderRow]:
    """Keeps the id of an event by which the storefront tells that a checkout was completed; returns
    the orders of that checkout, which may wait for the id.

    The visit of such an order is at most `reach` seconds older than the event.
    """
    found: list[OrderRow] = []
    if event.name != "checkout_completed" or is_event_id_of_order(event.event_id):
        return found
    for key in _checkout_keys(event.tokens):
        if checkouts.complete(conn, key, event.event_id, event.at):
            visitors = identity_graph.seen_with(conn, key)
            rows = touches.of_visitors(conn, visitors, event.at - reach, ALWAYS[1])
            for order_id in sorted({touches.touch_of(row).order_id for row in rows} - {""}):
                order = orders.of_id(conn, order_id)
                if order is not None and key in order.keys:
                    found.append(order)
    return found


def note(conn: Connection, keys: Iterable[str], order_id: str, now: int) -> bool:
    """Notes the storefront's id of a purchase, if it was told, and ends the wait for it.

    `keys` are the identity keys of the order. Returns True if another system has handed the
    purchase in under that id: its event names the order from now on.
    """
    event_id = event_id_of(order_id)
    told = next(filter(None, (_told_as(conn, key) for key in _checkout_keys(keys))), "")
    known = conversions.ids_of(conn, event_id)
    if not told or known is None:
        return False
    if told != known.storefront_id:
        if not known.sent_as and _was_claimed(conn, event_id):
            conversions.set_sent_as(conn, {event_id: event_id})
        conversions.set_storefront_id(conn, event_id, told)
    outbox.end_wait(conn, event_id, now)
    if not naming_events.told_under(conn, [told]):
        return False
    advisory_locks.hold(conn, [order_id, told])
    naming_events.name_order(conn, told, order_id)
    return True


def _checkout_keys(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.startswith(_CHECKOUT)]


def _told_as(conn: Connection, key: str) -> str:
    opened = checkouts.of(conn, key)
    return opened.completed_as if opened is not None else ""


def _was_claimed(conn: Connection, event_id: str) -> bool:
    """Returns True for an event that a destination may have under its own id."""
    deliveries = outbox.of_event(conn, event_id)
    is_claimed = any(row.claim or row.state in outbox.SETTLED for row in deliveries)
    return is_claimed or bool(attempts.of_event(conn, event_id))
