"""Reads from the taxes of Shopify's lines whether their prices include them."""

from collections.abc import Iterable
from decimal import Decimal

from tracking.domain.money import amount
from tracking.domain.shopify_body import ZERO, LineBody, price_of, sum_of


def includes_taxes(lines: Iterable[LineBody]) -> bool | None:
    """Returns True if the prices of lines include their taxes, None if the lines do not tell.

    A tax of 19 % on a price of 119.00 is 19.00 if the price includes it, and 22.61 if not.
    """
    included = added = told = ZERO
    for line in lines:
        price, rate = price_of(line), _rate_of(line)
        included += price * rate / (1 + rate)
        added += price * rate
        told += sum_of(tax.price for tax in line.tax_lines or ()) if rate else ZERO
    return nearer(told, included, added)


def nearer(figure: Decimal, one: Decimal, other: Decimal) -> bool | None:
    """Returns True if a figure is that one, False if it is the other, None if it is neither."""
    tolerance = abs(one - other) / 4
    if not tolerance:
        return None
    if abs(figure - one) <= tolerance:
        return True
    return False if abs(figure - other) <= tolerance else None


def _rate_of(line: LineBody) -> Decimal:
    rates = [amount(tax.rate) or ZERO for tax in line.tax_lines or ()]
    return sum((max(rate, ZERO) for rate in rates), ZERO)
