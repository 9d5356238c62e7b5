"""The funnel page: the stages from product view to purchase, in total and by campaign."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.dashboard.page import DashboardPage, PageContent, PageRequest
from api.dashboard.tables import PageTable, TableColumn

STAGE_TITLES = {
    "product_view": "Product view",
    "add_to_cart": "Add to cart",
    "checkout_initiation": "Checkout begun",
    "purchase": "Purchase",
}


def _view(asked: PageRequest) -> PageContent:
    report = asked.service.reports.funnel(
        **asked.span,
        traffic=asked.arguments["traffic"],
        campaign=asked.arguments["campaign"],
    )
    stages = _stage_rows(report["stages"])
    tables = [_stage_table(stages), _campaign_table(asked, report["by_campaign"])]
    values = {
        "report": report,
        # Of purchases alone everybody has bought, which is no rate of conversion.
        "has_visitors": any(stage["visitors"] for stage in report["stages"][:-1]),
        "traffic": report["traffic"],
        "campaign": asked.arguments["campaign"] or "",
        "stages": tables[0],
        "campaigns": tables[1],
        "choices": [
            ("Pinterest's traffic", asked.address(traffic=None), report["traffic"] == "pinterest"),
            ("All traffic", asked.address(traffic="all"), report["traffic"] == "all"),
        ],
        "without_campaign": asked.address(campaign=None),
    }
    return PageContent("funnel.html", values, tables)


def _stage_rows(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    most = max((stage["visitors"] for stage in stages), default=0) or 1
    return [
        {
            **stage,
            "title": STAGE_TITLES[stage["stage"]],
            "part": stage["visitors"] / most,
        }
        for stage in stages
    ]


def _stage_table(rows: Sequence[Mapping[str, Any]]) -> PageTable:
    columns = [
        TableColumn("title", "Stage"),
        TableColumn("part", "Part of the largest stage", "share"),
        TableColumn("visitors", "Visitors", "count"),
        TableColumn("rate_from_previous", "From previous", "percent"),
        TableColumn("events", "Events", "count"),
    ]
    return PageTable("stages", "Stages", columns, rows)


def _campaign_table(asked: PageRequest, campaigns: Sequence[Mapping[str, Any]]) -> PageTable:
    rows = [
        {
            "campaign": group["campaign"] or group["campaign_id"],
            "campaign_id": group["campaign_id"],
            "conversion_rate": group["conversion_rate"],
            **{stage["stage"]: stage["visitors"] for stage in group["stages"]},
        }
        for group in campaigns
    ]
    columns = [
        TableColumn("campaign", "Campaign", link=lambda row: _only(asked, row)),
        TableColumn("campaign_id", "Id", "code"),
        *(TableColumn(stage, title, "count") for stage, title in STAGE_TITLES.items()),
        TableColumn("conversion_rate", "Conversion", "percent"),
    ]
    return PageTable(
        "campaigns",
        "Visitors by campaign",
        columns,
        rows,
        empty="No campaign brought anybody in these days.",
    )


def _only(asked: PageRequest, row: Mapping[str, Any]) -> str:
    return asked.address(campaign=row["campaign_id"] or row["campaign"])


FUNNEL_PAGE = DashboardPage(
    "funnel", "/funnel", "Funnel", _view, parameters=("traffic", "campaign")
)
