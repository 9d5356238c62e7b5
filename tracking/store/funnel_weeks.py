"""The funnel's figures by week: those of its seven days together.

The figures of a week count only as long as its row in `report_weeks` is there: whatever changes a
day deletes that.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, not_, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.shop_days import WEEK
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.funnel_figures import StoredFigures, stored_by
from tracking.store.schema import (
    funnel_totals,
    funnel_week_totals,
    funnel_weeks,
    report_weeks,
)


class CampaignWeek(NamedTuple):
    """The events of one week, stage and campaign (an id), and their visitors' numbers.

    `newest` is the instant (seconds UTC) of the newest of them.
    """

    week: int
    stage: str
    campaign: int
    events: int
    newest: int
    visitors: bytes


class WeekTotal(NamedTuple):
    """The events of one week and stage, Pinterest's or the others', and their visitors' numbers."""

    week: int
    stage: str
    is_pinterest: int
    events: int
    visitors: bytes


class StageWeek(NamedTuple):
    """A stage in a week."""

    week: int
    stage: str


class _NewestDay(NamedTuple):
    day: int | None


_by_campaign = stored_by(funnel_weeks, "campaign", "week")
_totals = stored_by(funnel_week_totals, "is_pinterest", "week")
_whole = Query(
    StageWeek,
    select(report_weeks).where(
        report_weeks.c.week >= bindparam("first"), report_weeks.c.week <= bindparam("last")
    ),
)
_newest_day = Query(_NewestDay, select(func.max(funnel_totals.c.day).label("day")))
_week_of_total: ColumnElement[int] = funnel_totals.c.day.op("/")(WEEK)
_missing = Query(
    StageWeek,
    select(_week_of_total.label("week"), funnel_totals.c.stage)
    .where(
        funnel_totals.c.day < bindparam("before"),
        not_(
            exists().where(
                report_weeks.c.week == _week_of_total,
                report_weeks.c.stage == funnel_totals.c.stage,
            )
        ),
    )
    .limit(1),
)
_of_stage = (
    report_weeks.c.week == bindparam("b_week"),
    report_weeks.c.stage == bindparam("b_stage"),
)
_drop_whole = Statement(delete(report_weeks).where(*_of_stage))
_drop_week = Statement(delete(report_weeks).where(_of_stage[0]))
_add_whole = Statement(
    insert(report_weeks)
    .values(week=bindparam("week"), stage=bindparam("stage"))
    .on_conflict_do_nothing()
)
_drop_rows = tuple(
    Statement(
        delete(table).where(
            table.c.week == bindparam("b_week"), table.c.stage == bindparam("b_stage")
        )
    )
    for table in (funnel_weeks, funnel_week_totals)
)
_add_campaign = Statement(
    insert(funnel_weeks).values({name: bindparam(name) for name in CampaignWeek._fields})
)
_add_total = Statement(
    insert(funnel_week_totals).values({name: bindparam(name) for name in WeekTotal._fields})
)


def totals(conn: Connection, week: int, stage: str) -> list[StoredFigures]:
    """Returns the figures of one week and stage, whether they count or not."""
    return _totals.all(conn, week=week, stage=stage)


def by_campaign(conn: Connection, week: int, stage: str) -> list[StoredFigures]:
    """Returns the figures of one week and stage by campaign, whether they count or not."""
    return _by_campaign.all(conn, week=week, stage=stage)


def whole(conn: Connection, first: int, last: int) -> set[StageWeek]:
    """Returns the stages whose figures of one of the weeks [first, last] count."""
    return {*_whole.all(conn, first=first, last=last)}


def missing(conn: Connection) -> StageWeek | None:
    """Returns a week, before the one of the newest day, whose figures of a stage do not count."""
    (newest,) = _newest_day.all(conn)
    if newest.day is None:
        return None
    return _missing.first(conn, before=newest.day - newest.day % WEEK)


def put(
    conn: Connection,
    of: StageWeek,
    totals: Iterable[WeekTotal],
    campaigns: Iterable[CampaignWeek],
) -> None:
    """Stores the figures of a stage in a week, which count from now on."""
    for statement in _drop_rows:
        statement.run(conn, b_week=of.week, b_stage=of.stage)
    _add_total.run_many(conn, (row._asdict() for row in totals))
    _add_campaign.run_many(conn, (row._asdict() for row in campaigns))
    _add_whole.run(conn, week=of.week, stage=of.stage)


def drop(conn: Connection, days: Iterable[tuple[int, str]]) -> None:
    """Has the weeks of these days and stages no longer count."""
    weeks = sorted({(day // WEEK, stage) for day, stage in days})
    _drop_whole.run_many(conn, ({"b_week": week, "b_stage": stage} for week, stage in weeks))


def drop_week_of(conn: Connection, day: int) -> None:
    """Has no stage of the week of a day count any longer."""
    _drop_week.run(conn, b_week=day // WEEK)
