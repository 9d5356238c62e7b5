"""The other orders of a buyer, and since when every order of the shop is known."""

from typing import NamedTuple

from sqlalchemy import Select, and_, bindparam, literal_column, or_, select

from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import conversions, links, orders, touches
from tracking.store.touches import OF_ORDER, ORDER_ID


class BuyersOrder(NamedTuple):
    """An order that may be the buyer's, with the identity keys of its own buyer."""

    id: str
    links: str


class _Purchase(NamedTuple):
    at: int


# Shopify tells of an order within seconds, and tries again for some hours.
_PROMPT_SECONDS = 86_400
# Orders that were told late, one after the other, are looked behind no further.
_MOST_LATE = 1_000
# So many orders are looked at: of those that were placed in one browser, others may be others'.
_MOST = 50


def _orders_of_key() -> Select[tuple[str, str]]:
    return (
        select(orders.c.id, orders.c.links)
        .select_from(
            links.join(touches, touches.c.visitor == links.c.visitor).join(
                orders, orders.c.id == ORDER_ID
            )
        )
        .where(
            links.c.link == bindparam("key"),
            OF_ORDER,
            orders.c.id != bindparam("id"),
        )
        .limit(_MOST)
    )


_is_before = or_(
    orders.c.placed_at < bindparam("at"),
    and_(orders.c.placed_at == bindparam("at"), orders.c.id < bindparam("id")),
)
_is_behind = or_(
    orders.c.placed_at > bindparam("at"),
    and_(orders.c.placed_at == bindparam("at"), orders.c.id > bindparam("id")),
)
_earlier = Query(
    BuyersOrder,
    _orders_of_key()
    .where(touches.c.at <= bindparam("at"), orders.c.is_counted == 1, _is_before)
    .order_by(touches.c.at, touches.c.key),
)
_later = Query(
    BuyersOrder,
    _orders_of_key()
    .where(
        touches.c.at >= bindparam("since"),
        orders.c.has_earlier == bindparam("has_earlier"),
        _is_behind,
    )
    .order_by(touches.c.at, touches.c.key),
)
_last_purchases = (
    select(conversions.c.at, conversions.c.order_id, conversions.c.recorded_at)
    .where(
        conversions.c.stage == literal_column("'purchase'"),
        conversions.c.at <= bindparam("until"),
    )
    .order_by(conversions.c.at.desc())
    .limit(literal_column(str(_MOST_LATE)))
    .subquery()
)
_watched = Query(
    _Purchase,
    select(_last_purchases.c.at)
    .select_from(_last_purchases.join(orders, orders.c.id == _last_purchases.c.order_id))
    .where(
        or_(
            _last_purchases.c.recorded_at < _last_purchases.c.at + _PROMPT_SECONDS,
            # A file tells of all orders of its time.
            orders.c.version.like(literal_column("'-%'")),
        ),
    )
    .limit(1),
)


def earlier(conn: Connection, key: str, order_id: str, at: int) -> list[BuyersOrder]:
    """Returns counted orders that were placed before an order (at an instant, seconds UTC) by
    whoever was in the browsers of the buyer with an identity key."""
    return _earlier.all(conn, key=key, id=order_id, at=at)


def later(
    conn: Connection, key: str, order_id: str, at: int, reach: int, *, has_earlier: bool
) -> list[BuyersOrder]:
    """Returns orders that were placed after an order in the same way, of which an earlier one is
    known or not. Their visits began at most `reach` seconds before them."""
    since = at - reach
    return _later.all(conn, key=key, id=order_id, at=at, since=since, has_earlier=int(has_earlier))


def is_watched(conn: Connection, until: int) -> bool:
    """Returns True if the orders of the shop were told in time, or by a file, already at an instant
    (seconds UTC): one of the last thousand before it was."""
    return _watched.first(conn, until=until) is not None
