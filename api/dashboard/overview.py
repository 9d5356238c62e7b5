"""The overview: the figures of the days against those before, by day, beside Pinterest's own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from api.dashboard.charts import earnings_chart
from api.dashboard.comparison import comparison_of
from api.dashboard.delivery import DELIVERY_PAGE, LONGEST_WAIT
from api.dashboard.formats import (
    NOTHING,
    count_text,
    events_unit,
    money_text,
    orders_text,
    time_text,
)
from api.dashboard.health import HEALTH_PAGE
from api.dashboard.match_quality import MATCH_QUALITY_PAGE
from api.dashboard.page import DashboardPage, PageAction, PageContent, PageRequest, span_of
from api.dashboard.setup import LINK_TEMPLATE, setup_steps, show_test_event
from api.dashboard.tables import PageTable, TableColumn
from api.dashboard.tiles import Tile, Tone, change_of
from tracking.domain.durations import duration_text
from tracking.report.campaigns import NOT_ATTRIBUTED
from tracking.report.earnings import earnings
from tracking.report.parameters import FIRST_DAY, Days
from tracking.store import metrics
from tracking.store.engine.statement import Connection

# The pages that show what an alert is about; of the others the health page tells more.
_PAGES = {
    **dict.fromkeys(
        ("dead_letters", "late_events", "more_rejects", "low_accuracy", "token_refused"),
        DELIVERY_PAGE,
    ),
    **dict.fromkeys(("fewer_click_ids", "fewer_emails", "low_overlap"), MATCH_QUALITY_PAGE),
}


@dataclass(frozen=True, slots=True)
class CurrencyFigures:
    """The credits of Pinterest in one currency, what was spent, and all orders `sold`.

    Of the customers of `unknown` orders nobody knows whether they are new.
    """

    revenue: Decimal
    orders: Decimal
    spend: Decimal
    roas: Decimal | None = None
    cpa: Decimal | None = None
    sold: Decimal = Decimal(0)
    new_orders: Decimal = Decimal(0)
    new_cpa: Decimal | None = None
    unknown: Decimal = Decimal(0)


def _view(asked: PageRequest) -> PageContent:
    reports = asked.service.reports
    now = figures_of(reports.roi(**asked.span))
    before = _figures_before(asked)
    with reports.basis.store.read() as conn:
        steps = setup_steps(conn, asked)
        waiting = metrics.open_events(conn, "waiting")
        dead = metrics.open_events(conn, "dead")
        by_day = _earnings(conn, asked)
    charts = [earnings_chart(currency, rows, asked.days) for currency, rows in by_day.items()]
    comparison = comparison_of(asked)
    ended = _ended_alerts(asked)
    tables = [*(chart.table for chart in charts), *comparison.tables, ended]
    values = {
        "alerts": _alerts(asked),
        "ended_alerts": ended,
        "steps": steps,
        "is_set_up": all(step.is_done for step in steps if step.is_needed),
        "done": sum(step.is_done for step in steps),
        "link_template": LINK_TEMPLATE,
        "test": f"{asked.page.address()}/test-event",
        "can_test": not asked.service.settings.is_report_only,
        "figures": [
            (currency, [*_tiles(found, before.get(currency), currency)])
            for currency, found in now.items()
        ],
        "before": _span_before(asked.days),
        "charts": charts,
        "comparison": comparison,
        "delivery": [*_delivery_tiles(asked, waiting, dead)],
        "delivery_address": DELIVERY_PAGE.address(None, asked.span),
        "span": asked.span,
    }
    return PageContent("overview.html", values, tables)


def _alerts(asked: PageRequest) -> list[dict[str, Any]]:
    zone = asked.service.settings.shop_timezone
    return [
        {
            "title": alert.title,
            "words": alert.words,
            "remedy": alert.remedy,
            "since": time_text(alert.since, zone),
            "page": _PAGES.get(alert.name, HEALTH_PAGE),
        }
        for alert in asked.service.alerts.standing()
    ]


def _ended_alerts(asked: PageRequest) -> PageTable:
    zone, days = asked.service.settings.shop_timezone, asked.days
    rows = [
        {
            "alert": alert.title,
            "since": time_text(alert.since, zone),
            "until": time_text(alert.until, zone),
            "length": duration_text(alert.until - alert.since),
        }
        for alert in asked.service.alerts.ended()
        if alert.until >= days.since and alert.since < days.before
    ]
    columns = [
        TableColumn("alert", "Alert"),
        TableColumn("since", "From", "time"),
        TableColumn("until", "Until", "time"),
        TableColumn("length", "For"),
    ]
    return PageTable("ended-alerts", "Alerts that are over", columns, rows)


def figures_of(report: Mapping[str, Any]) -> dict[str, CurrencyFigures]:
    """Returns the figures of each currency of an ROI report, without orders that Pinterest is not
    credited with."""
    return {
        each["currency"]: CurrencyFigures(
            revenue=_credited(each["campaigns"], "revenue"),
            orders=_credited(each["campaigns"], "orders"),
            spend=Decimal(each["total_spend"]),
            roas=_number(each["roas"]),
            cpa=_number(each["cpa"]),
            sold=Decimal(str(each["orders"])),
            new_orders=_credited(each["campaigns"], "new_orders"),
            new_cpa=_number(each["new_customer_cpa"]),
            unknown=_credited(each["campaigns"], "unknown"),
        )
        for each in report["currencies"]
    }


def _credited(lines: Iterable[Mapping[str, Any]], field: str) -> Decimal:
    amounts = (Decimal(str(line[field])) for line in lines if line["campaign"] != NOT_ATTRIBUTED)
    return sum(amounts, Decimal(0))


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _figures_before(asked: PageRequest) -> dict[str, CurrencyFigures]:
    """Returns the figures of the days before, of which those before any order have none."""
    span = _span_before(asked.days)
    first = FIRST_DAY.isoformat()
    if span["end_date"] < first:
        return {}
    span["start_date"] = max(first, span["start_date"])
    return figures_of(asked.service.reports.roi(**span))


def _span_before(days: Days) -> dict[str, str]:
    """Returns as many days as these, right before them, as parameters."""
    length = days.end - days.start + timedelta(days=1)
    return span_of(days.start - length, days.end - length)


def _tiles(now: CurrencyFigures, before: CurrencyFigures | None, currency: str) -> Iterator[Tile]:
    then = before or CurrencyFigures(Decimal(0), Decimal(0), Decimal(0))
    revenue = change_of(now.revenue, then.revenue, more_is="good")
    yield Tile("Revenue from Pinterest", money_text(now.revenue), currency, *revenue)
    spend = change_of(now.spend, then.spend, more_is="")
    yield Tile("Spend", money_text(now.spend), currency, *spend)
    roas = change_of(now.roas, then.roas, more_is="good")
    yield Tile("ROAS", money_text(now.roas), "", *roas)
    orders = change_of(now.orders, then.orders, more_is="good")
    yield Tile("Orders from Pinterest", orders_text(now.orders), "", *orders)
    yield _new_customers(now, then)
    cpa = change_of(now.cpa, then.cpa, more_is="bad")
    yield Tile("Cost per order", money_text(now.cpa), currency if now.cpa else "", *cpa)
    new_cpa = change_of(now.new_cpa, then.new_cpa, more_is="bad")
    unit = currency if now.new_cpa else ""
    yield Tile("Cost per new customer", money_text(now.new_cpa), unit, *new_cpa)
    sold = change_of(now.sold, then.sold, more_is="good")
    yield Tile("Orders in all", orders_text(now.sold), "in the shop", *sold)


def _new_customers(now: CurrencyFigures, then: CurrencyFigures) -> Tile:
    title = "Orders of new customers"
    if now.unknown and not now.new_orders:
        return Tile(title, NOTHING, "", f"{orders_text(now.unknown)} not known")
    change = change_of(now.new_orders, then.new_orders, more_is="good")
    return Tile(title, orders_text(now.new_orders), "", *change)


def _earnings(conn: Connection, asked: PageRequest) -> dict[str, list[dict[str, Any]]]:
    basis = asked.service.reports.basis
    return earnings(
        conn, asked.days, basis.days, basis.model, basis.rules.longest_window, basis.known_rows
    )


def _delivery_tiles(
    asked: PageRequest,
    waiting: Sequence[metrics.OpenEvents],
    dead: Sequence[metrics.OpenEvents],
) -> Iterator[Tile]:
    refused = sum(row.events for row in dead)
    count = sum(row.events for row in waiting)
    yield Tile("Waiting to be sent", count_text(count), events_unit(count))
    if waiting:
        age = max(0, int(asked.now) - min(row.oldest for row in waiting))
        yield Tile("Oldest waits", duration_text(age), "", *_word_on_wait(age))
    note: Tone = "bad" if refused else ""
    yield Tile("Refused or expired", count_text(refused), events_unit(refused), tone=note)


def _word_on_wait(age: int) -> tuple[str, Tone]:
    return ("does a deliverer run?", "bad") if age > LONGEST_WAIT else ("", "")


OVERVIEW_PAGE = DashboardPage(
    "overview",
    "",
    "Overview",
    _view,
    actions=(PageAction("test-event", show_test_event),),
)
