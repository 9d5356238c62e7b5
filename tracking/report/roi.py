"""The reports' arithmetic: counts and money in, the figures a shop reads out. No rounding but
at the very end, and no currency ever added to another."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tracking.domain.money import digits, to_major
from tracking.report.campaigns import NOT_ATTRIBUTED, campaign_name

_WHOLE_ORDER = 1_000_000
_MICROS = 1_000_000
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class EarnedCredit:
    """What one campaign earned in one currency; minor units, and millionths of orders."""

    currency: str
    is_pinterest: bool
    campaign_id: str
    campaign: str
    share: int
    gross: int
    net: int
    cancellations: int


@dataclass(frozen=True, slots=True)
class CampaignSpend:
    """What one campaign cost in one currency, in millionths of the major unit."""

    campaign_id: str
    campaign: str
    currency: str
    micros: int


@dataclass(slots=True)
class _Sums:
    """Running sums of one line of the report."""

    share: int = 0
    gross: int = 0
    net: int = 0
    cancellations: int = 0
    credited_share: int = 0
    credited_net: int = 0
    micros: int = 0
    # It earned in other currencies only, so nobody can tell what its spend returned.
    earns_elsewhere: bool = False

    def earn(self, row: EarnedCredit) -> None:
        self.share += row.share
        self.gross += row.gross
        self.net += row.net
        self.cancellations += row.cancellations
        if row.is_pinterest:
            self.credited_share += row.share
            self.credited_net += row.net


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


# --- The funnel


# --- Return on investment


def roi_report(earned: Iterable[EarnedCredit], spent: Iterable[CampaignSpend]) -> dict[str, Any]:
    """Orders, revenue and spend, over all and by campaign.

    Totals cover every order, and the campaigns sum to them exactly: what Pinterest did not earn
    stands in the line "(not attributed)". ROAS, ROI and CPA weigh the spend against what
    Pinterest's own touches earned, never against orders that came by themselves.

    Of a campaign that was renamed, the spend under its newest name comes last.
    """
    spent = list(spent)
    names = _Names.of(spent)
    books: dict[str, _CurrencyTotals] = {}
    for row in earned:
        book = books.setdefault(row.currency, _CurrencyTotals(currency=row.currency))
        book.earn(row)
        _line(book, row, names).earn(row)
    for cost in (one for one in spent if one.micros):
        book = books.setdefault(cost.currency, _CurrencyTotals(currency=cost.currency))
        book.micros += cost.micros
        line = _campaign_line(book, True, cost.campaign_id, names.of_id.get(cost.campaign_id, ""))
        line.micros += cost.micros
    _mark_what_earns_elsewhere(books.values())
    ordered = [books[currency] for currency in sorted(books)]
    if len(ordered) > 1:
        return _several(ordered)
    book = ordered[0] if ordered else _CurrencyTotals()
    return {
        "currency": book.currency or None,
        **_figures(book, book.currency),
        "campaigns": _campaigns(book),
        "currencies": [_one(b) for b in ordered],
    }


def _mark_what_earns_elsewhere(books: Collection[_CurrencyTotals]) -> None:
    earning = {key for book in books for key, line in book.lines.items() if line.credited_share}
    for book in books:
        book.earns_elsewhere = bool(earning) and not book.credited_share
        for key, line in book.lines.items():
            line.earns_elsewhere = key in earning and not line.credited_share


@dataclass(frozen=True, slots=True)
class _Names:
    """What the spend rows know of campaigns: the last name of each id, and the id of each name."""

    of_id: Mapping[str, str]
    to_id: Mapping[str, str]

    @classmethod
    def of(cls, spent: Sequence[CampaignSpend]) -> "_Names":
        of_id: dict[str, str] = {}
        for cost in spent:
            if cost.campaign or cost.campaign_id not in of_id:
                of_id[cost.campaign_id] = cost.campaign
        ever = {(cost.campaign_id, cost.campaign) for cost in spent}
        # Who bears a name now comes before who bore it once.
        claims = sorted(ever, reverse=True) + sorted(of_id.items(), reverse=True)
        to_id = {name.casefold(): campaign_id for campaign_id, name in claims if name}
        return cls(of_id, to_id)

    def id_of(self, campaign_id: str, campaign: str) -> str:
        """The campaign's id, by id first, else by its name; many shops put the id in the name."""
        if campaign_id:
            return campaign_id
        return campaign if campaign in self.of_id else self.to_id.get(campaign.casefold(), "")


def _line(book: _CurrencyTotals, row: EarnedCredit, names: _Names) -> _CampaignLine:
    if not row.is_pinterest:
        # Another network's campaign must not meet Pinterest's spend of the same name.
        name = campaign_name(False, row.campaign_id, row.campaign)
        return _campaign_line(book, False, row.campaign_id, name)
    campaign_id = names.id_of(row.campaign_id, row.campaign)
    name = campaign_name(True, campaign_id, row.campaign)
    return _campaign_line(book, True, campaign_id, names.of_id.get(campaign_id) or name)


def _campaign_line(
    book: _CurrencyTotals, is_pinterest: bool, campaign_id: str, campaign: str
) -> _CampaignLine:
    key = (str(is_pinterest), campaign_id or f"name:{campaign}")
    line = book.lines.get(key)
    if line is None:
        line = _CampaignLine(campaign_id=campaign_id, campaign=campaign, is_pinterest=is_pinterest)
        book.lines[key] = line
    elif not line.campaign:
        line.campaign = campaign
    return line


def _campaigns(book: _CurrencyTotals) -> list[dict[str, Any]]:
    lines = [line for line in book.lines.values() if line.share or line.gross or line.micros]
    lines.sort(key=lambda line: (line.campaign == NOT_ATTRIBUTED, -line.net, _title(line)))
    return [
        {
            "campaign_id": line.campaign_id,
            "campaign": line.campaign,
            "orders": _orders(line.share),
            "revenue": to_major(line.net, book.currency),
            "spend": spend_text(line.micros, book.currency),
            **_ratios(line, book.currency),
        }
        for line in lines
    ]


def _title(line: _CampaignLine) -> str:
    return f"{line.campaign}\0{line.campaign_id}"


def _one(book: _CurrencyTotals) -> dict[str, Any]:
    return {
        "currency": book.currency,
        **_figures(book, book.currency),
        "campaigns": _campaigns(book),
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
        **_ratios(sums, currency),
    }


def _ratios(sums: _Sums, currency: str) -> dict[str, str | None]:
    """ROAS, ROI and CPA, each None where there is nothing to divide by, or nothing to weigh."""
    spend = Decimal(0 if sums.earns_elsewhere else sums.micros) / _MICROS
    revenue = Decimal(sums.credited_net).scaleb(-digits(currency))
    orders = Decimal(sums.credited_share) / _WHOLE_ORDER
    return {
        "roas": _round(revenue / spend) if spend else None,
        "roi": _round((revenue - spend) / spend) if spend else None,
        "cpa": _round(spend / orders, currency) if spend and orders else None,
    }


def _several(books: Sequence[_CurrencyTotals]) -> dict[str, Any]:
    """Of several currencies only orders can be counted together."""
    figures = _figures(_Sums(), "")
    campaigns: dict[tuple[str, ...], dict[str, Any]] = {}
    shares: dict[tuple[str, ...], int] = {}
    for book in books:
        for key, line in book.lines.items():
            shares[key] = shares.get(key, 0) + line.share
            campaigns[key] = {
                "campaign_id": line.campaign_id,
                "campaign": line.campaign,
                "orders": _orders(shares[key]),
                **dict.fromkeys(("revenue", "spend", "roas", "roi", "cpa")),
            }
    return {
        "currency": None,
        **dict.fromkeys(figures),
        "orders": _orders(sum(book.share for book in books)),
        "campaigns": sorted(
            campaigns.values(),
            key=lambda c: (c["campaign"] == NOT_ATTRIBUTED, c["campaign"], c["campaign_id"]),
        ),
        "currencies": [_one(book) for book in books],
    }


def _orders(share: int) -> int | float:
    """Whole orders as a whole number; parts only where several campaigns share an order."""
    whole, part = divmod(share, _WHOLE_ORDER)
    return share / _WHOLE_ORDER if part else whole


def spend_text(micros: int, currency: str) -> str:
    """Millionths of the major unit as decimal text with the currency's digits."""
    return _round(Decimal(micros) / _MICROS, currency)


def _round(value: Decimal, currency: str = "") -> str:
    step = Decimal(1).scaleb(-digits(currency)) if currency else _CENT
    return str(value.quantize(step, ROUND_HALF_UP))
