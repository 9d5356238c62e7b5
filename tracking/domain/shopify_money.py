"""Reads the money of a Shopify order: what was bought, and what the buyer kept of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from tracking.domain.money import amount, digits
from tracking.domain.shopify_body import (
    ZERO,
    LineBody,
    OrderBody,
    RefundBody,
    price_of,
    quantity_of,
    sum_of,
    text_of,
)
from tracking.domain.shopify_line import current_quantity_of
from tracking.domain.shopify_refund import is_given

_NOTHING: Mapping[str, int] = {}


class KeptMoney(NamedTuple):
    """Kept money in major units: the goods without tax and shipping, and everything."""

    net: Decimal | None = None
    total: Decimal | None = None


def net_of(raw: OrderBody, total: Decimal) -> Decimal:
    """Returns the total after discounts, without tax and shipping, in major units.

    Pinterest recommends this figure as the value of a purchase.
    """
    goods = _subtotal(raw)
    if raw.taxes_included:
        # The subtotal of such shops includes the tax of the goods.
        goods -= _goods_tax(raw)
    return min(max(goods, ZERO), total)


def kept_of(raw: OrderBody, kept: Sequence[int], currency: str, *, is_changed: bool) -> KeptMoney:
    """Returns what an order's body says that the buyer kept.

    The current prices of an order that was never changed say nothing. Nor do those of an order that
    nothing was taken off and nothing added to: money may have been given back all the same.

    Args:
        raw: the body.
        kept: the pieces that the buyer kept, by line.
        currency: ISO 4217.
        is_changed: the order was changed after it was placed.
    """
    if not is_changed:
        return KeptMoney()
    subtotal, total = amount(raw.current_subtotal_price), amount(raw.current_total_price)
    if subtotal is None and total is None:
        return KeptMoney()
    lines = raw.line_items or []
    unit = _unit(lines, currency)
    is_same = subtotal in (None, _subtotal(raw)) and total in (None, amount(raw.total_price))
    if is_same and _prices(lines) <= _subtotal(raw) + unit:
        return KeptMoney()
    net = subtotal
    if subtotal is not None and raw.taxes_included:
        net = subtotal - _kept_tax(raw, kept, subtotal, unit)
    return KeptMoney(
        None if net is None else max(net, ZERO), None if total is None else max(total, ZERO)
    )


def kept_quantities(lines: Sequence[LineBody], refunds: Sequence[RefundBody]) -> Sequence[int]:
    """Returns the pieces of each line that the buyer kept."""
    refunded = _refunded_quantities(refunds) if refunds else _NOTHING
    return [_kept_quantity(line, refunded) for line in lines]


def _refunded_quantities(refunds: Sequence[RefundBody]) -> Mapping[str, int]:
    refunded: Counter[str] = Counter()
    for refund in refunds:
        if is_given(refund.transactions or ()):
            for line in refund.refund_line_items or ():
                refunded[text_of(line.line_item_id)] += quantity_of(line.quantity)
    return refunded


def _kept_quantity(line: LineBody, refunded: Mapping[str, int]) -> int:
    quantity, current = quantity_of(line.quantity), current_quantity_of(line)
    if current is not None:
        return min(quantity, current)
    return max(0, quantity - refunded.get(text_of(line.id), 0)) if refunded else quantity


def _subtotal(raw: OrderBody) -> Decimal:
    subtotal = amount(raw.subtotal_price)
    return _prices(raw.line_items or []) if subtotal is None else subtotal


def _prices(lines: Sequence[LineBody]) -> Decimal:
    return sum((price_of(line) for line in lines), ZERO)


def _unit(lines: Sequence[LineBody], currency: str) -> Decimal:
    """Returns by how much sums of rounded amounts of these lines may differ."""
    return Decimal(max(1, len(lines))).scaleb(-digits(currency))


def _tax_of(line: LineBody) -> Decimal:
    return sum_of(tax.price for tax in line.tax_lines or ())


def _goods_tax(raw: OrderBody) -> Decimal:
    """Returns the tax of the goods: of the lines, or what remains of the order's tax."""
    lines = raw.line_items or []
    if any(line.tax_lines for line in lines):
        return sum((_tax_of(line) for line in lines), ZERO)
    if lines and all(line.taxable is False for line in lines):
        return ZERO
    return max(ZERO, (amount(raw.total_tax) or ZERO) - _other_tax(raw))


def _other_tax(raw: OrderBody) -> Decimal:
    """Returns the tax of what is no goods: shipping and duties."""
    shipping = sum_of(tax.price for s in raw.shipping_lines or () for tax in s.tax_lines or ())
    duties = sum_of(
        tax.price
        for line in raw.line_items or ()
        for duty in line.duties or ()
        for tax in duty.tax_lines or ()
    )
    return shipping + duties


def _kept_tax(raw: OrderBody, kept: Sequence[int], subtotal: Decimal, unit: Decimal) -> Decimal:
    """Returns the tax in the price of the goods that the buyer kept.

    It is that of the kept pieces if their prices add up; then what remains of the order's current
    tax; and at last a part of the tax of all lines.
    """
    lines = raw.line_items or []
    price = tax = ZERO
    for line, pieces in zip(lines, kept, strict=True):
        if quantity := quantity_of(line.quantity):
            price += price_of(line) * pieces / quantity
            tax += _tax_of(line) * pieces / quantity
    current = amount(raw.current_total_tax)
    other = _other_tax(raw)
    if raw.shipping_lines is None:
        other = max(ZERO, (amount(raw.total_tax) or ZERO) - _goods_tax(raw))
    if abs(price - subtotal) <= unit and any(line.tax_lines for line in lines):
        is_exact = current is not None and abs(current - other - tax) <= unit
        return current - other if current is not None and is_exact else tax
    if current is not None and ZERO <= current - other <= subtotal:
        return current - other
    whole = _prices(lines) if any(line.tax_lines for line in lines) else _subtotal(raw)
    return _goods_tax(raw) * subtotal / whole if whole > 0 else ZERO
