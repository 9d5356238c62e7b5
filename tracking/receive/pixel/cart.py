"""The goods that a pixel event is about, and their value."""

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from tracking.domain.conversion import MAX_CONTENTS, Content, ContentId, Policy, Stage
from tracking.domain.money import amount, is_currency, to_major, to_minor
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
    words_of,
)

# What a cart of Shopify's can have.
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
    return _BASKETS[stage](data, policy)


def _viewed(data: Data, policy: Policy) -> Cart:
    variant = data.product_variant
    if variant is None:
        return Cart()
    return _cart([PixelLine(variant=variant)], [variant.price], policy)


def _added(data: Data, policy: Policy) -> Cart:
    line = data.cart_line
    if line is None:
        return Cart()
    return _cart([line], [(line.cost or Cost()).total_amount, _price_of(line)], policy)


def _checked_out(data: Data, policy: Policy) -> Cart:
    checkout = data.checkout or Checkout()
    prices = [checkout.subtotal_price, checkout.total_price]
    if policy.value == "total":
        prices.reverse()
    code = checkout.currency_code
    amounts = [Money(price.amount, price.currency_code or code) for price in prices if price]
    return _cart(checkout.line_items or (), amounts, policy)


_BASKETS: Mapping[Stage, Callable[[Data, Policy], Cart]] = {
    "product_view": _viewed,
    "add_to_cart": _added,
    "checkout_initiation": _checked_out,
}


def _cart(
    lines: Iterable[PixelLine | None], prices: Iterable[Money | None], policy: Policy
) -> Cart:
    """The goods of some lines, worth the first of the prices that can be read."""
    currency, value = next(filter(None, map(_minor, prices)), ("", None))
    read = islice(lines, _MOST_LINES)
    goods = [line for line in read if line is not None and _quantity(line.quantity) > 0]
    return Cart(
        tuple(_content(line, currency, policy.content_id) for line in goods[:MAX_CONTENTS]),
        sum(_quantity(line.quantity) for line in goods),
        currency,
        value,
    )


def _minor(price: Money | None) -> tuple[str, int] | None:
    """The currency and the minor units of a price, None if either cannot be read."""
    if price is None:
        return None
    currency, found = text_of(price.currency_code), _amount(price.amount)
    if found is None or not is_currency(currency):
        return None
    return currency, to_minor(found, currency)


def _amount(value: object) -> Decimal | None:
    found = amount(value)
    if found is None and isinstance(value, float):
        # A sum of floats has a tail that nobody meant: 3 * 1.1 is 3.3000000000000003.
        found = amount(f"{value:.6f}")
    return found if found is not None and found >= 0 else None


def _price_of(line: PixelLine) -> Money | None:
    price = line.merchandise.price if line.merchandise else None
    each = _amount(price.amount) if price else None
    if price is None or each is None:
        return None
    return Money(format(each * _quantity(line.quantity), "f"), price.currency_code)


def _quantity(value: object) -> int:
    found = _QUANTITY.fullmatch(text_of(value))
    return int(found[1]) if found else 1


def _content(line: PixelLine, currency: str, kind: ContentId) -> Content:
    variant = line.variant or line.merchandise or Variant()
    product = variant.product or Product()
    ids = {
        "product": digits_of(product.id),
        "variant": digits_of(variant.id),
        "sku": words_of(variant.sku),
    }
    price = _minor(variant.price)
    return Content(
        id=ids[kind],
        name=words_of(product.title) or words_of(line.title),
        brand=words_of(product.vendor),
        price=to_major(price[1], currency) if price and price[0] == currency else "",
        quantity=_quantity(line.quantity),
    )
