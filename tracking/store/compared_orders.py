"""The orders that Pinterest is credited with, and what became of their events."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, literal_column, select

from tracking.domain.conversion import event_id_of
from tracking.store.compared_figures import MARKED
from tracking.store.engine.name_lists import DIALECTS, among, is_among
from tracking.store.engine.statement import Connection, Query
from tracking.store.fates import DELIVERY, FATE, IS_DELIVERY
from tracking.store.schema import conversions, credits, orders, outbox

_PINTEREST: ColumnElement[str] = literal_column("'pinterest'")
_SENT: ColumnElement[str] = literal_column("'sent'")


class CreditedRow(NamedTuple):
    """A credit of a Pinterest touch, and the event that tells Pinterest of its order.

    `fate` is that of a FateCount, `state` that of the delivery (None without one), and `payload`
    what was sent, which may be packed; of an erased one `told_value` and `told_currency` are left.
    Instants are seconds UTC, money is minor units, `share`
    millionths of the order.
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
    fate: str
    state: str | None
    payload: bytes | None
    told_value: str | None
    told_currency: str | None


class NamingDelivery(NamedTuple):
    """The delivery of another system's event that names an order."""

    order_id: str
    state: str
    payload: bytes
    told_value: str
    told_currency: str


class DeletedRow(NamedTuple):
    """An order that was deleted after Pinterest was told of it. `path` is JSON."""

    order_id: str
    placed_at: int
    currency: str
    gross: int
    path: str
    payload: bytes
    told_value: str
    told_currency: str


_TOLD = tuple(DELIVERY.c[name] for name in ("payload", "told_value", "told_currency"))
_PREFIX: ColumnElement[str] = literal_column(f"'{event_id_of('')}'")
_event_id = _PREFIX.concat(credits.c.order_id)
_told = credits.join(conversions, conversions.c.event_id == _event_id).outerjoin(
    DELIVERY, IS_DELIVERY
)
_of_pinterest = (
    credits.c.is_pinterest == 1,
    credits.c.mask.op("&")(bindparam("bits")) != 0,
)
_credit_columns = (
    *(credits.c[name] for name in CreditedRow._fields[:10]),
    FATE.label("fate"),
    DELIVERY.c.state,
    *_TOLD,
)
_in_their_order = (credits.c.placed_at, credits.c.order_id, credits.c.n)
_credited = Query(
    CreditedRow,
    select(*_credit_columns)
    .select_from(_told)
    .where(
        credits.c.placed_at >= bindparam("since"),
        credits.c.placed_at < bindparam("before"),
        *_of_pinterest,
    )
    .order_by(*_in_their_order),
)
_is_marked = and_(
    credits.c.placed_at == MARKED.c.placed_at, credits.c.order_id == MARKED.c.order_id
)
_credited_and_marked = Query(
    CreditedRow,
    select(*_credit_columns)
    .select_from(
        MARKED.join(credits, _is_marked)
        .join(conversions, conversions.c.event_id == _event_id)
        .outerjoin(DELIVERY, IS_DELIVERY)
    )
    .where(*_of_pinterest)
    # By the columns of the marks, so that SQLite begins with these.
    .order_by(MARKED.c.placed_at, MARKED.c.order_id, credits.c.n),
)
_is_checkout = and_(
    conversions.c.event_id == outbox.c.event_id,
    conversions.c.stage == literal_column("'purchase'"),
    conversions.c.order_id == literal_column("''"),
)
_naming = Query(
    NamingDelivery,
    {
        dialect: select(*(outbox.c[name] for name in NamingDelivery._fields))
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
_deleted_columns = (
    orders.c.id.label("order_id"),
    orders.c.placed_at,
    orders.c.currency,
    orders.c.gross,
    orders.c.path,
    *_TOLD,
)
_is_deleted = (conversions.c.is_counted == 0, DELIVERY.c.state == _SENT)
_in_time = (conversions.c.at, conversions.c.order_id)
_deleted = Query(
    DeletedRow,
    select(*_deleted_columns)
    .select_from(
        conversions.join(DELIVERY, IS_DELIVERY).join(orders, orders.c.id == conversions.c.order_id)
    )
    .where(_is_purchase, *_is_deleted)
    .order_by(*_in_time),
)
_deleted_and_marked = Query(
    DeletedRow,
    select(*_deleted_columns)
    .select_from(
        MARKED.join(
            conversions,
            conversions.c.event_id == _PREFIX.concat(MARKED.c.order_id),
        )
        .join(DELIVERY, IS_DELIVERY)
        .join(orders, orders.c.id == conversions.c.order_id)
    )
    .where(*_is_deleted, orders.c.placed_at == MARKED.c.placed_at)
    .order_by(*_in_time),
)


def credited(
    conn: Connection, span: tuple[int, int], bits: int, forgotten: int
) -> list[CreditedRow]:
    """Returns the credits of Pinterest's touches, under any scope and model of `bits`, of the
    orders placed in a span (two instants, the end excluded); those of an order stand together.

    Deliveries settled before the instant `forgotten` have been deleted.
    """
    since, before = span
    return _credited.all(conn, since=since, before=before, bits=bits, forgotten=forgotten)


def credited_and_marked(
    conn: Connection, last: int, bits: int, forgotten: int
) -> list[CreditedRow]:
    """As `credited`, of the orders marked up to the mark `last`."""
    return _credited_and_marked.all(conn, last=last, bits=bits, forgotten=forgotten)


def naming(conn: Connection, order_ids: Collection[str]) -> list[NamingDelivery]:
    """Returns the deliveries of other systems' checkouts that name these orders."""
    return among(conn, _naming, order_ids)


def deleted(conn: Connection, span: tuple[int, int]) -> list[DeletedRow]:
    """Returns the orders placed in a span that were sent, and count no more."""
    since, before = span
    return _deleted.all(conn, since=since, before=before)


def deleted_and_marked(conn: Connection, last: int) -> list[DeletedRow]:
    """As `deleted`, of the orders marked up to the mark `last`."""
    return _deleted_and_marked.all(conn, last=last)
