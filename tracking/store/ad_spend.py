"""The ads of the ad account, and ad spend by day, ad and currency (in millionths)."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import ad_spend, pinterest_ads


class AdRow(NamedTuple):
    """An ad, the campaign it belongs to and the pin it promotes, "" where that is not known."""

    ad_id: str
    name: str
    campaign_id: str
    pin_id: str
    recorded_at: int


class AdSpendRow(NamedTuple):
    """The spend of one ad on one UTC day (ISO date). `recorded_at` is seconds UTC."""

    date: str
    ad_id: str
    currency: str
    micros: int
    recorded_at: int


class AdSpendSum(NamedTuple):
    """The spend of one ad over some days; PostgreSQL sums integers to a Decimal."""

    ad_id: str
    currency: str
    micros: int | Decimal


_ad = insert(pinterest_ads).values({c.name: bindparam(c.name) for c in pinterest_ads.c})
_put_ad = Statement(
    _ad.on_conflict_do_update(
        index_elements=[pinterest_ads.c.ad_id],
        set_={c.name: _ad.excluded[c.name] for c in pinterest_ads.c if not c.primary_key},
    )
)
_ads = Query(AdRow, select(pinterest_ads).order_by(pinterest_ads.c.ad_id))
_spend = insert(ad_spend).values({c.name: bindparam(c.name) for c in ad_spend.c})
_put_spend = Statement(
    _spend.on_conflict_do_update(
        index_elements=list(ad_spend.primary_key),
        set_={c.name: _spend.excluded[c.name] for c in ad_spend.c if not c.primary_key},
    )
)
_days = (ad_spend.c.date >= bindparam("start"), ad_spend.c.date <= bindparam("end"))
_rows = Query(AdSpendRow, select(ad_spend).where(*_days).order_by(*ad_spend.primary_key))
_by_ad = Query(
    AdSpendSum,
    select(ad_spend.c.ad_id, ad_spend.c.currency, func.sum(ad_spend.c.micros).label("micros"))
    .where(*_days)
    .group_by(ad_spend.c.ad_id, ad_spend.c.currency)
    .order_by(ad_spend.c.ad_id, ad_spend.c.currency),
)


def put_ads(conn: Connection, rows: Iterable[AdRow]) -> None:
    """Stores ads, by the names they have now."""
    _put_ad.run_many(conn, (row._asdict() for row in rows))


def ads(conn: Connection) -> list[AdRow]:
    """Returns every ad that was ever listed."""
    return _ads.all(conn)


def put(conn: Connection, rows: Iterable[AdSpendRow]) -> None:
    """Stores spend; the last figure for a day, ad and currency replaces those before."""
    _put_spend.run_many(conn, (row._asdict() for row in rows))


def rows(conn: Connection, start: str, end: str) -> list[AdSpendRow]:
    """Returns the spend of the days from `start` to `end` (ISO dates, inclusive)."""
    return _rows.all(conn, start=start, end=end)


def by_ad(conn: Connection, start: str, end: str) -> list[AdSpendSum]:
    """Returns the spend of these days, summed by ad and currency."""
    return _by_ad.all(conn, start=start, end=end)
