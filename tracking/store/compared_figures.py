"""The credits of the comparison summed up by day, and the orders that are not in these sums yet."""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.shop_days import WEEK, whole_weeks
from tracking.store.credit_figures import Period, ReportDay, week_of
from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import (
    compared_credits,
    compared_days,
    compared_marks,
    credits,
    report_campaigns,
)

# The campaign that stands for all together.
ALL_CAMPAIGNS = 0


class ComparedCredit(NamedTuple):
    """A credit as it is in the sums: see `compared_credits` in the schema."""

    placed_at: int
    order_id: str
    n: int
    mask: int
    credited_at: int
    campaign: int
    currency: str
    kind: str
    share: int
    net: int
    value: int


class SummedCredit(NamedTuple):
    """The same, with the name of its campaign."""

    placed_at: int
    order_id: str
    n: int
    mask: int
    credited_at: int
    campaign: int
    currency: str
    kind: str
    share: int
    net: int
    value: int
    is_pinterest: int
    campaign_id: str
    name: str


class ComparedDay(NamedTuple):
    """The sums of some credits: see `compared_days` in the schema. Of a week, the days are weeks.
    `order_ids` are separated by spaces."""

    report_by: Period
    bit: int
    utc_day: int
    campaign: int
    shop_day: int
    currency: str
    kind: str
    credits: int = 0
    share: int = 0
    net: int = 0
    value: int = 0
    order_ids: str = ""


class ComparedSum(NamedTuple):
    """The sums of some credits of one campaign over the days that were asked for: those of the UTC
    days (`in_utc`), of the shop days (`in_shop`), or of both."""

    campaign: int
    is_pinterest: int
    campaign_id: str
    name: str
    currency: str
    kind: str
    in_utc: int
    in_shop: int
    share: int | Decimal
    net: int | Decimal
    value: int | Decimal
    order_ids: str


class ComparedMark(NamedTuple):
    """An order that is to be summed up anew."""

    id: int
    placed_at: int
    order_id: str


class SummedUtcDay(NamedTuple):
    """A UTC day of which sums of a model (a bit) are stored, by the date of order or click."""

    report_by: str
    bit: int
    utc_day: int


class SomeSums(NamedTuple):
    """The sums of one day, or the credits of a day from an instant on (seconds UTC)."""

    day: SummedUtcDay | None = None
    placed_at: int | None = None


class _PlacedAt(NamedTuple):
    at: int | None


class _NewestUtcDay(NamedTuple):
    day: int | None


_KEY = ("report_by", "bit", "utc_day", "campaign", "shop_day", "currency", "kind")
_marks = Query(
    ComparedMark,
    select(compared_marks).order_by(compared_marks.c.id).limit(bindparam("most")),
)
_drop_mark = Statement(delete(compared_marks).where(compared_marks.c.id == bindparam("b_id")))
# The marked orders up to a mark.
MARKED = (
    select(compared_marks.c.placed_at, compared_marks.c.order_id)
    .where(compared_marks.c.id <= bindparam("last"))
    .distinct()
    .subquery("marked")
)
_is_marked = (compared_credits.c.placed_at == MARKED.c.placed_at) & (
    compared_credits.c.order_id == MARKED.c.order_id
)
_of_marked = Query(
    SummedCredit,
    select(
        compared_credits,
        report_campaigns.c.is_pinterest,
        report_campaigns.c.campaign_id,
        report_campaigns.c.campaign.label("name"),
    ).select_from(
        MARKED.join(compared_credits, _is_marked).join(
            report_campaigns, report_campaigns.c.id == compared_credits.c.campaign
        )
    ),
)
_first_order = Query(
    _PlacedAt,
    select(func.min(credits.c.placed_at).label("at")).where(
        credits.c.placed_at >= bindparam("since")
    ),
)
_put_credit = Statement(
    insert(compared_credits).values({name: bindparam(name) for name in ComparedCredit._fields})
)
_drop_order = Statement(
    delete(compared_credits).where(
        compared_credits.c.placed_at == bindparam("b_placed_at"),
        compared_credits.c.order_id == bindparam("b_order_id"),
    )
)
_of_key = Query(
    ComparedDay,
    select(compared_days).where(*(compared_days.c[name] == bindparam(name) for name in _KEY)),
)
_put_day = Statement(
    insert(compared_days)
    .values({name: bindparam(name) for name in ComparedDay._fields})
    .on_conflict_do_update(
        index_elements=_KEY,
        set_={
            name: literal_column(f"excluded.{name}")
            for name in ComparedDay._fields
            if name not in _KEY
        },
    )
)
_drop_day = Statement(
    delete(compared_days).where(*(compared_days.c[name] == bindparam(f"b_{name}") for name in _KEY))
)
_KEY_OF_DAY = SummedUtcDay._fields
_any_day = Query(SummedUtcDay, select(*(compared_days.c[name] for name in _KEY_OF_DAY)).limit(1))
_any_credit = Query(_PlacedAt, select(compared_credits.c.placed_at.label("at")).limit(1))
# With the day alone SQLite would read the sums of all days.
_drop_summed_day = Statement(
    delete(compared_days).where(
        *(compared_days.c[name] == bindparam(f"b_{name}") for name in _KEY_OF_DAY)
    )
)
_drop_placed = Statement(
    delete(compared_credits).where(
        compared_credits.c.placed_at >= bindparam("b_since"),
        compared_credits.c.placed_at < bindparam("b_before"),
    )
)
_first: BindParameter[int] = bindparam("first")
_last: BindParameter[int] = bindparam("last")
_is_of_model = compared_days.c.bit == bindparam("bit")
_of_campaigns = compared_days.c.campaign != ALL_CAMPAIGNS
_in_utc = compared_days.c.utc_day.between(_first, _last)
_in_shop = compared_days.c.shop_day.between(_first, _last)


def _some_days(dialect: str, campaign: Any) -> tuple[ColumnElement[bool], ...]:
    """Returns the condition that sums are of a campaign on one of the days passed as "names"."""
    # Day by day, as each has the sums of all campaigns.
    return (
        compared_days.c.report_by == bindparam("report_by"),
        _is_of_model,
        is_among(dialect, compared_days.c.utc_day),
        compared_days.c.campaign == campaign,
    )


_days = Query(
    ComparedDay,
    {
        dialect: select(compared_days).where(*_some_days(dialect, ALL_CAMPAIGNS))
        for dialect in DIALECTS
    },
)
_newest = Query(
    _NewestUtcDay,
    {
        dialect: select(func.max(compared_days.c.utc_day).label("day")).where(
            *_some_days(dialect, bindparam("campaign")), _in_utc | _in_shop
        )
        for dialect in DIALECTS
    },
)


def _part(
    by: str, first: str, last: str, in_utc: ColumnElement[int], in_shop: ColumnElement[int]
) -> Select[Any]:
    return select(
        *(compared_days.c[name] for name in ("campaign", "currency", "kind")),
        in_utc.label("in_utc"),
        in_shop.label("in_shop"),
        *(compared_days.c[name] for name in ("share", "net", "value", "order_ids")),
    ).where(
        compared_days.c.report_by == bindparam(by),
        _is_of_model,
        compared_days.c.utc_day >= bindparam(first),
        compared_days.c.utc_day <= bindparam(last),
        _of_campaigns,
    )


_of_days = (case((_in_utc, 1), else_=0), case((_in_shop, 1), else_=0))
# A shop day begins at most a day before or after the UTC day of the same date: what counts in
# another week here counts on its last or on its first day.
_of_weeks = (
    literal_column("1", compared_days.c.bit.type),
    case(
        (compared_days.c.shop_day < bindparam("first_week"), bindparam("has_before")),
        (compared_days.c.shop_day > bindparam("last_week"), bindparam("has_after")),
        else_=1,
    ),
)
# The days before, the whole weeks, and the days after them, by UTC.
_parts = union_all(
    _part("by_day", "begin", "before", *_of_days),
    _part("by_week", "first_read", "last_read", *_of_weeks),
    _part("by_day", "after", "end", *_of_days),
).subquery("parts")
_KIND = ("campaign", "currency", "kind", "in_utc", "in_shop")
_SUMS = ("share", "net", "value")
_summed = (
    select(
        *(_parts.c[name] for name in _KIND),
        *(func.sum(_parts.c[name]).label(name) for name in _SUMS),
        func.max(_parts.c.order_ids).label("order_ids"),
    )
    .group_by(*(_parts.c[name] for name in _KIND))
    .subquery("summed")
)
_campaigns = Query(
    ComparedSum,
    select(
        _summed.c.campaign,
        report_campaigns.c.is_pinterest,
        report_campaigns.c.campaign_id,
        report_campaigns.c.campaign.label("name"),
        *(_summed.c[name] for name in ComparedSum._fields[4:]),
    ).select_from(_summed.join(report_campaigns, report_campaigns.c.id == _summed.c.campaign)),
)


def marks(conn: Connection, most: int) -> Sequence[ComparedMark]:
    """Returns the oldest marks, up to `most`."""
    return _marks.all(conn, most=most)


def drop_marks(conn: Connection, ids: Iterable[int]) -> None:
    """Deletes marks by their ids."""
    _drop_mark.run_many(conn, ({"b_id": id} for id in ids))


def of_marked(conn: Connection, last: int) -> list[SummedCredit]:
    """Returns the summed credits of the orders marked up to the mark `last`."""
    return _of_marked.all(conn, last=last)


def first_order(conn: Connection, since: int) -> int | None:
    """Returns when the first credited order since an instant was placed; None if there is none."""
    (row,) = _first_order.all(conn, since=since)
    return row.at


def replace_credits(
    conn: Connection, dropped: Iterable[tuple[int, str]], added: Iterable[ComparedCredit]
) -> None:
    """Deletes the credits of orders, each (placed_at, order_id), and stores others."""
    _drop_order.run_many(conn, ({"b_placed_at": at, "b_order_id": id} for at, id in dropped))
    _put_credit.run_many(conn, (row._asdict() for row in added))


def of_key(conn: Connection, key: ComparedDay) -> ComparedDay | None:
    """Returns the stored sums that have the key of these."""
    return _of_key.first(conn, **{name: getattr(key, name) for name in _KEY})


def put(conn: Connection, rows: Collection[ComparedDay]) -> None:
    """Stores sums in place of those of the same keys; sums of no credits are deleted."""
    _put_day.run_many(conn, (row._asdict() for row in rows if row.credits))
    _drop_day.run_many(
        conn,
        ({f"b_{name}": getattr(row, name) for name in _KEY} for row in rows if not row.credits),
    )


def some_sums(conn: Connection) -> SomeSums | None:
    """Returns which sums may be deleted first; None if there are none."""
    day = _any_day.first(conn)
    if day is not None:
        return SomeSums(day=day)
    credit = _any_credit.first(conn)
    return None if credit is None else SomeSums(placed_at=credit.at)


def drop_sums(conn: Connection, some: SomeSums) -> None:
    """Deletes the sums of a day, or the credits of the orders that were placed within a day."""
    if some.day is not None:
        day = some.day._asdict()
        _drop_summed_day.run(conn, **{f"b_{name}": value for name, value in day.items()})
    if some.placed_at is not None:
        _drop_placed.run(conn, b_since=some.placed_at, b_before=some.placed_at + 86_400)


def days(conn: Connection, report_by: ReportDay, bit: int, utc_days: range) -> list[ComparedDay]:
    """Returns the sums of all campaigns on UTC days."""
    asked = names_of(conn, utc_days)
    return _days.all(conn, report_by=report_by, bit=bit, names=asked)


def newest_day(
    conn: Connection, report_by: ReportDay, bit: int, first: int, last: int, campaign: int
) -> int:
    """Returns the newest UTC day of a campaign's sums that count on one of the days [first, last];
    0 if there are none."""
    asked = {"names": names_of(conn, days_around(first, last)), "first": first, "last": last}
    (row,) = _newest.all(conn, report_by=report_by, bit=bit, campaign=campaign, **asked)
    return row.day or 0


def campaigns(
    conn: Connection, report_by: ReportDay, bit: int, first: int, last: int, utc_days: range
) -> list[ComparedSum]:
    """Returns the sums of each campaign over the days [first, last] that are on some of the UTC
    days around these, which begin or end there, or between whole weeks."""
    weeks, begin, end = whole_weeks(first, last), utc_days.start, utc_days.stop - 1
    # Of days without a whole week all are read as the days before.
    before = weeks.start * WEEK - 1 if weeks else end
    after = weeks.stop * WEEK if weeks else end + 1
    first_read = max(weeks.start, -(-begin // WEEK))
    last_read = min(weeks.stop, utc_days.stop // WEEK) - 1
    return _campaigns.all(
        conn,
        bit=bit,
        by_day=report_by,
        by_week=week_of(report_by),
        first=first,
        last=last,
        begin=begin,
        before=min(before, end),
        first_read=first_read,
        last_read=last_read,
        first_week=weeks.start,
        last_week=weeks.stop - 1,
        has_before=int(before >= first),
        has_after=int(after <= last),
        after=max(after, begin),
        end=end,
    )


def days_around(first: int, last: int) -> range:
    """Returns the UTC days of what counts on one of the days [first, last]."""
    # A shop day begins at most a day before or after the UTC day of the same date.
    return range(first - 1, last + 2)
