"""Tells from the sums of an exported order whether its prices include taxes, and the goods' tax."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

ZERO = Decimal(0)
_CENT = Decimal("0.01")
_RATE = re.compile(r"([0-9]{1,2}(?:[.,][0-9]{1,4})?)\s*%")
# Rates of value added tax are whole or half per cents nearly everywhere.
_USUAL_STEP = Decimal("0.005")


class ExportedSums(NamedTuple):
    """The sums of an exported order, in major units. `total` may hold tips and duties, too."""

    subtotal: Decimal
    shipping: Decimal
    taxes: Decimal
    total: Decimal


def rates_in(names: Iterable[str]) -> list[Decimal]:
    """Returns the rates in the names of taxes: "PT VAT 19%" is 0.19."""
    found = (_RATE.search(name) for name in names)
    return [Decimal(rate[1].replace(",", ".")) / 100 for rate in found if rate]


def includes_taxes(sums: ExportedSums, duties: Decimal) -> bool:
    """Returns whether the prices include the taxes, which the export does not say.

    Taxes that are not included are a part of what the total has beyond goods and shipping; the
    rest is duties and a tip.
    """
    beyond = sums.total - sums.subtotal - sums.shipping - duties
    return bool(sums.taxes) and beyond < sums.taxes


def goods_tax(sums: ExportedSums, rates: list[Decimal]) -> Decimal:
    """Returns the part of the included taxes that is the goods', not that of shipping.

    The price that the taxes belong to tells what was taxed: goods and shipping, one of them, or
    the goods alone.
    """
    both = sums.subtotal + sums.shipping
    if not sums.shipping or not both:
        return sums.taxes
    shared = sums.taxes * sums.subtotal / both
    if len(rates) == 1 and rates[0]:
        parts = [(sums.subtotal, sums.taxes), (both, shared), (sums.shipping, ZERO)]
        return _part_taxed(parts, sums.taxes, rates[0] / (1 + rates[0]))
    if not _is_usual(sums.taxes, both) and _is_usual(sums.taxes, sums.subtotal):
        return sums.taxes
    return shared


def goods_tax_on_top(sums: ExportedSums, rates: list[Decimal]) -> Decimal:
    """Returns the part of the taxes that prices do not include that is the goods'.

    Several rates are those of state, county and city, which are added up. Without one, goods and
    shipping share the taxes.
    """
    both = sums.subtotal + sums.shipping
    if not sums.shipping or not both:
        return sums.taxes
    shared, rate = sums.taxes * sums.subtotal / both, sum(rates, ZERO)
    if not rate:
        return shared
    parts = [(sums.subtotal, sums.taxes), (both, shared)]
    if len(rates) == 1:
        parts.append((sums.shipping, ZERO))
    return _part_taxed(parts, sums.taxes, rate)


def _part_taxed(parts: Iterable[tuple[Decimal, Decimal]], taxes: Decimal, rate: Decimal) -> Decimal:
    """Returns the goods' tax for the price that the taxes fit best, of parts that are each a price
    and the goods' tax if it was taxed; the first of those that fit to the cent, as taxes are
    rounded."""
    _, goods = min(parts, key=lambda part: abs(part[0] * rate - taxes) // _CENT)
    return goods


def _is_usual(tax: Decimal, price: Decimal) -> bool:
    """Returns True if a tax in a price has a rate as countries have them."""
    if price <= tax:
        return False
    rate = tax / (price - tax)
    nearest = (rate / _USUAL_STEP).to_integral_value() * _USUAL_STEP
    return abs(nearest * price / (1 + nearest) - tax) <= Decimal("0.011")
