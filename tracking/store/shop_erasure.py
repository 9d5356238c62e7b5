"""The queries that erase every person, a page at a time, so that no webhook waits for them."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.erasure import (
    EMPTIED,
    IS_UNSENT,
    WITH_REASON,
    WITHDRAWN,
    WITHOUT_ANSWER,
    WITHOUT_DETAIL,
)
from tracking.store.orders import OrderRow
from tracking.store.schema import (
    attempts,
    checkouts,
    clients,
    conversions,
    links,
    match_examples,
    orders,
    outbox,
    pixel_backlog,
    privacy_requests,
    quarantine,
    told_links,
    touches,
    visitors,
)

# The rows that one transaction changes.
PAGE = 200
# The bytes of the bodies that it erases; the last one may be longer.
BODIES_BYTES = 2_000_000


class _RowOfPage(NamedTuple):
    id: int


class _EventVisitor(NamedTuple):
    id: int
    visitor: str


class _BodySize(NamedTuple):
    id: int
    size: int


class _Deleted(NamedTuple):
    one: int


_after: BindParameter[int] = bindparam("b_after")
_last: BindParameter[int] = bindparam("b_last")
_orders = Query(
    OrderRow,
    select(orders).where(orders.c.id > bindparam("after")).order_by(orders.c.id).limit(PAGE),
)
_events = Query(
    _EventVisitor,
    select(conversions.c.id, conversions.c.visitor)
    .where(conversions.c.id > bindparam("after"))
    .order_by(conversions.c.id)
    .limit(PAGE),
)
_is_in_page = (conversions.c.id > _after, conversions.c.id <= _last)
_ids_of_page = select(conversions.c.event_id).where(*_is_in_page)
_erase_page = (
    Statement(WITH_REASON.where(*_is_in_page, IS_UNSENT)),
    Statement(
        WITHOUT_DETAIL.where(
            *_is_in_page, or_(conversions.c.detail != "", conversions.c.storefront_id != "")
        )
    ),
    Statement(WITHDRAWN.where(outbox.c.event_id.in_(_ids_of_page))),
    Statement(EMPTIED.where(outbox.c.event_id.in_(_ids_of_page))),
    Statement(WITHOUT_ANSWER.where(attempts.c.event_id.in_(_ids_of_page), attempts.c.detail != "")),
)
_rename_row = Statement(
    update(conversions)
    .where(conversions.c.id == bindparam("b_id"))
    .values(visitor=bindparam("b_new"))
)


def _page_of(table: Table, *conditions: ColumnElement[bool]) -> Query[_RowOfPage]:
    rows = select(table.c.id).where(table.c.id > bindparam("after"), *conditions)
    return Query(_RowOfPage, rows.order_by(table.c.id).limit(PAGE))


# What was queued or answered of events that the funnel does not have.
_deliveries = _page_of(outbox, func.length(outbox.c.payload) > 0)
_erase_deliveries = tuple(
    Statement(each.where(outbox.c.id > _after, outbox.c.id <= _last))
    for each in (WITHDRAWN, EMPTIED)
)
_answers = _page_of(attempts, attempts.c.detail != "")
_erase_answers = (Statement(WITHOUT_ANSWER.where(attempts.c.id > _after, attempts.c.id <= _last)),)
_body_sizes = Query(
    _BodySize,
    select(quarantine.c.id, func.length(quarantine.c.body).label("size"))
    .where(func.length(quarantine.c.body) > 0)
    .order_by(quarantine.c.id)
    .limit(PAGE),
)
_erase_requests = Statement(
    update(privacy_requests)
    .where(or_(privacy_requests.c.links != "", privacy_requests.c.orders != ""))
    .values(links="", orders="")
)


def _deletion(table: Table) -> Query[_Deleted]:
    """Returns the statement that deletes a page of a table, and returns a row for each."""
    keys = list(table.primary_key.columns)
    page = select(*keys).order_by(*keys).limit(PAGE)
    is_in_page = tuple_(*keys).in_(page) if len(keys) > 1 else keys[0].in_(page)
    one: ColumnElement[int] = literal_column("1").label("one")
    return Query(_Deleted, delete(table).where(is_in_page).returning(one))


# What the pixel told and is not recorded yet comes before what it would be recorded in.
_tables = (pixel_backlog, links, told_links, clients, touches, visitors, checkouts)
# A stage is stored by its number, so those of newer tables come after all others.
_newer_tables = (match_examples,)
_deletions: Mapping[str, Query[_Deleted]] = {
    table.name: _deletion(table) for table in (*_tables, *_newer_tables)
}
TABLES = tuple(table.name for table in _tables)
NEWER_TABLES = tuple(table.name for table in _newer_tables)


def orders_page(conn: Connection, after: str) -> list[OrderRow]:
    """Returns the next orders by id."""
    return _orders.all(conn, after=after)


def erase_events(
    conn: Connection, after: int, new_id: Callable[[str], str], now: int
) -> int | None:
    """Erases the next events after an id, which then count for the new ids of their visitors.

    Returns the id of the last one; None if there is none.
    """
    rows = _events.all(conn, after=after)
    if not rows:
        return None
    for statement in _erase_page:
        statement.run(conn, b_after=after, b_last=rows[-1].id, b_now=now)
    named = [row for row in rows if row.visitor and new_id(row.visitor) != row.visitor]
    _rename_row.run_many(conn, ({"b_id": row.id, "b_new": new_id(row.visitor)} for row in named))
    return rows[-1].id


def erase_deliveries(conn: Connection, after: int, now: int) -> int | None:
    """Erases the next deliveries that still have an event, after an id, and returns the last id."""
    return _erase_range(conn, _deliveries, _erase_deliveries, after, now)


def erase_answers(conn: Connection, after: int, now: int) -> int | None:
    """Erases the next answers of destinations, after an id, and returns the last id."""
    return _erase_range(conn, _answers, _erase_answers, after, now)


def _erase_range(
    conn: Connection,
    page: Query[_RowOfPage],
    statements: Iterable[Statement],
    after: int,
    now: int,
) -> int | None:
    rows = page.all(conn, after=after)
    if not rows:
        return None
    for statement in statements:
        statement.run(conn, b_after=after, b_last=rows[-1].id, b_now=now)
    return rows[-1].id


def delete_page(conn: Connection, table: str) -> bool:
    """Deletes the first rows of a table; returns False if those were all."""
    return len(_deletions[table].all(conn)) == PAGE


def erasable_bodies(conn: Connection) -> list[int]:
    """Returns the ids of quarantined bodies that were not erased yet, as many as one transaction
    may overwrite."""
    found: list[int] = []
    size = 0
    for row in _body_sizes.all(conn):
        found.append(row.id)
        size += row.size
        if size > BODIES_BYTES:
            break
    return found


def erase_requests(conn: Connection) -> None:
    """Erases the persons from every request."""
    _erase_requests.run(conn)
