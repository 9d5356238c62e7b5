"""The versions of the weeks of which the reports have sums.

A version is that of the progress of the figures with which the week's sums changed last, so the
newest one of several weeks changes with each of them.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from sqlalchemy import and_, bindparam, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.credit_figures import ReportDay
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.report_progress import Figures
from tracking.store.schema import summed_weeks


class ChangedWeek(NamedTuple):
    """A week (a seventh of its first day) by one date."""

    report_by: ReportDay | Literal[""]
    week: int


class _NewestVersion(NamedTuple):
    version: int


ALL_WEEKS = ChangedWeek("", 0)
_KEY = ("figures", "report_by", "week")
_put = Statement(
    insert(summed_weeks)
    .values({name: bindparam(name) for name in (*_KEY, "version")})
    .on_conflict_do_update(
        index_elements=_KEY, set_={"version": literal_column("excluded.version")}
    )
)
_newest = Query(
    _NewestVersion,
    select(func.coalesce(func.max(summed_weeks.c.version), 0).label("version")).where(
        summed_weeks.c.figures == bindparam("figures"),
        or_(
            summed_weeks.c.report_by == literal_column(f"'{ALL_WEEKS.report_by}'"),
            and_(
                summed_weeks.c.report_by == bindparam("report_by"),
                summed_weeks.c.week.between(bindparam("first"), bindparam("last")),
            ),
        ),
    ),
)


def mark(conn: Connection, figures: Figures, weeks: Iterable[ChangedWeek], version: int) -> None:
    """Notes that the sums of weeks change with this version of the figures."""
    rows = (week._asdict() for week in sorted(set(weeks)))
    _put.run_many(conn, rows, figures=figures, version=version)


def newest(conn: Connection, figures: Figures, report_by: ReportDay, first: int, last: int) -> int:
    """Returns the newest version of the weeks [first, last]: as long as it is the same, so are
    their sums."""
    asked = {"figures": figures, "report_by": report_by, "first": first, "last": last}
    (row,) = _newest.all(conn, **asked)
    return row.version
