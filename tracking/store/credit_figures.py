"""The credits summed up by shop day, and the credits that are not in these sums yet."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
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
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import credit_changes, credit_days, credits, report_campaigns

ReportDay = Literal["order_date", "click_date"]
# The days, or whole weeks, that sums are of.
Period = Literal["order_date", "click_date", "order_week", "click_week"]
# The instant before which every order was placed.
FOREVER = 2**62


class CreditChange(NamedTuple):
    """A credit that was added (sign 1) or dropped (-1); instants are seconds UTC."""

    id: int
    sign: int
    placed_at: int
    credited_at: int
    mask: int
    currency: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    share: int
    gross: int
    net: int
    cancellations: int
    customer_type: str
    ad_id: str | None
    pin_id: str | None


class CreditDay(NamedTuple):
    """The sums of some credits of one shop day (an ordinal) or week (a seventh of one): those of
    one campaign (an id) in one currency, under the scope and model of a bit. `new_…` are those of
    new customers, `returning_…` of returning ones. `newest` is the newest credited instant."""

    report_by: Period
    bit: int
    day: int
    campaign: int
    currency: str
    credits: int = 0
    share: int = 0
    gross: int = 0
    net: int = 0
    cancellations: int = 0
    new_share: int = 0
    new_net: int = 0
    returning_share: int = 0
    newest: int = 0


class SummedCredits(NamedTuple):
    """The sums of a number of credits of one campaign in one currency: first those of a CreditSum.

    Of changes, those that were dropped count as negative; `newest` is the newest credited instant
    of those that were added, `dropped` the number of those that were dropped.
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
    credits: int | Decimal
    dropped: int


class DailyCredits(NamedTuple):
    """The sums of all credits of a shop day (an ordinal) in one currency, of Pinterest's or not."""

    day: int
    currency: str
    is_pinterest: int
    share: int | Decimal
    net: int | Decimal


class PendingCredit(NamedTuple):
    """A credit that is not in the sums yet: those of a CreditChange, dropped ones negative."""

    placed_at: int
    currency: str
    is_pinterest: int
    share: int
    net: int


class _Instant(NamedTuple):
    at: int | None


class _ChangeId(NamedTuple):
    id: int


class SummedDay(NamedTuple):
    """A day or week of which there are sums, by one date and under the scope and model of a bit."""

    report_by: str
    bit: int
    day: int


_KEY = ("report_by", "bit", "day", "campaign", "currency")
_SUMS = ("share", "gross", "net", "cancellations")
# Sums of the credits of customers of a type.
SUMS_OF_TYPE = (
    ("new_share", "share", "new"),
    ("new_net", "net", "new"),
    ("returning_share", "share", "returning"),
)
_ALL_SUMS = (*_SUMS, *(name for name, _, _ in SUMS_OF_TYPE))
_LABEL = ("is_pinterest", "campaign_id", "campaign")
_day = {
    "order_date": (credits.c.placed_at, credit_changes.c.placed_at),
    "click_date": (credits.c.credited_at, credit_changes.c.credited_at),
}
_changes_before = Query(
    CreditChange,
    select(*(credit_changes.c[name] for name in CreditChange._fields))
    .where(credit_changes.c.placed_at < bindparam("through"))
    .order_by(credit_changes.c.id)
    .limit(bindparam("most")),
)
_changes_between = Query(
    _ChangeId,
    select(credit_changes.c.id).where(
        credit_changes.c.placed_at >= bindparam("since"),
        credit_changes.c.placed_at < bindparam("before"),
    ),
)
_any_change = Query(_ChangeId, select(credit_changes.c.id).limit(1))
_drop_change = Statement(delete(credit_changes).where(credit_changes.c.id == bindparam("b_id")))
_first_order = Query(
    _Instant,
    select(func.min(credits.c.placed_at).label("at")).where(
        credits.c.placed_at >= bindparam("since")
    ),
)
_of_orders = Query(
    CreditChange,
    select(
        literal_column("0").label("id"),
        literal_column("1").label("sign"),
        *(credits.c[name] for name in CreditChange._fields[2:]),
    ).where(credits.c.placed_at >= bindparam("since"), credits.c.placed_at < bindparam("before")),
)
_of_key = Query(
    CreditDay,
    select(*(credit_days.c[name] for name in CreditDay._fields)).where(
        *(credit_days.c[name] == bindparam(name) for name in _KEY)
    ),
)
_put = Statement(
    insert(credit_days)
    .values({name: bindparam(name) for name in CreditDay._fields})
    .on_conflict_do_update(
        index_elements=_KEY,
        set_={
            name: literal_column(f"excluded.{name}")
            for name in CreditDay._fields
            if name not in _KEY
        },
    )
)
_drop = Statement(
    delete(credit_days).where(*(credit_days.c[name] == bindparam(f"b_{name}") for name in _KEY))
)
_KEY_OF_DAY = _KEY[:3]
_any_day = Query(SummedDay, select(*(credit_days.c[name] for name in _KEY_OF_DAY)).limit(1))
_drop_day = Statement(
    delete(credit_days).where(
        *(credit_days.c[name] == bindparam(f"b_{name}") for name in _KEY_OF_DAY)
    )
)


def _is_of_bit(mask: ColumnElement[int]) -> ColumnElement[bool]:
    return mask.op("&")(bindparam("bit")) != 0


_newest = {
    by: Query(
        _Instant,
        select(func.max(credits.c.credited_at).label("at")).where(
            # A touch is credited with orders that were placed after it, within its window.
            credits.c.placed_at >= bindparam("since"),
            credits.c.placed_at < bindparam("latest"),
            day_of >= bindparam("since"),
            day_of < bindparam("before"),
            credits.c.currency == bindparam("currency"),
            *(credits.c[name] == bindparam(name) for name in _LABEL),
            _is_of_bit(credits.c.mask),
        ),
    )
    for by, (day_of, _) in _day.items()
}


def _part(by: str, first: str, last: str) -> Select[Any]:
    return select(
        *(credit_days.c[name] for name in ("currency", "campaign", "credits", *_ALL_SUMS, "newest"))
    ).where(
        credit_days.c.report_by == bindparam(by),
        credit_days.c.bit == bindparam("bit"),
        credit_days.c.day >= bindparam(first),
        credit_days.c.day <= bindparam(last),
    )


# The days before, the whole weeks, and the days after them.
_parts = union_all(
    _part("by_day", "first", "before"),
    _part("by_week", "first_week", "last_week"),
    _part("by_day", "after", "last"),
).subquery("parts")
_of_parts = (
    select(
        _parts.c.currency,
        _parts.c.campaign.label("id"),
        func.sum(_parts.c.credits).label("credits"),
        *(func.sum(_parts.c[name]).label(name) for name in _ALL_SUMS),
        func.max(_parts.c.newest).label("newest"),
    )
    .group_by(_parts.c.currency, _parts.c.campaign)
    .subquery("of_parts")
)
_sums = Query(
    SummedCredits,
    select(
        _of_parts.c.currency,
        *(report_campaigns.c[name] for name in _LABEL),
        *(_of_parts.c[name] for name in (*_ALL_SUMS, "newest", "credits")),
        literal_column("0").label("dropped"),
    ).select_from(_of_parts.join(report_campaigns, report_campaigns.c.id == _of_parts.c.id)),
)
_daily = Query(
    DailyCredits,
    select(
        credit_days.c.day,
        credit_days.c.currency,
        report_campaigns.c.is_pinterest,
        func.sum(credit_days.c.share).label("share"),
        func.sum(credit_days.c.net).label("net"),
    )
    .select_from(
        credit_days.join(report_campaigns, report_campaigns.c.id == credit_days.c.campaign)
    )
    .where(
        credit_days.c.report_by == literal_column("'order_date'"),
        credit_days.c.bit == bindparam("bit"),
        credit_days.c.day.between(bindparam("first"), bindparam("last")),
    )
    .group_by(credit_days.c.day, credit_days.c.currency, report_campaigns.c.is_pinterest),
)
_pending_credits = Query(
    PendingCredit,
    select(
        credit_changes.c.placed_at,
        credit_changes.c.currency,
        credit_changes.c.is_pinterest,
        (credit_changes.c.sign * credit_changes.c.share).label("share"),
        (credit_changes.c.sign * credit_changes.c.net).label("net"),
    ).where(
        credit_changes.c.placed_at >= bindparam("since"),
        credit_changes.c.placed_at < bindparam("before"),
        _is_of_bit(credit_changes.c.mask),
    ),
)
_pending_columns = (credit_changes.c.currency, *(credit_changes.c[name] for name in _LABEL))
_pending = {
    by: Query(
        SummedCredits,
        select(
            *_pending_columns,
            *(
                func.sum(credit_changes.c.sign * credit_changes.c[name]).label(name)
                for name in _SUMS
            ),
            *(
                func.sum(
                    case(
                        (
                            credit_changes.c.customer_type == literal_column(f"'{kind}'"),
                            credit_changes.c.sign * credit_changes.c[name],
                        ),
                        else_=0,
                    )
                ).label(label)
                for label, name, kind in SUMS_OF_TYPE
            ),
            func.max(
                case((credit_changes.c.sign > 0, credit_changes.c.credited_at), else_=0)
            ).label("newest"),
            func.sum(credit_changes.c.sign).label("credits"),
            func.sum(case((credit_changes.c.sign < 0, 1), else_=0)).label("dropped"),
        )
        .where(
            and_(day_of >= bindparam("since"), day_of < bindparam("before")),
            _is_of_bit(credit_changes.c.mask),
        )
        .group_by(*_pending_columns),
    )
    for by, (_, day_of) in _day.items()
}


def changes_before(conn: Connection, through: int, most: int) -> list[CreditChange]:
    """Returns the oldest changes, up to `most`, of orders placed before an instant."""
    return _changes_before.all(conn, through=through, most=most)


def change_ids(conn: Connection, since: int, before: int) -> list[int]:
    """Returns the ids of the changes of the orders placed in [since, before)."""
    return [row.id for row in _changes_between.all(conn, since=since, before=before)]


def has_changes(conn: Connection) -> bool:
    """Returns True if a credit is not in the sums yet."""
    return _any_change.first(conn) is not None


def drop_changes(conn: Connection, ids: Collection[int]) -> None:
    """Deletes changes by their ids."""
    _drop_change.run_many(conn, ({"b_id": id} for id in ids))


def first_order(conn: Connection, since: int) -> int | None:
    """Returns when the first credited order since an instant was placed; None if there is none."""
    (row,) = _first_order.all(conn, since=since)
    return row.at


def credits_of_orders(conn: Connection, since: int, before: int) -> list[CreditChange]:
    """Returns the credits of the orders placed in [since, before), each as an added one."""
    return _of_orders.all(conn, since=since, before=before)


def of_key(conn: Connection, key: CreditDay) -> CreditDay | None:
    """Returns the stored sums that have the key of these."""
    return _of_key.first(conn, **{name: getattr(key, name) for name in _KEY})


def newest_credit(
    conn: Connection,
    report_by: ReportDay,
    bit: int,
    label: tuple[int, str, str],
    currency: str,
    span: tuple[int, int],
    longest_window: int,
) -> int:
    """Returns the newest credited instant of a campaign (is_pinterest, campaign_id, campaign) in
    [since, before); 0 if there is none. The longest attribution window is in seconds."""
    since, before = span
    is_pinterest, campaign_id, campaign = label
    (row,) = _newest[report_by].all(
        conn,
        since=since,
        before=before,
        latest=before + longest_window,
        bit=bit,
        currency=currency,
        is_pinterest=int(is_pinterest),
        campaign_id=campaign_id,
        campaign=campaign,
    )
    return row.at or 0


def put(conn: Connection, rows: Iterable[CreditDay]) -> None:
    """Stores sums in place of those of the same keys; sums of no credits are deleted."""
    kept: list[CreditDay] = []
    empty: list[CreditDay] = []
    for row in rows:
        (kept if row.credits else empty).append(row)
    _put.run_many(conn, (row._asdict() for row in kept))
    _drop.run_many(conn, ({f"b_{name}": getattr(row, name) for name in _KEY} for row in empty))


def some_day(conn: Connection) -> SummedDay | None:
    """Returns some day, scope and model of which sums are stored."""
    return _any_day.first(conn)


def drop_day(conn: Connection, day: SummedDay) -> None:
    """Deletes the sums of a day, scope and model."""
    _drop_day.run(conn, **{f"b_{name}": value for name, value in day._asdict().items()})


def sums(
    conn: Connection, report_by: ReportDay, bit: int, first: int, last: int
) -> list[SummedCredits]:
    """Returns the sums of the days [first, last], by campaign and currency."""
    return _sums.all(conn, bit=bit, **days_and_weeks(report_by, first, last))


def days_and_weeks(report_by: ReportDay, first: int, last: int) -> Mapping[str, int | str]:
    """Returns the parameters of a query that reads the days [first, last] as the days before, the
    whole weeks, and the days after them."""
    weeks = whole_weeks(first, last)
    return {
        "by_day": report_by,
        "by_week": week_of(report_by),
        "first": first,
        "before": weeks.start * WEEK - 1 if weeks else last,
        "first_week": weeks.start,
        "last_week": weeks.stop - 1,
        "after": weeks.stop * WEEK if weeks else last + 1,
        "last": last,
    }


def week_of(report_by: ReportDay) -> Period:
    """Returns the weeks that a kind of day makes up."""
    return "order_week" if report_by == "order_date" else "click_week"


def pending(
    conn: Connection, report_by: ReportDay, bit: int, since: int, before: int
) -> list[SummedCredits]:
    """Returns what is not in the sums of [since, before) yet, by campaign and currency."""
    return _pending[report_by].all(conn, since=since, before=before, bit=bit)


def daily(conn: Connection, bit: int, first: int, last: int) -> list[DailyCredits]:
    """Returns the sums of each of the days [first, last] by the day of the order, by currency."""
    return _daily.all(conn, bit=bit, first=first, last=last)


def pending_credits(conn: Connection, bit: int, since: int, before: int) -> list[PendingCredit]:
    """Returns what is not in the sums of the orders placed in [since, before) yet, one by one."""
    return _pending_credits.all(conn, bit=bit, since=since, before=before)
