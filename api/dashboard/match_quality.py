"""The match quality page: what our events have of the fields that Pinterest scores, and advice."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from api.dashboard.charts import LineChart
from api.dashboard.formats import time_text
from api.dashboard.order import order_address
from api.dashboard.page import DashboardPage, PageContent, PageRequest
from api.dashboard.tables import PageTable, TableColumn
from tracking.store import orders

_FIELDS = {
    "click_id_epik": "Pinterest's click id",
    "hashed_email": "E-mail (digest)",
    "advertiser_external_id": "Customer or browser (digest)",
    "hashed_maid": "Advertising id of an app (digest)",
    "ip_address": "IP address",
    "user_agent": "Browser",
    "external_event_id": "Event id",
    "order_id": "Order id",
    "order_value": "Order value",
    "product_id": "Product id",
    "source_url": "Page",
}
_EVENTS = {
    "checkout": "Purchases",
    "page_visit": "Product views",
    "add_to_cart": "Additions to the cart",
    "initiate_checkout": "Checkouts begun",
}
# The fields of purchases that are drawn by day.
_DRAWN = ("click_id_epik", "hashed_email", "advertiser_external_id")
# Of advice: of how many events, or how many ids both senders have.
_SHARES = ("coverage", "overlap")
_TONES = {"GOOD": "good", "FAIR": "note"}


def _view(asked: PageRequest) -> PageContent:
    report = asked.service.match_quality.report(**asked.span)
    kinds = [_kind(found) for found in sorted(report["events"], key=_place)]
    ids = {id for each in report["advice"] for id in each["order_ids"]}
    with asked.service.store.read() as conn:
        advice = _advice(report["advice"], orders.names_by_id(conn, ids))
    verdicts = _verdicts(report["pinterest"], asked.service.settings.shop_timezone)
    charts = [*_charts(report["days"])]
    values = {
        "advice": advice,
        "verdicts": verdicts,
        "kinds": kinds,
        "charts": charts,
        "counted_since": report["counted_since"],
    }
    tables = [advice, verdicts, *kinds, *(chart.table for chart in charts)]
    return PageContent("match_quality.html", values, tables)


def _place(found: Mapping[str, Any]) -> tuple[int, str]:
    """Returns what kinds of events are ordered by: purchases come first."""
    names = [*_EVENTS]
    name = found["event_name"]
    return (names.index(name) if name in names else len(names)), name


def title_of(event_name: str, action_source: str = "web") -> str:
    """Returns events of a name in words, with their source if it is not the web."""
    title = _EVENTS.get(event_name, event_name)
    return title if action_source == "web" else f"{title} ({action_source})"


def _kind(found: Mapping[str, Any]) -> PageTable:
    name, source = found["event_name"], found["action_source"]
    rows = [
        {
            "field": _FIELDS.get(field["field"], field["field"]),
            "part": (field["coverage"] or 0) / 100,
            "coverage": _percent(field["coverage"]),
            "events": field["events"],
            "pinterest_1d": _percent(field["pinterest_1d"]),
            "pinterest_14d": _percent(field["pinterest_14d"]),
        }
        for field in found["fields"]
    ]
    columns = [
        TableColumn("field", "Field"),
        TableColumn("part", "Share of the events", "share"),
        TableColumn("coverage", "Have it", "percent"),
        TableColumn("events", "Events", "count"),
        TableColumn("pinterest_1d", "Pinterest, 1 day", "percent"),
        TableColumn("pinterest_14d", "Pinterest, 14 days", "percent"),
    ]
    note = f"{found['events']:,} events that Pinterest accepted."
    title = title_of(name, source)
    return PageTable(f"fields-{name}-{source}", title, columns, rows, note=note)


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}%"


def _advice(advice: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> PageTable:
    rows = [
        {
            "field": _FIELDS.get(each["field"], each["field"]),
            "events": title_of(each["event_name"], each["action_source"]),
            "coverage": _percent(
                next((each[name] for name in _SHARES if each[name] is not None), None)
            ),
            "advice": each["advice"],
            "examples": tuple((names[id], order_address(id)) for id in each["order_ids"]),
        }
        for each in advice
    ]
    columns = [
        TableColumn("field", "Weak field"),
        TableColumn("events", "Of"),
        TableColumn("coverage", "Share", "percent"),
        TableColumn("advice", "What to do"),
        TableColumn("examples", "Such as", "links"),
    ]
    empty = "No field is weak, or too few events were sent to tell."
    return PageTable("advice", "What to do", columns, rows, empty=empty)


def _verdicts(told: Mapping[str, Any], zone: ZoneInfo) -> PageTable:
    rows = [
        {
            "source": f"{each['source_platform']}, {each['ingestion_source']}",
            "lookback": {"1d": "1 day", "14d": "14 days"}[each["lookback"]],
            "status": each["overall_status"].replace("_", " ").capitalize(),
            "tone": _TONES.get(each["overall_status"], "bad"),
            "read_at": time_text(datetime.fromisoformat(each["read_at"]).timestamp(), zone),
            "issues": "; ".join(sorted({*_issues(each["components"])})),
        }
        for each in told["verdicts"]
    ]
    columns = [
        TableColumn("source", "Source"),
        TableColumn("lookback", "Over"),
        TableColumn("status", "Verdict", "mark"),
        TableColumn("issues", "Issues"),
        TableColumn("read_at", "Read", "time"),
    ]
    empty = f"No verdict of Pinterest's: {told['missing'] or 'it told none of these events'}."
    return PageTable("verdicts", "Pinterest's verdict", columns, rows, empty=empty)


def _issues(components: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for component in components:
        field = _FIELDS.get(component["component"], component["component"])
        for issue in component["issues"]:
            yield f"{field}, {title_of(component['event_name']).lower()}: {issue['reason']}"


def _charts(days: Sequence[Mapping[str, Any]]) -> Iterator[LineChart]:
    rows = [
        day for day in days if day["event_name"] == "checkout" and day["action_source"] == "web"
    ]
    if len(rows) > 1:
        columns = [
            TableColumn("date", "Day (UTC)"),
            *(TableColumn(field, _FIELDS[field], "number") for field in _DRAWN),
        ]
        title = "Purchases that had them, in percent"
        yield LineChart(title, PageTable("coverage-by-day", title, columns, rows))


MATCH_QUALITY_PAGE = DashboardPage("match_quality", "/match-quality", "Match quality", _view)
