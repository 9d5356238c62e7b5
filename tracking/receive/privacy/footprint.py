"""Finds what is stored about one person."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import msgspec

from tracking.domain.conversion import event_id_of
from tracking.domain.identity import digest_of_key, is_client, is_identity
from tracking.receive.privacy.tombstones import CERTAIN, is_same_person
from tracking.store import conversions, erasure, identity_graph, orders, outbox, retention
from tracking.store.conversions import ConversionRow
from tracking.store.engine.statement import Connection
from tracking.store.orders import OrderRow


class ErasedBuyer(msgspec.Struct, frozen=True, gc=False):
    """The keys and visitor ids of an order whose row was erased first, before they were followed.

    They are stored until then.
    """

    keys: tuple[str, ...] = ()
    visitors: tuple[str, ...] = ()


NO_BUYER = ErasedBuyer()


@dataclass(frozen=True, slots=True)
class PersonFootprint:
    """The stored data of one person.

    `known_by` are the keys of the request and the identities of the `orders`, `tokens` the other
    keys of these. The `visitors` are ids of this person alone; others used the `shared` ids as
    well. The `joined` ids counted as the same person by the identity graph. The `clients` are the
    keys of the browsers of this person alone.
    """

    keys: frozenset[str]
    known_by: frozenset[str]
    tokens: frozenset[str]
    orders: Mapping[str, OrderRow]
    visitors: frozenset[str]
    shared: frozenset[str]
    joined: frozenset[str]
    clients: frozenset[str]


def footprint_of(
    conn: Connection,
    keys: Collection[str],
    order_ids: Collection[str],
    candidates: Iterable[str] = (),
    erased: ErasedBuyer = NO_BUYER,
) -> PersonFootprint:
    """Finds the data of the person who has these keys or placed these orders.

    `candidates` are orders that may be the person's, too. `erased` is what the rows of the orders
    do not tell any more.
    """
    visitors = {*keys, *(visitor for key in keys for visitor in erasure.visitors_of(conn, key))}
    at_visitors = chain.from_iterable(erasure.orders_at_each(conn, visitors).values())
    own = _own_orders(conn, keys, order_ids, {*candidates, *at_visitors})
    order_keys = {*erased.keys, *(key for row in own.values() for key in row.keys)}
    known_by = frozenset({*keys, *filter(is_identity, order_keys)})
    visitors |= {visitor for key in order_keys for visitor in erasure.visitors_of(conn, key)}
    visitors |= {*erased.visitors, *(row.visitor for row in own.values())}
    events = (conversions.of_event(conn, event_id_of(id)) for id in {*own, *order_ids})
    visitors |= {event.visitor for event in events if event is not None}
    # The ids of persons who were erased before only count their events, and go on doing so.
    visitors = {v for v in visitors if v and not v.startswith(retention.NOBODY)}

    def is_hers(visitor: str) -> bool:
        return is_exclusive(conn, visitor, keys, known_by, own.keys())

    clients, alone = _own_clients(conn, frozenset(filter(is_hers, visitors)), is_hers)
    return PersonFootprint(
        keys=frozenset(keys),
        known_by=known_by,
        tokens=frozenset(key for key in order_keys if not is_identity(key)),
        orders=own,
        visitors=alone,
        shared=frozenset(visitors - alone),
        joined=frozenset(_joined(conn, alone, order_keys | set(keys)) - alone),
        clients=clients,
    )


def _own_orders(
    conn: Connection, keys: Collection[str], order_ids: Collection[str], candidates: Iterable[str]
) -> dict[str, OrderRow]:
    """Returns the stored orders of these ids, and those of the candidates that the person with
    these keys placed."""
    rows = {id: orders.of_id(conn, id) for id in sorted({*order_ids, *candidates})}
    return {
        id: row
        for id, row in rows.items()
        if row is not None and (id in order_ids or is_same_person(row.keys, keys))
    }


def _own_clients(
    conn: Connection, visitors: frozenset[str], is_hers: Callable[[str], bool]
) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the browsers of a person's visitor ids that nobody else used, and those visitor ids
    with the others of these browsers, which are the person's too."""
    clients: set[str] = set()
    known = {*chain.from_iterable(erasure.keys_of_each(conn, visitors).values())}
    for client in sorted(filter(is_client, known)):
        had = frozenset(erasure.visitors_of(conn, client))
        if all(map(is_hers, had - visitors)):
            clients.add(client)
            visitors |= had
    return frozenset(clients), visitors


def browser_events_of(conn: Connection, footprint: PersonFootprint) -> Iterator[ConversionRow]:
    """Yields a person's storefront events; of shared visitors only those that name the person."""
    certain = {key for key in footprint.known_by if key.startswith(CERTAIN)}
    digests = [digest_of_key(key).encode() for key in footprint.keys | certain]
    for visitor in sorted(footprint.visitors | footprint.shared):
        for event in erasure.browser_events_of(conn, visitor):
            payloads = [row.payload for row in outbox.of_event(conn, event.event_id)]
            if visitor in footprint.visitors or _contains(payloads, digests):
                yield event


def _contains(payloads: Iterable[bytes], digests: Collection[bytes]) -> bool:
    return any(digest in payload for payload in payloads for digest in digests)


def is_exclusive(
    conn: Connection,
    visitor: str,
    keys: Collection[str],
    known_by: Collection[str],
    order_ids: Collection[str],
) -> bool:
    """Returns True if no other person used a visitor id."""
    return bool(exclusive_of(conn, (visitor,), keys, known_by, order_ids))


def exclusive_of(
    conn: Connection,
    visitors: Collection[str],
    keys: Collection[str],
    known_by: Collection[str],
    order_ids: Collection[str],
) -> list[str]:
    """Returns those of the visitor ids that only the person used who has these keys and orders, and
    whose browsers are `known_by` these identities."""
    seen_with, placed = erasure.keys_of_each(conn, visitors), erasure.orders_at_each(conn, visitors)
    known, own = {*known_by}, {*order_ids}

    def is_own(visitor: str) -> bool:
        identities = set(filter(is_identity, seen_with.get(visitor, ())))
        return identities <= known and placed.get(visitor, set()) <= own

    return [visitor for visitor in visitors if visitor in keys or is_own(visitor)]


def _joined(conn: Connection, visitors: Collection[str], keys: Collection[str]) -> set[str]:
    """Returns the visitor ids whose person the identity graph may see differently without these
    visitors: those joined with them, and those whose keys are too common because of them."""
    joined: set[str] = set()
    for n, visitor in enumerate(sorted(visitors)):
        own = {*erasure.keys_of(conn, visitor), *(() if n else keys)}
        joined |= {
            *identity_graph.person_of(conn, own, visitor),
            *identity_graph.joined_by(conn, own, visitor),
        }
    return joined
