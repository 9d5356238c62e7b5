"""Keeps the checkouts of other systems and the events of their orders one purchase."""

from typing import NamedTuple

import msgspec

from tracking.destinations.base import PINTEREST
from tracking.domain.conversion import event_id_of
from tracking.receive.prepared_event import PreparedEvent, of_its_order
from tracking.store import conversions, naming_events, outbox
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.outbox import OutboxRow


def is_sent_by_the_order(conn: Connection, event: PreparedEvent) -> bool:
    """Returns True for the checkout of an order whose own event Pinterest has or may have."""
    if event.conversion.stage != "purchase":
        return False
    told = conversions.told_as(conn, event.event_id)
    own_id = of_its_order(event) if told is None else told.event_id
    if own_id == event.event_id:
        return False
    if own_id != of_its_order(event):
        return bool(_own_deliveries(conn, own_id))
    return _has_sent(conn, own_id)


def _has_sent(conn: Connection, own_id: str) -> bool:
    """Returns True if Pinterest has the own event of an order, or may have it."""
    return any(row.state == "sent" or row.claim for row in _own_deliveries(conn, own_id))


def _own_deliveries(conn: Connection, own_id: str) -> list[OutboxRow]:
    """Returns the own event of an order in the outbox, if Pinterest gets it or got it."""
    return [
        row
        for row in outbox.of_event(conn, own_id)
        if row.destination == PINTEREST and row.state in ("waiting", "sent")
    ]


def of_told_order(conn: Connection, event: PreparedEvent) -> PreparedEvent:
    """Returns a checkout that names no order, but has the id that the storefront tells an order's
    purchase by, with that order."""
    if event.order_id or event.conversion.stage != "purchase":
        return event
    told = conversions.told_as(conn, event.event_id)
    if told is None:
        return event
    advisory_locks.hold(conn, [told.order_id])
    return msgspec.structs.replace(event, order_id=told.order_id)


class ToldOtherwise(NamedTuple):
    """Why a checkout is not in line, since another event of its purchase is (of TOLD_OTHERWISE, ""
    if it is in line itself), and True if Pinterest has that one."""

    reason: str
    is_sent: bool


NOT_TOLD = ToldOtherwise("", is_sent=False)


def told_otherwise(conn: Connection, event: PreparedEvent, now: int) -> ToldOtherwise:
    """Returns by what other event Pinterest is told of the purchase of a checkout.

    In line, this checkout takes the place of those that Pinterest refused, and that of the order
    itself the place of those that wait.
    """
    if event.conversion.stage != "purchase" or not event.order_id:
        return NOT_TOLD
    own_id = event_id_of(event.order_id)
    is_own = event.event_id == own_id
    if not is_own and _own_deliveries(conn, own_id):
        naming_events.name_order(conn, own_id, event.order_id)
        # A deliverer that claimed it before it named the order would miss what it replaces.
        return ToldOtherwise("told_by_order", is_sent=_has_sent(conn, own_id))
    reason = "told_by_order" if is_own else "told_before"
    replaced = naming_events.replace(
        conn,
        event.order_id,
        event.event_id,
        PINTEREST,
        reason=reason,
        now=now,
        only_dead=not is_own,
    )
    conversions.set_reason(conn, replaced, reason)
    rival = naming_events.rival(conn, event.order_id, event.event_id, PINTEREST)
    if rival:
        return ToldOtherwise("told_before", is_sent=rival == "sent")
    if not is_own:
        outbox.withdraw_from(conn, own_id, PINTEREST, "told_before", now)
    return NOT_TOLD


def queue(
    conn: Connection,
    event: PreparedEvent,
    now: int,
    held_until: int | None,
    told: ToldOtherwise = NOT_TOLD,
) -> None:
    """Puts an event in line; holds it in reserve if another one of its purchase is, and withdraws
    it if Pinterest has that one."""
    if told.is_sent:
        held_until = None
    outbox.queue(
        conn,
        event.event_id,
        PINTEREST,
        event.payload,
        event_time=event.at,
        now=now,
        held_until=held_until,
        order_id=event.order_id,
    )
    if told.is_sent:
        outbox.withdraw(conn, event.event_id, told.reason, now)
    elif told.reason:
        outbox.reserve(conn, event.event_id, PINTEREST, told.reason)
