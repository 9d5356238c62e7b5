"""Reads the credits of each day: from the sums by day where they are complete, else by SQL."""

from collections.abc import Iterator
from typing import NamedTuple

from tracking.domain.shop_days import ShopDays
from tracking.report.credit_sums import CreditSpan, are_complete, credit_sums
from tracking.report.known_rows import KnownRows, SummedDays, parts_of
from tracking.report.shared_figures import is_of_this_release
from tracking.store import credit_figures, report_progress
from tracking.store.credit_figures import DailyCredits
from tracking.store.engine.statement import Connection


class DaySum(NamedTuple):
    """Credits of one shop day (an ordinal) in one currency: millionths of orders, and net revenue
    in minor units."""

    day: int
    currency: str
    is_pinterest: bool
    share: int
    net: int


def credits_by_day(
    conn: Connection, span: CreditSpan, days: ShopDays, known: KnownRows, step: int = 1
) -> Iterator[DaySum]:
    """Yields the credits of the days of a span, by the days of the orders, exact to the newest one;
    several of one day and currency are to be added.

    Until the sums are complete those of `step` days each are told as their first day's.
    """
    if are_complete(conn, days):
        bounds = days.begin(span.first), days.begin(span.last + 1)
        for row in _daily(conn, span, known):
            yield DaySum(
                row.day, row.currency, bool(row.is_pinterest), int(row.share), int(row.net)
            )
        for new in credit_figures.pending_credits(conn, span.bit, *bounds):
            day = days.day_of(new.placed_at)
            yield DaySum(day, new.currency, bool(new.is_pinterest), new.share, new.net)
        return
    for day in range(span.first, span.last + 1, step):
        last = min(day + step - 1, span.last)
        part = CreditSpan(day, last, span.bit, "order_date", span.longest_window)
        for found in credit_sums(conn, part, days):
            yield DaySum(
                day, found.currency, bool(found.is_pinterest), int(found.share), int(found.net)
            )


def _daily(conn: Connection, span: CreditSpan, known: KnownRows) -> Iterator[DailyCredits]:
    if not is_of_this_release(report_progress.of(conn, "credits")):
        # An older release tells no versions.
        yield from credit_figures.daily(conn, span.bit, span.first, span.last)
        return
    for part in parts_of(range(span.first, span.last + 1)):
        weeks = SummedDays("credits", "order_date", part)
        asked = (span.bit, part.start, part.stop - 1)
        yield from known.of_sums(conn, weeks, credit_figures.daily, *asked)
