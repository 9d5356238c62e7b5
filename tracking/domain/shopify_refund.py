"""Reads Shopify's refunds, with the money that was refunded, into a `Refund`."""

import re
from collections.abc import Iterable
from decimal import Decimal

from tracking.domain.money import amount, is_currency, to_minor
from tracking.domain.order import Refund
from tracking.domain.shopify_body import (
    ZERO,
    MoneySet,
    NotAnOrder,
    RefundBody,
    TransactionBody,
    decode_refund,
    id_of,
    instant_or,
    order_id_of,
    sum_of,
    text_of,
)

# More minor units than any shop refunds, and few enough that a store can add up many of them.
_MOST_REFUNDED = 10**14


def refund_of(body: bytes) -> tuple[Refund, str]:
    """Returns the refund in a body of refunds/create, and the currency of its figures.

    The body names its order but not the order's currency; the currency is the one of its
    transactions or of its shop money.

    Raises:
        NotAnOrder: the body is not a refund.
    """
    raw = decode_refund(body)
    id_of("id", raw.id)
    order_id = order_id_of("order_id", raw.order_id)
    if raw.refund_line_items is None and raw.transactions is None:
        raise NotAnOrder("refund_line_items: missing, so this is not a refund")
    currency = _refund_currency(body, raw)
    if currency is None:
        raise NotAnOrder("transactions: no currency to read the refund in")
    return refund_from(raw, order_id, currency), currency


def _shop_money(money: MoneySet | None) -> Decimal | None:
    return amount(money.shop_money.amount) if money and money.shop_money else None


def refund_from(raw: RefundBody, order_id: str, currency: str) -> Refund:
    """Returns the refund of an order, with its figures in the currency of the shop."""
    goods = tax = shipping = ZERO
    for line in raw.refund_line_items or ():
        goods += _shop_money(line.subtotal_set) or amount(line.subtotal) or ZERO
        tax += _shop_money(line.total_tax_set) or amount(line.total_tax) or ZERO
    for item in raw.order_adjustments or ():
        # Adjustments are negative where more than the lines was refunded.
        value = _shop_money(item.amount_set) or amount(item.amount) or ZERO
        tax -= _shop_money(item.tax_amount_set) or amount(item.tax_amount) or ZERO
        if text_of(item.kind) == "shipping_refund":
            shipping -= value
        else:
            goods -= value
    paid = _paid_by_transactions(raw.transactions or (), currency)
    itemised = bool(raw.refund_line_items or raw.order_adjustments)
    if paid is None:
        paid = goods + tax + shipping
    elif not itemised:
        goods = paid
    else:
        goods = min(goods, paid)
    at = instant_or(raw.processed_at, instant_or(raw.created_at, 0))
    return Refund(
        id=text_of(raw.id),
        order_id=order_id,
        at=at,
        goods=min(max(0, to_minor(goods, currency)), _MOST_REFUNDED),
        paid=min(max(0, to_minor(paid, currency)), _MOST_REFUNDED),
    )


def _paid_by_transactions(transactions: Iterable[TransactionBody], currency: str) -> Decimal | None:
    """Returns what left the shop's account, in its own currency; None if that is not known."""
    refunds = [t for t in transactions if text_of(t.kind) == "refund"]
    if not refunds or any(text_of(t.currency) not in ("", currency) for t in refunds):
        # No payment (an item taken off an unpaid order), or refunded in the buyer's currency.
        return None
    return sum_of(t.amount for t in refunds if text_of(t.status) == "success")


def _refund_currency(body: bytes, raw: RefundBody) -> str | None:
    shop_currency = _SHOP_CURRENCY.search(body)
    if shop_currency:
        return shop_currency[1].decode()
    codes = {text_of(t.currency) for t in raw.transactions or ()}
    known = [code for code in sorted(codes) if is_currency(code)]
    return known[0] if known else None


_SHOP_CURRENCY = re.compile(
    rb'"shop_money"\s*:\s*\{\s*"amount"\s*:\s*"?[^",}]*"?\s*,\s*"currency_code"\s*:\s*"([A-Z]{3})"'
)
