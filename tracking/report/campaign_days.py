"""Revenue and spend of campaigns over time, named as the ROI report names them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from tracking.domain.money import to_major
from tracking.domain.shop_days import ShopDays
from tracking.report.campaigns import CampaignKey, CampaignLabel, CampaignNames, label_of
from tracking.report.credit_sums import CreditSpan, are_complete, credit_sums
from tracking.report.roi import spend_text
from tracking.store import campaign_figures, spend
from tracking.store.engine.statement import Connection


class _LabelRevenue(NamedTuple):
    """The net revenue (minor units) of a campaign, as touches named it, in a step; `newest` is the
    newest credited instant."""

    step: int
    currency: str
    label: CampaignLabel
    net: int
    newest: int


@dataclass(frozen=True, slots=True)
class EarningCampaigns:
    """The names of all campaigns, and those of them that earned something in some days."""

    names: CampaignNames
    keys: frozenset[CampaignKey]


def earning_campaigns(conn: Connection, span: CreditSpan, days: ShopDays) -> EarningCampaigns:
    """Returns the campaigns as the ROI report of a span names them."""
    labels = [*map(label_of, credit_sums(conn, span, days))]
    names = CampaignNames([*labels, *_paid_for(conn)])
    return EarningCampaigns(names, frozenset(map(names.key_of, labels)))


def revenue_by_step(
    conn: Connection, span: CreditSpan, days: ShopDays, step_days: int
) -> dict[tuple[str, CampaignKey], list[int]]:
    """Returns the net revenue (minor units) of each campaign in each currency, `step_days` days a
    step. The sums are those of the ROI report."""
    found = sorted(_revenue(conn, span, days, step_days), key=lambda row: row.newest)
    names = CampaignNames([*(row.label for row in found), *_paid_for(conn)])
    keys = {label: names.key_of(label) for label in {row.label for row in found}}
    count = _steps_in(span, step_days)
    net: dict[tuple[str, CampaignKey], list[int]] = {}
    for row in found:
        net.setdefault((row.currency, keys[row.label]), [0] * count)[row.step] += row.net
    return net


def _paid_for(conn: Connection) -> list[CampaignLabel]:
    return [CampaignLabel(True, row.campaign_id, row.campaign) for row in spend.names(conn)]


def _steps_in(span: CreditSpan, step_days: int) -> int:
    return (span.last - span.first) // step_days + 1


def _revenue(
    conn: Connection,
    span: CreditSpan,
    days: ShopDays,
    step_days: int,
    of: CampaignKey | None = None,
) -> Iterator[_LabelRevenue]:
    """Yields the revenue of all campaigns, or that `of` one and of those that it may be."""
    if not are_complete(conn, days):
        yield from _counted_revenue(conn, span, days, step_days)
        return
    asked = (conn, span.report_by, span.bit, (span.first, span.last), step_days)
    summed = (
        campaign_figures.steps(*asked)
        if of is None
        else campaign_figures.steps_of_campaign(
            *asked, is_pinterest=of.is_pinterest, campaign_id=of.campaign_id
        )
    )
    for row in summed:
        yield _LabelRevenue(row.step, row.currency, label_of(row), int(row.net), row.newest)
    bounds = days.begin(span.first), days.begin(span.last + 1)
    for new in campaign_figures.pending(conn, span.report_by, span.bit, *bounds):
        step = (days.day_of(new.at) - span.first) // step_days
        yield _LabelRevenue(step, new.currency, label_of(new), new.net, new.credited_at)


def _counted_revenue(
    conn: Connection, span: CreditSpan, days: ShopDays, step_days: int
) -> Iterator[_LabelRevenue]:
    """Yields the revenue while there are no sums by day yet: one query a step."""
    for step, day in enumerate(range(span.first, span.last + 1, step_days)):
        last = min(day + step_days - 1, span.last)
        part = CreditSpan(day, last, span.bit, span.report_by, span.longest_window)
        for row in credit_sums(conn, part, days):
            yield _LabelRevenue(step, row.currency, label_of(row), int(row.net), row.newest)


def days_of_campaign(
    conn: Connection,
    span: CreditSpan,
    days: ShopDays,
    step_days: int,
    names: CampaignNames,
    key: CampaignKey,
) -> dict[str, list[dict[str, Any]]]:
    """Returns a line for each step of a campaign, by currency: its first day, the revenue and the
    spend."""
    nothing = [0] * _steps_in(span, step_days)
    nets: dict[str, list[int]] = {}
    for row in _revenue(conn, span, days, step_days, key):
        if names.key_of(row.label) == key:
            nets.setdefault(row.currency, [*nothing])[row.step] += row.net
    micros: dict[str, list[int]] = {}
    for cost in spend.of_campaign(conn, key.campaign_id, *span.dates) if key.is_pinterest else ():
        if names.key_of(CampaignLabel(True, cost.campaign_id, cost.campaign)) == key:
            step = (date.fromisoformat(cost.date).toordinal() - span.first) // step_days
            micros.setdefault(cost.currency, [*nothing])[step] += cost.micros
    firsts = range(span.first, span.last + 1, step_days)
    return {
        currency: [
            {
                "date": date.fromordinal(day).isoformat(),
                "revenue": to_major(net, currency),
                "spend": spend_text(cost, currency),
                "currency": currency,
            }
            for day, net, cost in zip(
                firsts, nets.get(currency, nothing), micros.get(currency, nothing), strict=True
            )
        ]
        for currency in sorted({*nets, *micros})
    }
