"""Orders in their newest state, the receipts of their bodies, and their refunds."""

from typing import Any, NamedTuple

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

from tracking.domain.order import EXPORTED_REFUND_ID, is_unpayable
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import orders, receipts, refunds


class OrderRow(NamedTuple):
    """The newest known state of an order.

    Instants are seconds UTC, money is in minor units, flags are 0 or 1. `links` are the identity
    keys of the buyer, separated by spaces; session, consent and path are JSON.
    """

    id: str
    name: str
    version: str
    placed_at: int
    cancelled_at: int | None
    deleted_at: int | None
    currency: str
    gross: int
    refunds: int
    cancellations: int
    is_counted: int
    is_paid: int
    is_test: int
    financial_status: str
    source_name: str
    visitor: str
    match_method: str
    links: str
    session: str
    consent: str
    unusable: str
    path: str

    @property
    def keys(self) -> list[str]:
        """Returns the identity keys of the buyer."""
        return self.links.split()

    @property
    def is_never_paid(self) -> bool:
        """Returns True if its payment failed for good, before it was ever paid."""
        return is_unpayable(self.financial_status) and not self.is_paid

    @property
    def is_cancelled(self) -> bool:
        """Returns True if its revenue was cancelled: by the shop, or as it was never paid."""
        return self.cancelled_at is not None or self.is_never_paid


class RefundSums(NamedTuple):
    """The refunds of an order in minor units: of its goods, and of the amount paid."""

    goods: int = 0
    paid: int = 0


class _Digest(NamedTuple):
    digest: str


NO_REFUNDS = RefundSums()

_add_receipt = Query(
    _Digest,
    insert(receipts)
    .values({c.name: bindparam(c.name) for c in receipts.c})
    .on_conflict_do_nothing()
    .returning(receipts.c.digest),
)
_of_id = Query(OrderRow, select(orders).where(orders.c.id == bindparam("id")))
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
    is_sum = refunds.c.id == literal_column(f"'{EXPORTED_REFUND_ID}'")
    chosen = is_sum if is_exported else not_(is_sum)
    return func.coalesce(func.sum(case((chosen, column), else_=0)), 0)


# The one sum of an exported file and the single refunds stand for the same money: the larger holds.
_are_single_refunds_more = _sum_of(refunds.c.paid, is_exported=False) >= _sum_of(
    refunds.c.paid, is_exported=True
)
_refunds_of = Query(
    RefundSums,
    select(
        *(
            case(
                (_are_single_refunds_more, _sum_of(column, is_exported=False)),
                else_=_sum_of(column, is_exported=True),
            ).label(column.name)
            for column in (refunds.c.goods, refunds.c.paid)
        )
    ).where(
        refunds.c.order_id == bindparam("order_id"), refunds.c.currency == bindparam("currency")
    ),
)


def is_new_body(conn: Connection, digest: str, topic: str, order_id: str, now: int) -> bool:
    """Stores the receipt of a body; returns False if the same body was received before."""
    row = _add_receipt.first(conn, digest=digest, topic=topic, order_id=order_id, received_at=now)
    return row is not None


def of_id(conn: Connection, order_id: str) -> OrderRow | None:
    """Returns the newest known state of an order."""
    return _of_id.first(conn, id=order_id)


def put(conn: Connection, row: OrderRow) -> None:
    """Inserts the order, or replaces its row."""
    _put.run(conn, **row._asdict())


def put_refund(
    conn: Connection, id: str, order_id: str, at: int, goods: int, paid: int, currency: str
) -> None:
    """Adds a refund. Received again it can only grow: a pending payment succeeds once."""
    _put_refund.run(
        conn, id=id, order_id=order_id, at=at, goods=goods, paid=paid, currency=currency
    )


def refunded(conn: Connection, order_id: str, currency: str) -> RefundSums:
    """Returns the sums that were refunded of an order in its currency."""
    row = _refunds_of.first(conn, order_id=order_id, currency=currency)
    # PostgreSQL sums into NUMERIC, which the driver returns as Decimal.
    return NO_REFUNDS if row is None else RefundSums(int(row.goods), int(row.paid))
