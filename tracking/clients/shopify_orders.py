"""Translation of an order from the Admin API's form to the form of a webhook's body.

The body lacks the fields that the API does not have (the buyer's browser, in no version) and those
that the app may not see. Amounts are in the shop's currency, refunded payments in the buyer's, as
in webhooks.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

from tracking.domain.money import amount, digits
from tracking.domain.session_reader import CUT_FROM
from tracking.domain.shopify_body import sum_of
from tracking.domain.web_text import host_of

_T = TypeVar("_T")


class PageInfo(msgspec.Struct, rename="camel"):
    """Cursor of the end of a page, and whether another page follows."""

    has_next_page: bool
    end_cursor: str | None = None


class GraphQLConnection(msgspec.Struct, Generic[_T], rename="camel"):
    """A page of a list."""

    nodes: list[_T]
    page_info: PageInfo

    @property
    def next(self) -> str:
        """The cursor of the next page, "" if this is the last."""
        return (self.page_info.end_cursor or "") if self.page_info.has_next_page else ""


class _MoneyNode(msgspec.Struct, rename="camel"):
    amount: str
    currency_code: str = ""


class MoneyBag(msgspec.Struct, rename="camel"):
    """An amount in the shop's currency, in the buyer's, or both."""

    shop_money: _MoneyNode | None = None
    presentment_money: _MoneyNode | None = None


class _Identified(msgspec.Struct):
    id: str


class _LegacyId(msgspec.Struct, rename="camel"):
    legacy_resource_id: str


class _Attribute(msgspec.Struct):
    key: str
    value: str | None = None


class _AddressNode(msgspec.Struct, rename="camel"):
    first_name: str | None = None
    last_name: str | None = None
    city: str | None = None
    province_code: str | None = None
    zip: str | None = None
    country_code_v2: str | None = msgspec.field(name="countryCodeV2", default=None)
    phone: str | None = None


class _Email(msgspec.Struct, rename="camel"):
    email_address: str


class _Phone(msgspec.Struct, rename="camel"):
    phone_number: str


class _CustomerNode(msgspec.Struct, rename="camel"):
    legacy_resource_id: str
    number_of_orders: str | int | None = None
    first_name: str | None = None
    last_name: str | None = None
    default_email_address: _Email | None = None
    default_phone_number: _Phone | None = None
    default_address: _AddressNode | None = None


class _DiscountNode(msgspec.Struct, rename="camel"):
    allocated_amount_set: MoneyBag


class _TaxNode(msgspec.Struct, rename="camel"):
    price_set: MoneyBag


class _TaxedNode(msgspec.Struct, rename="camel"):
    tax_lines: list[_TaxNode]


class LineNode(msgspec.Struct, rename="camel"):
    """A line of an order. `quantity` counts the pieces that were taken off again, too."""

    id: str
    title: str
    quantity: int
    current_quantity: int
    taxable: bool
    original_unit_price_set: MoneyBag
    discount_allocations: list[_DiscountNode]
    tax_lines: list[_TaxNode]
    duties: list[_TaxedNode]
    sku: str | None = None
    vendor: str | None = None
    product: _LegacyId | None = None
    variant: _LegacyId | None = None


class _Utm(msgspec.Struct):
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    term: str | None = None
    content: str | None = None


class Visit(msgspec.Struct, rename="camel"):
    """A visit of the buyer before the order, as Shopify recorded it."""

    occurred_at: str
    landing_page: str | None = None
    referrer_url: str | None = None
    utm_parameters: _Utm | None = None

    @property
    def utm(self) -> list[tuple[str, str]]:
        """Names and values of the UTM parameters that Shopify found in the landing page's URL."""
        fields = msgspec.structs.asdict(self.utm_parameters) if self.utm_parameters else {}
        return [(f"utm_{name}", value) for name, value in fields.items() if value]


class _Moments(msgspec.Struct):
    # A moment that is no visit has none of a visit's fields.
    nodes: list[dict[str, Any]]


class _Journey(msgspec.Struct, rename="camel"):
    customer_order_index: int | None = None
    first_visit: Visit | None = None
    last_visit: Visit | None = None
    moments: _Moments | None = None


class OrderNode(msgspec.Struct, rename="camel"):
    """An order with the first page of its lines. Fields that the app may not see are null."""

    legacy_resource_id: str
    name: str
    created_at: str
    processed_at: str
    updated_at: str
    test: bool
    currency_code: str
    taxes_included: bool
    total_price_set: MoneyBag
    line_items: GraphQLConnection[LineNode]
    refunds: list[_Identified]
    custom_attributes: list[_Attribute]
    shipping_lines: GraphQLConnection[_TaxedNode]
    cancelled_at: str | None = None
    display_financial_status: str | None = None
    source_name: str | None = None
    tags: list[str] | None = None
    app: _Identified | None = None
    customer_locale: str | None = None
    status_page_url: str | None = None
    landing_page_url: str | None = None
    referrer_url: str | None = None
    client_ip: str | None = None
    cart_token: str | None = None
    checkout_token: str | None = None
    email: str | None = None
    phone: str | None = None
    subtotal_price_set: MoneyBag | None = None
    total_tax_set: MoneyBag | None = None
    current_subtotal_price_set: MoneyBag | None = None
    current_total_price_set: MoneyBag | None = None
    current_total_tax_set: MoneyBag | None = None
    billing_address: _AddressNode | None = None
    shipping_address: _AddressNode | None = None
    customer: _CustomerNode | None = None
    customer_journey_summary: _Journey | None = None

    @property
    def is_first(self) -> bool | None:
        """True if it is the first order of its customer; None if that is not sure.

        Shopify does not say if it counts the orders of a customer from 0 or from 1: an order of the
        index 1 may be the second one, unless it is the only one.
        """
        customer, journey = self.customer, self.customer_journey_summary
        if customer is not None and str(customer.number_of_orders) == "1":
            return True
        index = None if journey is None else journey.customer_order_index
        if index is None or index == 1:
            return None
        return index < 1

    @property
    def visits(self) -> list[Visit]:
        """The visits that Shopify connects with the order, newest first."""
        journey = self.customer_journey_summary
        if journey is None:
            return []
        visits = [visit for visit in (journey.last_visit, journey.first_visit) if visit is not None]
        for moment in journey.moments.nodes if journey.moments else ():
            if "occurredAt" in moment:
                visits.append(msgspec.convert(moment, Visit))
        return sorted(visits, key=lambda visit: visit.occurred_at, reverse=True)


class _RefundLineNode(msgspec.Struct, rename="camel"):
    quantity: int
    line_item: _Identified
    subtotal_set: MoneyBag
    total_tax_set: MoneyBag


class _RefundShippingNode(msgspec.Struct, rename="camel"):
    subtotal_amount_set: MoneyBag
    tax_amount_set: MoneyBag


class _RefundDutyNode(msgspec.Struct, rename="camel"):
    amount_set: MoneyBag


class _AdjustmentNode(msgspec.Struct, rename="camel"):
    amount_set: MoneyBag
    tax_amount_set: MoneyBag


class _TransactionNode(msgspec.Struct, rename="camel"):
    kind: str
    status: str
    amount_set: MoneyBag


class RefundNode(msgspec.Struct, rename="camel"):
    """A refund with a page of its lines."""

    legacy_resource_id: str
    processed_at: str
    refund_line_items: GraphQLConnection[_RefundLineNode]
    refund_shipping_lines: GraphQLConnection[_RefundShippingNode]
    order_adjustments: GraphQLConnection[_AdjustmentNode]
    transactions: GraphQLConnection[_TransactionNode]
    created_at: str | None = None
    duties: list[_RefundDutyNode] | None = None


def body_of(
    order: OrderNode, lines: Iterable[LineNode], refunds: Iterable[Sequence[RefundNode]]
) -> bytes:
    """The body of a webhook about this state of the order, in the form that `order_of` reads.

    Args:
        lines: all lines of the order.
        refunds: all pages of each refund.
    """
    body = {
        "id": order.legacy_resource_id,
        "name": order.name,
        "created_at": order.created_at,
        "processed_at": order.processed_at,
        "updated_at": order.updated_at,
        "cancelled_at": order.cancelled_at,
        "test": order.test,
        "currency": order.currency_code,
        "taxes_included": order.taxes_included,
        "subtotal_price": _shop_amount(order.subtotal_price_set),
        "total_price": _shop_amount(order.total_price_set),
        "total_tax": _shop_amount(order.total_tax_set),
        "current_subtotal_price": _shop_amount(order.current_subtotal_price_set),
        "current_total_price": _shop_amount(order.current_total_price_set),
        "current_total_tax": _shop_amount(order.current_total_tax_set),
        "financial_status": (order.display_financial_status or "").lower(),
        "source_name": order.source_name,
        "tags": ", ".join(order.tags or ()),
        "app_id": _number_in(order.app.id) if order.app else None,
        "customer_locale": order.customer_locale,
        "order_status_url": order.status_page_url,
        "landing_site": _landing_site(order.landing_page_url, order.status_page_url),
        "referring_site": order.referrer_url,
        "cart_token": order.cart_token,
        "checkout_token": order.checkout_token,
        "client_details": {"browser_ip": order.client_ip},
        "email": order.email,
        "phone": order.phone,
        "note_attributes": [{"name": a.key, "value": a.value} for a in order.custom_attributes],
        "billing_address": _address(order.billing_address),
        "shipping_address": _address(order.shipping_address),
        "customer": _customer(order.customer),
        "shipping_lines": [{"tax_lines": _taxes(s.tax_lines)} for s in order.shipping_lines.nodes],
        "line_items": [_line(line, order.currency_code) for line in lines],
        "refunds": [_refund(pages, order.legacy_resource_id) for pages in refunds],
    }
    return msgspec.json.encode(body)


def _shop_amount(bag: MoneyBag | None) -> str | None:
    return bag.shop_money.amount if bag is not None and bag.shop_money is not None else None


def _number_in(gid: str) -> str:
    """The number at the end of a global id: "gid://shopify/App/580111" is "580111"."""
    return gid.rpartition("/")[2].partition("?")[0]


def _landing_site(url: str | None, status_page: str | None) -> str | None:
    """The landing page's URL as webhooks have it, beginning with its path; whole if its host is
    not that of the order's status page, which is the shop's host otherwise.

    Webhooks truncate it at a fixed length, which later marks it as truncated. The API may have
    truncated the full URL: a URL of that length stays whole, so that it still counts as truncated.
    """
    if not url or host_of(url) != host_of(status_page or ""):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    page = url.partition(f"//{parts.netloc}")[2] or "/" if parts.netloc else url
    return url if len(page) < CUT_FROM <= len(url) else page


def _address(address: _AddressNode | None) -> dict[str, str | None] | None:
    if address is None:
        return None
    fields = msgspec.structs.asdict(address)
    return {**fields, "country_code": fields.pop("country_code_v2")}


def _customer(customer: _CustomerNode | None) -> dict[str, Any] | None:
    if customer is None:
        return None
    email, phone = customer.default_email_address, customer.default_phone_number
    return {
        "id": customer.legacy_resource_id,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "email": email.email_address if email else None,
        "phone": phone.phone_number if phone else None,
        "default_address": _address(customer.default_address),
    }


def _line(line: LineNode, currency: str) -> dict[str, Any]:
    return {
        "id": _number_in(line.id),
        "product_id": line.product.legacy_resource_id if line.product else None,
        "variant_id": line.variant.legacy_resource_id if line.variant else None,
        "sku": line.sku,
        "title": line.title,
        "vendor": line.vendor,
        "price": _padded(_shop_amount(line.original_unit_price_set), currency),
        "quantity": line.quantity,
        "current_quantity": line.current_quantity,
        "taxable": line.taxable,
        "discount_allocations": [
            {"amount": _shop_amount(discount.allocated_amount_set)}
            for discount in line.discount_allocations
        ],
        "tax_lines": _taxes(line.tax_lines),
        "duties": [{"tax_lines": _taxes(duty.tax_lines)} for duty in line.duties],
    }


def _taxes(lines: Iterable[_TaxNode]) -> list[dict[str, str | None]]:
    return [{"price": _shop_amount(tax.price_set)} for tax in lines]


def _padded(text: str | None, currency: str) -> str | None:
    """An amount with at least the currency's digits: the API writes "20.0" where webhooks write
    "20.00", and Pinterest gets the text unchanged."""
    value = amount(text)
    if value is None:
        return text
    exponent = value.normalize().as_tuple().exponent
    places = max(digits(currency), -exponent if isinstance(exponent, int) else 0)
    return f"{value:.{places}f}"


def _refund(pages: Sequence[RefundNode], order_id: str) -> dict[str, Any]:
    first = pages[0]
    return {
        "id": first.legacy_resource_id,
        "order_id": order_id,
        "created_at": first.created_at,
        "processed_at": first.processed_at,
        "refund_line_items": [
            {
                "line_item_id": _number_in(line.line_item.id),
                "quantity": line.quantity,
                "subtotal": _shop_amount(line.subtotal_set),
                "total_tax": _shop_amount(line.total_tax_set),
            }
            for page in pages
            for line in page.refund_line_items.nodes
        ],
        "refund_shipping_lines": [
            {
                "subtotal_amount_set": _shop_money(_shop_amount(line.subtotal_amount_set)),
                "tax_amount_set": _shop_money(_shop_amount(line.tax_amount_set)),
            }
            for line in first.refund_shipping_lines.nodes
        ],
        # Refunded shipping is never among them.
        "order_adjustments": [
            {
                "kind": "refund_discrepancy",
                "amount": _shop_amount(adjustment.amount_set),
                "tax_amount": _shop_amount(adjustment.tax_amount_set),
            }
            for adjustment in first.order_adjustments.nodes
        ],
        "total_duties_set": _shop_money(
            str(sum_of(_shop_amount(duty.amount_set) for duty in first.duties or ()))
        ),
        "transactions": [_transaction(node) for node in first.transactions.nodes],
    }


def _shop_money(text: str | None) -> dict[str, dict[str, str | None]]:
    return {"shop_money": {"amount": text}}


def _transaction(node: _TransactionNode) -> dict[str, str | None]:
    paid = node.amount_set.presentment_money
    return {
        "kind": node.kind.lower(),
        "status": node.status.lower(),
        "amount": paid.amount if paid else None,
        "currency": paid.currency_code if paid else None,
    }
