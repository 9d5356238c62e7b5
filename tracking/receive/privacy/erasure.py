"""Finds the personal data of a person and erases it. What was sold stays on record."""

import secrets
from collections.abc import Collection, Iterable, Mapping

import msgspec

from tracking.domain.attribution import touch_key
from tracking.domain.conversion import event_id_of
from tracking.domain.identity import (
    is_identity,
)
from tracking.domain.order import Browser, Buyer, Order
from tracking.receive.attributor import Attributor
from tracking.receive.planner import with_history
from tracking.receive.privacy.footprint import (
    PersonFootprint,
    browser_events_of,
    footprint_of,
    orders_at,
)
from tracking.receive.rows import with_credit
from tracking.store import (
    conversions,
    erasure,
    naming_events,
    orders,
    outbox,
    pending_erasures,
    pixel_backlog,
    privacy_requests,
    refunds,
    retention,
    touches,
)
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.orders import OrderRow
from tracking.store.values import json_of, path_from

_ERASED = retention.NOBODY


class PersonEraser:
    """Erases persons, and leaves tombstones, so that later orders and events bring nothing back."""

    def __init__(self, attributor: Attributor) -> None:
        self.attributor = attributor

    def erase(
        self,
        conn: Connection,
        keys: Iterable[str],
        order_ids: Iterable[str],
        now: int,
        candidates: Iterable[str] = (),
    ) -> None:
        """Erases the person who has these keys or placed these orders.

        `candidates` are orders that may be the person's, too. The quarantined bodies are left to
        `PendingErasures`: to search them takes longer than the write lock may be held.
        """
        keys, order_ids = frozenset(keys), frozenset(order_ids)
        candidates = tuple(candidates)

        def names() -> set[str]:
            return _names(footprint_of(conn, keys, order_ids, candidates), order_ids)

        advisory_locks.hold_found(conn, names)
        footprint = footprint_of(conn, keys, order_ids, candidates)
        marks = {f"or:{order_id}" for order_id in order_ids | footprint.orders.keys()}
        erasure.put_tombstones(conn, keys | marks | footprint.clients, now)

        new_ids = {visitor: _new_id() for visitor in footprint.visitors}
        for row in footprint.orders.values():
            _erase_order(conn, row, new_ids, now)
        for order_id in sorted(order_ids | footprint.orders.keys()):
            # Its events may have been reported by another system, without the order itself.
            for event_id in (event_id_of(order_id), *naming_events.of_order(conn, order_id)):
                erasure.erase_event(conn, event_id, now)
        for event in browser_events_of(conn, footprint):
            erasure.erase_event(conn, event.event_id, now)
        _forget_person(conn, footprint, new_ids)
        _erase_requests(conn, keys, order_ids)

        self.attributor.credit_orders(conn, footprint.joined | footprint.shared, ALWAYS, now)
        for order_id in sorted(set(candidates) - footprint.orders.keys()):
            _remove_from_order(conn, order_id, footprint)
        if erasure.bodies(conn, most=1):
            named = order_ids | footprint.orders.keys()
            pending_erasures.add_search(conn, sorted(keys), sorted(named), now)

    def put_order(self, conn: Connection, order: Order, known: OrderRow | None, now: int) -> None:
        """Stores only the money and the state of an order whose buyer was erased or forgotten, and
        keeps the credits it had."""
        if known is None:
            erasure.put_tombstones(conn, [f"or:{order.id}"], now)
        planner = self.attributor.planner
        given_back = refunds.of_order(conn, order.id, order.currency)
        state = without_buyer(order) if known is None else with_history(without_buyer(order), known)
        rows = planner.rows_of(planner.facts_of(state), now, refunds=given_back)
        nobodys = _without_buyer(rows.order)
        if known is None:
            row, credits, best = planner.recredit(nobodys, (), given_back)
        else:
            nobodys = nobodys._replace(path=known.path)
            row, credits, best = self.attributor.credited(conn, known, nobodys)
        orders.put(conn, row)
        touches.put_credits(conn, order.id, credits, is_new=known is None)
        event = conversions.of_event(conn, event_id_of(order.id))
        deliveries = outbox.of_event(conn, event_id_of(order.id))
        is_sent = any(delivery.state == "sent" for delivery in deliveries)
        conversion = with_credit(rows.conversion, best)._replace(
            visitor=_new_id() if event is None else event.visitor,
            reason="" if is_sent else "erased",
            detail="",
        )
        if event is not None and known is not None and known.is_forgotten:
            # It was decided long ago, and the delivery that says how may be gone as well.
            conversion = conversion._replace(reason=event.reason, detail=event.detail)
        conversions.put(conn, conversion)
        for event_id in naming_events.of_order(conn, order.id):
            erasure.erase_event(conn, event_id, now)

    def erase_all_persons(self, conn: Connection, now: int) -> None:
        """Erases every person, and leaves tombstones of all orders."""
        pixel_backlog.clear(conn)
        new_ids = {visitor: _new_id() for visitor in erasure.all_visitors(conn)}
        erasure.erase_all_persons(conn, new_ids, now)
        last = ""
        while rows := erasure.orders_page(conn, last):
            for row in rows:
                orders.put(conn, _without_person(row))
            last = rows[-1].id


def without_buyer(order: Order) -> Order:
    """Returns the order without its buyer, browser and landing page."""
    return msgspec.structs.replace(
        order,
        name="",
        locale="",
        origin="",
        landing_site="",
        referring_site="",
        checkout_token="",
        cart_token="",
        notes=(),
        buyer=Buyer(),
        browser=Browser(),
        session_hints=(),
    )


def _names(footprint: PersonFootprint, order_ids: Iterable[str]) -> set[str]:
    return {
        *order_ids,
        *footprint.known_by,
        *footprint.orders,
        *footprint.visitors,
        *footprint.shared,
        *footprint.clients,
    }


def _new_id() -> str:
    """Returns a new visitor id for an erased person, of a form that no pixel sends."""
    return f"{_ERASED}{secrets.token_hex(8)}"


def _erase_order(conn: Connection, row: OrderRow, new_ids: Mapping[str, str], now: int) -> None:
    event_id = event_id_of(row.id)
    event = conversions.of_event(conn, event_id)
    if event is not None and event.visitor in new_ids:
        erasure.rename_purchase(conn, event_id, new_ids[event.visitor])
    erasure.erase_event(conn, event_id, now)
    orders.put(conn, _without_person(row))


def _without_person(row: OrderRow) -> OrderRow:
    """Returns an order's row with its money and the campaigns of its path, without its buyer."""
    path = [
        msgspec.structs.replace(touch, visitor="", click_id="") for touch in path_from(row.path)
    ]
    return _without_buyer(row)._replace(path="" if row.is_forgotten else json_of(path))


def _without_buyer(row: OrderRow) -> OrderRow:
    """Returns an order's row without what identifies its buyer and the visit."""
    return row._replace(
        name="", visitor="", match_method="", links="", session="", consent="", unusable=""
    )


def _forget_person(
    conn: Connection, footprint: PersonFootprint, new_ids: Mapping[str, str]
) -> None:
    for visitor, new in sorted(new_ids.items()):
        erasure.forget_visitor(conn, visitor, new)
    order_keys = {key for row in footprint.orders.values() for key in row.keys}
    tokens = {key for key in order_keys if not is_identity(key)}
    for key in sorted(footprint.keys | tokens):
        erasure.forget_key(conn, key)
    for visitor in sorted(footprint.shared):
        _detach_visitor(conn, visitor, footprint)


def _detach_visitor(conn: Connection, visitor: str, footprint: PersonFootprint) -> None:
    """Deletes the person's orders and keys from a shared visitor id, which others keep."""
    others = {order_id for order_id in orders_at(conn, visitor) if order_id not in footprint.orders}
    rows = (orders.of_id(conn, order_id) for order_id in sorted(others))
    kept = {key for row in rows if row is not None for key in row.keys}
    for key in erasure.keys_of(conn, visitor):
        if key in footprint.known_by and key not in kept:
            erasure.unlink(conn, key, visitor)
    for order_id in footprint.orders:
        erasure.forget_touch(conn, visitor, touch_key(order_id))


def _remove_from_order(conn: Connection, order_id: str, footprint: PersonFootprint) -> None:
    """Deletes the person's keys and visitor ids from an order of another person."""
    row = orders.of_id(conn, order_id)
    if row is None:
        return
    keys = [key for key in row.keys if key not in footprint.keys]
    path = [
        msgspec.structs.replace(touch, visitor="") if touch.visitor in footprint.visitors else touch
        for touch in path_from(row.path)
    ]
    path_left = "" if row.is_forgotten else json_of(path)
    orders.put(conn, row._replace(links=" ".join(keys), path=path_left))


def _erase_requests(conn: Connection, keys: Collection[str], order_ids: Collection[str]) -> None:
    for row in privacy_requests.about_a_person(conn):
        if {*row.links.split()} & {*keys} or {*row.orders.split()} & {*order_ids}:
            privacy_requests.erase(conn, row.id)
