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
class CampaignSteps:
    """The net revenue (minor units) of each campaign in each currency, step by step, and the names
    of all campaigns."""

    names: CampaignNames
    net: dict[tuple[str, CampaignKey], list[int]]


def campaign_steps(
    conn: Connection, span: CreditSpan, days: ShopDays, step_days: int
) -> CampaignSteps:
    """Returns the revenue of each campaign, `step_days` days a step. The sums are those of the ROI
    report."""
    found = sorted(_revenue(conn, span, days, step_days), key=lambda row: row.newest)
    paid_for = (CampaignLabel(True, row.campaign_id, row.campaign) for row in spend.names(conn))
    names = CampaignNames([*(row.label for row in found), *paid_for])
    count = (span.last - span.first) // step_days + 1
    net: dict[tuple[str, CampaignKey], list[int]] = {}
    keys = {label: names.key_of(label) for label in {row.label for row in found}}
    for row in found:
        net.setdefault((row.currency, keys[row.label]), [0] * count)[row.step] += row.net
    return CampaignSteps(names, net)


def _revenue(
    conn: Connection, span: CreditSpan, days: ShopDays, step_days: int
) -> Iterator[_LabelRevenue]:
    if not are_complete(conn, days):
        yield from _counted_revenue(conn, span, days, step_days)
        return
    ends = span.first, span.last
    for row in campaign_figures.steps(conn, span.report_by, span.bit, ends, step_days):
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
    conn: Connection, span: CreditSpan, steps: CampaignSteps, key: CampaignKey, step_days: int
) -> dict[str, list[dict[str, Any]]]:
    """Returns a line for each step of a campaign, by currency: its first day, the revenue and the
    spend."""
    firsts = range(span.first, span.last + 1, step_days)
    nets = {currency: net for (currency, each), net in steps.net.items() if each == key}
    micros: dict[str, list[int]] = {}
    start, end = (date.fromordinal(day).isoformat() for day in (span.first, span.last))
    for cost in spend.rows(conn, start, end):
        if steps.names.key_of(CampaignLabel(True, cost.campaign_id, cost.campaign)) == key:
            step = (date.fromisoformat(cost.date).toordinal() - span.first) // step_days
            micros.setdefault(cost.currency, [0] * len(firsts))[step] += cost.micros
    nothing = [0] * len(firsts)
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
