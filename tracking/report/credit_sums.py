"""Reads the credits of a report: from the sums by day where they are complete, else by SQL."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import reduce
from itertools import groupby
from operator import itemgetter

from tracking.domain.shop_days import ShopDays
from tracking.store import credit_figures, report_progress, reports
from tracking.store.credit_figures import FOREVER, ReportDay, SummedCredits
from tracking.store.engine.statement import Connection
from tracking.store.reports import CreditSum

_KEY = ("currency", "is_pinterest", "campaign_id", "campaign")
_key_of = itemgetter(slice(len(_KEY)))


@dataclass(frozen=True, slots=True)
class CreditSpan:
    """The shop days [first, last] (as ordinals) of a report, the scope and model as a bit, by which
    date it counts, and the longest attribution window in seconds."""

    first: int
    last: int
    bit: int
    report_by: ReportDay
    longest_window: int

    @property
    def dates(self) -> tuple[str, str]:
        """Returns the first and the last day as ISO dates."""
        return date.fromordinal(self.first).isoformat(), date.fromordinal(self.last).isoformat()


def credit_sums(conn: Connection, span: CreditSpan, days: ShopDays) -> list[CreditSum]:
    """Returns the sums of the credits by campaign and currency, exact to the newest order; the
    campaign that was credited last comes last."""
    bounds = days.begin(span.first), days.begin(span.last + 1)
    if are_complete(conn, days):
        rows = _summed_by_day(conn, span, bounds)
    elif span.report_by == "order_date":
        rows = reports.credits_by_order_date(conn, *bounds, span.bit)
    else:
        rows = reports.credits_by_click_date(conn, *bounds, span.bit, span.longest_window)
    return sorted(rows, key=lambda row: (row.newest, _key_of(row)))


def are_complete(conn: Connection, days: ShopDays) -> bool:
    """Returns True if the sums by day are those of every order, but for what changed just now."""
    progress = report_progress.of(conn, "credits")
    return progress.zone == days.zone.key and progress.through == FOREVER


def _summed_by_day(conn: Connection, span: CreditSpan, bounds: tuple[int, int]) -> list[CreditSum]:
    stored = credit_figures.sums(conn, span.report_by, span.bit, span.first, span.last)
    pending = credit_figures.pending(conn, span.report_by, span.bit, *bounds)
    if not pending:
        return [*map(_sum_of, stored)]
    both = sorted([*stored, *pending], key=_key_of)
    rows = [reduce(_added, rows) for _, rows in groupby(both, key=_key_of)]
    rows = [row for row in rows if row.credits]
    names = Counter((row.is_pinterest, row.campaign_id) for row in rows)
    return [
        _sum_of(
            row._replace(newest=_newest(conn, span, row, bounds))
            if row.dropped and names[row.is_pinterest, row.campaign_id] > 1
            else row
        )
        for row in rows
    ]


def _newest(conn: Connection, span: CreditSpan, row: SummedCredits, bounds: tuple[int, int]) -> int:
    """Returns the newest credited instant of a campaign of which a credit was dropped just now, as
    its name depends on it."""
    label = (row.is_pinterest, row.campaign_id, row.campaign)
    return credit_figures.newest_credit(
        conn, span.report_by, span.bit, label, row.currency, bounds, span.longest_window
    )


def _added(one: SummedCredits, other: SummedCredits) -> SummedCredits:
    return one._replace(
        credits=one.credits + other.credits,
        share=one.share + other.share,
        gross=one.gross + other.gross,
        net=one.net + other.net,
        cancellations=one.cancellations + other.cancellations,
        new_share=one.new_share + other.new_share,
        new_net=one.new_net + other.new_net,
        returning_share=one.returning_share + other.returning_share,
        newest=max(one.newest, other.newest),
        dropped=one.dropped + other.dropped,
    )


def _sum_of(row: SummedCredits) -> CreditSum:
    return CreditSum._make(row[: len(CreditSum._fields)])
