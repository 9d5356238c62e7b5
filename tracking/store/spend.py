"""Ad spend by day, campaign and currency, in millionths of the currency's major unit."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, func, literal_column, select
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import spend

# Webhooks wait while spend is written, so long lists are written this many rows at a time.
ROWS_A_COMMIT = 500


class SpendRow(NamedTuple):
    """The spend of one campaign on one day (ISO date). `recorded_at` is seconds UTC."""

    date: str
    campaign_id: str
    currency: str
    campaign: str
    micros: int
    recorded_at: int


class DailySpend(NamedTuple):
    """The spend of one campaign on one day (ISO date)."""

    date: str
    campaign_id: str
    campaign: str
    currency: str
    micros: int


class CampaignSum(NamedTuple):
    """The spend of one campaign over some days; PostgreSQL sums integers to a Decimal."""

    campaign_id: str
    campaign: str
    currency: str
    micros: int | Decimal


class CampaignName(NamedTuple):
    """A name that a campaign has, or had."""

    campaign_id: str
    campaign: str


class SpendOfDay(NamedTuple):
    """The spend of all campaigns on one day (ISO date); PostgreSQL sums integers to a Decimal."""

    date: str
    currency: str
    micros: int | Decimal


class _SpendDate(NamedTuple):
    date: str


_put = Statement(
    insert(spend)
    .values({c.name: bindparam(c.name) for c in spend.c})
    .on_conflict_do_update(
        index_elements=[spend.c.date, spend.c.campaign_id, spend.c.currency],
        set_={
            "campaign": literal_column("excluded.campaign"),
            "micros": literal_column("excluded.micros"),
            "recorded_at": literal_column("excluded.recorded_at"),
        },
    )
)
_delete = Query(
    _SpendDate,
    delete_from(spend)
    .where(
        spend.c.date == bindparam("date"),
        spend.c.campaign_id == bindparam("campaign_id"),
        spend.c.currency == bindparam("currency"),
    )
    .returning(spend.c.date),
)
_days = (spend.c.date >= bindparam("start"), spend.c.date <= bindparam("end"))
_rows = Query(
    DailySpend,
    select(spend.c.date, spend.c.campaign_id, spend.c.campaign, spend.c.currency, spend.c.micros)
    .where(*_days)
    .order_by(spend.c.date, spend.c.campaign_id, spend.c.currency),
)
_of_campaign = Query(
    DailySpend,
    select(*(spend.c[name] for name in DailySpend._fields))
    # Whose spend a row without an id is, its name says.
    .where(*_days, spend.c.campaign_id.in_([bindparam("campaign_id"), literal_column("''")]))
    .order_by(spend.c.date, spend.c.campaign_id, spend.c.currency),
)
_by_day = Query(
    SpendOfDay,
    select(spend.c.date, spend.c.currency, func.sum(spend.c.micros).label("micros"))
    .where(*_days)
    .group_by(spend.c.date, spend.c.currency)
    .order_by(spend.c.date, spend.c.currency),
)
_campaign = (spend.c.campaign_id, spend.c.campaign)
_by_campaign = Query(
    CampaignSum,
    select(
        spend.c.campaign_id,
        spend.c.campaign,
        spend.c.currency,
        func.sum(spend.c.micros).label("micros"),
    )
    .where(*_days)
    .group_by(spend.c.campaign_id, spend.c.campaign, spend.c.currency)
    .order_by(
        func.max(spend.c.date),
        func.max(spend.c.recorded_at),
        spend.c.campaign_id,
        spend.c.campaign,
        spend.c.currency,
    ),
)
_names = Query(
    CampaignName,
    select(spend.c.campaign_id, spend.c.campaign)
    .group_by(spend.c.campaign_id, spend.c.campaign)
    .order_by(func.max(spend.c.date), func.max(spend.c.recorded_at), *_campaign),
)


def put(conn: Connection, rows: Iterable[SpendRow]) -> None:
    """Stores spend; the last figure for a day, campaign and currency replaces those before."""
    _put.run_many(conn, (row._asdict() for row in rows))


def delete(conn: Connection, date: str, campaign_id: str, currency: str) -> bool:
    """Deletes the spend of a day, campaign and currency; returns False if there is none."""
    found = _delete.first(conn, date=date, campaign_id=campaign_id, currency=currency)
    return found is not None


def rows(conn: Connection, start: str, end: str) -> list[DailySpend]:
    """Returns the spend of the days from `start` to `end` (ISO dates, inclusive)."""
    return _rows.all(conn, start=start, end=end)


def of_campaign(conn: Connection, campaign_id: str, start: str, end: str) -> list[DailySpend]:
    """Returns the spend of these days of the campaign of this id, and that without an id."""
    return _of_campaign.all(conn, campaign_id=campaign_id, start=start, end=end)


def by_day(conn: Connection, start: str, end: str) -> list[SpendOfDay]:
    """Returns the spend of these days, summed by day and currency."""
    return _by_day.all(conn, start=start, end=end)


def by_campaign(conn: Connection, start: str, end: str) -> list[CampaignSum]:
    """Returns the spend of these days, summed by campaign, name and currency; newest name last."""
    return _by_campaign.all(conn, start=start, end=end)


def names(conn: Connection) -> list[CampaignName]:
    """Returns the names of campaigns in the spend of all days; the newest name last."""
    return _names.all(conn)
