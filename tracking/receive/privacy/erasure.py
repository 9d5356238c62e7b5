"""Finds the personal data of a person and erases it. What was sold stays on record."""

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from tracking.domain.attribution import touch_key
from tracking.domain.conversion import event_id_of
from tracking.domain.identity import (
    Identity,
    digest_of_key,
    is_client,
    is_identity,
)
from tracking.domain.order import Browser, Buyer, Order
from tracking.receive.attributor import Attributor
from tracking.receive.pixel import PixelEvent
from tracking.receive.planner import with_history
from tracking.receive.rows import with_credit
from tracking.store import (
    conversions,
    erasure,
    identity_graph,
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
from tracking.store.conversions import ConversionRow
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.orders import OrderRow
from tracking.store.values import json_of, path_from

# The keys that belong to one person only. A household may share a phone.
_CERTAIN = ("em:", "id:")

_ERASED = retention.NOBODY


@dataclass(frozen=True, slots=True)
class PersonFootprint:
    """The stored data of one person.

    `known_by` are the keys of the request and those of the `orders`. The `visitors` are ids of
    this person alone; others used the `shared` ids as well. The `joined` ids counted as the same
    person by the identity graph. The `clients` are the keys of the browsers of this person alone.
    """

    keys: frozenset[str]
    known_by: frozenset[str]
    orders: Mapping[str, OrderRow]
    visitors: frozenset[str]
    shared: frozenset[str]
    joined: frozenset[str]
    clients: frozenset[str]


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


def erased_of(conn: Connection, order_id: str, keys: Iterable[str]) -> tuple[bool, frozenset[str]]:
    """Returns whether an order is an erased person's, and which of its keys were erased."""
    keys = tuple(keys)
    erased = erasure.tombstoned(conn, (f"or:{order_id}", *keys))
    is_erased = f"or:{order_id}" in erased or _is_same_person(keys, erased)
    return is_erased, erased


def unerased_keys(conn: Connection, keys: Iterable[str]) -> tuple[str, ...]:
    """Returns the keys of a person that may be stored: none if the person was erased, and no phone
    of another one who was."""
    keys = tuple(keys)
    erased = erasure.tombstoned(conn, keys)
    return () if _is_same_person(keys, erased) else tuple(k for k in keys if k not in erased)


def without_erased(
    conn: Connection, events: Iterable[PixelEvent]
) -> tuple[list[PixelEvent], frozenset[str]]:
    """Returns the storefront events without erased identities, and the ids of the events of
    erased persons."""
    cleaned: list[PixelEvent] = []
    erased_ids: set[str] = set()
    for event in events:
        keys = event.identity.graph_keys()
        names = (*keys, *filter(None, [event.client]))
        erased = erasure.tombstoned(conn, names) if names else frozenset()
        if event.client in erased:
            event = _event_without_client(event)
        if _is_same_person(keys, erased):
            erased_ids.add(event.event_id)
            event = msgspec.structs.replace(event, identity=Identity(), tokens=(), client="")
        elif erased:
            event = _event_without_phone(event, erased)
        cleaned.append(event)
    return cleaned, frozenset(erased_ids)


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


def footprint_of(
    conn: Connection,
    keys: Collection[str],
    order_ids: Collection[str],
    candidates: Iterable[str] = (),
) -> PersonFootprint:
    """Finds the data of the person who has these keys or placed these orders.

    `candidates` are orders that may be the person's, too.
    """
    visitors = {*keys, *(visitor for key in keys for visitor in erasure.visitors_of(conn, key))}
    at_visitors = (order_id for visitor in visitors for order_id in _orders_at(conn, visitor))
    rows = {
        order_id: orders.of_id(conn, order_id)
        for order_id in sorted({*order_ids, *candidates, *at_visitors})
    }
    own = {
        order_id: row
        for order_id, row in rows.items()
        if row is not None and (order_id in order_ids or _is_same_person(row.keys, keys))
    }
    order_keys = {key for row in own.values() for key in row.keys}
    known_by = frozenset({*keys, *filter(is_identity, order_keys)})
    visitors |= {visitor for key in order_keys for visitor in erasure.visitors_of(conn, key)}
    visitors |= {row.visitor for row in own.values()}
    for order_id in {*own, *order_ids}:
        event = conversions.of_event(conn, event_id_of(order_id))
        if event is not None:
            visitors.add(event.visitor)
    # The ids of persons who were erased before only count their events, and go on doing so.
    visitors = {v for v in visitors if v and not v.startswith(_ERASED)}
    alone = frozenset(v for v in visitors if _is_exclusive(conn, v, keys, known_by, own.keys()))
    clients: set[str] = set()
    for client in sorted(
        {key for v in alone for key in erasure.keys_of(conn, v) if is_client(key)}
    ):
        # The other visitor ids of a browser are the person's too, if nobody else used it.
        had = frozenset(erasure.visitors_of(conn, client))
        if all(_is_exclusive(conn, v, keys, known_by, own.keys()) for v in had - alone):
            clients.add(client)
            alone |= had
    return PersonFootprint(
        keys=frozenset(keys),
        known_by=known_by,
        orders=own,
        visitors=alone,
        shared=frozenset(visitors - alone),
        joined=frozenset(_joined(conn, alone, order_keys | set(keys)) - alone),
        clients=frozenset(clients),
    )


def browser_events_of(conn: Connection, footprint: PersonFootprint) -> Iterator[ConversionRow]:
    """Yields a person's storefront events; of shared visitors only those that name the person."""
    certain = {key for key in footprint.known_by if key.startswith(_CERTAIN)}
    digests = [digest_of_key(key).encode() for key in footprint.keys | certain]
    for visitor in sorted(footprint.visitors | footprint.shared):
        for event in erasure.browser_events_of(conn, visitor):
            payloads = [row.payload for row in outbox.of_event(conn, event.event_id)]
            if visitor in footprint.visitors or _contains(payloads, digests):
                yield event


def _contains(payloads: Iterable[bytes], digests: Collection[bytes]) -> bool:
    return any(digest in payload for payload in payloads for digest in digests)


def _is_same_person(keys: Iterable[str], others: Collection[str]) -> bool:
    """Returns True if the keys are those of the person known by others: if an e-mail address or
    a customer id is the same, or every identity is."""
    own = [key for key in keys if is_identity(key)]
    is_certain = any(key in others for key in own if key.startswith(_CERTAIN))
    return is_certain or (bool(own) and all(key in others for key in own))


def _is_exclusive(
    conn: Connection,
    visitor: str,
    keys: Collection[str],
    known_by: Collection[str],
    order_ids: Collection[str],
) -> bool:
    """Returns True if no other person used a visitor id."""
    if visitor in keys:
        return True
    own = {key for key in erasure.keys_of(conn, visitor) if is_identity(key)}
    return own <= set(known_by) and set(_orders_at(conn, visitor)) <= set(order_ids)


def _orders_at(conn: Connection, visitor: str) -> list[str]:
    own = touch_key("")
    keys = [row.key for row in erasure.touches_of(conn, visitor)]
    return [key.removeprefix(own) for key in keys if key.startswith(own)]


def _joined(conn: Connection, visitors: Iterable[str], keys: Collection[str]) -> set[str]:
    """Returns the visitor ids whose person the identity graph may see differently without these
    visitors: those joined with them, and those whose keys are too common because of them."""
    joined: set[str] = set()
    for visitor in visitors:
        own = {*keys, *erasure.keys_of(conn, visitor)}
        joined |= {
            *identity_graph.person_of(conn, own, visitor),
            *identity_graph.joined_by(conn, own, visitor),
        }
    return joined


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
    others = {
        order_id for order_id in _orders_at(conn, visitor) if order_id not in footprint.orders
    }
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


def _event_without_client(event: PixelEvent) -> PixelEvent:
    conversion = event.conversion
    if conversion is not None:
        conversion = msgspec.structs.replace(conversion, client="")
    return msgspec.structs.replace(event, client="", conversion=conversion)


def _event_without_phone(event: PixelEvent, erased: Collection[str]) -> PixelEvent:
    conversion = event.conversion
    if conversion is not None:
        identity = conversion.identity.without_phones(erased)
        conversion = msgspec.structs.replace(conversion, identity=identity)
    identity = event.identity.without_phones(erased)
    return msgspec.structs.replace(event, identity=identity, conversion=conversion)
