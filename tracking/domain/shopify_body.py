"""The bodies of Shopify's orders and refunds, typed, and readers of the scalars in them.

The shapes are those of the REST Admin API. Live bodies differ from them: optional keys are null,
absent, numbers instead of text or lists instead of objects.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import msgspec

from tracking.domain.money import amount
from tracking.domain.order import Address, order_id_in

ZERO = Decimal(0)
_ID = re.compile(r"[0-9]{1,20}")


class NotAnOrder(ValueError):
    """The body is not the order, refund or checkout that its topic announces. The message names the
    field."""


# The values that a body may hold where text is expected.
Scalar = str | int | float | bool | None
# For isinstance, where a union would be made anew each time.
SCALARS = (str, int, float)


class _Money(msgspec.Struct, gc=False):
    amount: Scalar = None


class MoneySet(msgspec.Struct, gc=False):
    shop_money: _Money | None = None


class _TaxLine(msgspec.Struct, gc=False):
    price: Scalar = None
    rate: Scalar = None


class _DiscountAllocation(msgspec.Struct, gc=False):
    amount: Scalar = None


class _DutyBody(msgspec.Struct, gc=False):
    tax_lines: list[_TaxLine] | None = None


class LineBody(msgspec.Struct, gc=False):
    id: Scalar = None
    product_id: Scalar = None
    variant_id: Scalar = None
    sku: Scalar = None
    title: Scalar = None
    vendor: Scalar = None
    price: Scalar = None
    quantity: Scalar = None
    current_quantity: Scalar = None
    taxable: Scalar = None
    tax_lines: list[_TaxLine] | None = None
    discount_allocations: list[_DiscountAllocation] | None = None
    duties: list[_DutyBody] | None = None


class _ShippingLineBody(msgspec.Struct, gc=False):
    tax_lines: list[_TaxLine] | None = None


class AddressFields(Protocol):
    """The fields of an address, in an order's body or in a pixel event."""

    first_name: Scalar
    last_name: Scalar
    city: Scalar
    province_code: Scalar
    zip: Scalar
    country_code: Scalar
    phone: Scalar


class AddressBody(msgspec.Struct, gc=False):
    first_name: Scalar = None
    last_name: Scalar = None
    city: Scalar = None
    province_code: Scalar = None
    zip: Scalar = None
    country_code: Scalar = None
    phone: Scalar = None


class CustomerBody(msgspec.Struct, gc=False):
    id: Scalar = None
    email: Scalar = None
    phone: Scalar = None
    first_name: Scalar = None
    last_name: Scalar = None
    default_address: AddressBody | None = None


class ClientDetails(msgspec.Struct, gc=False):
    browser_ip: Scalar = None
    user_agent: Scalar = None


class RefundLineBody(msgspec.Struct, gc=False):
    line_item_id: Scalar = None
    line_item: LineBody | None = None
    quantity: Scalar = None
    subtotal: Scalar = None
    total_tax: Scalar = None
    subtotal_set: MoneySet | None = None
    total_tax_set: MoneySet | None = None


class _AdjustmentBody(msgspec.Struct, gc=False):
    kind: Scalar = None
    amount: Scalar = None
    tax_amount: Scalar = None
    amount_set: MoneySet | None = None
    tax_amount_set: MoneySet | None = None


class _RefundShippingBody(msgspec.Struct, gc=False):
    subtotal_amount_set: MoneySet | None = None
    tax_amount_set: MoneySet | None = None


class TransactionBody(msgspec.Struct, gc=False):
    kind: Scalar = None
    status: Scalar = None
    amount: Scalar = None
    currency: Scalar = None
    created_at: Scalar = None
    processed_at: Scalar = None


class RefundBody(msgspec.Struct, gc=False):
    id: Scalar = None
    order_id: Scalar = None
    created_at: Scalar = None
    processed_at: Scalar = None
    refund_line_items: list[RefundLineBody] | None = None
    refund_shipping_lines: list[_RefundShippingBody] | None = None
    total_duties_set: MoneySet | None = None
    order_adjustments: list[_AdjustmentBody] | None = None
    transactions: list[TransactionBody] | None = None


class OrderBody(msgspec.Struct, gc=False):
    id: Scalar = None
    name: Scalar = None
    created_at: Scalar = None
    processed_at: Scalar = None
    updated_at: Scalar = None
    cancelled_at: Scalar = None
    currency: Scalar = None
    subtotal_price: Scalar = None
    total_price: Scalar = None
    total_tax: Scalar = None
    current_subtotal_price: Scalar = None
    current_total_price: Scalar = None
    current_total_tax: Scalar = None
    taxes_included: bool | None = None
    test: bool | None = None
    financial_status: Scalar = None
    source_name: Scalar = None
    tags: Scalar = None
    app_id: Scalar = None
    customer_locale: Scalar = None
    order_status_url: Scalar = None
    landing_site: Scalar = None
    referring_site: Scalar = None
    checkout_token: Scalar = None
    cart_token: Scalar = None
    browser_ip: Scalar = None
    email: Scalar = None
    contact_email: Scalar = None
    phone: Scalar = None
    note_attributes: list[dict[str, Any]] | dict[str, Any] | None = None
    line_items: list[LineBody] | None = None
    shipping_lines: list[_ShippingLineBody] | None = None
    refunds: list[RefundBody] | None = None
    # Keys of checkouts and of draft orders, which otherwise look like orders.
    abandoned_checkout_url: Scalar = None
    invoice_url: Scalar = None
    billing_address: AddressBody | None = None
    shipping_address: AddressBody | None = None
    customer: CustomerBody | None = None
    client_details: ClientDetails | None = None


class CheckoutBody(OrderBody, gc=False):
    token: Scalar = None


_Body = TypeVar("_Body", OrderBody, RefundBody, CheckoutBody)
_decode_order = msgspec.json.Decoder(OrderBody).decode
_decode_refund = msgspec.json.Decoder(RefundBody).decode
_decode_checkout = msgspec.json.Decoder(CheckoutBody).decode
_ORDER_FIELDS = {f.name: f.type for f in msgspec.structs.fields(OrderBody)}
_CHECKOUT_FIELDS = {f.name: f.type for f in msgspec.structs.fields(CheckoutBody)}
_REFUND_FIELDS = {f.name: f.type for f in msgspec.structs.fields(RefundBody)}
# Without these there is no order; everything else is evidence that may be missing or odd.
_ORDER_NEEDS = frozenset({"id", "line_items", "refunds", "test"})
# Bodies of other topics have some of these: the ones received here, products and the like.
_NOT_OF_DELETIONS = frozenset(
    (_ORDER_FIELDS.keys() | _CHECKOUT_FIELDS.keys() | _REFUND_FIELDS.keys())
    - {"id", "name", "updated_at"}
    | {"shop_id", "shop_domain", "title", "handle", "sku", "addresses", "inventory_item_id"}
)
_REFUND_NEEDS = frozenset({"id", "order_id", "transactions", "refund_line_items"})


def decode_order(body: bytes) -> OrderBody:
    """Returns the typed body of an order.

    Raises:
        NotAnOrder: the body is not JSON, or a field that no order can be without has another type.
    """
    return _decoded(body, _decode_order, OrderBody, _ORDER_FIELDS, _ORDER_NEEDS)


def decode_checkout(body: bytes) -> CheckoutBody:
    """Returns the typed body of a checkout.

    Raises:
        NotAnOrder: the body is not JSON, or its token is none.
    """
    needs = frozenset({"token"})
    return _decoded(body, _decode_checkout, CheckoutBody, _CHECKOUT_FIELDS, needs)


def decode_refund(body: bytes) -> RefundBody:
    """Returns the typed body of a refund.

    Raises:
        NotAnOrder: the body is not JSON, or a field that no refund can be without has another type.
    """
    return _decoded(body, _decode_refund, RefundBody, _REFUND_FIELDS, _REFUND_NEEDS)


def _decoded(
    body: bytes,
    decode: Callable[[bytes], _Body],
    struct: type[_Body],
    fields: Mapping[str, Any],
    needs: frozenset[str],
) -> _Body:
    """Returns the typed body; an unneeded field of an impossible type counts as missing."""
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
    values: dict[str, Any] = {}
    for name, kind in fields.items():
        try:
            values[name] = msgspec.convert(tree.get(name), kind)
        except msgspec.ValidationError as error:
            if name in needs:
                raise NotAnOrder(f"{name}: {error}") from None
    return struct(**values)


def deleted_order_of(body: bytes) -> str:
    """Returns the id of the order in a body of orders/delete, which tells hardly more.

    Shopify signs the body and not its topic: the body of an order, or of anything else that this
    service receives, must not delete it.

    Raises:
        NotAnOrder: the body is not that of a deletion.
    """
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnOrder(f"not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise NotAnOrder("the body is not a JSON object")
    if of_others := sorted(tree.keys() & _NOT_OF_DELETIONS):
        raise NotAnOrder(f"{', '.join(of_others)}: a deletion does not tell it")
    return order_id_of("id", tree.get("id"))


def address_of(raw: AddressFields | None, text_of: Callable[[Scalar], str]) -> Address:
    """Returns the address in a body; `text_of` reads each of its fields."""
    if raw is None:
        return Address()
    return Address(
        first_name=text_of(raw.first_name),
        last_name=text_of(raw.last_name),
        city=text_of(raw.city),
        province_code=text_of(raw.province_code),
        zip=text_of(raw.zip),
        country_code=text_of(raw.country_code),
        phone=text_of(raw.phone),
    )


def text_of(value: Scalar, limit: int = 512) -> str:
    """Returns the text of a scalar, cut at `limit`, without NUL, which no store can hold.

    No store can hold half of a surrogate pair either, but the decoder refuses it.
    """
    if not isinstance(value, str):
        # JSON's true and false have no meaning where text is expected.
        if value is None or isinstance(value, bool):
            return ""
        value = str(value)
    if "\x00" in value:
        value = value.replace("\x00", "")
    text = value.strip()
    return text if len(text) <= limit else text[:limit]


def is_id(text: str) -> bool:
    """Returns True if the text has the form of a Shopify id."""
    return _ID.fullmatch(text) is not None


def id_of(name: str, value: Scalar) -> str:
    """Returns the id in a field of this name.

    Raises:
        NotAnOrder: the value is not an id.
    """
    text = text_of(value)
    if not is_id(text):
        raise NotAnOrder(f"{name}: not a Shopify id")
    return text


def order_id_of(name: str, value: Scalar) -> str:
    """Returns the order id in a field of this name, which may hold a global id.

    Raises:
        NotAnOrder: the value is not an id.
    """
    return id_or_empty(value) or id_of(name, order_id_in(text_of(value)))


def id_or_empty(value: Scalar) -> str:
    """Returns the id; "" if the value is none."""
    # Live bodies write ids as numbers. The limit is the one of _ID.
    if type(value) is int:
        return str(value) if 0 <= value < 10**20 else ""
    text = text_of(value)
    return text if is_id(text) else ""


def instant_of(name: str, value: Scalar) -> int:
    """Returns the instant in a field of this name, in seconds UTC.

    Raises:
        NotAnOrder: the value is not an ISO 8601 instant with a time zone.
    """
    try:
        moment = datetime.fromisoformat(text_of(value))
        if moment.tzinfo is None:
            raise NotAnOrder(f"{name}: has no time zone")
        # Near the first and the last year of the calendar an instant may have no UTC date.
        return int(moment.astimezone(UTC).timestamp())
    except (ValueError, OverflowError) as error:
        if isinstance(error, NotAnOrder):
            raise
        raise NotAnOrder(f"{name}: not an ISO 8601 instant") from None


def instant_or(value: Scalar, default: int) -> int:
    """Returns the instant in seconds UTC; the default if the value is none."""
    try:
        return instant_of("", value)
    except NotAnOrder:
        return default


def quantity_of(value: Scalar) -> int:
    """Returns a number of pieces; 0 if the value is none."""
    if type(value) is int:
        return value if 0 <= value < 10**9 else 0
    text = text_of(value)
    return int(text) if is_id(text) and len(text) <= 9 else 0


def price_of(line: LineBody) -> Decimal:
    """Returns the price of all pieces of a line after discounts, in major units."""
    discounts = sum_of(d.amount for d in line.discount_allocations or ())
    return (amount(line.price) or ZERO) * quantity_of(line.quantity) - discounts


def sum_of(amounts: Iterable[Scalar]) -> Decimal:
    """Returns the sum in major units; a value that is not an amount counts as zero."""
    return sum((amount(a) or ZERO for a in amounts), ZERO)
