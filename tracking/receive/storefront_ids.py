"""The ids by which the storefront tells purchases, as Pinterest's own Shopify app sends them."""

from collections.abc import Iterable

from tracking.domain.conversion import event_id_of, is_event_id_of_order
from tracking.receive.pixel import PixelEvent
from tracking.store import attempts, conversions, identity_graph, orders, outbox, touches
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS

_CHECKOUT = "ck:"


def keep(conn: Connection, event: PixelEvent, reach: int, now: int) -> None:
    """Keeps the id of an event by which the storefront tells that a checkout was completed.

    An order of that checkout may wait for the id. Its visit is at most `reach` seconds older.
    """
    if event.name != "checkout_completed" or is_event_id_of_order(event.event_id):
        return
    for key in _checkout_keys(event.tokens):
        if identity_graph.complete_checkout(conn, key, event.event_id, event.at):
            visitors = identity_graph.seen_with(conn, key)
            rows = touches.of_visitors(conn, visitors, event.at - reach, ALWAYS[1])
            for order_id in sorted({touches.touch_of(row).order_id for row in rows} - {""}):
                order = orders.of_id(conn, order_id)
                if order is not None and key in order.keys:
                    note(conn, order.keys, event_id_of(order_id), now)


def note(conn: Connection, keys: Iterable[str], event_id: str, now: int) -> None:
    """Notes the storefront's id of a purchase, if it was told, and ends the wait for it.

    `keys` are the identity keys of the order, `event_id` is the id of its own event.
    """
    told = next(filter(None, (_told_as(conn, key) for key in _checkout_keys(keys))), "")
    known = conversions.ids_of(conn, event_id)
    if not told or known is None:
        return
    if told != known.storefront_id:
        if not known.sent_as and _was_claimed(conn, event_id):
            conversions.set_sent_as(conn, {event_id: event_id})
        conversions.set_storefront_id(conn, event_id, told)
    outbox.end_wait(conn, event_id, now)


def _checkout_keys(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.startswith(_CHECKOUT)]


def _told_as(conn: Connection, key: str) -> str:
    opened = identity_graph.checkout(conn, key)
    return opened.completed_as if opened is not None else ""


def _was_claimed(conn: Connection, event_id: str) -> bool:
    """Returns True for an event that a destination may have under its own id."""
    deliveries = outbox.of_event(conn, event_id)
    is_claimed = any(row.claim or row.state in outbox.SETTLED for row in deliveries)
    return is_claimed or bool(attempts.of_event(conn, event_id))
