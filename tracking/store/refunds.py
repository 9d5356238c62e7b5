"""Refunds, each in its newest known state."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.order import Refund, RefundStatus, newer_refund
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import refunds


class _RefundRow(NamedTuple):
    id: str
    order_id: str
    at: int
    goods: int
    tax: int
    other: int
    extra: int
    paid: int
    status: RefundStatus
    version: str
    is_listed: int


_row: dict[str, Any] = {c.name: bindparam(c.name) for c in refunds.c}
_put = Statement(
    insert(refunds)
    .values(_row)
    .on_conflict_do_update(
        index_elements=[refunds.c.order_id, refunds.c.id],
        set_={
            name: literal_column(f"excluded.{name}")
            for name in _row
            if name not in ("order_id", "id")
        },
    )
)
_of_order = Query(
    _RefundRow,
    select(*(refunds.c[name] for name in _RefundRow._fields))
    .where(refunds.c.order_id == bindparam("order_id"), refunds.c.currency == bindparam("currency"))
    .order_by(refunds.c.id),
)


def put(conn: Connection, states: Iterable[Refund], order_id: str, currency: str) -> None:
    """Stores states of refunds of one order; of each refund the newest state holds.

    The caller has locked the order.
    """
    known = {refund.id: refund for refund in of_order(conn, order_id, currency)}
    for state in states:
        before = known.get(state.id)
        newest = state if before is None else newer_refund(before, state)
        if newest != before:
            known[state.id] = newest
            values = {name: getattr(newest, name) for name in _RefundRow._fields}
            is_listed = int(newest.is_listed)
            _put.run(conn, **{**values, "is_listed": is_listed}, currency=currency)


def of_order(conn: Connection, order_id: str, currency: str) -> list[Refund]:
    """Returns the refunds of an order in its currency."""
    rows = _of_order.all(conn, order_id=order_id, currency=currency)
    return [Refund(**{**row._asdict(), "is_listed": bool(row.is_listed)}) for row in rows]
