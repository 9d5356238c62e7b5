"""Refunds, each in its newest known state."""

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.order import Refund, RefundStatus, newer_refund
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import refunds
from tracking.store.values import json_of, lines_from


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
    pieces: str
    taxes_included: int | None


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


# A state of a refund, and the state before it.
RefundChange = tuple[Refund | None, Refund]


def put(
    conn: Connection, states: Collection[Refund], order_id: str, currency: str
) -> list[RefundChange]:
    """Stores states of refunds of one order; of each refund the newest state holds. Returns what
    this changed.

    The caller has locked the order.
    """
    changes: list[RefundChange] = []
    known: dict[str, Refund] = {}
    if states:
        known = {refund.id: refund for refund in of_order(conn, order_id, currency)}
    for state in states:
        before = known.get(state.id)
        newest = state if before is None else newer_refund(before, state)
        if newest != before:
            known[state.id] = newest
            changes.append((before, newest))
            _put.run(conn, **_row_of(newest)._asdict(), currency=currency)
    return changes


def of_order(conn: Connection, order_id: str, currency: str) -> list[Refund]:
    """Returns the refunds of an order in its currency."""
    return [_refund_of(row) for row in _of_order.all(conn, order_id=order_id, currency=currency)]


def _row_of(refund: Refund) -> _RefundRow:
    values = {name: getattr(refund, name) for name in _RefundRow._fields}
    taxes_included = None if refund.taxes_included is None else int(refund.taxes_included)
    return _RefundRow(**values)._replace(
        is_listed=int(refund.is_listed),
        pieces=json_of(refund.pieces) if refund.pieces else "",
        taxes_included=taxes_included,
    )


def _refund_of(row: _RefundRow) -> Refund:
    taxes_included = None if row.taxes_included is None else bool(row.taxes_included)
    values = {
        **row._asdict(),
        "is_listed": bool(row.is_listed),
        "pieces": lines_from(row.pieces),
        "taxes_included": taxes_included,
    }
    return Refund(**values)
