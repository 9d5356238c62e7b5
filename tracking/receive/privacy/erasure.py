"""Finds all that is kept about a person and takes the person out of it. What was sold stays."""

import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tracking.domain.attribution import touch_key
from tracking.domain.conversion import event_id_of
from tracking.domain.identity import Identity, digest_in, hashed, link_of
from tracking.domain.order import Browser, Buyer, Order
from tracking.receive.attributor import ALWAYS, Attributor
from tracking.receive.pixel import PixelEvent
from tracking.receive.rows import credited_to
from tracking.store import (
    conversions,
    erasure,
    identity_graph,
    orders,
    outbox,
    privacy_requests,
    touches,
)
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection, Row
from tracking.store.values import json_of, path_from

# What names a person for certain. A phone may be a household's.
_CERTAIN = ("em:", "id:")
_IDENTITIES = (*_CERTAIN, "ph:")

_ERASED = "er:"
# What an order's row tells of its buyer.
_NOBODY = dict.fromkeys(
    ("name", "visitor", "match_method", "links", "session", "consent", "unusable"), ""
)

_ADDRESS = re.compile(r"[^\s\"'<>(),;:\\@]+@[^\s\"'<>(),;:\\@]+")
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,20}(?![0-9])")
_PHONE = re.compile(r"\+?[0-9(][0-9 ().\-]{5,24}[0-9]")
_COUNTRY = re.compile(r'"country_code"\s*:\s*"([A-Z]{2})"')


@dataclass(frozen=True, slots=True)
class PersonFootprint:
    """What is kept about a person.

    `known_by` are the links asked for and those of the `orders`. Nobody else is known by the
    `visitors`; `shared` ones were also used by others. With the `joined` the person was taken for
    one.
    """

    links: frozenset[str]
    known_by: frozenset[str]
    orders: Mapping[str, Row]
    visitors: frozenset[str]
    shared: frozenset[str]
    joined: frozenset[str]


class PersonEraser:
    """Erases persons, and keeps them from coming back."""

    def __init__(self, attributor: Attributor) -> None:
        self.attributor = attributor

    def erase(
        self,
        conn: Connection,
        links: Iterable[str],
        order_ids: Iterable[str],
        now: int,
        maybe: Iterable[str] = (),
    ) -> None:
        """Erase whoever has these links or placed these orders. Orders that `maybe` are theirs
        are looked at too."""
        links, order_ids = frozenset(links), frozenset(order_ids)
        maybe = tuple(maybe)
        before = footprint_of(conn, links, order_ids, maybe)
        advisory_locks.hold(conn, _names(before, order_ids))
        found = footprint_of(conn, links, order_ids, maybe)
        marks = {f"or:{order_id}" for order_id in order_ids | found.orders.keys()}
        erasure.put_tombstones(conn, links | marks, now)

        new_ids = {visitor: _new_id() for visitor in found.visitors}
        for row in found.orders.values():
            _erase_order(conn, row, new_ids, now)
        for order_id in sorted(order_ids - found.orders.keys()):
            # Somebody may have told of it without the order itself.
            erasure.erase_event(conn, event_id_of(order_id), now)
        for event in browser_events_of(conn, found):
            erasure.erase_event(conn, event.event_id, now)
        _forget_people(conn, found, new_ids)
        _erase_bodies(conn, links, order_ids | found.orders.keys(), now)
        _erase_requests(conn, links, order_ids)

        self.attributor.credit_orders(conn, found.joined | found.shared, ALWAYS, now)
        for order_id in sorted(set(maybe) - found.orders.keys()):
            _take_out_of(conn, order_id, found)

    def put_order(self, conn: Connection, order: Order, known: Row | None, now: int) -> None:
        """Write down the money and the state of an order whose buyer was erased, and nothing
        else. What it was credited to before stays."""
        if known is None:
            erasure.put_tombstones(conn, [f"or:{order.id}"], now)
        planner = self.attributor.planner
        given_back = orders.refunded(conn, order.id, order.currency)._asdict()
        rows = planner.rows_of(planner.facts_of(faceless(order)), (), given_back, now)
        path = path_from(known.path) if known is not None else ()
        row, credits, best = planner.credits_again({**rows.order, **_NOBODY}, path, given_back)
        orders.put(conn, row)
        touches.put_credits(conn, order.id, credits, is_new=known is None)
        event_id = event_id_of(order.id)
        event = conversions.of_event(conn, event_id)
        is_sent = any(row.state == "sent" for row in outbox.of_event(conn, event_id))
        conversions.put(
            conn,
            {
                **rows.conversion,
                **credited_to(best),
                "visitor": _new_id() if event is None else event.visitor,
                "reason": "" if is_sent else "erased",
                "detail": "",
            },
        )

    def erase_everybody(self, conn: Connection, now: int) -> None:
        """Erase all persons there are, and keep their orders from bringing them back."""
        new_ids = {visitor: _new_id() for visitor in erasure.all_visitors(conn)}
        erasure.forget_everybody(conn, new_ids, now)
        last = ""
        while rows := erasure.orders_page(conn, last):
            for row in rows:
                orders.put(conn, _without_person(row))
            last = rows[-1].id


def erased_of(conn: Connection, order_id: str, links: Iterable[str]) -> tuple[bool, frozenset[str]]:
    """Whether an order is an erased person's, and which of its links were erased in any case."""
    links = tuple(links)
    found = erasure.tombstoned(conn, (f"or:{order_id}", *links))
    is_erased = f"or:{order_id}" in found or _is_of(links, found)
    return is_erased, found


def without_erased(
    conn: Connection, seen: Iterable[PixelEvent]
) -> tuple[list[PixelEvent], frozenset[str]]:
    """Storefront events without the persons who were erased, and the ids of those events."""
    left: list[PixelEvent] = []
    changed: set[str] = set()
    for one in seen:
        links = one.identity.links()
        found = erasure.tombstoned(conn, links) if links else frozenset()
        if _is_of(links, found):
            changed.add(one.event_id)
            one = msgspec.structs.replace(one, identity=Identity(), tokens=())
        elif found:
            one = _without_phone(one, found)
        left.append(one)
    return left, frozenset(changed)


def without_phone(identity: Identity, erased: Collection[str]) -> Identity:
    """The identity without the phones that were erased with somebody else."""
    left = tuple(one for one in identity.ph if link_of("ph", one) not in erased)
    return msgspec.structs.replace(identity, ph=left)


def faceless(order: Order) -> Order:
    """What was sold, without to whom and how they came."""
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
        besides=(),
    )


def footprint_of(
    conn: Connection, links: Collection[str], order_ids: Collection[str], maybe: Iterable[str] = ()
) -> PersonFootprint:
    """What is kept about whoever has these links or placed these orders."""
    seen = {*links, *(visitor for link in links for visitor in erasure.visitors_of(conn, link))}
    at_hand = {*order_ids, *maybe, *(o for visitor in seen for o in _orders_at(conn, visitor))}
    rows = {order_id: orders.of_id(conn, order_id) for order_id in sorted(at_hand)}
    theirs = {
        order_id: row
        for order_id, row in rows.items()
        if row is not None and (order_id in order_ids or _is_of(row.links.split(), links))
    }
    told = {link for row in theirs.values() for link in row.links.split()}
    known_by = frozenset({*links, *filter(_is_identity, told)})
    seen |= {visitor for link in told for visitor in erasure.visitors_of(conn, link)}
    seen |= {row.visitor for row in theirs.values()}
    for order_id in {*theirs, *order_ids}:
        event = conversions.of_event(conn, event_id_of(order_id))
        if event is not None:
            seen.add(event.visitor)
    # Who was erased before is only counted, and goes on being so.
    seen = {visitor for visitor in seen if visitor and not visitor.startswith(_ERASED)}
    alone = frozenset(v for v in seen if _is_only(conn, v, links, known_by, theirs.keys()))
    return PersonFootprint(
        links=frozenset(links),
        known_by=known_by,
        orders=theirs,
        visitors=alone,
        shared=frozenset(seen - alone),
        joined=frozenset(_joined(conn, alone, told | set(links)) - alone),
    )


def browser_events_of(conn: Connection, found: PersonFootprint) -> Iterator[Row]:
    """A person's storefront events; of shared visitors those alone that name the person."""
    certain = {link for link in found.known_by if link.startswith(_CERTAIN)}
    digests = [digest_in(link).encode() for link in found.links | certain]
    for visitor in sorted(found.visitors | found.shared):
        for event in erasure.browser_events_of(conn, visitor):
            payloads = [row.payload for row in outbox.of_event(conn, event.event_id)]
            if visitor in found.visitors or any(d in p for p in payloads for d in digests):
                yield event


def mentions(body: bytes, links: Collection[str], order_ids: Collection[str]) -> bool:
    """Whether a body that nobody understood names a person or one of the orders."""
    text = body.decode("utf-8", "replace").replace("\\u0040", "@").replace("\\/", "/")
    if any(number in order_ids for number in _NUMBER.findall(text)):
        return True
    countries = ("", *dict.fromkeys(_COUNTRY.findall(text)))
    told = (
        *(("em", "em", one, "") for one in _ADDRESS.findall(text)),
        *(("id", "external_id", one, "") for one in _NUMBER.findall(text)),
        *(("ph", "ph", one, c) for one in _PHONE.findall(text) for c in countries),
    )
    hashes = ((kind, hashed(field, one, country)) for kind, field, one, country in told)
    return any(one is not None and link_of(kind, one) in links for kind, one in hashes)


def _is_identity(link: str) -> bool:
    return link.startswith(_IDENTITIES)


def _is_of(links: Iterable[str], erased: Collection[str]) -> bool:
    """Whether who is known by some links is the person known by others: by e-mail or customer
    id, or because nothing else is known."""
    own = [link for link in links if _is_identity(link)]
    certain = any(link in erased for link in own if link.startswith(_CERTAIN))
    return certain or (bool(own) and all(link in erased for link in own))


def _is_only(
    conn: Connection,
    visitor: str,
    links: Collection[str],
    known_by: Collection[str],
    order_ids: Collection[str],
) -> bool:
    """Whether nobody else is known by a visitor id."""
    if visitor in links:
        return True
    own = {link for link in erasure.links_of(conn, visitor) if _is_identity(link)}
    return own <= set(known_by) and set(_orders_at(conn, visitor)) <= set(order_ids)


def _orders_at(conn: Connection, visitor: str) -> list[str]:
    own = touch_key("")
    keys = [row.key for row in erasure.touches_of(conn, visitor)]
    return [key.removeprefix(own) for key in keys if key.startswith(own)]


def _joined(conn: Connection, visitors: Iterable[str], links: Collection[str]) -> set[str]:
    """Everybody who was one person with these visitors, or is kept apart from others by a link
    that is too common for as long as it is theirs, too."""
    found: set[str] = set()
    for visitor in visitors:
        own = {*links, *erasure.links_of(conn, visitor)}
        found |= {
            *identity_graph.person_of(conn, own, visitor),
            *identity_graph.joined_by(conn, own, visitor),
        }
    return found


def _names(found: PersonFootprint, order_ids: Iterable[str]) -> set[str]:
    return {*order_ids, *found.known_by, *found.orders, *found.visitors, *found.shared}


def _new_id() -> str:
    """A visitor id that stands for a person who was erased. No pixel can make one."""
    return f"{_ERASED}{secrets.token_hex(8)}"


def _erase_order(conn: Connection, row: Row, new_ids: Mapping[str, str], now: int) -> None:
    event_id = event_id_of(row.id)
    event = conversions.of_event(conn, event_id)
    if event is not None and event.visitor in new_ids:
        erasure.rename_purchase(conn, event_id, new_ids[event.visitor])
    erasure.erase_event(conn, event_id, now)
    orders.put(conn, _without_person(row))


def _without_person(row: Row) -> Mapping[str, Any]:
    """An order's row: the money and what it is credited to, and nothing of who and how."""
    path = [
        msgspec.structs.replace(touch, visitor="", click_id="") for touch in path_from(row.path)
    ]
    return {**row._asdict(), **_NOBODY, "path": json_of(path)}


def _forget_people(conn: Connection, found: PersonFootprint, new_ids: Mapping[str, str]) -> None:
    for visitor, new in sorted(new_ids.items()):
        erasure.forget_visitor(conn, visitor, new)
    told = {link for row in found.orders.values() for link in row.links.split()}
    for link in sorted(found.links | {link for link in told if not _is_identity(link)}):
        erasure.forget_link(conn, link)
    for visitor in sorted(found.shared):
        _take_off(conn, visitor, found)


def _take_off(conn: Connection, visitor: str, found: PersonFootprint) -> None:
    """Leave a shared visitor id to the others: without the person's orders and links."""
    others = {order_id for order_id in _orders_at(conn, visitor) if order_id not in found.orders}
    rows = (orders.of_id(conn, order_id) for order_id in sorted(others))
    kept = {link for row in rows if row is not None for link in row.links.split()}
    for link in erasure.links_of(conn, visitor):
        if link in found.known_by and link not in kept:
            erasure.unlink(conn, link, visitor)
    for order_id in found.orders:
        erasure.forget_touch(conn, visitor, touch_key(order_id))


def _take_out_of(conn: Connection, order_id: str, found: PersonFootprint) -> None:
    """Take the person out of somebody else's order."""
    row = orders.of_id(conn, order_id)
    if row is None:
        return
    links = [link for link in row.links.split() if link not in found.links]
    path = [
        msgspec.structs.replace(touch, visitor="") if touch.visitor in found.visitors else touch
        for touch in path_from(row.path)
    ]
    orders.put(conn, {**row._asdict(), "links": " ".join(links), "path": json_of(path)})


def _erase_bodies(
    conn: Connection, links: Collection[str], order_ids: Collection[str], now: int
) -> None:
    last = 0
    while rows := erasure.bodies(conn, last):
        for row in rows:
            if mentions(row.body, links, order_ids):
                erasure.erase_body(conn, row.id, now)
        last = rows[-1].id


def _erase_requests(conn: Connection, links: Collection[str], order_ids: Collection[str]) -> None:
    for row in privacy_requests.about_a_person(conn):
        if {*row.links.split()} & {*links} or {*row.orders.split()} & {*order_ids}:
            privacy_requests.erase(conn, row.id)


def _without_phone(one: PixelEvent, erased: Collection[str]) -> PixelEvent:
    identity = without_phone(one.identity, erased)
    told = one.conversion
    if told is not None:
        told = msgspec.structs.replace(told, identity=without_phone(told.identity, erased))
    return msgspec.structs.replace(one, identity=identity, conversion=told)
