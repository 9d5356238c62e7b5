"""Revenue and orders that Pinterest is credited with, and spend, by day or week and currency."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tracking.domain.attribution import Model, bit
from tracking.domain.money import to_major
from tracking.domain.shop_days import WEEK, ShopDays
from tracking.report.credit_days import credits_by_day
from tracking.report.credit_sums import CreditSpan
from tracking.report.known_rows import KnownRows
from tracking.report.parameters import Days
from tracking.report.roi import spend_text
from tracking.store import spend
from tracking.store.engine.statement import Connection

# More days than these are shown by weeks, and more weeks by four weeks each.
MOST_STEPS = 92


@dataclass(slots=True)
class _Step:
    """Some days that are shown as one: credited revenue in minor units, and spend in millionths of
    the major unit, by currency."""

    net: dict[str, int] = field(default_factory=dict)
    micros: dict[str, int] = field(default_factory=dict)


def step_of(days: Days) -> int:
    """Returns how many days are shown as one: 1, 7 or 28."""
    count = (days.end - days.start).days + 1
    return next((step for step in (1, WEEK) if count <= MOST_STEPS * step), 4 * WEEK)


def earnings(
    conn: Connection,
    days: Days,
    calendar: ShopDays,
    model: Model,
    longest_window: int,
    known: KnownRows,
) -> dict[str, list[dict[str, Any]]]:
    """Returns a line for each step of the days, by currency: its first day, the revenue credited to
    Pinterest by a model, and the spend. The sums are those of the ROI report."""
    steps = {first: _Step() for first in _first_days(days)}
    ends = days.start.toordinal(), days.end.toordinal()
    span = CreditSpan(*ends, bit("pinterest", model), "order_date", longest_window)
    for row in credits_by_day(conn, span, calendar, known, step_of(days)):
        if row.is_pinterest:
            step = steps[_step_with(row.day, days)]
            step.net[row.currency] = step.net.get(row.currency, 0) + row.net
    for cost in spend.by_day(conn, days.start.isoformat(), days.end.isoformat()):
        step = steps[_step_with(date.fromisoformat(cost.date).toordinal(), days)]
        step.micros[cost.currency] = step.micros.get(cost.currency, 0) + int(cost.micros)
    currencies = {code for step in steps.values() for code in (*step.net, *step.micros)}
    return {currency: [*_lines(currency, steps)] for currency in sorted(currencies)}


def _first_days(days: Days) -> range:
    return range(days.start.toordinal(), days.end.toordinal() + 1, step_of(days))


def _step_with(day: int, days: Days) -> int:
    return day - (day - days.start.toordinal()) % step_of(days)


def _lines(currency: str, steps: Mapping[int, _Step]) -> Iterator[dict[str, Any]]:
    for first, step in steps.items():
        yield {
            "date": date.fromordinal(first).isoformat(),
            "revenue": to_major(step.net.get(currency, 0), currency),
            "spend": spend_text(step.micros.get(currency, 0), currency),
            "currency": currency,
        }
