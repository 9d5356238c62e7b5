"""The goods that a pixel event is about, and their value."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from tracking.domain.conversion import MAX_CONTENTS, Content, ContentId, Policy, Stage
from tracking.domain.money import amount, is_currency, rounded_amount, to_major, to_minor
from tracking.domain.placeholders import is_placeholder
from tracking.receive.pixel.schema import (
    Checkout,
    Cost,
    Data,
    Money,
    PixelLine,
    Product,
    TagCall,
    Variant,
    product_id_of,
    text_of,
    text_without_email,
)

# The limit of Shopify's carts.
_MOST_LINES = 500
_QUANTITY = re.compile(r"([0-9]{1,6})(?:\.0+)?")


class Cart(NamedTuple):
    """The goods of an event. `value` is minor units, None where it is not known.

    `names_product` tells whether any of the goods has an id or a name, whichever of its ids the
    policy reports.
    """

    contents: tuple[Content, ...] = ()
    num_items: int = 0
    currency: str = ""
    value: int | None = None

    names_product: bool = False


def cart_of(stage: Stage, data: Data, policy: Policy) -> Cart:
    """Returns the goods of an event of a stage of the funnel."""
    if data.tag_call is not None:
        return _cart_of_tag_call(data.tag_call)
    return _CART_READERS[stage](data, policy)


def _cart_of_view(data: Data, policy: Policy) -> Cart:
    variant = data.product_variant
    if variant is None:
        return Cart()
    return _cart_of_lines([PixelLine(variant=variant)], [variant.price], policy.content_id)


def _cart_of_addition(data: Data, policy: Policy) -> Cart:
    line = data.cart_line
    if line is None:
        return Cart()
    return _cart_of_lines(
        [line], [(line.cost or Cost()).total_amount, _line_price(line)], policy.content_id
    )


def _cart_of_checkout(data: Data, policy: Policy) -> Cart:
    checkout = data.checkout or Checkout()
    prices = [checkout.subtotal_price, checkout.total_price]
    if policy.value == "total":
        prices.reverse()
    code = checkout.currency_code
    amounts = [Money(price.amount, price.currency_code or code) for price in prices if price]
    return _cart_of_lines(checkout.line_items or (), amounts, policy.content_id)


def _cart_of_tag_call(call: TagCall) -> Cart:
    items = [item for item in islice(call.line_items or (), _MOST_LINES) if item is not None]
    told = _QUANTITY.fullmatch(text_of(call.order_quantity))
    pieces_of_all = int(told[1]) if told else 0
    pieces = [item.product_quantity for item in items]
    prices = [item.product_price for item in items]
    if len(items) == 1:
        pieces = [pieces_of_all or 1] if pieces == [None] else pieces
        # A page that names one piece of one product often tells its price as the value alone.
        prices = [call.value] if prices == [None] and _quantity(pieces[0]) == 1 else prices
    lines = [
        PixelLine(
            quantity=quantity,
            variant=Variant(
                price=Money(price, call.currency),
                product=Product(item.product_id, item.product_name, item.product_brand),
            ),
        )
        for item, quantity, price in zip(items, pieces, prices, strict=True)
    ]
    # The page's word for a product is the catalogue's id, whichever of Shopify's ids that is.
    cart = _cart_of_lines(lines, [Money(call.value, call.currency), _sum_of(lines)], "product")
    return cart._replace(num_items=pieces_of_all) if pieces_of_all else cart


def _sum_of(lines: Sequence[PixelLine]) -> Money | None:
    """Returns the sum of the lines; None if one of them has no price."""
    prices = [price for line in lines if (price := _line_price(line))]
    if not prices or len(prices) < len(lines):
        return None
    total = sum(Decimal(str(price.amount)) for price in prices)
    return Money(format(total, "f"), prices[0].currency_code)


_CART_READERS: Mapping[Stage, Callable[[Data, Policy], Cart]] = {
    "product_view": _cart_of_view,
    "add_to_cart": _cart_of_addition,
    "checkout_initiation": _cart_of_checkout,
}


def _cart_of_lines(
    lines: Iterable[PixelLine | None], prices: Iterable[Money | None], kind: ContentId
) -> Cart:
    """Returns the goods of the lines, with the first price that can be read as their value."""
    currency, value = next(filter(None, map(_in_minor_units, prices)), ("", None))
    first_lines = islice(lines, _MOST_LINES)
    goods = [line for line in first_lines if line is not None and _quantity(line.quantity) > 0]
    return Cart(
        tuple(_content(line, currency, kind) for line in goods[:MAX_CONTENTS]),
        sum(_quantity(line.quantity) for line in goods),
        currency,
        value,
        any(map(_is_named, goods)),
    )


def _is_named(line: PixelLine) -> bool:
    variant = line.variant or line.merchandise or Variant()
    product = variant.product or Product()
    ids = (product.id, variant.id, variant.sku)
    return any(map(product_id_of, ids)) or bool(_name(product.title) or _name(line.title))


def _name(value: object) -> str:
    text = text_without_email(value)
    return "" if is_placeholder(text) else text


def _in_minor_units(price: Money | None) -> tuple[str, int] | None:
    """Returns the currency and the minor units of a price; None if either cannot be read."""
    if price is None:
        return None
    currency, major = text_of(price.currency_code).upper(), _amount(price.amount)
    if major is None or not is_currency(currency):
        return None
    return currency, to_minor(major, currency)


def _amount(value: object) -> Decimal | None:
    major = amount(value)
    if major is None and isinstance(value, float):
        major = rounded_amount(value)
    return major if major is not None and major >= 0 else None


def _line_price(line: PixelLine) -> Money | None:
    variant = line.merchandise or line.variant
    price = variant.price if variant else None
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
        "product": product_id_of(product.id),
        "variant": product_id_of(variant.id),
        "sku": _name(variant.sku),
    }
    price = _in_minor_units(variant.price)
    return Content(
        id=ids[kind],
        name=_name(product.title) or _name(line.title),
        brand=_name(product.vendor),
        price=to_major(price[1], currency) if price and price[0] == currency else "",
        quantity=_quantity(line.quantity),
    )
