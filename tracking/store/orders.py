"""Orders as last seen, the bodies that told of them, and what was given back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.order import EXPORTED_REFUND
from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import orders, receipts, refunds

_add_receipt = Statement(
    insert(receipts)
    .values({c.name: bindparam(c.name) for c in receipts.c})
    .on_conflict_do_nothing()
    .returning(receipts.c.digest)
)
_of_id = Statement(select(orders).where(orders.c.id == bindparam("id")))
_row: dict[str, Any] = {c.name: bindparam(c.name) for c in orders.c}
_put = Statement(
    insert(orders)
    .values(_row)
    .on_conflict_do_update(
        index_elements=[orders.c.id],
        set_={c.name: literal_column(f"excluded.{c.name}") for c in orders.c if c.name != "id"},
    )
)
_refund_row: dict[str, Any] = {c.name: bindparam(c.name) for c in refunds.c}
_put_refund = Statement(
    {
        dialect: insert(refunds)
        .values(_refund_row)
        .on_conflict_do_update(
            index_elements=[refunds.c.order_id, refunds.c.id],
            set_={
                name: greater(refunds.c[name], literal_column(f"excluded.{name}"))
                for name in ("at", "goods", "paid")
            },
        )
        for dialect, greater in (("sqlite", func.max), ("postgresql", func.greatest))
    }
)


def _sum_of(column: Column[int], *, is_exported: bool) -> ColumnElement[int]:
    is_sum = refunds.c.id == literal_column(f"'{EXPORTED_REFUND}'")
    chosen = is_sum if is_exported else not_(is_sum)
    return func.coalesce(func.sum(case((chosen, column), else_=0)), 0)


# A file's one sum and the refunds one by one tell of the same money: what knows of more holds.
_is_told = _sum_of(refunds.c.paid, is_exported=False) >= _sum_of(refunds.c.paid, is_exported=True)
_refunds_of = Statement(
    select(
        *(
            case(
                (_is_told, _sum_of(column, is_exported=False)),
                else_=_sum_of(column, is_exported=True),
            ).label(column.name)
            for column in (refunds.c.goods, refunds.c.paid)
        )
    ).where(
        refunds.c.order_id == bindparam("order_id"), refunds.c.currency == bindparam("currency")
    )
)


def is_new_body(conn: Connection, digest: str, topic: str, order_id: str, now: int) -> bool:
    """Note the body as taken in; false if the very same body was taken in before."""
    row = _add_receipt.first(conn, digest=digest, topic=topic, order_id=order_id, received_at=now)
    return row is not None


def of_id(conn: Connection, order_id: str) -> Row | None:
    """The order as it is known."""
    return _of_id.first(conn, id=order_id)


def put(conn: Connection, row: Mapping[str, Any]) -> None:
    """Insert the order or replace what is known of it."""
    _put.run(conn, **row)


def put_refund(
    conn: Connection, id: str, order_id: str, at: int, goods: int, paid: int, currency: str
) -> None:
    """Add a refund. Seen again it can only have grown: a pending payment succeeds once."""
    _put_refund.run(
        conn, id=id, order_id=order_id, at=at, goods=goods, paid=paid, currency=currency
    )


def refunded(conn: Connection, order_id: str, currency: str) -> Row:
    """What was given back of an order: `goods` and `paid`."""
    return _refunds_of.first(conn, order_id=order_id, currency=currency)
