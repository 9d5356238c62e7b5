"""The ROI report: orders, revenue, spend and their ratios, by campaign and currency.

Figures are rounded only at the very end, and amounts of different currencies are never added.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple, Protocol

from tracking.domain.attribution import WHOLE_ORDER
from tracking.domain.money import MICROS, digits, to_major
from tracking.report.campaigns import (
    NOT_ATTRIBUTED,
    CampaignKey,
    CampaignLabel,
    CampaignNames,
    label_of,
)

_CENT = Decimal("0.01")


class EarnedCredit(NamedTuple):
    """The credits of one campaign in one currency; minor units, and millionths of orders.

    `new_…` are those of new customers, `returning_…` of returning ones.
    """

    currency: str
    is_pinterest: bool
    campaign_id: str
    campaign: str
    share: int
    gross: int
    net: int
    cancellations: int
    new_share: int = 0
    new_net: int = 0
    returning_share: int = 0


class CampaignSpend(NamedTuple):
    """The spend of one campaign in one currency, in millionths of the major unit."""

    campaign_id: str
    campaign: str
    currency: str
    micros: int


class NamesLines(Protocol):
    """Tells the line of a report that a campaign's figures belong to."""

    def key_of(self, label: CampaignLabel) -> CampaignKey: ...


@dataclass(slots=True)
class _Sums:
    """Running sums of one line of the report."""

    share: int = 0
    gross: int = 0
    net: int = 0
    cancellations: int = 0
    new_share: int = 0
    new_net: int = 0
    returning_share: int = 0
    credited_share: int = 0
    credited_net: int = 0
    credited_new_share: int = 0
    micros: int = 0
    # It earned in other currencies only, so the return of its spend is unknown.
    earns_elsewhere: bool = False

    def add_credit(self, row: EarnedCredit) -> None:
        self.share += row.share
        self.gross += row.gross
        self.net += row.net
        self.cancellations += row.cancellations
        self.new_share += row.new_share
        self.new_net += row.new_net
        self.returning_share += row.returning_share
        if row.is_pinterest:
            self.credited_share += row.share
            self.credited_net += row.net
            self.credited_new_share += row.new_share

    def add_orders(self, other: "_Sums") -> None:
        """Adds the orders of another line, whose money is of another currency."""
        self.share += other.share
        self.new_share += other.new_share
        self.returning_share += other.returning_share


@dataclass(slots=True)
class _CampaignLine(_Sums):
    campaign_id: str = ""
    campaign: str = ""
    is_pinterest: bool = False


@dataclass(slots=True)
class _CurrencyTotals(_Sums):
    """One currency: its own sums and a line for each campaign."""

    currency: str = ""
    lines: dict[tuple[str, ...], _CampaignLine] = field(default_factory=dict)


def roi_report(
    earned: Iterable[EarnedCredit],
    spent: Iterable[CampaignSpend],
    paid_for: Iterable[CampaignLabel] = (),
    *,
    has_ratios: bool = True,
) -> dict[str, Any]:
    """Returns orders, revenue and spend, in total and by campaign.

    Totals cover every order, and the campaigns sum to them exactly: orders that Pinterest is not
    credited with stand in the line "(not attributed)". ROAS, ROI and CPA compare the spend with
    the credits of Pinterest's touches only, never with other orders.

    `earned` and `spent` list the newest name of a renamed campaign last; `paid_for` are the names
    that the spend of all days tells. Without `has_ratios` the campaigns of a currency tell their
    ROAS, but neither ROI and CPA nor whose customers their orders are of.
    """
    earned, spent = list(earned), list(spent)
    told = [label_of(row) for row in earned]
    names = CampaignNames([*told, *map(_label, spent), *paid_for])
    return report_of_lines(earned, spent, names, has_ratios=has_ratios)


def report_of_lines(
    earned: Iterable[EarnedCredit],
    spent: Iterable[CampaignSpend],
    names: NamesLines,
    *,
    has_ratios: bool,
) -> dict[str, Any]:
    """Returns orders, revenue and spend, as `roi_report` does, by the lines of these names."""
    currencies: dict[str, _CurrencyTotals] = {}
    for row in earned:
        totals = currencies.setdefault(row.currency, _CurrencyTotals(currency=row.currency))
        totals.add_credit(row)
        _line(totals, row, names).add_credit(row)
    for cost in (row for row in spent if row.micros):
        totals = currencies.setdefault(cost.currency, _CurrencyTotals(currency=cost.currency))
        totals.micros += cost.micros
        line = _campaign_line(totals, names.key_of(_label(cost)))
        line.micros += cost.micros
    _mark_earning_elsewhere(currencies.values())
    ordered = [currencies[currency] for currency in sorted(currencies)]
    if len(ordered) > 1:
        return _multi_currency(ordered, has_ratios=has_ratios)
    reports = [_one_currency(each, has_ratios=has_ratios) for each in ordered]
    nothing = _one_currency(_CurrencyTotals(), has_ratios=has_ratios)
    return {**(reports[0] if reports else {**nothing, "currency": None}), "currencies": reports}


def _mark_earning_elsewhere(currencies: Collection[_CurrencyTotals]) -> None:
    earning = {
        key for totals in currencies for key, line in totals.lines.items() if line.credited_share
    }
    for totals in currencies:
        totals.earns_elsewhere = bool(earning) and not totals.credited_share
        for key, line in totals.lines.items():
            line.earns_elsewhere = key in earning and not line.credited_share


def _label(cost: CampaignSpend) -> CampaignLabel:
    return CampaignLabel(True, cost.campaign_id, cost.campaign)


def _line(totals: _CurrencyTotals, row: EarnedCredit, names: NamesLines) -> _CampaignLine:
    return _campaign_line(totals, names.key_of(label_of(row)))


def _campaign_line(totals: _CurrencyTotals, key: CampaignKey) -> _CampaignLine:
    campaign, campaign_id, is_pinterest = key
    place = (str(is_pinterest), campaign_id or f"name:{campaign}")
    line = totals.lines.get(place)
    if line is None:
        line = _CampaignLine(campaign_id=campaign_id, campaign=campaign, is_pinterest=is_pinterest)
        totals.lines[place] = line
    elif not line.campaign:
        line.campaign = campaign
    return line


def _campaigns(totals: _CurrencyTotals, *, has_ratios: bool) -> list[dict[str, Any]]:
    lines = [line for line in totals.lines.values() if line.share or line.gross or line.micros]
    lines.sort(key=lambda line: (line.campaign == NOT_ATTRIBUTED, -line.net, _title(line)))
    spend = _printed_spend([line.micros for line in lines], totals)
    return [
        {
            "campaign_id": line.campaign_id,
            "campaign": line.campaign,
            "orders": _orders(line.share),
            "revenue": to_major(line.net, totals.currency),
            "spend": text,
            **(
                _whole(line, totals.currency)
                if has_ratios
                else {"roas": _roas(line, totals.currency)}
            ),
        }
        for line, text in zip(lines, spend, strict=True)
    ]


def _printed_spend(parts: Sequence[int], totals: _CurrencyTotals) -> list[str]:
    """Returns the spend of all lines as texts that sum to the printed total, by largest
    remainder."""
    unit = MICROS // 10 ** digits(totals.currency)
    minor = [part // unit for part in parts]
    spare = _half_up(totals.micros, unit) - sum(minor)
    for n in sorted(range(len(parts)), key=lambda n: -(parts[n] % unit))[:spare]:
        minor[n] += 1
    return [to_major(amount, totals.currency) for amount in minor]


def _half_up(micros: int, unit: int) -> int:
    return int((Decimal(micros) / unit).quantize(Decimal(1), ROUND_HALF_UP))


def _title(line: _CampaignLine) -> str:
    return f"{line.campaign}\0{line.campaign_id}"


def _one_currency(totals: _CurrencyTotals, *, has_ratios: bool) -> dict[str, Any]:
    return {
        "currency": totals.currency,
        **_figures(totals, totals.currency),
        "campaigns": _campaigns(totals, has_ratios=has_ratios),
    }


def _figures(sums: _Sums, currency: str) -> dict[str, Any]:
    refunds = sums.gross - sums.net - sums.cancellations
    return {
        "orders": _orders(sums.share),
        "gross_revenue": to_major(sums.gross, currency),
        "refunds": to_major(refunds, currency),
        "cancellations": to_major(sums.cancellations, currency),
        "total_revenue": to_major(sums.net, currency),
        "total_spend": spend_text(sums.micros, currency),
        **_whole(sums, currency),
    }


def _whole(sums: _Sums, currency: str) -> dict[str, Any]:
    return {**_ratios(sums, currency), **_customers(sums, currency)}


def _customers(sums: _Sums, currency: str) -> dict[str, Any]:
    """Returns the orders and the revenue of new customers, what each of them cost, and of how many
    orders it is not known whose they are."""
    spend = Decimal(0 if sums.earns_elsewhere else sums.micros) / MICROS
    new = Decimal(sums.credited_new_share) / WHOLE_ORDER
    return {
        "new_orders": _orders(sums.new_share),
        "new_revenue": to_major(sums.new_net, currency),
        "new_customer_cpa": _round(spend / new, currency) if spend and new else None,
        "unknown": _orders(sums.share - sums.new_share - sums.returning_share),
    }


def _ratios(sums: _Sums, currency: str) -> dict[str, str | None]:
    """Returns ROAS, ROI and CPA, each None where there is no divisor or no spend to compare."""
    spend = _compared_spend(sums)
    revenue = Decimal(sums.credited_net).scaleb(-digits(currency))
    orders = Decimal(sums.credited_share) / WHOLE_ORDER
    return {
        "roas": _roas(sums, currency),
        "roi": _round((revenue - spend) / spend) if spend else None,
        "cpa": _round(spend / orders, currency) if spend and orders else None,
    }


def _roas(sums: _Sums, currency: str) -> str | None:
    spend = _compared_spend(sums)
    revenue = Decimal(sums.credited_net).scaleb(-digits(currency))
    return _round(revenue / spend) if spend else None


def _compared_spend(sums: _Sums) -> Decimal:
    # Where parts were read at different times, the rest of a sum may be below zero.
    return Decimal(0 if sums.earns_elsewhere else max(0, sums.micros)) / MICROS


def _multi_currency(currencies: Sequence[_CurrencyTotals], *, has_ratios: bool) -> dict[str, Any]:
    """Returns the report of several currencies, whose totals count orders only."""
    figures = _figures(_Sums(), "")
    campaigns: dict[tuple[str, ...], dict[str, Any]] = {}
    shares: dict[tuple[str, ...], _Sums] = {}
    for totals in currencies:
        for key, line in totals.lines.items():
            sums = shares.setdefault(key, _Sums())
            sums.add_orders(line)
            campaigns[key] = {
                "campaign_id": line.campaign_id,
                "campaign": line.campaign,
                **dict.fromkeys(("orders", "revenue", "spend", "roas", "roi", "cpa")),
                **_orders_alone(sums),
            }
    whole = _Sums()
    for totals in currencies:
        whole.add_orders(totals)
    return {
        "currency": None,
        **dict.fromkeys(figures),
        **_orders_alone(whole),
        "campaigns": sorted(
            campaigns.values(),
            key=lambda c: (c["campaign"] == NOT_ATTRIBUTED, c["campaign"], c["campaign_id"]),
        ),
        "currencies": [_one_currency(totals, has_ratios=has_ratios) for totals in currencies],
    }


def _orders_alone(sums: _Sums) -> dict[str, Any]:
    customers = _customers(sums, "")
    return {"orders": _orders(sums.share), **customers, "new_revenue": None}


def _orders(share: int) -> int | float:
    """Returns orders as a whole number; as a fraction only where campaigns share an order."""
    whole, part = divmod(share, WHOLE_ORDER)
    return share / WHOLE_ORDER if part else whole


def spend_text(micros: int, currency: str) -> str:
    """Returns millionths of the major unit as decimal text with the currency's digits."""
    return _round(Decimal(micros) / MICROS, currency)


def _round(value: Decimal, currency: str = "") -> str:
    step = Decimal(1).scaleb(-digits(currency)) if currency else _CENT
    return str(value.quantize(step, ROUND_HALF_UP))
