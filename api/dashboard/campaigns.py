"""The page of all campaigns: a table that sorts and filters, with a small chart for each."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from api.dashboard.campaign import campaign_address
from api.dashboard.campaign_parts import PICKERS, picked, pickers_of, span_asked
from api.dashboard.charts import path_of
from api.dashboard.page import DashboardPage, PageContent, PageRequest
from api.dashboard.tables import ColumnSort, Kind, PageTable, TableColumn
from api.dashboard.windows import WINDOWS, compared, other_windows
from tracking.domain.validation import FieldError, ValidationError
from tracking.report.campaign_days import revenue_by_step
from tracking.report.campaigns import NOT_ATTRIBUTED
from tracking.store.engine.statement import Connection

# A small chart has so many points at most.
_MOST_POINTS = 31
_FIGURES: Mapping[str, tuple[str, Kind]] = {
    "orders": ("Orders", "orders"),
    "new_orders": ("Of new customers", "orders"),
    "revenue": ("Revenue", "money"),
    "spend": ("Spend", "money"),
    "roas": ("ROAS", "number"),
    "cpa": ("Cost per order", "money"),
}
_COMPARED: Mapping[str, tuple[str, Kind]] = {
    "orders": ("Orders", "orders"),
    "what_if_orders": ("What if", "orders"),
    "revenue": ("Revenue", "money"),
    "what_if_revenue": ("What if", "money"),
    "spend": ("Spend", "money"),
    "roas": ("ROAS", "number"),
    "what_if_roas": ("What if", "number"),
}
_WEIGHED = (
    "ROAS and cost per order of all orders weigh the spend against what Pinterest earned, not "
    "against the other orders."
)
_SORTS = ("campaign", "campaign_id", *{**_FIGURES, **_COMPARED})

CampaignRow = dict[str, Any]


def _view(asked: PageRequest) -> PageContent:
    sort = _sort_of(asked)
    report = asked.service.reports.roi(**asked.span, **picked(asked))
    with asked.service.store.read() as conn:
        lines = _sparklines(conn, asked, report)
    windows = other_windows(asked, span_asked(asked, report))
    parts = report["currencies"]
    if windows.report is not None:
        parts = [part for _, part in compared(report, windows.report)]
    wanted = (asked.arguments["q"] or "").strip()
    rows = [row for each in parts for row in _rows_of(each, lines, wanted=wanted, sort=sort)]
    figures = _FIGURES if windows.report is None else _COMPARED
    table = _table(asked, rows, sort, figures)
    values = {
        "campaigns": table,
        "pickers": pickers_of(asked),
        "wanted": wanted,
        "windows": windows,
        "most_orders": asked.service.what_if.most_orders,
        "kept": {name: v for name, v in asked.kept.items() if name not in ("q", *PICKERS)},
        "kept_beside_windows": {n: v for n, v in asked.kept.items() if n not in WINDOWS},
        "without_windows": asked.address(**dict.fromkeys(WINDOWS)),
        "form": asked.page.address(),
        "without_filter": asked.address(q=None),
    }
    return PageContent("campaigns.html", values, [table])


def _sort_of(asked: PageRequest) -> tuple[str, bool]:
    """Returns the column that the rows are sorted by, and True if it is the other way round than a
    column begins: names from A on, figures from the largest on.

    Raises:
        ValidationError: there is no such column.
    """
    text = asked.arguments["sort"] or "revenue"
    name = text.removeprefix("-")
    if name not in _SORTS:
        raise ValidationError(FieldError("sort", f"not one of: {', '.join(_SORTS)}"))
    return name, text.startswith("-")


def _sparklines(
    conn: Connection, asked: PageRequest, report: Mapping[str, Any]
) -> dict[tuple[str, str, str], str]:
    """Returns the small chart of each currency, campaign id and name; none where two campaigns of
    different networks have both in common."""
    span = span_asked(asked, report)
    step = -(-(span.last - span.first + 1) // _MOST_POINTS)
    net = revenue_by_step(conn, span, asked.service.reports.basis.days, step)
    paths: dict[tuple[str, str, str], str] = {}
    for (currency, key), nets in net.items():
        place = (currency, key.campaign_id, key.campaign)
        paths[place] = "" if place in paths else path_of([*map(float, nets)], max(nets))
    return paths


def _rows_of(
    each: Mapping[str, Any],
    sparklines: Mapping[tuple[str, str, str], str],
    *,
    wanted: str,
    sort: tuple[str, bool],
) -> Iterator[CampaignRow]:
    """Yields the rows of one currency: its campaigns, what is not attributed, and the totals."""
    currency = each["currency"]
    rows = [
        {
            **line,
            "title": line["campaign"] or line["campaign_id"],
            "currency": currency,
            "trend": sparklines.get((currency, line["campaign_id"], line["campaign"]), ""),
        }
        for line in each["campaigns"]
        if _is_wanted(line, wanted)
    ]
    yield from _sorted(rows, *sort)
    if not wanted:
        yield _totals(each)


def _is_wanted(line: Mapping[str, Any], wanted: str) -> bool:
    texts = (line["campaign"], line["campaign_id"])
    return any(wanted.casefold() in text.casefold() for text in texts)


def _sorted(rows: Sequence[CampaignRow], name: str, is_reversed: bool) -> list[CampaignRow]:
    """Returns the rows by a column; those without a value, and what is not attributed, last."""
    if name not in ("campaign", "campaign_id"):
        figures = [(_figure(row.get(name)), row) for row in rows]
        known = [pair for pair in figures if pair[0] is not None]
        known.sort(key=lambda pair: pair[0] or 0, reverse=not is_reversed)
        ordered = [row for _, row in known] + [row for value, row in figures if value is None]
    else:
        field = "title" if name == "campaign" else name
        ordered = sorted(rows, key=lambda row: row[field].casefold(), reverse=is_reversed)
    return sorted(ordered, key=lambda row: row["campaign"] == NOT_ATTRIBUTED)


def _figure(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _totals(each: Mapping[str, Any]) -> CampaignRow:
    return {
        **{name: each.get(name) for name in {**_FIGURES, **_COMPARED}},
        "title": "All orders",
        "campaign": NOT_ATTRIBUTED,
        "campaign_id": "",
        "trend": "",
        "revenue": each["total_revenue"],
        "spend": each["total_spend"],
        "currency": each["currency"],
        "tone": "total",
    }


def _table(
    asked: PageRequest,
    rows: Sequence[CampaignRow],
    sort: tuple[str, bool],
    figures: Mapping[str, tuple[str, Kind]],
) -> PageTable:
    columns = [
        TableColumn(
            "title",
            "Campaign",
            link=lambda row: campaign_address(asked, row),
            sort=_sort_link(asked, "campaign", sort),
        ),
        *([TableColumn("trend", "Revenue over time", "sparkline")] if figures is _FIGURES else []),
        *(
            TableColumn(name, title, kind, sort=_sort_link(asked, name, sort))
            for name, (title, kind) in figures.items()
        ),
        TableColumn("campaign_id", "Id", "code", sort=_sort_link(asked, "campaign_id", sort)),
    ]
    searched = asked.arguments["q"]
    empty = "No campaign is called so." if searched else "No orders and no spend in these days."
    note = _WEIGHED if any(row.get("tone") == "total" for row in rows) else ""
    return PageTable("campaigns", "Campaigns", columns, rows, empty, note)


def _sort_link(asked: PageRequest, name: str, sort: tuple[str, bool]) -> ColumnSort:
    chosen, is_reversed = sort
    if name != chosen:
        return ColumnSort(asked.address(sort=name), "")
    address = asked.address(sort=name if is_reversed else f"-{name}")
    rises = is_reversed == (name not in ("campaign", "campaign_id"))
    return ColumnSort(address, "ascending" if rises else "descending")


CAMPAIGNS_PAGE = DashboardPage(
    "campaigns", "/campaigns", "Campaigns", _view, parameters=("q", "sort", *PICKERS, *WINDOWS)
)
