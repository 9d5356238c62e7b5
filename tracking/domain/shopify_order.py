"""Reads Shopify's bodies of orders and refunds into an `Order` and a `Refund`."""

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from tracking.domain.money import amount, is_amount, is_currency, to_minor
from tracking.domain.order import POS_SOURCE, Address, Browser, Buyer, Line, Order, Refund

# Applications that place orders for somebody: there the browser is the staff member's, not the
# buyer's (draft orders) or there is none (point of sale).
_DRAFT_APP_ID = "1354745"
_DRAFT_SOURCE = "shopify_draft_order"
# hashlib lets other threads run while it hashes more than this at once. For a body of usual size
# the hand-over costs more than the hashing.
_HASHED_AT_ONCE = 2047
# More minor units than anybody gives back, and few enough that a store can add up many of them.
_MOST_BACK = 10**14
_ID = re.compile(r"[0-9]{1,20}")
_ORIGIN = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?=[/?#:]|$)")
_ZERO = Decimal(0)


class NotAnOrder(ValueError):
    """The body cannot be understood as what its topic promises. The message names the field."""


# What a body may hold where text is expected.
_Text = str | int | float | bool | None
# For isinstance, where a union would be made anew each time.
_SCALARS = (str, int, float)


class _Money(msgspec.Struct, gc=False):
    amount: _Text = None


class _MoneySet(msgspec.Struct, gc=False):
    shop_money: _Money | None = None


class _Tax(msgspec.Struct, gc=False):
    price: _Text = None


class _Discount(msgspec.Struct, gc=False):
    amount: _Text = None


class _Line(msgspec.Struct, gc=False):
    product_id: _Text = None
    variant_id: _Text = None
    sku: _Text = None
    title: _Text = None
    vendor: _Text = None
    price: _Text = None
    quantity: _Text = None
    tax_lines: list[_Tax] | None = None
    discount_allocations: list[_Discount] | None = None


class _Address(msgspec.Struct, gc=False):
    first_name: _Text = None
    last_name: _Text = None
    city: _Text = None
    province_code: _Text = None
    zip: _Text = None
    country_code: _Text = None
    phone: _Text = None


class _Customer(msgspec.Struct, gc=False):
    id: _Text = None
    email: _Text = None
    phone: _Text = None
    first_name: _Text = None
    last_name: _Text = None
    default_address: _Address | None = None


class _Client(msgspec.Struct, gc=False):
    browser_ip: _Text = None
    user_agent: _Text = None


class _RefundLine(msgspec.Struct, gc=False):
    subtotal: _Text = None
    total_tax: _Text = None
    subtotal_set: _MoneySet | None = None
    total_tax_set: _MoneySet | None = None


class _Adjustment(msgspec.Struct, gc=False):
    kind: _Text = None
    amount: _Text = None
    tax_amount: _Text = None
    amount_set: _MoneySet | None = None
    tax_amount_set: _MoneySet | None = None


class _Transaction(msgspec.Struct, gc=False):
    kind: _Text = None
    status: _Text = None
    amount: _Text = None
    currency: _Text = None


class _Refund(msgspec.Struct, gc=False):
    id: _Text = None
    order_id: _Text = None
    created_at: _Text = None
    processed_at: _Text = None
    refund_line_items: list[_RefundLine] | None = None
    order_adjustments: list[_Adjustment] | None = None
    transactions: list[_Transaction] | None = None


class _Order(msgspec.Struct, gc=False):
    id: _Text = None
    name: _Text = None
    created_at: _Text = None
    processed_at: _Text = None
    updated_at: _Text = None
    cancelled_at: _Text = None
    currency: _Text = None
    subtotal_price: _Text = None
    total_price: _Text = None
    total_tax: _Text = None
    taxes_included: bool | None = None
    test: bool | None = None
    financial_status: _Text = None
    source_name: _Text = None
    app_id: _Text = None
    customer_locale: _Text = None
    order_status_url: _Text = None
    landing_site: _Text = None
    referring_site: _Text = None
    checkout_token: _Text = None
    cart_token: _Text = None
    browser_ip: _Text = None
    email: _Text = None
    contact_email: _Text = None
    phone: _Text = None
    note_attributes: list[dict[str, Any]] | dict[str, Any] | None = None
    line_items: list[_Line] | None = None
    refunds: list[_Refund] | None = None
    # Keys of checkouts and of draft orders, which otherwise look like orders.
    abandoned_checkout_url: _Text = None
    invoice_url: _Text = None
    billing_address: _Address | None = None
    shipping_address: _Address | None = None
    customer: _Customer | None = None
    client_details: _Client | None = None


_decode_order = msgspec.json.Decoder(_Order).decode
_decode_refund = msgspec.json.Decoder(_Refund).decode
_ORDER_FIELDS = {f.name: f.type for f in msgspec.structs.fields(_Order)}
_REFUND_FIELDS = {f.name: f.type for f in msgspec.structs.fields(_Refund)}
# Without these there is no order; everything else is evidence that may be missing or odd.
_ORDER_NEEDS = frozenset({"id", "line_items", "refunds", "test"})
_REFUND_NEEDS = frozenset({"id", "order_id", "transactions", "refund_line_items"})


def order_of(body: bytes) -> Order:
    """The order a webhook body of the orders topics describes.

    Raises:
        NotAnOrder: the body is not JSON, not an order, or lacks what an order cannot be without.
    """
    raw = _decoded(body, _decode_order, _Order, _ORDER_FIELDS, _ORDER_NEEDS)
    order_id = _id("id", raw.id)
    if raw.line_items is None:
        raise NotAnOrder("line_items: missing, so this is not an order")
    if raw.abandoned_checkout_url is not None or raw.invoice_url is not None:
        raise NotAnOrder("abandoned_checkout_url, invoice_url: a checkout or a draft, not an order")
    currency = _text(raw.currency)
    if not is_currency(currency):
        raise NotAnOrder("currency: not an ISO 4217 code")
    placed_at = _instant("created_at", raw.created_at)
    total = max(_amount("total_price", raw.total_price), _ZERO)
    source = _text(raw.source_name)
    return Order(
        id=order_id,
        name=_text(raw.name, 64),
        placed_at=placed_at,
        processed_at=_instant_of(raw, raw.processed_at, placed_at),
        updated_at=_instant_of(raw, raw.updated_at, placed_at),
        cancelled_at=_cancelled_at(raw.cancelled_at),
        currency=currency,
        net=to_minor(_net(raw, total), currency),
        total=to_minor(total, currency),
        test=bool(raw.test),
        financial_status=_text(raw.financial_status, 32),
        source_name=source,
        locale=_text(raw.customer_locale, 16),
        origin=_origin(_text(raw.order_status_url)),
        landing_site=_text(raw.landing_site, 4096),
        referring_site=_text(raw.referring_site, 4096),
        checkout_token=_text(raw.checkout_token, 128),
        cart_token=_text(raw.cart_token, 128),
        notes=_notes(raw.note_attributes),
        lines=tuple([_line(line) for line in raw.line_items]),
        refunds=tuple(
            [_refund(r, order_id, currency) for r in raw.refunds or () if _is_id(_text(r.id))]
        ),
        buyer=_buyer(raw),
        browser=_browser(raw, source),
        digest=_digest(body),
    )


def refund_of(body: bytes) -> tuple[Refund, str]:
    """The refund a body of refunds/create describes, and the currency its figures are in.

    The body names its order but not the order's currency; the currency is the one of its
    transactions or of its shop money.

    Raises:
        NotAnOrder: the body is not a refund.
    """
    raw = _decoded(body, _decode_refund, _Refund, _REFUND_FIELDS, _REFUND_NEEDS)
    _id("id", raw.id)
    order_id = _id("order_id", raw.order_id)
    if raw.refund_line_items is None and raw.transactions is None:
        raise NotAnOrder("refund_line_items: missing, so this is not a refund")
    currency = _refund_currency(body, raw)
    if currency is None:
        raise NotAnOrder("transactions: no currency to read the refund in")
    return _refund(raw, order_id, currency), currency


def _decoded(
    body: bytes, decode: Any, struct: Any, fields: dict[str, Any], needs: frozenset[str]
) -> Any:
    """The typed body; where an unneeded field has an impossible type, it counts as missing."""
    try:
        return decode(body)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnOrder(f"not JSON: {error}") from None
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnOrder(f"not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise NotAnOrder("the body is not a JSON object")
    found: dict[str, Any] = {}
    for name, kind in fields.items():
        try:
            found[name] = msgspec.convert(tree.get(name), kind)
        except msgspec.ValidationError as error:
            if name in needs:
                raise NotAnOrder(f"{name}: {error}") from None
    return struct(**found)


def _digest(body: bytes) -> str:
    found = hashlib.sha256()
    for start in range(0, len(body), _HASHED_AT_ONCE):
        found.update(body[start : start + _HASHED_AT_ONCE])
    return found.hexdigest()


def _text(value: _Text, limit: int = 512) -> str:
    """Text of a scalar, cut at `limit`, without NUL, which no store can hold.

    Nor can one hold half of a surrogate pair, but that the decoder refuses.
    """
    if not isinstance(value, str):
        # JSON's true and false say nothing where text is expected.
        if value is None or isinstance(value, bool):
            return ""
        value = str(value)
    if "\x00" in value:
        value = value.replace("\x00", "")
    text = value.strip()
    return text if len(text) <= limit else text[:limit]


def _is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def _id(name: str, value: _Text) -> str:
    text = _text(value)
    if not _is_id(text):
        raise NotAnOrder(f"{name}: not a Shopify id")
    return text


def _digits_or_empty(value: _Text) -> str:
    # Live bodies write ids as numbers. The limit is the one of _ID.
    if type(value) is int:
        return str(value) if 0 <= value < 10**20 else ""
    text = _text(value)
    return text if _is_id(text) else ""


def _instant(name: str, value: _Text) -> int:
    try:
        moment = datetime.fromisoformat(_text(value))
        if moment.tzinfo is None:
            raise NotAnOrder(f"{name}: has no time zone")
        # Near the first and the last year of the calendar an instant may have no UTC date.
        return int(moment.astimezone(UTC).timestamp())
    except (ValueError, OverflowError) as error:
        if isinstance(error, NotAnOrder):
            raise
        raise NotAnOrder(f"{name}: not an ISO 8601 instant") from None


def _instant_or(value: _Text, default: int) -> int:
    try:
        return _instant("", value)
    except NotAnOrder:
        return default


def _instant_of(raw: _Order, value: _Text, placed_at: int) -> int:
    # Most orders are processed, and many last changed, in the very second they are placed.
    return placed_at if value == raw.created_at else _instant_or(value, placed_at)


def _cancelled_at(value: _Text) -> int | None:
    # An unreadable date still says that the order is cancelled; nothing depends on when.
    return _instant_or(value, 0) if _text(value) else None


def _amount(name: str, value: _Text) -> Decimal:
    found = amount(value)
    if found is None:
        raise NotAnOrder(f"{name}: not an amount")
    return found


def _sum(amounts: Iterable[_Text]) -> Decimal:
    return sum((amount(a) or _ZERO for a in amounts), _ZERO)


def _net(raw: _Order, total: Decimal) -> Decimal:
    """After discounts, without tax and shipping: what Pinterest recommends as the value."""
    lines = raw.line_items or []
    goods = amount(raw.subtotal_price)
    if goods is None:
        goods = sum(
            (
                (amount(line.price) or _ZERO) * _quantity(line.quantity)
                - _sum(d.amount for d in line.discount_allocations or ())
                for line in lines
            ),
            _ZERO,
        )
    if raw.taxes_included:
        # The subtotal of such shops holds the goods' tax, but not the shipping's, which
        # total_tax would include.
        if any(line.tax_lines for line in lines):
            goods -= _sum(tax.price for line in lines for tax in line.tax_lines or ())
        else:
            goods -= amount(raw.total_tax) or _ZERO
    return min(max(goods, _ZERO), total)


def _quantity(value: _Text) -> int:
    if type(value) is int:
        return value if 0 <= value < 10**9 else 0
    text = _text(value)
    return int(text) if _is_id(text) and len(text) <= 9 else 0


def _line(raw: _Line) -> Line:
    return Line(
        product_id=_digits_or_empty(raw.product_id),
        variant_id=_digits_or_empty(raw.variant_id),
        sku=_text(raw.sku, 128),
        title=_text(raw.title, 256),
        vendor=_text(raw.vendor, 128),
        price=_price(raw.price),
        quantity=_quantity(raw.quantity),
    )


def _price(value: _Text) -> str:
    if isinstance(value, str):
        return value if is_amount(value) else "0"
    found = amount(value)
    return "0" if found is None else format(found, "f")


def _shop_money(money: _MoneySet | None) -> Decimal | None:
    return amount(money.shop_money.amount) if money and money.shop_money else None


def _refund(raw: _Refund, order_id: str, currency: str) -> Refund:
    goods = tax = shipping = _ZERO
    for line in raw.refund_line_items or ():
        goods += _shop_money(line.subtotal_set) or amount(line.subtotal) or _ZERO
        tax += _shop_money(line.total_tax_set) or amount(line.total_tax) or _ZERO
    for item in raw.order_adjustments or ():
        # Adjustments are negative where more than the lines was given back.
        value = _shop_money(item.amount_set) or amount(item.amount) or _ZERO
        tax -= _shop_money(item.tax_amount_set) or amount(item.tax_amount) or _ZERO
        if _text(item.kind) == "shipping_refund":
            shipping -= value
        else:
            goods -= value
    paid = _paid_back(raw.transactions or (), currency)
    itemised = bool(raw.refund_line_items or raw.order_adjustments)
    if paid is None:
        paid = goods + tax + shipping
    elif not itemised:
        goods = paid
    else:
        goods = min(goods, paid)
    at = _instant_or(raw.processed_at, _instant_or(raw.created_at, 0))
    return Refund(
        id=_text(raw.id),
        order_id=order_id,
        at=at,
        goods=min(max(0, to_minor(goods, currency)), _MOST_BACK),
        paid=min(max(0, to_minor(paid, currency)), _MOST_BACK),
    )


def _paid_back(transactions: Iterable[_Transaction], currency: str) -> Decimal | None:
    """Returns the amount that left the shop's account, in its currency; None if it is not known."""
    found = [t for t in transactions if _text(t.kind) == "refund"]
    if not found or any(_text(t.currency) not in ("", currency) for t in found):
        # No payment (an item taken off an unpaid order), or paid back in the buyer's currency.
        return None
    return _sum(t.amount for t in found if _text(t.status) == "success")


def _refund_currency(body: bytes, raw: _Refund) -> str | None:
    found = _SHOP_CURRENCY.search(body)
    if found:
        return found[1].decode()
    codes = {_text(t.currency) for t in raw.transactions or ()}
    known = [code for code in sorted(codes) if is_currency(code)]
    return known[0] if known else None


_SHOP_CURRENCY = re.compile(
    rb'"shop_money"\s*:\s*\{\s*"amount"\s*:\s*"?[^",}]*"?\s*,\s*"currency_code"\s*:\s*"([A-Z]{3})"'
)


def _notes(raw: list[dict[str, Any]] | dict[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Names and values as the shop wrote them, at most 100 of at most 2,000 characters."""
    if not raw:
        return ()
    pairs = raw.items() if isinstance(raw, dict) else [(n.get("name"), n.get("value")) for n in raw]
    found = [
        (_text(name, 128), _text(value, 2000))
        for name, value in pairs
        if isinstance(name, str) and isinstance(value, _SCALARS) and name
    ]
    return tuple(found[:100])


def _address(raw: _Address | None) -> Address:
    if raw is None:
        return Address()
    return Address(
        first_name=_text(raw.first_name),
        last_name=_text(raw.last_name),
        city=_text(raw.city),
        province_code=_text(raw.province_code),
        zip=_text(raw.zip),
        country_code=_text(raw.country_code),
        phone=_text(raw.phone),
    )


def _buyer(raw: _Order) -> Buyer:
    customer = raw.customer or _Customer()
    billing, shipping = _address(raw.billing_address), _address(raw.shipping_address)
    addresses = [a for a in (billing, shipping) if a]
    if not addresses:
        addresses = [a for a in (_address(customer.default_address),) if a]
    return Buyer(
        emails=_distinct(_text(raw.email), _text(raw.contact_email), _text(customer.email)),
        phones=_distinct(_text(raw.phone), _text(customer.phone)),
        addresses=tuple(addresses),
        customer_id=_digits_or_empty(customer.id),
        first_name=_text(customer.first_name),
        last_name=_text(customer.last_name),
    )


def _distinct(*texts: str) -> tuple[str, ...]:
    """The texts that say something, each once, in their order."""
    found: list[str] = []
    for text in texts:
        if text and text not in found:
            found.append(text)
    return tuple(found)


def _browser(raw: _Order, source_name: str) -> Browser:
    if source_name == _DRAFT_SOURCE or _text(raw.app_id) == _DRAFT_APP_ID:
        return Browser()
    if source_name == POS_SOURCE:
        return Browser()
    client = raw.client_details or _Client()
    return Browser(
        ip=_text(client.browser_ip) or _text(raw.browser_ip),
        user_agent=_text(client.user_agent, 2048),
    )


def _origin(url: str) -> str:
    """Returns scheme and host of the shop's own pages, from its order status address."""
    found = _ORIGIN.match(url)
    return found[0].lower() if found else ""
