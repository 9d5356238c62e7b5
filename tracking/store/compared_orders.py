"""The orders that Pinterest is credited with, and what became of their events."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, func, literal_column, select

from tracking.domain.conversion import event_id_of
from tracking.store.engine.name_lists import DIALECTS, among, is_among
from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import conversions, credits, orders, outbox


class HintCount(NamedTuple):
    """The number of orders of which Pinterest may count another event.

    Those of `another_sender` were sent under an id that is not the one that the storefront told;
    `late` are those that were sent more than an hour after the order; those `not_sent_here` were
    told by the storefront under an id, and not sent.
    """

    another_sender: int
    late: int
    not_sent_here: int


class _HintedOrder(NamedTuple):
    order_id: str


_PINTEREST: ColumnElement[str] = literal_column("'pinterest'")
_SENT: ColumnElement[str] = literal_column("'sent'")
_HELD: ColumnElement[str] = literal_column("'held'")
_WITHDRAWN: ColumnElement[str] = literal_column("'withdrawn'")


class CreditedRow(NamedTuple):
    """A credit of a Pinterest touch, and the event that tells Pinterest of its order.

    `reason` says why the event is not sent. `state` is that of its delivery and `held_for` the
    reason of that, both None without a delivery, and `payload` what was sent, which may be packed.
    Instants are seconds UTC, money is minor units, `share` millionths of the order.
    """

    placed_at: int
    order_id: str
    mask: int
    credited_at: int
    currency: str
    campaign_id: str
    campaign: str
    share: int
    gross: int
    net: int
    reason: str
    state: str | None
    held_for: str | None
    payload: bytes | None


class NamingDelivery(NamedTuple):
    """The delivery of another system's event that names an order."""

    order_id: str
    state: str
    payload: bytes


class DeletedRow(NamedTuple):
    """An order that was deleted after Pinterest was told of it. `path` is JSON."""

    order_id: str
    placed_at: int
    currency: str
    gross: int
    path: str
    payload: bytes


class WithheldCount(NamedTuple):
    """The number of orders whose events are not sent, by the reason; of those that are, by the
    state of the delivery."""

    reason: str
    state: str
    held_for: str
    orders: int


_state = func.coalesce(outbox.c.state, literal_column("''"))
# Elsewhere an answer of Pinterest's stands there.
_held_for = case(
    (
        outbox.c.state.in_([literal_column("'held'"), literal_column("'withdrawn'")]),
        outbox.c.reason,
    ),
    else_=literal_column("''"),
)
_outcome = (conversions.c.reason, _state, _held_for)


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


_delivery = and_(outbox.c.event_id == conversions.c.event_id, outbox.c.destination == _PINTEREST)
_event_id = literal_column(f"'{event_id_of('')}'").concat(credits.c.order_id)
_told = credits.join(conversions, conversions.c.event_id == _event_id).outerjoin(outbox, _delivery)
_credited = Query(
    CreditedRow,
    select(
        *(credits.c[name] for name in CreditedRow._fields[:10]),
        conversions.c.reason,
        outbox.c.state,
        _held_for.label("held_for"),
        outbox.c.payload,
    )
    .select_from(_told)
    .where(
        credits.c.placed_at >= bindparam("since"),
        credits.c.placed_at < bindparam("before"),
        credits.c.is_pinterest == 1,
        credits.c.mask.op("&")(bindparam("bits")) != 0,
    )
    .order_by(credits.c.placed_at, credits.c.order_id, credits.c.n),
)
_is_checkout = and_(
    conversions.c.event_id == outbox.c.event_id,
    conversions.c.stage == literal_column("'purchase'"),
    conversions.c.order_id == literal_column("''"),
)
_naming = Query(
    NamingDelivery,
    {
        dialect: select(outbox.c.order_id, outbox.c.state, outbox.c.payload)
        .select_from(outbox.join(conversions, _is_checkout))
        .where(
            is_among(dialect, outbox.c.order_id),
            outbox.c.order_id != literal_column("''"),
            outbox.c.destination == _PINTEREST,
        )
        .order_by(outbox.c.id)
        for dialect in DIALECTS
    },
)
_is_purchase = and_(
    conversions.c.stage == literal_column("'purchase'"),
    conversions.c.at >= bindparam("since"),
    conversions.c.at < bindparam("before"),
    conversions.c.order_id != literal_column("''"),
)
_deleted = Query(
    DeletedRow,
    select(
        orders.c.id.label("order_id"),
        orders.c.placed_at,
        orders.c.currency,
        orders.c.gross,
        orders.c.path,
        outbox.c.payload,
    )
    .select_from(
        conversions.join(outbox, _delivery).join(orders, orders.c.id == conversions.c.order_id)
    )
    .where(_is_purchase, conversions.c.is_counted == 0, outbox.c.state == _SENT)
    .order_by(conversions.c.at, conversions.c.order_id),
)
_withheld = Query(
    WithheldCount,
    select(
        conversions.c.reason,
        _state.label("state"),
        _held_for.label("held_for"),
        func.count().label("orders"),
    )
    .select_from(conversions.outerjoin(outbox, _delivery))
    .where(_is_purchase, _state != _SENT)
    .group_by(*_outcome)
    .order_by(*_outcome),
)


_HOUR = 3_600
_MOST_IDS = 20
_own_delivery = conversions.outerjoin(outbox, _delivery)
_is_told_otherwise = and_(
    _state == _SENT,
    conversions.c.storefront_id != literal_column("''"),
    conversions.c.storefront_id != conversions.c.event_id,
    conversions.c.storefront_id != conversions.c.sent_as,
)
_HINTS = {
    "another_sender": _is_told_otherwise,
    "late": and_(_state == _SENT, outbox.c.settled_at > outbox.c.event_time + _HOUR),
    "not_sent_here": and_(
        _state != _SENT,
        conversions.c.storefront_id != literal_column("''"),
    ),
}
_hinted = Query(
    HintCount,
    select(*(_count_if(condition).label(name) for name, condition in _HINTS.items()))
    .select_from(_own_delivery)
    .where(_is_purchase),
)
_hinted_ids = {
    name: Query(
        _HintedOrder,
        select(conversions.c.order_id)
        .select_from(_own_delivery)
        .where(_is_purchase, condition)
        .order_by(conversions.c.at.desc(), conversions.c.order_id.desc())
        .limit(_MOST_IDS),
    )
    for name, condition in _HINTS.items()
}


def credited(conn: Connection, since: int, before: int, bits: int) -> list[CreditedRow]:
    """Returns the credits of Pinterest's touches, under any scope and model of `bits`, of the
    orders placed in [since, before); those of an order stand together."""
    return _credited.all(conn, since=since, before=before, bits=bits)


def naming(conn: Connection, order_ids: Collection[str]) -> list[NamingDelivery]:
    """Returns the deliveries of other systems' checkouts that name these orders."""
    return among(conn, _naming, order_ids)


def deleted(conn: Connection, since: int, before: int) -> list[DeletedRow]:
    """Returns the orders placed in [since, before) that were sent, and count no more."""
    return _deleted.all(conn, since=since, before=before)


def withheld(conn: Connection, since: int, before: int) -> list[WithheldCount]:
    """Returns how many of the orders placed in [since, before) Pinterest has no event of."""
    return _withheld.all(conn, since=since, before=before)


def hinted(conn: Connection, since: int, before: int) -> HintCount:
    """Returns how many of the orders placed in [since, before) there is a hint about."""
    (row,) = _hinted.all(conn, since=since, before=before)
    return row


def hinted_ids(conn: Connection, since: int, before: int, hint: str) -> list[str]:
    """Returns the newest orders that a hint (a field of HintCount) is about."""
    found = _hinted_ids[hint].all(conn, since=since, before=before)
    return [row.order_id for row in found]
