"""The orders of which Pinterest may count another event than the one that was sent."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import BindParameter, and_, bindparam, case, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.fates import DELIVERY, IS_DELIVERY, IS_PURCHASE
from tracking.store.schema import conversions, hint_quarters


class HintedOrder(NamedTuple):
    """An order that there is a hint about.

    The `hint` is "another_sender" if it was sent under an id that is not the one the storefront
    told, "late" if it was sent more than an hour after the order, "not_sent_here" if the storefront
    told an id and it was not sent.
    """

    order_id: str
    hint: str


class HintCount(NamedTuple):
    """The number of orders that there is a hint about."""

    hint: str
    orders: int


class HintQuarter(NamedTuple):
    """The same, of the orders placed in a quarter of an hour (its first second)."""

    at: int
    hint: str
    orders: int


_HOUR = 3_600
_since: BindParameter[int] = bindparam("since")
_before: BindParameter[int] = bindparam("before")
_quarter: BindParameter[int] = bindparam("quarter")
_has_storefront_id = conversions.c.storefront_id != literal_column("''")
_is_sent = DELIVERY.c.state == literal_column("'sent'")
_HINT = case(
    (
        and_(
            _is_sent,
            _has_storefront_id,
            conversions.c.storefront_id != conversions.c.event_id,
            conversions.c.storefront_id != conversions.c.sent_as,
        ),
        literal_column("'another_sender'"),
    ),
    (
        and_(_is_sent, DELIVERY.c.settled_at > DELIVERY.c.event_time + _HOUR),
        literal_column("'late'"),
    ),
    (
        and_(_has_storefront_id, func.coalesce(DELIVERY.c.state, "") != literal_column("'sent'")),
        literal_column("'not_sent_here'"),
    ),
    else_=literal_column("''"),
)
_asked = (IS_PURCHASE, conversions.c.at >= _since, conversions.c.at < _before)
# The newest orders, each with what it hints at.
_newest = (
    select(conversions.c.order_id, _HINT.label("hint"))
    .select_from(conversions.outerjoin(DELIVERY, IS_DELIVERY))
    .where(*_asked)
    .order_by(conversions.c.at.desc(), conversions.c.order_id.desc())
    .limit(bindparam("most"))
    .subquery("newest")
)
_hinted = Query(HintedOrder, select(_newest).where(_newest.c.hint != literal_column("''")))
_of_rows = (
    select((conversions.c.at - conversions.c.at % _quarter).label("at"), _HINT.label("hint"))
    .select_from(conversions.outerjoin(DELIVERY, IS_DELIVERY))
    .where(*_asked)
    .subquery("of_rows")
)
_counted = Query(
    HintQuarter,
    select(_of_rows.c.at, _of_rows.c.hint, func.count().label("orders"))
    .where(_of_rows.c.hint != literal_column("''"))
    .group_by(_of_rows.c.at, _of_rows.c.hint),
)
_stored = Query(
    HintCount,
    select(hint_quarters.c.hint, func.sum(hint_quarters.c.orders).label("orders"))
    .where(hint_quarters.c.at >= _since, hint_quarters.c.at < _before)
    .group_by(hint_quarters.c.hint),
)
_put = Statement(
    insert(hint_quarters).values({name: bindparam(name) for name in HintQuarter._fields})
)
_drop_quarter = Statement(delete(hint_quarters).where(hint_quarters.c.at == bindparam("b_at")))
_drop_since = Statement(delete(hint_quarters).where(hint_quarters.c.at >= bindparam("b_at")))


def hinted(conn: Connection, since: int, before: int, most: int) -> list[HintedOrder]:
    """Returns those of the newest orders placed in [since, before), `most` of them, that there is a
    hint about; the newest first."""
    return _hinted.all(conn, since=since, before=before, most=most)


def counted(conn: Connection, since: int, before: int, quarter: int) -> list[HintQuarter]:
    """Returns how many orders placed in [since, before) there is a hint about, counted row by row,
    by parts of so many seconds."""
    return _counted.all(conn, since=since, before=before, quarter=quarter)


def stored(conn: Connection, since: int, before: int) -> list[HintCount]:
    """Returns the stored numbers of the quarters of an hour in [since, before) together."""
    rows = _stored.all(conn, since=since, before=before)
    # PostgreSQL sums integers to a Decimal.
    return [row._replace(orders=int(row.orders)) for row in rows]


def put(conn: Connection, quarters: Iterable[int], rows: Iterable[HintQuarter]) -> None:
    """Stores numbers in place of what is stored of these quarters."""
    _drop_quarter.run_many(conn, ({"b_at": at} for at in quarters))
    _put.run_many(conn, (row._asdict() for row in rows))


def drop_since(conn: Connection, since: int) -> None:
    """Deletes the numbers of the orders placed since an instant."""
    _drop_since.run(conn, b_at=since)
