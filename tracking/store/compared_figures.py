"""The credits of the comparison summed up by day, and the orders that are not in these sums yet."""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import BindParameter, bindparam, case, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.credit_figures import ReportDay
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
    """The sums of some credits: see `compared_days` in the schema. `order_ids` are separated by
    spaces."""

    report_by: str
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
    days (`in_utc`), of the shop days (`in_shop`), or of both. `newest` is the last UTC day."""

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
    newest: int
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
_is_asked = (
    compared_days.c.report_by == bindparam("report_by"),
    compared_days.c.bit == bindparam("bit"),
    # A shop day begins at most a day before or after the UTC day of the same date.
    compared_days.c.utc_day >= _first - 1,
    compared_days.c.utc_day <= _last + 1,
)
_in_utc = case((compared_days.c.utc_day.between(_first, _last), 1), else_=0)
_in_shop = case((compared_days.c.shop_day.between(_first, _last), 1), else_=0)
_days = Query(
    ComparedDay,
    select(compared_days).where(*_is_asked, compared_days.c.campaign == ALL_CAMPAIGNS),
)
_summed = (
    select(
        compared_days.c.campaign,
        compared_days.c.currency,
        compared_days.c.kind,
        _in_utc.label("in_utc"),
        _in_shop.label("in_shop"),
        *(func.sum(compared_days.c[name]).label(name) for name in ("share", "net", "value")),
        func.max(compared_days.c.utc_day).label("newest"),
        func.max(compared_days.c.order_ids).label("order_ids"),
    )
    .where(*_is_asked, compared_days.c.campaign != ALL_CAMPAIGNS)
    .group_by(
        compared_days.c.campaign,
        compared_days.c.currency,
        compared_days.c.kind,
        literal_column("4"),
        literal_column("5"),
    )
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


def days(
    conn: Connection, report_by: ReportDay, bit: int, first: int, last: int
) -> list[ComparedDay]:
    """Returns the sums of all campaigns that count on one of the days [first, last]."""
    return _days.all(conn, report_by=report_by, bit=bit, first=first, last=last)


def campaigns(
    conn: Connection, report_by: ReportDay, bit: int, first: int, last: int
) -> list[ComparedSum]:
    """Returns the sums of each campaign over the days [first, last]."""
    return _campaigns.all(conn, report_by=report_by, bit=bit, first=first, last=last)
