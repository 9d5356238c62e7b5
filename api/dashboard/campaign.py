"""The page of one campaign: its figures, by day, by ad and pin, and its newest orders."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

from api.dashboard.campaign_parts import PICKERS, picked, pickers_of, span_asked
from api.dashboard.charts import earnings_chart
from api.dashboard.formats import money_text, orders_text, time_text
from api.dashboard.order import order_address
from api.dashboard.page import ROOT, DashboardPage, PageContent, PageRequest
from api.dashboard.tables import PageTable, TableColumn
from api.dashboard.tiles import Tile
from tracking.report.ads import AdFigures, ListedAds, credits_of_campaign, lines_of_campaign
from tracking.report.campaign_days import (
    EarningCampaigns,
    days_of_campaign,
    earning_campaigns,
)
from tracking.report.campaigns import (
    NO_CAMPAIGN,
    NOT_ATTRIBUTED,
    CampaignKey,
    CampaignLabel,
    CampaignNames,
)
from tracking.report.credit_sums import CreditSpan
from tracking.report.earnings import step_of
from tracking.report.roi import CampaignSpend
from tracking.store import ad_spend, spend
from tracking.store.engine.statement import Connection

_NEWEST = 20
# In the address of a campaign without an id, or with one that cannot stand in a path, this stands
# in its place; the parameter `name` says which campaign it is.
_BY_NAME = "by-name"
_IN_A_PATH = re.compile(r"[\w-]+", re.ASCII)


def campaign_address(asked: PageRequest, row: Mapping[str, Any]) -> str:
    """Returns the address of a campaign's page with the days and pickers of this one; "" for what
    is no campaign's."""
    id, name = row["campaign_id"], row["campaign"]
    if not id and name in (NO_CAMPAIGN, NOT_ATTRIBUTED):
        return ""
    parameters = {**asked.span, **picked(asked)}
    if _IN_A_PATH.fullmatch(id) and id != _BY_NAME:
        return CAMPAIGN_PAGE.address({"campaign": id}, parameters)
    return CAMPAIGN_PAGE.address({"campaign": _BY_NAME}, {**parameters, "name": id or name})


def _view(asked: PageRequest) -> PageContent:
    report = asked.service.reports.roi(**asked.span, **picked(asked))
    span, step = span_asked(asked, report), step_of(asked.days)
    with asked.service.store.read() as conn:
        calendar = asked.service.reports.basis.days
        earning = earning_campaigns(conn, span, calendar)
        key = _key_of(asked, earning)
        by_day = days_of_campaign(conn, span, calendar, step, earning.names, key)
        parts = [*_part_tables(conn, asked, span, earning.names, key)] if key.is_pinterest else []
    charts = [earnings_chart(currency, rows, asked.days) for currency, rows in by_day.items()]
    orders = _order_table(asked, key, span.bit)
    tables = [*parts, orders]
    values = {
        "title": key.campaign or key.campaign_id,
        "id": key.campaign_id,
        "pickers": pickers_of(asked),
        "kept": {**asked.span, "name": asked.arguments["name"]},
        "form": asked.page.address({**asked.path}),
        "figures": [(line["currency"], [*_tiles(line)]) for line in _lines_of(report, key)],
        "charts": charts,
        "tables": tables,
        "campaigns": f"{ROOT}/campaigns?{urlencode({**asked.span, **_given(asked)})}",
    }
    return PageContent("campaign.html", values, [*(chart.table for chart in charts), *tables])


def _given(asked: PageRequest) -> dict[str, str]:
    return {name: value for name, value in picked(asked).items() if value}


def _key_of(asked: PageRequest, campaigns: EarningCampaigns) -> CampaignKey:
    """Returns the campaign whose page is asked for: the one of this id, or of this name."""
    wanted = asked.arguments["name"] or asked.path["campaign"]
    for key in sorted(campaigns.keys, key=lambda key: not key.is_pinterest):
        if wanted == (key.campaign_id or key.campaign):
            return key
    return campaigns.names.key_of(CampaignLabel(True, wanted, ""))


def _lines_of(report: Mapping[str, Any], key: CampaignKey) -> Iterator[dict[str, Any]]:
    """Yields the campaign's line of each currency, with that currency."""
    for each in report["currencies"]:
        for line in each["campaigns"]:
            if (line["campaign"], line["campaign_id"]) == (key.campaign, key.campaign_id):
                yield {**line, "currency": each["currency"]}
                break


def _tiles(line: Mapping[str, Any]) -> Iterator[Tile]:
    currency = line["currency"]
    yield Tile("Revenue", money_text(line["revenue"]), currency)
    yield Tile("Spend", money_text(line["spend"]), currency)
    yield Tile("ROAS", money_text(line["roas"]))
    yield Tile("Orders", orders_text(line["orders"]))
    yield Tile("Of new customers", orders_text(line["new_orders"]))
    yield Tile("Cost per order", money_text(line["cpa"]), currency if line["cpa"] else "")


def _part_tables(
    conn: Connection,
    asked: PageRequest,
    span: CreditSpan,
    names: CampaignNames,
    key: CampaignKey,
) -> Iterator[PageTable]:
    """Yields the tables of the campaign's ads and pins."""
    days = asked.days
    ends = days.start.isoformat(), days.end.isoformat()
    basis = asked.service.reports.basis
    known = basis.known_rows
    listed = known.of(conn, "pinterest_ads", ad_spend.ads)
    its = {ad.ad_id for ad in listed if key.campaign_id == ad.campaign_id}
    found = AdFigures(
        credits_of_campaign(conn, span, basis.days, names, key, known),
        [row for row in known.of(conn, "ad_spend", ad_spend.by_ad, *ends) if row.ad_id in its],
        ListedAds(listed),
    )
    costs = [
        CampaignSpend(row.campaign_id, row.campaign, row.currency, int(row.micros))
        for row in known.of(conn, "spend", spend.by_campaign, *ends)
        if names.key_of(CampaignLabel(True, row.campaign_id, row.campaign)) == key
    ]
    yield _part_table("ad", "Ads", lines_of_campaign("ad", found, costs))
    yield _part_table("pin", "Pins", lines_of_campaign("pin", found, costs))


def _part_table(
    group: Literal["ad", "pin"], title: str, rows: Sequence[Mapping[str, Any]]
) -> PageTable:
    columns = [
        TableColumn("name", title[:-1]),
        TableColumn(f"{group}_id", "Id", "code"),
        TableColumn("orders", "Orders", "orders"),
        TableColumn("revenue", "Revenue", "money"),
        TableColumn("spend", "Spend", "money"),
        TableColumn("roas", "ROAS", "number"),
    ]
    named = [{**row, "name": row["name"] or row[f"{group}_id"]} for row in rows]
    return PageTable(f"{group}s", title, columns, named)


def _order_table(asked: PageRequest, key: CampaignKey, mask: int) -> PageTable:
    zone = asked.service.settings.shop_timezone
    found = asked.service.order_list.of_campaign(asked.days, key, mask, _NEWEST)
    rows = [
        {
            **order,
            "name": order["name"] or order["order_id"],
            "placed_at": time_text(datetime.fromisoformat(order["placed_at"]).timestamp(), zone),
        }
        for order in found
    ]
    columns = [
        TableColumn("name", "Order", link=lambda row: order_address(row["order_id"])),
        TableColumn("placed_at", "Placed", "time"),
        TableColumn("state", "State"),
        TableColumn("revenue", "Revenue", "money"),
        TableColumn("campaign", "Credited to"),
        TableColumn("text", "To Pinterest"),
    ]
    title = "Newest orders"
    note = f"Placed in these days; {_NEWEST} at most, each with its whole revenue."
    return PageTable("orders", title, columns, rows, empty="No order in these days.", note=note)


CAMPAIGN_PAGE = DashboardPage(
    "campaign",
    "/campaigns/<campaign>",
    "Campaign",
    _view,
    parameters=(*PICKERS, "name"),
    in_navigation=False,
)
