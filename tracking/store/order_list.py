"""Orders in the order of their placing, each with what became of it, page by page."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    exists,
    literal_column,
    or_,
    select,
    union_all,
)

from tracking.domain.conversion import event_id_of
from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query
from tracking.store.fates import FATE, IS_PURCHASE, PURCHASES
from tracking.store.schema import conversions, credits, orders


class ListedOrder(NamedTuple):
    """An order, and its fate: a reason not to send it (a key of REASONS), or "sent", "waiting" or
    "lost".

    `number` is that of its event, instants are seconds UTC, money is in minor units.
    """

    number: int
    order_id: str
    name: str
    placed_at: int
    cancelled_at: int | None
    deleted_at: int | None
    currency: str
    gross: int
    refunds: int
    cancellations: int
    is_test: int
    financial_status: str
    fate: str


class OrderPlace(NamedTuple):
    """The place of an order in the list: its instant (seconds UTC), and the number of its event."""

    placed_at: int
    number: int


class OrderFilter(NamedTuple):
    """The marks that the listed orders have in common.

    `fate` is one, "not_sent" for any reason not to send it, or "" for all; `campaign` is the id or
    the name of a campaign of Pinterest's that is credited with them by the models of `mask`, or "".
    With a `campaign_name` those count as well that its name alone is told of.
    """

    since: int
    before: int
    fate: str = ""
    campaign: str = ""
    mask: int = 0
    campaign_name: str = ""


_empty: ColumnElement[str] = literal_column("''")


def is_campaign(table: Table) -> ColumnElement[bool]:
    """Returns the condition that a row of a table tells the campaign of a filter."""
    return or_(
        table.c.campaign_id == bindparam("campaign"),
        table.c.campaign == bindparam("campaign"),
        and_(
            table.c.campaign_id == _empty,
            table.c.campaign != _empty,
            table.c.campaign == bindparam("campaign_name"),
        ),
    )


_listed = (
    select(
        conversions.c.id.label("number"),
        orders.c.id.label("order_id"),
        *(orders.c[name] for name in ListedOrder._fields[2:-1]),
        FATE.label("fate"),
    )
    .select_from(PURCHASES)
    .where(IS_PURCHASE)
)
_is_sendable = FATE.in_([literal_column(f"'{fate}'") for fate in ("sent", "waiting", "lost")])
_has_fate = or_(
    bindparam("fate") == _empty,
    bindparam("fate") == FATE,
    and_(bindparam("fate") == literal_column("'not_sent'"), ~_is_sendable),
)
_has_credit = or_(
    bindparam("campaign") == _empty,
    exists(
        select(literal_column("1")).where(
            credits.c.placed_at == orders.c.placed_at,
            credits.c.order_id == orders.c.id,
            credits.c.is_pinterest == literal_column("1"),
            credits.c.mask.op("&")(bindparam("mask")) != literal_column("0"),
            is_campaign(credits),
        )
    ),
)
_in_its_order = (conversions.c.at.desc(), conversions.c.id.desc())
_wanted = _listed.where(
    conversions.c.at >= bindparam("since"),
    conversions.c.at < bindparam("before"),
    conversions.c.at <= bindparam("last_at"),
    or_(
        conversions.c.at < bindparam("last_at"),
        conversions.c.id < bindparam("last_number"),
    ),
    _has_fate,
    _has_credit,
).order_by(*_in_its_order)
_page = Query(ListedOrder, _wanted.limit(bindparam("most")))
_among = Query(
    ListedOrder,
    {dialect: _wanted.where(is_among(dialect, conversions.c.event_id)) for dialect in DIALECTS},
)
# The ids by one index each, and the events by theirs: in the order of the list SQLite would look
# through every purchase, down to the oldest if no order is called so.
_ids_called = union_all(
    *(
        select(orders.c.id).where(condition)
        for condition in (
            orders.c.id == bindparam("text"),
            orders.c.name == bindparam("text"),
            orders.c.name == bindparam("with_sign"),
        )
    )
).subquery("ids_called")
_prefix: ColumnElement[str] = literal_column(f"'{event_id_of('')}'")
_called = Query(
    ListedOrder,
    _listed.where(conversions.c.event_id.in_(select(_prefix.concat(_ids_called.c.id))))
    .order_by(*_in_its_order)
    .limit(bindparam("most")),
)


def page(
    conn: Connection, wanted: OrderFilter, after: OrderPlace, most: int, forgotten: int
) -> list[ListedOrder]:
    """Returns the newest orders behind a place in the list, up to `most`.

    Deliveries settled before the instant `forgotten` have been deleted.
    """
    return _page.all(
        conn,
        **wanted._asdict(),
        last_at=after.placed_at,
        last_number=after.number,
        most=most,
        forgotten=forgotten,
    )


def among(
    conn: Connection,
    wanted: OrderFilter,
    after: OrderPlace,
    order_ids: Iterable[str],
    forgotten: int,
) -> list[ListedOrder]:
    """Returns those of some orders that `page` would return."""
    return _among.all(
        conn,
        **wanted._asdict(),
        last_at=after.placed_at,
        last_number=after.number,
        names=names_of(conn, map(event_id_of, order_ids)),
        forgotten=forgotten,
    )


def called(conn: Connection, text: str, most: int, forgotten: int) -> list[ListedOrder]:
    """Returns the orders of a name, with or without the number sign before it, or of an id."""
    return _called.all(conn, text=text, with_sign=f"#{text}", most=most, forgotten=forgotten)
