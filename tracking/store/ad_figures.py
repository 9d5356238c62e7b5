"""The credits of Pinterest's touches summed up by day, campaign, ad and pin."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, delete, func, literal_column, select, union_all
from sqlalchemy.dialects.postgresql import insert

from tracking.store.ad_credits import CampaignAdSum
from tracking.store.credit_figures import Period, ReportDay, days_and_weeks
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import ad_days, credit_changes, report_campaigns


class AdDay(NamedTuple):
    """The sums of some credits of one shop day (an ordinal) or week (a seventh of one): those of
    the links of one campaign (an id), ad and pin in one currency, under the models of a mask.
    `is_told` is 0 where a release that did not know ad and pin wrote the credits."""

    report_by: Period
    day: int
    campaign: int
    ad_id: str
    pin_id: str
    is_told: int
    currency: str
    mask: int
    credits: int = 0
    share: int = 0
    gross: int = 0
    net: int = 0
    cancellations: int = 0


class SummedAds(NamedTuple):
    """A day or week, by one date, of which there are sums."""

    report_by: str
    day: int


class _AdSum(NamedTuple):
    """The sums of one campaign, ad and pin over some days; PostgreSQL sums integers to a
    Decimal."""

    campaign_id: str
    campaign: str
    currency: str
    is_told: int
    ad_id: str
    pin_id: str
    share: int | Decimal
    gross: int | Decimal
    net: int | Decimal
    cancellations: int | Decimal


_SUMS = ("share", "gross", "net", "cancellations")
_KEY = AdDay._fields[:8]
_of_key = Query(
    AdDay, select(ad_days).where(*(ad_days.c[name] == bindparam(name) for name in _KEY))
)
_put = Statement(
    insert(ad_days)
    .values({name: bindparam(name) for name in AdDay._fields})
    .on_conflict_do_update(
        index_elements=_KEY,
        set_={name: literal_column(f"excluded.{name}") for name in ("credits", *_SUMS)},
    )
)
_drop = Statement(
    delete(ad_days).where(*(ad_days.c[name] == bindparam(f"b_{name}") for name in _KEY))
)
_any_day = Query(SummedAds, select(ad_days.c.report_by, ad_days.c.day).limit(1))
_drop_day = Statement(
    delete(ad_days).where(
        *(ad_days.c[name] == bindparam(f"b_{name}") for name in SummedAds._fields)
    )
)


def _part(by: str, first: str, last: str) -> Select[Any]:
    names = ("campaign", "currency", "is_told", "ad_id", "pin_id", *_SUMS)
    return select(*(ad_days.c[name] for name in names)).where(
        ad_days.c.report_by == bindparam(by),
        ad_days.c.day >= bindparam(first),
        ad_days.c.day <= bindparam(last),
        ad_days.c.mask.op("&")(bindparam("bit")) != 0,
    )


# The days before, the whole weeks, and the days after them.
_parts = union_all(
    _part("by_day", "first", "before"),
    _part("by_week", "first_week", "last_week"),
    _part("by_day", "after", "last"),
).subquery("parts")
# What differs most comes first, so that sorting compares little.
_line = tuple(_parts.c[name] for name in ("ad_id", "pin_id", "campaign", "currency", "is_told"))
_summed = (
    select(*_line, *(func.sum(_parts.c[name]).label(name) for name in _SUMS))
    .group_by(*_line)
    .subquery("summed")
)
_sums = Query(
    _AdSum,
    select(
        report_campaigns.c.campaign_id,
        report_campaigns.c.campaign,
        *(_summed.c[name] for name in _AdSum._fields[2:]),
    ).select_from(_summed.join(report_campaigns, report_campaigns.c.id == _summed.c.campaign)),
)
_at = {"order_date": credit_changes.c.placed_at, "click_date": credit_changes.c.credited_at}
_pending = {
    by: Query(
        CampaignAdSum,
        select(
            *(credit_changes.c[name] for name in CampaignAdSum._fields[:6]),
            *((credit_changes.c.sign * credit_changes.c[name]).label(name) for name in _SUMS),
        ).where(
            at >= bindparam("since"),
            at < bindparam("before"),
            credit_changes.c.mask.op("&")(bindparam("bit")) != 0,
            credit_changes.c.is_pinterest == literal_column("1"),
        ),
    )
    for by, at in _at.items()
}


def of_key(conn: Connection, key: AdDay) -> AdDay | None:
    """Returns the stored sums that have the key of these."""
    return _of_key.first(conn, **{name: getattr(key, name) for name in _KEY})


def put(conn: Connection, rows: Iterable[AdDay]) -> None:
    """Stores sums in place of those of the same keys; sums of no credits are deleted."""
    kept: list[AdDay] = []
    empty: list[AdDay] = []
    for row in rows:
        (kept if row.credits else empty).append(row)
    _put.run_many(conn, (row._asdict() for row in kept))
    _drop.run_many(conn, ({f"b_{name}": getattr(row, name) for name in _KEY} for row in empty))


def some_day(conn: Connection) -> SummedAds | None:
    """Returns some day or week of which sums are stored."""
    return _any_day.first(conn)


def drop_day(conn: Connection, day: SummedAds) -> None:
    """Deletes the sums of a day or week."""
    _drop_day.run(conn, **{f"b_{name}": value for name, value in day._asdict().items()})


def sums(
    conn: Connection, report_by: ReportDay, bit: int, first: int, last: int
) -> list[CampaignAdSum]:
    """Returns the sums of the days [first, last], by campaign, ad and pin."""
    rows = _sums.all(conn, bit=bit, **days_and_weeks(report_by, first, last))
    return [_told(row) for row in rows]


def _told(row: _AdSum) -> CampaignAdSum:
    return CampaignAdSum(
        *(row.campaign_id, row.campaign, row.currency),
        is_pinterest=1,
        ad_id=row.ad_id if row.is_told else None,
        pin_id=row.pin_id if row.is_told else None,
        share=row.share,
        gross=row.gross,
        net=row.net,
        cancellations=row.cancellations,
    )


def pending(
    conn: Connection, report_by: ReportDay, bit: int, since: int, before: int
) -> list[CampaignAdSum]:
    """Returns the credits that are not in the sums of [since, before) yet, one by one; what is to
    be taken off them is negative."""
    return _pending[report_by].all(conn, bit=bit, since=since, before=before)
