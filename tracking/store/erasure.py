"""The queries that find and erase personal data, and the tombstones of what was erased."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    LargeBinary,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union,
    update,
)

from tracking.domain.attribution import touch_key
from tracking.domain.told_value import told_value_in
from tracking.store import funnel_figures, match_quality
from tracking.store.conversions import COLUMNS, ConversionRow
from tracking.store.engine import many_rows
from tracking.store.engine.name_lists import DIALECTS, among, is_among
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.packed_payloads import unpacked
from tracking.store.schema import (
    TOMBSTONE_LENGTH,
    attempts,
    checkouts,
    clients,
    conversions,
    links,
    orders,
    outbox,
    quarantine,
    told_links,
    tombstones,
    touches,
    visitors,
)
from tracking.store.touches import OF_ORDER, TouchRow

# The most links by which a request of Shopify's can name a person.
MOST_ASKED = 3


class _ErasablePayload(NamedTuple):
    id: int
    payload: bytes


class ErasableBody(NamedTuple):
    """A quarantined body that was not erased yet."""

    id: int
    body: bytes


class _Mark(NamedTuple):
    mark: str


class _Visitor(NamedTuple):
    visitor: str


class _KeyOfVisitorId(NamedTuple):
    visitor: str
    link: str


class _PlacedAtVisitor(NamedTuple):
    visitor: str
    key: str


class _OrderId(NamedTuple):
    id: str


_NO_PAYLOAD = literal(b"", LargeBinary)
_any_tombstone = Query(_Mark, select(tombstones.c.mark).limit(1))
_tombstone = Query(_Mark, select(tombstones.c.mark).where(tombstones.c.mark == bindparam("mark")))
_visitors_of = Query(
    _Visitor,
    union(
        *(
            select(table.c.visitor).where(table.c.link == bindparam("link"))
            for table in (links, told_links, clients)
        )
    ),
)
_known_by = Query(
    _KeyOfVisitorId,
    {
        dialect: union(
            *(
                select(table.c.visitor, table.c.link).where(is_among(dialect, table.c.visitor))
                for table in (links, told_links, clients)
            )
        )
        for dialect in DIALECTS
    },
)
_placed_at = Query(
    _PlacedAtVisitor,
    {
        dialect: select(touches.c.visitor, touches.c.key).where(
            is_among(dialect, touches.c.visitor), OF_ORDER
        )
        for dialect in DIALECTS
    },
)
_touches_of = Query(
    TouchRow,
    select(touches).where(touches.c.visitor == bindparam("visitor")).order_by(touches.c.at),
)
_browser_events_of = Query(
    ConversionRow,
    select(*COLUMNS)
    .where(
        conversions.c.visitor == bindparam("visitor"),
        conversions.c.order_id == literal_column("''"),
    )
    .order_by(conversions.c.at, conversions.c.id),
)


def _mentions(*columns: ColumnElement[str]) -> ColumnElement[bool]:
    """Returns the condition that a column contains one of the bound links; "" is no link."""
    keys: list[BindParameter[str]] = [bindparam(f"link{n}") for n in range(MOST_ASKED)]
    return or_(*(and_(key != "", column.contains(key)) for key in keys for column in columns))


_orders_with = Query(
    _OrderId,
    select(orders.c.id).where(_mentions(orders.c.links, orders.c.visitor, orders.c.path)),
)
_delete_visitor: Mapping[str, Statement] = {
    table.name: Statement(delete(table).where(table.c.visitor == bindparam("visitor")))
    for table in (links, told_links, clients, touches, visitors)
}
_delete_touch = Statement(
    delete(touches).where(
        touches.c.visitor == bindparam("visitor"), touches.c.key == bindparam("key")
    )
)
_delete_key = tuple(
    Statement(delete(table).where(table.c.link == bindparam("link")))
    for table in (links, told_links, clients)
)
# The id that the storefront told a purchase by is kept as long as its checkout.
_delete_checkout = (
    Statement(
        update(conversions)
        .where(
            conversions.c.storefront_id != literal_column("''"),
            conversions.c.storefront_id.in_(
                select(checkouts.c.completed_as).where(checkouts.c.link == bindparam("b_link"))
            ),
        )
        .values(storefront_id="")
    ),
    Statement(delete(checkouts).where(checkouts.c.link == bindparam("b_link"))),
)
_unlink = tuple(
    Statement(
        delete(table).where(
            table.c.link == bindparam("link"), table.c.visitor == bindparam("visitor")
        )
    )
    for table in (links, told_links)
)
_rename_browser_events = Statement(
    update(conversions)
    .where(
        conversions.c.visitor == bindparam("b_visitor"),
        conversions.c.order_id == literal_column("''"),
    )
    .values(visitor=bindparam("b_new"))
)
_rename_purchase = Statement(
    update(conversions)
    .where(conversions.c.event_id == bindparam("b_event_id"))
    .values(visitor=bindparam("b_new"))
)
# The parts of an event's erasure, each for a condition of its own.
IS_UNSENT = exists(
    select(outbox.c.id).where(
        outbox.c.event_id == conversions.c.event_id,
        or_(
            outbox.c.state.in_([literal_column("'waiting'"), literal_column("'held'")]),
            # Another event was to be sent in its place.
            and_(
                outbox.c.state == literal_column("'withdrawn'"),
                outbox.c.reason.in_(
                    [literal_column("'told_by_order'"), literal_column("'told_before'")]
                ),
            ),
        ),
    )
)
WITH_REASON = update(conversions).values(reason="erased")
# The id that an event was sent under stays, as its event id does; one it was only told by goes.
WITHOUT_DETAIL = update(conversions).values(detail="", storefront_id="")
# An event that is being sent may still arrive; its settlement stores no payload.
WITHDRAWN = (
    update(outbox)
    .where(outbox.c.state != literal_column("'sent'"))
    .values(
        state="withdrawn",
        is_withdrawn=1,
        payload=_NO_PAYLOAD,
        reason="erased",
        settled_at=bindparam("b_now"),
    )
)
EMPTIED = (
    update(outbox)
    .where(outbox.c.state == literal_column("'sent'"))
    .values(payload=_NO_PAYLOAD, reason="")
)
_payloads = Query(
    _ErasablePayload,
    select(outbox.c.id, outbox.c.payload).where(
        outbox.c.event_id == bindparam("event_id"),
        outbox.c.destination == literal_column("'pinterest'"),
        func.length(outbox.c.payload) > 0,
    ),
)
_keep_value = Statement(
    update(outbox)
    .where(outbox.c.id == bindparam("b_id"))
    .values(told_value=bindparam("b_value"), told_currency=bindparam("b_currency"))
)
WITHOUT_ANSWER = update(attempts).values(detail="")
_event: BindParameter[str] = bindparam("b_event_id")
_erase_event = (
    Statement(WITH_REASON.where(conversions.c.event_id == _event, IS_UNSENT)),
    Statement(WITHOUT_DETAIL.where(conversions.c.event_id == _event)),
    Statement(WITHDRAWN.where(outbox.c.event_id == _event)),
    Statement(EMPTIED.where(outbox.c.event_id == _event)),
    Statement(WITHOUT_ANSWER.where(attempts.c.event_id == _event)),
)
_bodies = Query(
    ErasableBody,
    select(quarantine.c.id, quarantine.c.body)
    .where(func.length(quarantine.c.body) > 0, quarantine.c.id >= bindparam("first"))
    .order_by(quarantine.c.id)
    .limit(bindparam("most")),
)
_erased_body = update(quarantine).values(
    body=_NO_PAYLOAD, reason="erased", replayed_at=bindparam("b_now")
)
_erase_body = Statement(_erased_body.where(quarantine.c.id == bindparam("b_id")))

# --- tombstones


def tombstone_of(key: str) -> str:
    """Returns the tombstone of a key or of "or:<order id>"."""
    return key if key.startswith("or:") else key[:TOMBSTONE_LENGTH]


def put_tombstones(conn: Connection, names: Iterable[str], now: int) -> None:
    """Stores for good that these keys and orders ("or:…") were erased."""
    marks = sorted({tombstone_of(name) for name in names})
    many_rows.insert(conn, tombstones, ("mark", "erased_at"), [(mark, now) for mark in marks])


def tombstoned(conn: Connection, names: Iterable[str]) -> frozenset[str]:
    """Returns those of the keys and orders ("or:…") that were erased."""
    if _any_tombstone.first(conn) is None:
        return frozenset()
    return frozenset(n for n in names if _tombstone.first(conn, mark=tombstone_of(n)) is not None)


# --- what is stored about a person


def visitors_of(conn: Connection, key: str) -> list[str]:
    """Returns every visitor id that was seen with a key, however common the key is."""
    return [row.visitor for row in _visitors_of.all(conn, link=key)]


def keys_of(conn: Connection, visitor: str) -> set[str]:
    """Returns every key that a visitor id was seen with."""
    return keys_of_each(conn, (visitor,)).get(visitor, set())


def orders_at(conn: Connection, visitor: str) -> set[str]:
    """Returns the ids of the orders that were placed at a visitor id."""
    return orders_at_each(conn, (visitor,)).get(visitor, set())


def keys_of_each(conn: Connection, visitors: Collection[str]) -> dict[str, set[str]]:
    """Returns the keys that each of these visitor ids was seen with, if there are any."""
    found: dict[str, set[str]] = {}
    for row in among(conn, _known_by, visitors):
        found.setdefault(row.visitor, set()).add(row.link)
    return found


def orders_at_each(conn: Connection, visitors: Collection[str]) -> dict[str, set[str]]:
    """Returns the ids of the orders that were placed at each of these visitor ids, if any were."""
    found: dict[str, set[str]] = {}
    for row in among(conn, _placed_at, visitors):
        found.setdefault(row.visitor, set()).add(row.key.removeprefix(touch_key("")))
    return found


def touches_of(conn: Connection, visitor: str) -> list[TouchRow]:
    """Returns every touch of a visitor id, with the rows of orders without a visit."""
    return _touches_of.all(conn, visitor=visitor)


def browser_events_of(conn: Connection, visitor: str) -> list[ConversionRow]:
    """Returns every storefront event of a visitor id."""
    return _browser_events_of.all(conn, visitor=visitor)


def orders_with(conn: Connection, keys: Iterable[str]) -> list[str]:
    """Returns the ids of the orders that contain one of the keys. Reads every order there is."""
    keys = sorted(keys)
    found: set[str] = set()
    for first in range(0, len(keys), MOST_ASKED):
        bound = [*keys[first : first + MOST_ASKED], *[""] * MOST_ASKED][:MOST_ASKED]
        rows = _orders_with.all(conn, **{f"link{n}": key for n, key in enumerate(bound)})
        found.update(row.id for row in rows)
    return sorted(found)


def bodies(conn: Connection, first: int = 0, most: int = 4) -> list[ErasableBody]:
    """Returns a page of the quarantined bodies that were not erased yet, from the `first` id on.

    A page is short, as each body may have two megabytes.
    """
    return _bodies.all(conn, first=first, most=most)


# --- erasure


def forget_visitor(conn: Connection, visitor: str, new: str) -> None:
    """Deletes a visitor id with its keys and touches; its events now count for the id `new`."""
    for key in keys_of(conn, visitor):
        if key.startswith(("ck:", "ca:")):
            _forget_checkout(conn, key)
    for statement in _delete_visitor.values():
        statement.run(conn, visitor=visitor)
    _rename_browser_events.run(conn, b_visitor=visitor, b_new=new)
    # The new id has its number by now, and the figures go on counting it.
    funnel_figures.forget_visitors(conn, [visitor])


def forget_key(conn: Connection, key: str) -> None:
    """Deletes a key with every visitor id, and the checkout or cart under it."""
    for statement in _delete_key:
        statement.run(conn, link=key)
    _forget_checkout(conn, key)


def _forget_checkout(conn: Connection, key: str) -> None:
    for statement in _delete_checkout:
        statement.run(conn, b_link=key)


def unlink(conn: Connection, key: str, visitor: str) -> None:
    """Deletes the link between an identity key and a visitor id."""
    for statement in _unlink:
        statement.run(conn, link=key, visitor=visitor)


def forget_touch(conn: Connection, visitor: str, key: str) -> None:
    """Deletes one touch of a visitor id."""
    _delete_touch.run(conn, visitor=visitor, key=key)


def rename_purchase(conn: Connection, event_id: str, new: str) -> None:
    """Gives a purchase another visitor id."""
    _rename_purchase.run(conn, b_event_id=event_id, b_new=new)


def erase_event(conn: Connection, event_id: str, now: int) -> None:
    """Withdraws an event for good, and erases its payload and every answer about it. What it told
    that the purchase is worth, which is nobody's, stays."""
    for row in _payloads.all(conn, event_id=event_id):
        told = told_value_in(unpacked(row.payload))
        _keep_value.run(conn, b_id=row.id, b_value=told.value, b_currency=told.currency)
    for statement in _erase_event:
        statement.run(conn, b_event_id=event_id, b_now=now)
    # Whoever settles it as sent has done so by now, or finds it erased.
    match_quality.forget(conn, event_id)


def erase_body(conn: Connection, id: int, now: int) -> None:
    """Erases a quarantined body."""
    _erase_body.run(conn, b_id=id, b_now=now)
