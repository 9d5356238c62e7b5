"""Reads Shopify's refunds, with the money that was refunded, into a `Refund`."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from tracking.domain.money import amount, is_currency, to_minor
from tracking.domain.order import Line, Refund, RefundStatus
from tracking.domain.shopify_body import (
    ZERO,
    LineBody,
    MoneySet,
    NotAnOrder,
    RefundBody,
    RefundLineBody,
    Scalar,
    TransactionBody,
    decode_refund,
    id_of,
    id_or_empty,
    instant_or,
    order_id_of,
    price_of,
    quantity_of,
    sum_of,
    text_of,
)
from tracking.domain.shopify_line import line_of
from tracking.domain.shopify_tax import includes_taxes, nearer

# More minor units than any shop refunds, and few enough that a store can add up many of them.
_MOST_REFUNDED = 10**14
# How much is known of a payment: a payment that ended says more than one that is on its way.
_KNOWLEDGE: Mapping[RefundStatus, int] = {"": 0, "pending": 1, "failed": 2, "paid": 2, "foreign": 2}
_FAILED = frozenset({"failure", "error"})


class _Payment(NamedTuple):
    """The payment of a refund. `amount` is what was paid, 0 for any other status."""

    status: RefundStatus
    amount: Decimal


class _Lines(NamedTuple):
    """The lines of a refund as they are priced, and their tax."""

    goods: Decimal
    tax: Decimal


def refund_of(body: bytes) -> tuple[Refund, str]:
    """Returns the refund in a body of refunds/create, and the currency of its figures.

    The body names its order but not the order's currency; the currency is the one of its
    transactions or of its shop money. A refund of nothing has none: "".

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
        if not _is_of_nothing(raw):
            raise NotAnOrder("transactions: no currency to read the refund in")
        currency = ""
    return refund_from(raw, order_id, currency), currency


def refund_from(
    raw: RefundBody,
    order_id: str,
    currency: str,
    lines: Mapping[str, LineBody] | None = None,
    changed_at: int | None = None,
) -> Refund:
    """Returns a refund, with its figures in the currency of the shop.

    Args:
        raw: the body of the refund.
        order_id: the order that it is of.
        currency: ISO 4217, of the shop.
        lines: the lines of the order by their id.
        changed_at: when the order was last changed (seconds UTC), if its body holds the refund.
    """
    goods, tax = _lines_of(raw, lines or {})
    other, extra = _other_of(raw), _extra_of(raw)
    payment = _payment_of(raw.transactions or (), currency)
    if not (raw.refund_line_items or raw.order_adjustments or other):
        extra = payment.amount
    at = instant_or(raw.created_at, instant_or(raw.processed_at, 0))
    refund = Refund(
        id=text_of(raw.id),
        order_id=order_id,
        at=at,
        goods=_minor(goods, currency),
        tax=_minor(tax, currency),
        other=_minor(other, currency),
        extra=_minor(extra, currency),
        paid=_minor(payment.amount, currency),
        status=payment.status,
        is_listed=changed_at is not None,
        pieces=_pieces_of(raw, lines or {}),
        taxes_included=_basis_of(raw, lines or {}, payment),
    )
    return _with_version(refund, _known_at(raw, at) if changed_at is None else changed_at)


def is_given(transactions: Iterable[TransactionBody]) -> bool:
    """Returns False if the payment of a refund with these transactions has not succeeded."""
    payments = _refunds_in(transactions)
    return not payments or any(_has_succeeded(payment) for payment in payments)


def _with_version(refund: Refund, known_at: int) -> Refund:
    """Returns the refund with a version: text of which the greater is the newer state.

    A refund's own webhook has no time of change. What is known of its payment decides first, then
    the time; a state in an order's body counts as newer than the refund's own of the same second.
    """
    figures = (refund.paid, refund.goods, refund.tax, refund.other, refund.extra)
    parts = (
        str(_KNOWLEDGE[refund.status]),
        f"{known_at:012d}",
        str(int(refund.is_listed)),
        *(f"{figure:016d}" for figure in figures),
    )
    return msgspec.structs.replace(refund, version=".".join(parts))


def _known_at(raw: RefundBody, at: int) -> int:
    moments = (raw.processed_at, *(m for t in raw.transactions or () for m in _moments(t)))
    return max(at, *(instant_or(moment, 0) for moment in moments))


def _moments(transaction: TransactionBody) -> tuple[Scalar, Scalar]:
    return transaction.created_at, transaction.processed_at


def _minor(value: Decimal, currency: str) -> int:
    if not value:
        return 0
    return max(-_MOST_REFUNDED, min(to_minor(value, currency), _MOST_REFUNDED))


def _amount(money: MoneySet | None, value: Scalar = None) -> Decimal:
    """Returns an amount of shop money, or by its older field."""
    of_shop = amount(money.shop_money.amount) if money and money.shop_money else None
    return (amount(value) or ZERO) if of_shop is None else of_shop


def _lines_of(raw: RefundBody, lines: Mapping[str, LineBody]) -> _Lines:
    goods = taxes = ZERO
    for line in raw.refund_line_items or ():
        subtotal = _amount(line.subtotal_set, line.subtotal)
        tax = _amount(line.total_tax_set, line.total_tax)
        goods += _as_priced(line, subtotal, tax, lines)
        taxes += tax
    return _Lines(goods, taxes)


def _item_of(line: RefundLineBody, lines: Mapping[str, LineBody]) -> LineBody | None:
    return line.line_item or lines.get(text_of(line.line_item_id))


def _pieces_of(raw: RefundBody, lines: Mapping[str, LineBody]) -> tuple[Line, ...]:
    """Returns the pieces that were taken off the order's lines."""
    return tuple(
        msgspec.structs.replace(line_of(item, quantity), is_reduced=False)
        for line in raw.refund_line_items or ()
        if (item := _item_of(line, lines) or _unknown_item(line))
        and (quantity := quantity_of(line.quantity))
    )


def _unknown_item(line: RefundLineBody) -> LineBody | None:
    """Returns a line of which a refund tells the id alone."""
    id = id_or_empty(line.line_item_id)
    return LineBody(id=id) if id.strip("0") else None


def _basis_of(raw: RefundBody, lines: Mapping[str, LineBody], payment: _Payment) -> bool | None:
    """Returns True if the order's prices include taxes, None if the refund does not tell.

    The rates of taxes tell it, or else a payment that is the price or that and the tax.
    """
    items = [_item_of(line, lines) for line in raw.refund_line_items or ()]
    by_rates = includes_taxes(item for item in items if item is not None)
    if by_rates is not None or payment.status != "paid":
        return by_rates
    goods, tax = _lines_of(raw, lines)
    return nearer(payment.amount - _other_of(raw) - _extra_of(raw), goods, goods + tax)


def _as_priced(
    line: RefundLineBody, subtotal: Decimal, tax: Decimal, lines: Mapping[str, LineBody]
) -> Decimal:
    """Returns the subtotal of a refunded line on the basis of its price, by which it is checked.

    Where prices include taxes the subtotal does, too. If it does not, or if it holds a tax that the
    price has not, the price shows it.
    """
    item = _item_of(line, lines)
    if item is None or not tax or not (quantity := quantity_of(item.quantity)):
        return subtotal
    expected = price_of(item) * quantity_of(line.quantity) / quantity
    nearest = min((subtotal, subtotal + tax, subtotal - tax), key=lambda v: abs(v - expected))
    return nearest if abs(nearest - expected) <= abs(tax) / 4 else subtotal


def _other_of(raw: RefundBody) -> Decimal:
    """Returns what was given back for shipping and duties, and the tax of adjustments.

    Older versions of the API adjust the order by refunded shipping, newer ones list its lines.
    """
    adjusted = taxes = ZERO
    for item in raw.order_adjustments or ():
        # Adjustments are negative where more than the lines was refunded.
        value = -_amount(item.amount_set, item.amount)
        tax = -_amount(item.tax_amount_set, item.tax_amount)
        if text_of(item.kind) == "shipping_refund":
            adjusted += value + tax
        else:
            taxes += tax
    listed = sum(
        (
            _amount(line.subtotal_amount_set) + _amount(line.tax_amount_set)
            for line in raw.refund_shipping_lines or ()
        ),
        ZERO,
    )
    return max(adjusted, listed) + taxes + _amount(raw.total_duties_set)


def _extra_of(raw: RefundBody) -> Decimal:
    return sum(
        (
            -_amount(item.amount_set, item.amount)
            for item in raw.order_adjustments or ()
            if text_of(item.kind) != "shipping_refund"
        ),
        ZERO,
    )


def _payment_of(transactions: Iterable[TransactionBody], currency: str) -> _Payment:
    """Returns what left the shop's account, in its own currency."""
    payments = _refunds_in(transactions)
    if not payments:
        # An item taken off an order without giving money back.
        return _Payment("", ZERO)
    succeeded = [payment for payment in payments if _has_succeeded(payment)]
    if not succeeded:
        has_failed = all(text_of(payment.status) in _FAILED for payment in payments)
        return _Payment("failed" if has_failed else "pending", ZERO)
    if any(text_of(payment.currency) not in ("", currency) for payment in payments):
        return _Payment("foreign", ZERO)
    return _Payment("paid", max(ZERO, sum_of(payment.amount for payment in succeeded)))


def _refunds_in(transactions: Iterable[TransactionBody]) -> list[TransactionBody]:
    return [transaction for transaction in transactions if text_of(transaction.kind) == "refund"]


def _has_succeeded(transaction: TransactionBody) -> bool:
    return text_of(transaction.status) == "success"


def _is_of_nothing(raw: RefundBody) -> bool:
    return not (
        raw.refund_line_items
        or raw.refund_shipping_lines
        or raw.order_adjustments
        or raw.transactions
        or _amount(raw.total_duties_set)
    )


def _refund_currency(body: bytes, raw: RefundBody) -> str | None:
    shop_currency = _SHOP_CURRENCY.search(body)
    if shop_currency:
        return shop_currency[1].decode()
    codes = {text_of(t.currency) for t in raw.transactions or ()}
    known = [code for code in sorted(codes) if is_currency(code)]
    return known[0] if known else None


_SHOP_CURRENCY = re.compile(
    rb'"shop_money"\s*+:\s*+\{\s*+"amount"\s*+:\s*+"?+[^",}]*+"?+\s*+,\s*+'
    rb'"currency_code"\s*+:\s*+"([A-Z]{3})"'
)
