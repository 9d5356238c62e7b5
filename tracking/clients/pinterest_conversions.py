"""Pinterest's own count of the conversions of campaigns, from its Ads API."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple, cast

import msgspec

from tracking.clients.pinterest_ads import (
    MAX_RESPONSE,
    PinterestAds,
    Unreadable,
    checked_ids,
    whole_number,
)
from tracking.domain.pinterest_windows import PinterestWindows

ReportBy = Literal["order_date", "click_date"]

_REPORT_TIMES: dict[ReportBy, str] = {
    "order_date": "TIME_OF_CONVERSION",
    "click_date": "TIME_OF_AD_ACTION",
}
# A row with all its columns takes about 430 bytes, and more where figures are long.
_ROW_BYTES = 520
MAX_ROWS = MAX_RESPONSE // _ROW_BYTES


class CampaignConversions(NamedTuple):
    """The checkouts that Pinterest counts for a campaign, and their value in millionths."""

    orders: int = 0
    value_micros: int = 0
    click_orders: int = 0
    click_micros: int = 0
    view_orders: int = 0
    view_micros: int = 0
    web_orders: int = 0
    offline_orders: int = 0


def _column(name: str) -> Decimal | None:
    """Returns the field of a column, which is missing where it has no value."""
    return cast("Decimal | None", msgspec.field(name=name, default=None))


class _ConversionsRow(msgspec.Struct):
    date: str = msgspec.field(name="DATE")
    id: str | int = msgspec.field(name="CAMPAIGN_ID")
    orders: Decimal | None = _column("TOTAL_CHECKOUT")
    value_micros: Decimal | None = _column("TOTAL_CHECKOUT_VALUE_IN_MICRO_DOLLAR")
    click_orders: Decimal | None = _column("TOTAL_CLICK_CHECKOUT")
    click_micros: Decimal | None = _column("TOTAL_CLICK_CHECKOUT_VALUE_IN_MICRO_DOLLAR")
    view_orders: Decimal | None = _column("TOTAL_VIEW_CHECKOUT")
    view_micros: Decimal | None = _column("TOTAL_VIEW_CHECKOUT_VALUE_IN_MICRO_DOLLAR")
    web_orders: Decimal | None = _column("TOTAL_WEB_CHECKOUT")
    offline_orders: Decimal | None = _column("TOTAL_OFFLINE_CHECKOUT")


_COLUMNS = [
    field.encode_name
    for field in msgspec.structs.fields(_ConversionsRow)
    if field.name in CampaignConversions._fields
]


def read(
    ads: PinterestAds,
    ids: Sequence[str],
    start: date,
    end: date,
    report_by: ReportBy,
    windows: PinterestWindows,
) -> dict[tuple[str, str], CampaignConversions]:
    """Conversions of 1 to 250 campaigns on each UTC day from `start` to `end` (at most 90 days,
    inclusive), by ISO date and campaign id. A campaign without any may be absent.

    Raises:
        PinterestAdsError: the conversions cannot be read.
    """
    asked = {
        "campaign_ids": ids,
        **windows._asdict(),
        # Saves and close-ups of a pin are neither clicks nor views.
        "engagement_window_days": 0,
        "conversion_report_time": _REPORT_TIMES[report_by],
    }
    rows = ads.analytics("/campaigns/analytics", asked, start, end, _COLUMNS, _ConversionsRow)
    checked_ids(rows, ids)
    return {(row.date, str(row.id)): _conversions(row) for row in rows}


def _conversions(row: _ConversionsRow) -> CampaignConversions:
    told = CampaignConversions(
        *(whole_number(getattr(row, name), "a figure") for name in CampaignConversions._fields)
    )
    if min(told) < 0:
        raise Unreadable("Pinterest answered with conversions below zero")
    return told
