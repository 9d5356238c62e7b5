"""Reads a line of a Shopify order into a `Line`."""

from functools import lru_cache

from tracking.domain.money import amount, is_amount
from tracking.domain.order import Line
from tracking.domain.placeholders import is_placeholder
from tracking.domain.shopify_body import LineBody, Scalar, id_or_empty, quantity_of, text_of
from tracking.domain.web_text import has_email


def line_of(raw: LineBody, quantity: int) -> Line:
    """Returns some pieces of the line in a body."""
    return Line(
        product_id=id_or_empty(raw.product_id),
        variant_id=id_or_empty(raw.variant_id),
        sku=_named(text_of(raw.sku, 128)),
        title=_named(text_of(raw.title, 256)),
        vendor=_named(text_of(raw.vendor, 128)),
        price=_price(raw.price),
        quantity=quantity,
        id=id_or_empty(raw.id),
        is_reduced=_is_reduced(raw),
    )


def current_quantity_of(raw: LineBody) -> int | None:
    """Returns how many of its pieces the buyer still has; None if the line does not tell."""
    current = raw.current_quantity
    return quantity_of(current) if id_or_empty(current) else None


def _is_reduced(raw: LineBody) -> bool:
    current = current_quantity_of(raw)
    return current is not None and current < quantity_of(raw.quantity)


# A shop has few products, and sells them again and again.
@lru_cache(maxsize=4096)
def _named(text: str) -> str:
    return "" if is_placeholder(text) or has_email(text) else text


def _price(value: Scalar) -> str:
    if isinstance(value, str) and is_amount(value):
        return value
    number = amount(value)
    if number is None:
        return "0"
    text = format(number, "f")
    # Rounded to six decimals, of which it needs fewer.
    return text.rstrip("0").rstrip(".") if "." in text and not is_amount(str(value)) else text
