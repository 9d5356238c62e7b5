"""The orders page: the newest orders of the days, or those that somebody looks for."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.dashboard.formats import time_text
from api.dashboard.order import order_address
from api.dashboard.page import DashboardPage, PageContent, PageRequest
from api.dashboard.tables import PageTable, TableColumn
from tracking.domain.conversion import REASONS
from tracking.report.order_list import FATES

# The reasons that an order is not sent for, in alphabetical order of their words.
_REASONS = sorted(
    ((reason, text.rstrip(".")) for reason, text in REASONS.items() if reason),
    key=lambda each: each[1],
)


def _view(asked: PageRequest) -> PageContent:
    arguments = asked.arguments
    found = asked.service.order_list.page(
        **asked.span, text=arguments["q"], fate=arguments["fate"], after=arguments["after"]
    )
    zone = asked.service.settings.shop_timezone
    rows = [
        {
            **order,
            "name": order["name"] or order["order_id"],
            "placed_at": time_text(datetime.fromisoformat(order["placed_at"]).timestamp(), zone),
            "campaign": _credit_text(order),
        }
        for order in found["orders"]
    ]
    chosen = arguments["fate"] or ""
    values = {
        "orders": _table(rows, arguments["q"] or ""),
        "searched": arguments["q"] or "",
        "is_of_all_days": found["is_of_all_days"],
        "fate": chosen,
        "choices": [
            (text, asked.address(fate=fate or None, after=None), fate == chosen)
            for fate, text in FATES.items()
        ],
        "reasons": _REASONS,
        "older": asked.address(after=found["next"]) if found["next"] else "",
        "newest": asked.address(after=None) if arguments["after"] else "",
    }
    return PageContent("orders.html", values, [values["orders"]])


def _credit_text(order: Mapping[str, Any]) -> str:
    if not order["is_credited"]:
        return ""
    return order["campaign"] or "Pinterest, no campaign"


def _table(rows: list[dict[str, Any]], searched: str) -> PageTable:
    columns = [
        TableColumn("name", "Order", link=lambda row: order_address(row["order_id"])),
        TableColumn("placed_at", "Placed", "time"),
        TableColumn("state", "State"),
        TableColumn("revenue", "Revenue", "money"),
        TableColumn("campaign", "Credited to"),
        TableColumn("text", "To Pinterest"),
    ]
    empty = "No order in these days." if not searched else "No order or campaign is called so."
    return PageTable("orders", "Orders", columns, rows, empty=empty)


ORDERS_PAGE = DashboardPage("orders", "/orders", "Orders", _view, parameters=("q", "fate", "after"))
