"""The queries of the reports: the campaigns' credits, and their names."""

from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Table,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    union,
)

from tracking.store.credit_figures import SUMS_OF_TYPE
from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import credit_changes, credits, report_campaigns


class CreditSum(NamedTuple):
    """The credits of one campaign in one currency; PostgreSQL sums integers to a Decimal.

    `share` is millionths of orders, the amounts are minor units, `newest` is the newest credited
    instant. `new_…` are of new customers, `returning_…` of returning ones.
    """

    currency: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    share: int | Decimal
    gross: int | Decimal
    net: int | Decimal
    cancellations: int | Decimal
    new_share: int | Decimal
    new_net: int | Decimal
    returning_share: int | Decimal
    newest: int


class CreditedName(NamedTuple):
    """A campaign as a touch named it that was credited with an order."""

    is_pinterest: int
    campaign_id: str
    campaign: str


# The first columns of a CreditSum, and its sums.
CREDIT_LABEL = (
    credits.c.currency,
    credits.c.is_pinterest,
    credits.c.campaign_id,
    credits.c.campaign,
)
CREDIT_SUMS = (
    func.sum(credits.c.share).label("share"),
    func.sum(credits.c.gross).label("gross"),
    func.sum(credits.c.net).label("net"),
    func.sum(credits.c.cancellations).label("cancellations"),
    *(
        func.sum(
            case((credits.c.customer_type == literal_column(f"'{kind}'"), credits.c[name]), else_=0)
        ).label(label)
        for label, name, kind in SUMS_OF_TYPE
    ),
    func.max(credits.c.credited_at).label("newest"),
)
_is_of_model = credits.c.mask.op("&")(bindparam("bit")) != 0


def _is_named(dialect: str, table: Table) -> ColumnElement[bool]:
    return or_(is_among(dialect, table.c.campaign_id), is_among(dialect, table.c.campaign))


_names_of = Query(
    CreditedName,
    {
        dialect: select(*CREDIT_LABEL[1:])
        .where(credits.c.placed_at >= bindparam("since"), _is_named(dialect, credits))
        .group_by(*CREDIT_LABEL[1:])
        .order_by(func.max(credits.c.credited_at), *CREDIT_LABEL[1:])
        for dialect in DIALECTS
    },
)
_known_names_of = Query(
    CreditedName,
    {
        dialect: union(
            *(
                select(table.c.is_pinterest, table.c.campaign_id, table.c.campaign).where(
                    _is_named(dialect, table)
                )
                for table in (report_campaigns, credit_changes)
            )
        )
        for dialect in DIALECTS
    },
)
_credits = {
    "order_date": Query(
        CreditSum,
        select(*CREDIT_LABEL, *CREDIT_SUMS)
        .where(
            credits.c.placed_at >= bindparam("since"),
            credits.c.placed_at < bindparam("before"),
            _is_of_model,
        )
        .group_by(*CREDIT_LABEL),
    ),
    # A touch is credited only with orders within its window, so no later orders are read.
    "click_date": Query(
        CreditSum,
        select(*CREDIT_LABEL, *CREDIT_SUMS)
        .where(
            credits.c.placed_at >= bindparam("since"),
            credits.c.placed_at < bindparam("latest"),
            credits.c.credited_at >= bindparam("since"),
            credits.c.credited_at < bindparam("before"),
            _is_of_model,
        )
        .group_by(*CREDIT_LABEL),
    ),
}


def names_of_campaigns(conn: Connection, since: int, told: Collection[str]) -> list[CreditedName]:
    """Returns the names and ids, among which are those told, of campaigns that were credited with
    orders since an instant; the newest name last."""
    return _names_of.all(conn, since=since, names=names_of(conn, sorted(told)))


def known_names_of_campaigns(conn: Connection, told: Collection[str]) -> list[CreditedName]:
    """Returns the names and ids, among which are those told, that the figures know, and those that
    are still to be summed up."""
    return _known_names_of.all(conn, names=names_of(conn, sorted(told)))


def credits_by_order_date(conn: Connection, since: int, before: int, bit: int) -> list[CreditSum]:
    """Returns the credits of the orders placed in [since, before), summed by campaign.

    `bit` selects the scope and the model.
    """
    return _credits["order_date"].all(conn, since=since, before=before, bit=bit)


def credits_by_click_date(
    conn: Connection, since: int, before: int, bit: int, longest_window: int
) -> list[CreditSum]:
    """Returns the credits whose touch lies in [since, before), summed by campaign.

    A credit of no touch counts on the day of its order. `longest_window` is in seconds.
    """
    return _credits["click_date"].all(
        conn, since=since, before=before, latest=before + longest_window, bit=bit
    )
