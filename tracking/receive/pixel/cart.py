"""The goods that a pixel event is about, and their value."""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from tracking.domain.conversion import MAX_CONTENTS, Content, ContentId, Policy, Stage
from tracking.domain.money import amount, is_currency, rounded_amount, to_major, to_minor
from tracking.receive.pixel.schema import (
    Checkout,
    Cost,
    Data,
    Money,
    PixelLine,
    Product,
    Variant,
    digits_of,
    text_of,
    text_without_email,
)

# The limit of Shopify's carts.
_MOST_LINES = 500
_QUANTITY = re.compile(r"([0-9]{1,6})(?:\.0+)?")


class Cart(NamedTuple):
    """The goods of an event. `value` is minor units, None where it is not known."""

    contents: tuple[Content, ...] = ()
    num_items: int = 0
    currency: str = ""
    value: int | None = None


def cart_of(stage: Stage, data: Data, policy: Policy) -> Cart:
    """Returns the goods of an event of a stage of the funnel."""
    return _CART_READERS[stage](data, policy)


def _cart_of_view(data: Data, policy: Policy) -> Cart:
    variant = data.product_variant
    if variant is None:
        return Cart()
    return _cart_of_lines([PixelLine(variant=variant)], [variant.price], policy)


def _cart_of_addition(data: Data, policy: Policy) -> Cart:
    line = data.cart_line
    if line is None:
        return Cart()
    return _cart_of_lines([line], [(line.cost or Cost()).total_amount, _line_price(line)], policy)


def _cart_of_checkout(data: Data, policy: Policy) -> Cart:
    checkout = data.checkout or Checkout()
    prices = [checkout.subtotal_price, checkout.total_price]
    if policy.value == "total":
        prices.reverse()
    code = checkout.currency_code
    amounts = [Money(price.amount, price.currency_code or code) for price in prices if price]
    return _cart_of_lines(checkout.line_items or (), amounts, policy)


_CART_READERS: Mapping[Stage, Callable[[Data, Policy], Cart]] = {
    "product_view": _cart_of_view,
    "add_to_cart": _cart_of_addition,
    "checkout_initiation": _cart_of_checkout,
}


def _cart_of_lines(
    lines: Iterable[PixelLine | None], prices: Iterable[Money | None], policy: Policy
) -> Cart:
    """Returns the goods of the lines, with the first price that can be read as their value."""
    currency, value = next(filter(None, map(_in_minor_units, prices)), ("", None))
    first_lines = islice(lines, _MOST_LINES)
    goods = [line for line in first_lines if line is not None and _quantity(line.quantity) > 0]
    return Cart(
        tuple(_content(line, currency, policy.content_id) for line in goods[:MAX_CONTENTS]),
        sum(_quantity(line.quantity) for line in goods),
        currency,
        value,
    )


def _in_minor_units(price: Money | None) -> tuple[str, int] | None:
    """Returns the currency and the minor units of a price; None if either cannot be read."""
    if price is None:
        return None
    currency, major = text_of(price.currency_code), _amount(price.amount)
    if major is None or not is_currency(currency):
        return None
    return currency, to_minor(major, currency)


def _amount(value: object) -> Decimal | None:
    major = amount(value)
    if major is None and isinstance(value, float):
        major = rounded_amount(value)
    return major if major is not None and major >= 0 else None


def _line_price(line: PixelLine) -> Money | None:
    price = line.merchandise.price if line.merchandise else None
    each = _amount(price.amount) if price else None
    if price is None or each is None:
        return None
    return Money(format(each * _quantity(line.quantity), "f"), price.currency_code)


def _quantity(value: object) -> int:
    quantity = _QUANTITY.fullmatch(text_of(value))
    return int(quantity[1]) if quantity else 1


def _content(line: PixelLine, currency: str, kind: ContentId) -> Content:
    variant = line.variant or line.merchandise or Variant()
    product = variant.product or Product()
    ids = {
        "product": digits_of(product.id),
        "variant": digits_of(variant.id),
        "sku": text_without_email(variant.sku),
    }
    price = _in_minor_units(variant.price)
    return Content(
        id=ids[kind],
        name=text_without_email(product.title) or text_without_email(line.title),
        brand=text_without_email(product.vendor),
        price=to_major(price[1], currency) if price and price[0] == currency else "",
        quantity=_quantity(line.quantity),
    )
