"""Pinterest's own figures: what it says each campaign brought on a UTC day.

They stand once by the day of the order (`report_by` order_date) and once by the day of the click or
view (click_date). Values are millionths of the currency's major unit. A campaign is of one ad
account.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pinterest_figures as figures

# The kind of its readings.
READING = "conversions"


class PinterestFigures(NamedTuple):
    """The results of a campaign on one day (ISO date, UTC), as Pinterest counts them.

    `orders` are checkouts, of which some came after a click and some after a view, and some from
    the web and some offline. The windows are those that Pinterest counted with. `recorded_at` is
    seconds UTC. The `account` of the campaign is "" where an older release wrote the row.
    """

    date: str
    campaign_id: str
    report_by: str
    currency: str
    campaign: str
    orders: int
    value_micros: int
    click_orders: int
    click_micros: int
    view_orders: int
    view_micros: int
    web_orders: int
    offline_orders: int
    click_window_days: int
    view_window_days: int
    recorded_at: int
    account: str


class PinterestDay(NamedTuple):
    """Sums over the campaigns of one day, of what was counted with the same windows (days);
    PostgreSQL sums integers to a Decimal."""

    date: str
    currency: str
    orders: int | Decimal
    value_micros: int | Decimal
    click_orders: int | Decimal
    click_micros: int | Decimal
    view_orders: int | Decimal
    view_micros: int | Decimal
    web_orders: int | Decimal
    offline_orders: int | Decimal
    click_window_days: int
    view_window_days: int


class PinterestCampaign(NamedTuple):
    """Sums over the days of one campaign; PostgreSQL sums integers to a Decimal."""

    campaign_id: str
    campaign: str
    currency: str
    orders: int | Decimal
    value_micros: int | Decimal
    click_orders: int | Decimal
    click_micros: int | Decimal
    view_orders: int | Decimal
    view_micros: int | Decimal
    web_orders: int | Decimal
    offline_orders: int | Decimal


_keys = tuple(figures.primary_key.columns)
_row = insert(figures).values({c.name: bindparam(c.name) for c in figures.c})
_put = Statement(
    _row.on_conflict_do_update(
        index_elements=list(_keys),
        set_={c.name: _row.excluded[c.name] for c in figures.c if c not in _keys},
    )
)
_asked = (
    figures.c.date >= bindparam("start"),
    figures.c.date <= bindparam("end"),
    figures.c.report_by == bindparam("report_by"),
)
_sums: tuple[ColumnElement[int], ...] = tuple(
    func.sum(column).label(column.name)
    for column in (
        figures.c.orders,
        figures.c.value_micros,
        figures.c.click_orders,
        figures.c.click_micros,
        figures.c.view_orders,
        figures.c.view_micros,
        figures.c.web_orders,
        figures.c.offline_orders,
    )
)
_rows = Query(PinterestFigures, select(figures).where(*_asked).order_by(*_keys))
_is_of_account = figures.c.account == bindparam("account")
_claim = Statement(
    {
        dialect: update(figures)
        .where(figures.c.account == literal_column("''"), is_among(dialect, figures.c.campaign_id))
        .values(account=bindparam("b_account"))
        for dialect in DIALECTS
    }
)
_windows = (figures.c.click_window_days, figures.c.view_window_days)
_by_day = Query(
    PinterestDay,
    select(figures.c.date, figures.c.currency, *_sums, *_windows)
    .where(*_asked, _is_of_account)
    .group_by(figures.c.date, figures.c.currency, *_windows)
    .order_by(figures.c.date, figures.c.currency, *_windows),
)
_campaign = (figures.c.campaign_id, figures.c.campaign, figures.c.currency)
_by_campaign = Query(
    PinterestCampaign,
    select(*_campaign, *_sums)
    .where(*_asked, _is_of_account)
    .group_by(*_campaign)
    .order_by(func.max(figures.c.date), func.max(figures.c.recorded_at), *_campaign),
)


def put(conn: Connection, rows: Iterable[PinterestFigures]) -> None:
    """Stores figures; the last ones for a day, campaign, kind of report and currency replace those
    before."""
    _put.run_many(conn, (row._asdict() for row in rows))


def claim(conn: Connection, account: str, campaign_ids: Iterable[str]) -> None:
    """Notes the account of an account's campaigns on figures that do not tell theirs."""
    _claim.run(conn, b_account=account, names=names_of(conn, campaign_ids))


def rows(conn: Connection, start: str, end: str, report_by: str) -> list[PinterestFigures]:
    """Returns the figures of every account on the UTC days from `start` to `end` (ISO dates,
    inclusive), by day and campaign. A campaign without figures on a day may be absent, or have
    zeros."""
    return _rows.all(conn, start=start, end=end, report_by=report_by)


def by_day(
    conn: Connection, account: str, start: str, end: str, report_by: str
) -> list[PinterestDay]:
    """Returns an account's figures of these days, summed by day, currency and windows."""
    return _by_day.all(conn, account=account, start=start, end=end, report_by=report_by)


def by_campaign(
    conn: Connection, account: str, start: str, end: str, report_by: str
) -> list[PinterestCampaign]:
    """Returns an account's figures of these days, by campaign, name and currency; newest name
    last."""
    return _by_campaign.all(conn, account=account, start=start, end=end, report_by=report_by)
