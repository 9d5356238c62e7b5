"""The queries of the export: pages of events, orders and credits, without personal data."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from tracking.store.engine.base import Store
from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import conversions, credits, orders, outbox

PAGE = 1000


class EventExportRow(NamedTuple):
    """An event for one destination, whose columns are None if it has no delivery.

    Instants are seconds UTC, `value` is minor units.
    """

    id: int
    at: int
    event_id: str
    stage: str
    order_id: str
    is_counted: int
    is_pinterest: int
    campaign_id: str
    campaign: str
    currency: str
    value: int
    reason: str
    destination: str | None
    state: str | None
    attempts: int | None
    settled_at: int | None
    sent_as: str


class OrderExportRow(NamedTuple):
    """An order and its credited campaign. Instants are seconds UTC, amounts minor units."""

    id: int
    at: int
    order_id: str
    cancelled_at: int | None
    currency: str
    gross: int
    refunds: int
    cancellations: int
    is_counted: int
    is_paid: int
    is_test: int
    financial_status: str
    source_name: str
    match_method: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    reason: str


class CreditExportRow(NamedTuple):
    """One credit of an order. Instants are seconds UTC, `share` is millionths of the order."""

    placed_at: int
    order_id: str
    n: int
    mask: int
    credited_at: int
    currency: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    share: int
    gross: int
    net: int
    cancellations: int


# A row whose `at` and `id` say where the next page begins.
_Timed = TypeVar("_Timed", EventExportRow, OrderExportRow)
_Row = TypeVar("_Row")

_since = conversions.c.at >= bindparam("since")
_before = conversions.c.at < bindparam("before")
_after_id: ColumnElement[bool] = or_(
    conversions.c.at > bindparam("since"),
    and_(conversions.c.at == bindparam("since"), conversions.c.id > bindparam("after")),
)
_page_of_events = (
    select(conversions)
    .where(_since, _before, _after_id)
    .order_by(conversions.c.at, conversions.c.id)
    .limit(bindparam("most"))
    .subquery()
)
_events = Query(
    EventExportRow,
    select(
        _page_of_events.c.id,
        _page_of_events.c.at,
        _page_of_events.c.event_id,
        _page_of_events.c.stage,
        _page_of_events.c.order_id,
        _page_of_events.c.is_counted,
        _page_of_events.c.is_pinterest,
        _page_of_events.c.campaign_id,
        _page_of_events.c.campaign,
        _page_of_events.c.currency,
        _page_of_events.c.value,
        _page_of_events.c.reason,
        outbox.c.destination,
        outbox.c.state,
        outbox.c.attempts,
        outbox.c.settled_at,
        _page_of_events.c.sent_as,
    )
    .select_from(_page_of_events.outerjoin(outbox, outbox.c.event_id == _page_of_events.c.event_id))
    .order_by(_page_of_events.c.at, _page_of_events.c.id, outbox.c.destination),
)
# An order's conversion is found by its time, for which orders themselves have no index.
_orders = Query(
    OrderExportRow,
    select(
        conversions.c.id,
        conversions.c.at,
        orders.c.id.label("order_id"),
        orders.c.cancelled_at,
        orders.c.currency,
        orders.c.gross,
        orders.c.refunds,
        orders.c.cancellations,
        orders.c.is_counted,
        orders.c.is_paid,
        orders.c.is_test,
        orders.c.financial_status,
        orders.c.source_name,
        orders.c.match_method,
        conversions.c.is_pinterest,
        conversions.c.campaign_id,
        conversions.c.campaign,
        conversions.c.reason,
    )
    .select_from(conversions.join(orders, orders.c.id == conversions.c.order_id))
    .where(_since, _before, _after_id, conversions.c.order_id != "")
    .order_by(conversions.c.at, conversions.c.id)
    .limit(bindparam("most")),
)
_credits = Query(
    CreditExportRow,
    select(
        credits.c.placed_at,
        credits.c.order_id,
        credits.c.n,
        credits.c.mask,
        credits.c.credited_at,
        credits.c.currency,
        credits.c.is_pinterest,
        credits.c.campaign_id,
        credits.c.campaign,
        credits.c.share,
        credits.c.gross,
        credits.c.net,
        credits.c.cancellations,
    )
    .where(
        credits.c.placed_at >= bindparam("since"),
        credits.c.placed_at < bindparam("before"),
        or_(
            credits.c.placed_at > bindparam("since"),
            credits.c.order_id > bindparam("order_id"),
            and_(credits.c.order_id == bindparam("order_id"), credits.c.n > bindparam("n")),
        ),
    )
    .order_by(credits.c.placed_at, credits.c.order_id, credits.c.n)
    .limit(bindparam("most")),
)


def events(store: Store, since: int, before: int) -> Iterator[EventExportRow]:
    """Yields every event in [since, before) by its time, a row for each destination."""
    yield from _by_time(store, _events, since, before)


def orders_placed(store: Store, since: int, before: int) -> Iterator[OrderExportRow]:
    """Yields every order placed in [since, before) by its time."""
    yield from _by_time(store, _orders, since, before)


def credits_of(store: Store, since: int, before: int) -> Iterator[CreditExportRow]:
    """Yields every credit of the orders placed in [since, before) by their time."""
    order_id, n = "", -1
    while rows := _page(
        store, partial(_credits.all, since=since, before=before, order_id=order_id, n=n, most=PAGE)
    ):
        yield from rows
        since, order_id, n = rows[-1].placed_at, rows[-1].order_id, rows[-1].n


def _by_time(store: Store, query: Query[_Timed], since: int, before: int) -> Iterator[_Timed]:
    after = 0
    while rows := _page(
        store, partial(query.all, since=since, before=before, after=after, most=PAGE)
    ):
        yield from rows
        since, after = rows[-1].at, rows[-1].id


def _page(store: Store, read: Callable[[Connection], list[_Row]]) -> list[_Row]:
    # Each page is a transaction of its own: a long one would keep the write-ahead log from ending.
    with store.read() as conn:
        return read(conn)
