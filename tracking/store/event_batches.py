"""Batches of imported events: reads what is known of them, and writes those that are new.

One by one, each event would take a dozen queries, on PostgreSQL a round trip each.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import literal_column, select, union_all

from tracking.store.conversions import ConversionRow, sent_as, told
from tracking.store.engine import many_rows
from tracking.store.engine.name_lists import among, selected
from tracking.store.engine.statement import Connection, Query
from tracking.store.erasure import tombstone_of
from tracking.store.schema import conversions, links, outbox, tombstones, touches


class SeenWith(NamedTuple):
    """An identity key and a visitor id that was seen with it."""

    link: str
    visitor: str


class QueuedEvent(NamedTuple):
    """A finished event for the outbox, and the order that it names; `event_time` is seconds UTC."""

    event_id: str
    destination: str
    payload: bytes
    event_time: int
    order_id: str


class RecordedEvent(NamedTuple):
    """An event on record, to compare with one that comes with its event id."""

    event_id: str
    stage: str
    order_id: str
    visitor: str
    at: int
    currency: str
    value: int


class _TouchedVisitor(NamedTuple):
    visitor: str


class _Tombstone(NamedTuple):
    mark: str


class _SharedId(NamedTuple):
    event_id: str


_recorded = selected(
    RecordedEvent,
    conversions.c.event_id,
    *(conversions.c[name] for name in RecordedEvent._fields),
)
_sharers = selected(SeenWith, links.c.link, links.c.link, links.c.visitor)
_own_keys = selected(SeenWith, links.c.visitor, links.c.link, links.c.visitor)
_touched = selected(_TouchedVisitor, touches.c.visitor)
_erased = selected(_Tombstone, tombstones.c.mark)

_any_erased = Query(_Tombstone, select(tombstones.c.mark).limit(1))
# Whether Pinterest's own app is beside us, or ever was.
_any_shared = Query(
    _SharedId,
    union_all(
        *(
            select(conversions.c.event_id)
            .where(column != literal_column("''"))
            .limit(1)
            .subquery()
            .select()
            for column in (conversions.c.sent_as, conversions.c.storefront_id)
        )
    ).limit(1),
)

# No visitor id: more than one was seen with the key.
SEVERAL = ""
_QUEUED = (
    *("event_id", "destination", "state", "payload", "event_time", "due_at", "queued_at"),
    "order_id",
)


@dataclass(frozen=True, slots=True)
class KnownBatch:
    """Known data about a batch of events.

    `events` are the events on record by their ids, `shared_ids` are ids that purchases are sent
    under or told by, `sharers` the visitor id seen with a key (SEVERAL if there are more), `keys`
    the identity keys of a visitor id, `touched` the visitor ids that have touches, and `erased` the
    tombstones.
    """

    events: dict[str, RecordedEvent]
    shared_ids: frozenset[str]
    sharers: dict[str, str]
    keys: dict[str, Collection[str]]
    touched: frozenset[str]
    erased: frozenset[str]

    def any_erased(self, keys: Iterable[str], order_id: str) -> bool:
        """Returns True if an event belongs to a person or an order that was erased."""
        if not self.erased:
            return False
        names = (*keys, f"or:{order_id}")
        return any(tombstone_of(name) in self.erased for name in names)

    def add(self, keys: Collection[str], visitor: str) -> bool:
        """Adds that a visitor id was seen with these keys; returns True if it was known: another
        shares a key with it, or it has a touch."""
        is_known = visitor in self.touched
        sharers = self.sharers
        for key in keys:
            if sharers.setdefault(key, visitor) != visitor:
                sharers[key] = SEVERAL
                is_known = True
        own = self.keys.get(visitor)
        if own is None:
            self.keys[visitor] = keys
            return is_known
        self.keys[visitor] = {*own, *keys}
        return is_known or any(sharers[key] != visitor for key in own)


def known_of(
    conn: Connection,
    events: Collection[str],
    keys: Collection[str],
    visitors: Collection[str],
    order_ids: Collection[str],
) -> KnownBatch:
    """Returns what the store knows of these event ids, identity keys, visitor ids and orders."""
    seen = {*among(conn, _sharers, keys), *among(conn, _own_keys, visitors)}
    others = {row.link for row in seen}.difference(keys)
    seen.update(among(conn, _sharers, others))
    tombstones: Collection[str] = ()
    if _any_erased.first(conn) is not None:
        tombstones = {tombstone_of(name) for name in (*keys, *(f"or:{id}" for id in order_ids))}
    shared: set[str] = set()
    # Without statistics PostgreSQL would look for any from end to end.
    if conn.dialect == "postgresql" or _any_shared.first(conn) is not None:
        shared = sent_as(conn, events) | told(conn, events)
    known = KnownBatch(
        events={row.event_id: row for row in among(conn, _recorded, events)},
        shared_ids=frozenset(shared),
        sharers={},
        keys={},
        touched=frozenset(row.visitor for row in among(conn, _touched, visitors)),
        erased=frozenset(row.mark for row in among(conn, _erased, tombstones)),
    )
    for key, visitor in seen:
        known.add((key,), visitor)
    return known


def put(
    conn: Connection,
    rows: Iterable[ConversionRow],
    events: Iterable[QueuedEvent],
    seen: Iterable[tuple[str, str]],
    now: int,
) -> None:
    """Inserts conversions, queues the events that are sent, and stores the identity keys, each with
    the visitor id that was `seen` with it.

    Rows that are there already stay as they are.
    """
    # In the order of their keys, so that two imports of one file never wait for one another.
    ordered = sorted(rows, key=attrgetter("event_id"))
    many_rows.insert(conn, conversions, ConversionRow._fields, ordered)
    queued = [
        (
            *(event.event_id, event.destination, "waiting", event.payload, event.event_time),
            *(now, now, event.order_id),
        )
        for event in sorted(events)
    ]
    many_rows.insert(conn, outbox, _QUEUED, queued)
    many_rows.insert(conn, links, SeenWith._fields, sorted(seen))
