"""The conversion funnel, from product view to purchase."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tracking.domain.conversion import STAGES
from tracking.report.campaigns import NOT_ATTRIBUTED, CampaignKey


def funnel_report(
    counts: Mapping[str, tuple[int, int]],
    by_campaign: Mapping[CampaignKey, Mapping[str, tuple[int, int]]],
) -> dict[str, Any]:
    """Returns the funnel, in total and by campaign, from the (events, visitors) of each stage."""
    campaigns = [
        {"campaign_id": campaign_id, "campaign": campaign, **_stages(stages)}
        for (campaign, campaign_id, _), stages in sorted(
            by_campaign.items(), key=lambda item: (item[0][0] == NOT_ATTRIBUTED, item[0])
        )
    ]
    return {**_stages(counts), "by_campaign": campaigns}


def _stages(counts: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    stages: list[dict[str, Any]] = []
    previous: int | None = None
    for stage in STAGES:
        events, visitors = counts.get(stage, (0, 0))
        rate = _percent(visitors, previous, "0.1") if previous else None
        stages.append(
            {"stage": stage, "events": events, "visitors": visitors, "rate_from_previous": rate}
        )
        previous = visitors
    first = next((s["visitors"] for s in stages if s["visitors"]), 0)
    return {
        "total_events": sum(s["events"] for s in stages),
        "conversion_rate": _percent(stages[-1]["visitors"], first, "0.01") if first else "0%",
        "stages": stages,
    }


def _percent(part: int, whole: int, step: str) -> str:
    rate = Decimal(100 * part) / Decimal(whole)
    return f"{rate.quantize(Decimal(step), ROUND_HALF_UP)}%"
