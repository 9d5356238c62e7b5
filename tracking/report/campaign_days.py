"""Revenue and spend of campaigns over time, named as the ROI report names them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from tracking.domain.money import to_major
from tracking.domain.shop_days import ShopDays
from tracking.report.campaigns import CampaignKey, CampaignLabel, CampaignNames, label_of
from tracking.report.credit_sums import CreditSpan, are_complete, credit_sums
from tracking.report.roi import spend_text
from tracking.store import campaign_figures, spend
from tracking.store.engine.statement import Connection


@dataclass(slots=True)
class _StepRevenue:
    """The net revenue (minor units) of a campaign, as touches named it, in one currency by step;
    `newest` is the newest credited instant."""

    nets: list[int]
    newest: int = 0

    def add(self, step: int, net: int, newest: int) -> None:
        self.nets[step] += net
        self.newest = max(self.newest, newest)


_Revenue = dict[tuple[str, CampaignLabel], _StepRevenue]


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
    found = _revenue(conn, span, days, step_days)
    newest: dict[CampaignLabel, int] = {}
    for (_, label), line in found.items():
        newest[label] = max(line.newest, newest.get(label, 0))
    labels = sorted(newest, key=lambda label: (newest[label], label))
    names = CampaignNames([*labels, *_paid_for(conn)])
    net: dict[tuple[str, CampaignKey], list[int]] = {}
    for (currency, label), line in found.items():
        place = (currency, names.key_of(label))
        net[place] = _added(net[place], line.nets) if place in net else line.nets
    return net


def _added(some: Iterable[int], more: Iterable[int]) -> list[int]:
    return [one + other for one, other in zip(some, more, strict=True)]


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
) -> _Revenue:
    """Returns the revenue of all campaigns, or that `of` one and of those that it may be."""
    if not are_complete(conn, days):
        return _counted_revenue(conn, span, days, step_days)
    nothing = [0] * _steps_in(span, step_days)
    found = _summed_revenue(conn, span, step_days, of)
    bounds = days.begin(span.first), days.begin(span.last + 1)
    for new in campaign_figures.pending(conn, span.report_by, span.bit, *bounds):
        line = found.setdefault((new.currency, label_of(new)), _StepRevenue([*nothing]))
        line.add((days.day_of(new.at) - span.first) // step_days, new.net, new.credited_at)
    return found


def _summed_revenue(
    conn: Connection, span: CreditSpan, step_days: int, of: CampaignKey | None
) -> _Revenue:
    asked = (conn, span.report_by, span.bit, (span.first, span.last), step_days)
    summed = (
        campaign_figures.steps(*asked)
        if of is None
        else campaign_figures.steps_of_campaign(
            *asked, is_pinterest=of.is_pinterest, campaign_id=of.campaign_id
        )
    )
    nothing = [0] * _steps_in(span, step_days)
    # By numbers first: there are many rows, of few campaigns.
    by_id: dict[tuple[str, int], _StepRevenue] = {}
    for step, currency, campaign, net, newest in summed:
        line = by_id.get((currency, campaign))
        if line is None:
            line = by_id[currency, campaign] = _StepRevenue([*nothing])
        line.add(step, int(net), newest)
    campaigns = campaign_figures.campaigns(conn, {campaign for _, campaign in by_id})
    labels = {row.id: label_of(row) for row in campaigns}
    return {(currency, labels[id]): line for (currency, id), line in by_id.items()}


def _counted_revenue(
    conn: Connection, span: CreditSpan, days: ShopDays, step_days: int
) -> _Revenue:
    """Returns the revenue while there are no sums by day yet: one query a step."""
    nothing = [0] * _steps_in(span, step_days)
    found: _Revenue = {}
    for step, day in enumerate(range(span.first, span.last + 1, step_days)):
        last = min(day + step_days - 1, span.last)
        part = CreditSpan(day, last, span.bit, span.report_by, span.longest_window)
        for row in credit_sums(conn, part, days):
            line = found.setdefault((row.currency, label_of(row)), _StepRevenue([*nothing]))
            line.add(step, int(row.net), row.newest)
    return found


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
    for (currency, label), line in _revenue(conn, span, days, step_days, key).items():
        if names.key_of(label) == key:
            nets[currency] = _added(nets.get(currency, nothing), line.nets)
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
