"""Counts of the orders that were sent, left out and lost, by spans of time."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import BindParameter, bindparam, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.shop_days import QUARTER_HOUR
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.fates import FATE, IS_PURCHASE, PURCHASES
from tracking.store.schema import accuracy_marks, accuracy_quarters, conversions, orders


class FateCount(NamedTuple):
    """The number of orders of one fate in one part of a span: a reason not to send them (a key of
    REASONS), or "sent", "waiting" or "lost"."""

    part: int
    fate: str
    orders: int


class FateMark(NamedTuple):
    """An order placed at an instant (seconds UTC) may have another fate than was counted."""

    id: int
    at: int


class _MarkedQuarter(NamedTuple):
    at: int


class _FirstOrder(NamedTuple):
    at: int | None


_since: BindParameter[int] = bindparam("since")
_before: BindParameter[int] = bindparam("before")
_length: BindParameter[int] = bindparam("length")
_of_rows = (
    select(((conversions.c.at - _since) // _length).label("part"), FATE.label("fate"))
    .select_from(PURCHASES)
    .where(
        IS_PURCHASE,
        conversions.c.at >= _since,
        conversions.c.at < _before,
        # The state of a file is older than any that Shopify told.
        orders.c.version.not_like(literal_column("'-%'")),
    )
    .subquery("of_rows")
)
_counted = Query(
    FateCount,
    select(_of_rows.c.part, _of_rows.c.fate, func.count().label("orders")).group_by(
        _of_rows.c.part, _of_rows.c.fate
    ),
)
_of_quarters = (
    select(
        ((accuracy_quarters.c.at - _since) // _length).label("part"),
        accuracy_quarters.c.fate,
        accuracy_quarters.c.orders,
    )
    .where(accuracy_quarters.c.at >= _since, accuracy_quarters.c.at < _before)
    .subquery("of_quarters")
)
_stored = Query(
    FateCount,
    select(
        _of_quarters.c.part, _of_quarters.c.fate, func.sum(_of_quarters.c.orders).label("orders")
    ).group_by(_of_quarters.c.part, _of_quarters.c.fate),
)
_of_quarter = Query(
    FateCount,
    select(
        literal_column("0").label("part"), accuracy_quarters.c.fate, accuracy_quarters.c.orders
    ).where(accuracy_quarters.c.at == bindparam("at")),
)
_drop_quarter = Statement(
    delete(accuracy_quarters).where(accuracy_quarters.c.at == bindparam("b_at"))
)
_put = Statement(
    insert(accuracy_quarters).values({name: bindparam(name) for name in ("at", "fate", "orders")})
)
_has_before = Query(
    _MarkedQuarter,
    select(accuracy_quarters.c.at).where(accuracy_quarters.c.at < bindparam("before")).limit(1),
)
_drop_since = Statement(
    delete(accuracy_quarters).where(accuracy_quarters.c.at >= bindparam("b_at"))
)
_first_order = Query(
    _FirstOrder,
    select(func.min(conversions.c.at).label("at")).where(IS_PURCHASE, conversions.c.at >= _since),
)
_marks = Query(
    FateMark,
    select(accuracy_marks.c.id, accuracy_marks.c.at)
    .order_by(accuracy_marks.c.id)
    .limit(bindparam("most")),
)
_marked = Query(
    _MarkedQuarter,
    select(
        (accuracy_marks.c.at - accuracy_marks.c.at % literal_column(str(QUARTER_HOUR))).label("at")
    )
    .where(accuracy_marks.c.at >= _since, accuracy_marks.c.at < _before)
    .distinct(),
)
_drop_mark = Statement(delete(accuracy_marks).where(accuracy_marks.c.id == bindparam("b_id")))


def counted(
    conn: Connection, since: int, before: int, length: int, forgotten: int = 0
) -> list[FateCount]:
    """Returns the fates of the orders placed in [since, before), counted row by row, in parts of so
    many seconds.

    Deliveries settled before the instant `forgotten` have been deleted.
    """
    return _counted.all(conn, since=since, before=before, length=length, forgotten=forgotten)


def stored(conn: Connection, since: int, before: int, length: int) -> list[FateCount]:
    """Returns the stored fates of the quarters of an hour in [since, before), in parts of so many
    seconds."""
    rows = _stored.all(conn, since=since, before=before, length=length)
    # PostgreSQL sums integers to a Decimal.
    return [row._replace(orders=int(row.orders)) for row in rows]


def of_quarter(conn: Connection, at: int) -> list[FateCount]:
    """Returns the stored fates of the quarter of an hour that begins at an instant."""
    return _of_quarter.all(conn, at=at)


def put(conn: Connection, quarters: Iterable[int], counts: Iterable[tuple[int, str, int]]) -> None:
    """Stores what the orders of quarters of an hour became (the quarter, the fate, the number) in
    place of what is stored of these quarters."""
    _drop_quarter.run_many(conn, ({"b_at": at} for at in quarters))
    _put.run_many(conn, ({"at": at, "fate": fate, "orders": n} for at, fate, n in counts))


def has_before(conn: Connection, before: int) -> bool:
    """Returns True if any figures of orders placed before an instant are stored."""
    return _has_before.first(conn, before=before) is not None


def drop_since(conn: Connection, since: int) -> None:
    """Deletes the figures of the orders placed since an instant."""
    _drop_since.run(conn, b_at=since)


def first_order(conn: Connection, since: int) -> int | None:
    """Returns when the first order since an instant was placed; None if there is none."""
    (row,) = _first_order.all(conn, since=since)
    return row.at


def marks(conn: Connection, most: int) -> list[FateMark]:
    """Returns the oldest marks, up to `most`."""
    return _marks.all(conn, most=most)


def marked(conn: Connection, since: int, before: int) -> list[int]:
    """Returns the quarters of an hour in [since, before) that are to be counted anew."""
    return [row.at for row in _marked.all(conn, since=since, before=before)]


def drop_marks(conn: Connection, ids: Collection[int]) -> None:
    """Deletes marks by their ids."""
    _drop_mark.run_many(conn, ({"b_id": id} for id in ids))
