"""The lines of the comparison: the totals, a day or a campaign, as the report tells them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tracking.domain.attribution import WHOLE_ORDER, share_text
from tracking.domain.conversion import REASONS
from tracking.domain.money import MICROS, digits, to_major
from tracking.domain.waterfall import (
    PARTS,
    Amount,
    Part,
    PartName,
    PinterestSums,
    Waterfall,
)
from tracking.report.share_sums import ShareSums
from tracking.store.pinterest_figures import PinterestCampaign, PinterestDay

# The states of an event that was not delivered, in words.
_STATES = {
    "waiting": "It waits to be sent.",
    "dead": "Pinterest refused it, or it expired before it was sent.",
    "discarded": "It was given up.",
    "lost": "It left no trace in the outbox.",
}


@dataclass(slots=True)
class ComparisonLine:
    """One line: what is credited here and why Pinterest's figure differs, Pinterest's own figures
    and what the shop sold, each by currency."""

    sums: ShareSums = field(default_factory=ShareSums)
    pinterest: dict[str, PinterestSums] = field(default_factory=dict)
    sold: dict[str, Amount] = field(default_factory=dict)

    def add_pinterest(self, row: PinterestDay | PinterestCampaign) -> None:
        """Adds figures of Pinterest's."""
        known, sums = self.pinterest.get(row.currency), _sums_of(row)
        self.pinterest[row.currency] = sums if known is None else _sum_of((known, sums))

    def add_sold(self, currency: str, share: int, net: int) -> None:
        """Adds orders that the shop sold, and their revenue."""
        known = self.sold.get(currency, Amount())
        self.sold[currency] = Amount(known.share + share, known.value + net)

    @property
    def waterfall(self) -> Waterfall:
        """The difference, built up share by share."""
        return self.sums.waterfall

    @property
    def currencies(self) -> list[str]:
        """The currencies of what is credited here."""
        return sorted(code for code, share in self.sums.by_currency.items() if share)

    @property
    def all_currencies(self) -> set[str]:
        """Every currency of the two figures that are compared."""
        return {*self.currencies} | {code for code, sums in self.pinterest.items() if any(sums)}

    @property
    def is_empty(self) -> bool:
        """True if neither side counts anything."""
        return not self.all_currencies

    @property
    def size(self) -> int:
        """The orders of the side that counts more of them, in millionths."""
        return max(self._pinterest_sums().orders * WHOLE_ORDER, self.waterfall.credited.share)

    def told(self, currency: str, *, is_read: bool) -> dict[str, Any]:
        """Returns the line as the report tells it; `currency` is that of sums of nothing.

        Until Pinterest's figures are read there is nothing to compare with.
        """
        return {
            "pinterest": self._pinterest(currency) if is_read else None,
            "credited": self._credited(currency),
            "difference": self._difference(currency) if is_read else None,
        }

    def told_sold(self, currency: str) -> dict[str, Any]:
        """Returns what the shop sold."""
        code = _only(self.sold, currency)
        orders = sum(sold.share for sold in self.sold.values()) // WHOLE_ORDER
        revenue = sum(sold.value for sold in self.sold.values())
        return {"orders": orders, "revenue": _money(revenue, code), "currency": code}

    def _pinterest(self, currency: str) -> dict[str, Any]:
        sums, code = self._pinterest_sums(), _only(self.pinterest, currency)
        return {
            "orders": sums.orders,
            "value": _money(sums.value, code),
            "currency": code,
            "click_orders": sums.click_orders,
            "click_value": _money(sums.click_value, code),
            "view_orders": sums.view_orders,
            "view_value": _money(sums.view_value, code),
            "web_orders": sums.web_orders,
            "offline_orders": sums.offline_orders,
        }

    def _pinterest_sums(self) -> PinterestSums:
        return _sum_of(self.pinterest.values())

    def _credited(self, currency: str) -> dict[str, Any]:
        code, credited = _only(self.currencies, currency), self.waterfall.credited
        return {
            "orders": share_text(credited.share),
            "value": _money(credited.value, code),
            "currency": code,
        }

    def _difference(self, currency: str) -> dict[str, Any]:
        sums, code = self._pinterest_sums(), _only(self.all_currencies, currency)
        whole = self.waterfall.difference(sums)
        return {
            **_amount(whole, code),
            "currency": code,
            "parts": [_part(part, code) for part in self.waterfall.parts(sums)],
        }


def _sum_of(every: Collection[PinterestSums]) -> PinterestSums:
    if len(every) == 1:
        return next(iter(every))
    return PinterestSums(*map(sum, zip(PinterestSums(), *every, strict=True)))


def _sums_of(row: PinterestDay | PinterestCampaign) -> PinterestSums:
    unit = MICROS // 10 ** digits(row.currency)
    return PinterestSums(
        orders=int(row.orders),
        value=_minor(row.value_micros, unit),
        click_orders=int(row.click_orders),
        click_value=_minor(row.click_micros, unit),
        view_orders=int(row.view_orders),
        view_value=_minor(row.view_micros, unit),
        web_orders=int(row.web_orders),
        offline_orders=int(row.offline_orders),
    )


def _minor(micros: Any, unit: int) -> int:
    """Returns millionths of the major unit as minor units, half up."""
    return (2 * int(micros) + unit) // (2 * unit)


def _only(currencies: Iterable[str], otherwise: str) -> str | None:
    """Returns the one currency; the other one if there is none, and None if there are several."""
    found = [*currencies]
    if len(found) > 1:
        return None
    return found[0] if found else otherwise or None


def _money(minor: int, currency: str | None) -> str | None:
    """Returns an amount as text; None if it is of several currencies."""
    if currency is None:
        return None if minor else to_major(0, "")
    return to_major(minor, currency)


def _amount(amount: Amount, currency: str | None) -> dict[str, Any]:
    share, value = amount
    return {"orders": share_text(share), "value": _money(value, currency)}


def _part(part: Part, currency: str | None) -> dict[str, Any]:
    reasons = part.reasons
    if not (part.share or part.value or reasons):
        return _nothing(part.name, currency)
    # In single steps: a report tells thousands of parts.
    return {
        "part": part.name,
        "basis": PARTS[part.name],
        "orders": share_text(part.share),
        "value": _money(part.value, currency),
        "reasons": _reasons(reasons, currency) if reasons else [],
        "order_ids": [*part.order_ids],
    }


@lru_cache(maxsize=1024)
def _nothing(name: PartName, currency: str | None) -> dict[str, Any]:
    """Returns a part of nothing, as most of them are."""
    amount = _amount(Amount(), currency)
    return {"part": name, "basis": PARTS[name], **amount, "reasons": [], "order_ids": []}


def _reasons(reasons: Mapping[str, Amount], currency: str | None) -> list[dict[str, Any]]:
    ordered = sorted((share, reason, value) for reason, (share, value) in reasons.items())
    return [
        {
            "reason": reason,
            "text": _STATES.get(reason) or REASONS[reason],
            "orders": share_text(share),
            "value": _money(value, currency),
        }
        for share, reason, value in ordered
    ]
