"""The funnel's figures by shop day: the visitors of each stage, as roaring bitmaps of numbers."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import (
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import (
    funnel_campaigns,
    funnel_totals,
    funnel_versions,
    report_campaigns,
    report_visitors,
)


class DayTotal(NamedTuple):
    """The events of one day and stage, Pinterest's or the others', and their visitors' numbers."""

    day: int
    stage: str
    is_pinterest: int
    events: int
    visitors: bytes


class CampaignDay(NamedTuple):
    """The events of one day, stage and campaign (an id), and their visitors' numbers.

    `newest` is the instant (seconds UTC) of the newest of them.
    """

    day: int
    stage: str
    campaign: int
    events: int
    newest: int
    visitors: bytes


class StoredFigures(NamedTuple):
    """The figures of a campaign (an id), or of Pinterest's traffic (1) or the others' (0), of one
    stage on a day or in a week.

    `newest` is the instant (seconds UTC) of the newest of a campaign's events, and 0 for traffic.
    """

    id: int
    events: int
    newest: int
    visitors: bytes


class StageDay(NamedTuple):
    """A stage on one day."""

    day: int
    stage: str


class DayVersion(NamedTuple):
    """The version of the figures of one day and stage, which grows with each change of them."""

    day: int
    stage: str
    version: int


class NamedCampaign(NamedTuple):
    """A campaign of the figures, as an event or a credit names it."""

    id: int
    is_pinterest: int
    campaign_id: str
    campaign: str


class _CountedVisitor(NamedTuple):
    visitor: str


class _Day(NamedTuple):
    day: int | None


def stored_by(table: Table, id: str, span: str) -> Query[StoredFigures]:
    """Returns the query for the figures of one stage in a table, by the columns of their id and of
    their day or week, which is also the name of its parameter."""
    newest = table.c.newest if "newest" in table.c else literal_column("0").label("newest")
    return Query(
        StoredFigures,
        select(table.c[id].label("id"), table.c.events, newest, table.c.visitors).where(
            table.c[span] == bindparam(span), table.c.stage == bindparam("stage")
        ),
    )


_totals = stored_by(funnel_totals, "is_pinterest", "day")
_campaigns = stored_by(funnel_campaigns, "campaign", "day")
_days = Query(
    StageDay,
    select(funnel_totals.c.day, funnel_totals.c.stage).where(
        funnel_totals.c.day >= bindparam("first"), funnel_totals.c.day <= bindparam("last")
    ),
)
_versions = Query(
    DayVersion,
    select(funnel_versions).where(
        funnel_versions.c.day >= bindparam("first"), funnel_versions.c.day <= bindparam("last")
    ),
)
_total_of = Query(
    DayTotal,
    select(funnel_totals).where(
        funnel_totals.c.day == bindparam("day"),
        funnel_totals.c.stage == bindparam("stage"),
        funnel_totals.c.is_pinterest == bindparam("is_pinterest"),
    ),
)
_campaign_of = Query(
    CampaignDay,
    select(funnel_campaigns).where(
        funnel_campaigns.c.day == bindparam("day"),
        funnel_campaigns.c.stage == bindparam("stage"),
        funnel_campaigns.c.campaign == bindparam("campaign"),
    ),
)
_named = Query(NamedCampaign, select(report_campaigns))
_put_total = Statement(
    insert(funnel_totals)
    .values({name: bindparam(name) for name in DayTotal._fields})
    .on_conflict_do_update(
        index_elements=["day", "stage", "is_pinterest"],
        set_={name: literal_column(f"excluded.{name}") for name in ("events", "visitors")},
    )
)
_put_campaign = Statement(
    insert(funnel_campaigns)
    .values({name: bindparam(name) for name in CampaignDay._fields})
    .on_conflict_do_update(
        index_elements=["day", "stage", "campaign"],
        set_={
            name: literal_column(f"excluded.{name}") for name in ("events", "newest", "visitors")
        },
    )
)
_drop_stage = tuple(
    Statement(
        delete(table).where(
            table.c.day == bindparam("b_day"), table.c.stage == bindparam("b_stage")
        )
    )
    for table in (funnel_totals, funnel_campaigns)
)
# Of a closed day the purchases alone can be counted anew.
_newest_day = Query(
    _Day,
    select(func.max(funnel_campaigns.c.day).label("day")).where(
        or_(
            funnel_campaigns.c.day > bindparam("closed"),
            funnel_campaigns.c.stage == literal_column("'purchase'"),
        )
    ),
)
_drop_day = tuple(
    Statement(
        delete(table).where(
            table.c.day == bindparam("b_day"),
            or_(table.c.day > bindparam("b_closed"), table.c.stage == literal_column("'purchase'")),
        )
    )
    for table in (funnel_totals, funnel_campaigns)
)
_put_visitor = Statement(
    insert(report_visitors)
    .values(visitor=bindparam("visitor"), number=bindparam("number"))
    .on_conflict_do_nothing()
)
_drop_visitor = Statement(
    delete(report_visitors).where(report_visitors.c.visitor == bindparam("b_visitor"))
)
_PAGE = 500
_renamed = Query(
    _CountedVisitor,
    select(report_visitors.c.visitor)
    .where(report_visitors.c.is_renamed == literal_column("1"))
    .limit(_PAGE),
)
_known_after = Query(
    _CountedVisitor,
    select(report_visitors.c.visitor)
    .where(
        report_visitors.c.visitor > bindparam("after"),
        not_(report_visitors.c.visitor.startswith(bindparam("nobody"))),
    )
    .order_by(report_visitors.c.visitor)
    .limit(_PAGE),
)


def totals(conn: Connection, day: int, stage: str) -> list[StoredFigures]:
    """Returns the figures of one day and stage, Pinterest's and the others'."""
    return _totals.all(conn, day=day, stage=stage)


def by_campaign(conn: Connection, day: int, stage: str) -> list[StoredFigures]:
    """Returns the figures of one day and stage by campaign."""
    return _campaigns.all(conn, day=day, stage=stage)


def days(conn: Connection, first: int, last: int) -> set[StageDay]:
    """Returns the days and stages of [first, last] that have figures."""
    return {*_days.all(conn, first=first, last=last)}


def versions(conn: Connection, first: int, last: int) -> dict[tuple[int, str], int]:
    """Returns the version of each day and stage of [first, last] of which figures ever changed."""
    rows = _versions.all(conn, first=first, last=last)
    return {(row.day, row.stage): row.version for row in rows}


def campaigns(conn: Connection) -> list[NamedCampaign]:
    """Returns every campaign that figures are stored of."""
    return _named.all(conn)


def total_of(conn: Connection, day: int, stage: str, is_pinterest: int) -> DayTotal | None:
    """Returns the figures of one day and stage."""
    return _total_of.first(conn, day=day, stage=stage, is_pinterest=is_pinterest)


def campaign_of(conn: Connection, day: int, stage: str, campaign: int) -> CampaignDay | None:
    """Returns the figures of one day, stage and campaign."""
    return _campaign_of.first(conn, day=day, stage=stage, campaign=campaign)


def put(conn: Connection, totals: Iterable[DayTotal], campaigns: Iterable[CampaignDay]) -> None:
    """Stores figures in place of those of the same days."""
    _put_total.run_many(conn, (row._asdict() for row in totals))
    _put_campaign.run_many(conn, (row._asdict() for row in campaigns))


def drop_stage(conn: Connection, day: int, stage: str) -> None:
    """Deletes the figures of one day and stage."""
    for statement in _drop_stage:
        statement.run(conn, b_day=day, b_stage=stage)


def newest_day(conn: Connection, closed: int) -> int | None:
    """Returns the newest day that has figures that can be made anew, if the days up to `closed`
    (an ordinal) are closed; None if there is none."""
    (row,) = _newest_day.all(conn, closed=closed)
    return row.day


def drop_day(conn: Connection, day: int, closed: int) -> None:
    """Deletes those figures of a day that can be made anew."""
    for statement in _drop_day:
        statement.run(conn, b_day=day, b_closed=closed)


def put_visitors(conn: Connection, numbers: Mapping[str, int]) -> None:
    """Stores the numbers of new visitor ids."""
    _put_visitor.run_many(
        conn, ({"visitor": visitor, "number": number} for visitor, number in numbers.items())
    )


def forget_visitors(conn: Connection, visitors: Iterable[str]) -> None:
    """Deletes visitor ids. The figures go on counting their numbers, but for the days on which
    events still have such an id: these are counted anew."""
    _drop_visitor.run_many(conn, ({"b_visitor": visitor} for visitor in visitors))


def forget_renamed(conn: Connection) -> bool:
    """Deletes some of the visitor ids that events no longer have, as they were renamed; returns
    False if there were none."""
    rows = _renamed.all(conn)
    forget_visitors(conn, (row.visitor for row in rows))
    return bool(rows)


def forget_page(conn: Connection, after: str, nobody: str) -> str | None:
    """Deletes the next visitor ids after one, but for those that begin with `nobody`.

    Returns the last one; None if there is none.
    """
    rows = _known_after.all(conn, after=after, nobody=nobody)
    forget_visitors(conn, (row.visitor for row in rows))
    return rows[-1].visitor if rows else None
