"""The counted orders of a time, each with what its credits are computed from."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, func, literal_column, or_, select

from tracking.domain.customer import CustomerType
from tracking.store.engine.statement import Connection, Query
from tracking.store.reports import CREDIT_LABEL, CREDIT_SUMS, CreditSum
from tracking.store.schema import credits, orders


class CreditedOrder(NamedTuple):
    """An order that is credited: when it was placed (seconds UTC), its money in minor units, its
    buyer's keys and visitor id, and the path (JSON) that its credits were computed from."""

    id: str
    placed_at: int
    currency: str
    gross: int
    refunds: int
    cancellations: int
    source_name: str
    visitor: str
    links: str
    path: str
    customer_type: CustomerType


class _OrderCount(NamedTuple):
    orders: int


# Each credited order has a first credit.
_is_first: ColumnElement[bool] = and_(
    credits.c.n == literal_column("0"),
    credits.c.placed_at >= bindparam("since"),
    credits.c.placed_at < bindparam("before"),
)
_some = select(credits.c.order_id).where(_is_first).limit(bindparam("most")).subquery("some")
_count = Query(_OrderCount, select(func.count().label("orders")).select_from(_some))
_with_orders = credits.join(orders, orders.c.id == credits.c.order_id)
_is_forgotten: ColumnElement[bool] = orders.c.path == literal_column("''")
_count_forgotten = Query(
    _OrderCount,
    select(func.count().label("orders")).select_from(_with_orders).where(_is_first, _is_forgotten),
)
_forgotten = Query(
    CreditSum,
    select(*CREDIT_LABEL, *CREDIT_SUMS)
    .select_from(_with_orders)
    .where(
        credits.c.placed_at >= bindparam("since"),
        credits.c.placed_at < bindparam("before"),
        credits.c.credited_at >= bindparam("credited_since"),
        credits.c.credited_at < bindparam("credited_before"),
        credits.c.mask.op("&")(bindparam("bit")) != literal_column("0"),
        _is_forgotten,
    )
    .group_by(*CREDIT_LABEL),
)
_page = Query(
    CreditedOrder,
    select(*(orders.c[name] for name in CreditedOrder._fields))
    .select_from(_with_orders)
    .where(
        _is_first,
        ~_is_forgotten,
        or_(
            credits.c.placed_at > bindparam("since"),
            credits.c.order_id > bindparam("after"),
        ),
    )
    .order_by(credits.c.placed_at, credits.c.order_id)
    .limit(bindparam("most")),
)


def count(conn: Connection, since: int, before: int, most: int) -> int:
    """Returns how many orders placed in [since, before) are credited; `most` if there are more."""
    (row,) = _count.all(conn, since=since, before=before, most=most)
    return row.orders


def page(conn: Connection, since: int, after: str, before: int, most: int) -> list[CreditedOrder]:
    """Returns the first orders with a path that were placed in [since, before), up to `most`: of
    the first second those whose id comes behind `after`."""
    return _page.all(conn, since=since, after=after, before=before, most=most)


def count_forgotten(conn: Connection, since: int, before: int) -> int:
    """Returns of how many orders placed in [since, before) the paths were forgotten."""
    (row,) = _count_forgotten.all(conn, since=since, before=before)
    return row.orders


def forgotten(
    conn: Connection, placed: tuple[int, int], credited: tuple[int, int], bit: int
) -> list[CreditSum]:
    """Returns the credits by campaign, under a scope and model, of orders whose paths were
    forgotten: of those placed in one span the credits in another, each (since, before)."""
    return _forgotten.all(
        conn,
        since=placed[0],
        before=placed[1],
        credited_since=credited[0],
        credited_before=credited[1],
        bit=bit,
    )
