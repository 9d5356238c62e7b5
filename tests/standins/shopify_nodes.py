"""Orders as Shopify's Admin API shows them, made of the bodies that webhooks would have had.

Written the other way round from the product on purpose, so that neither repeats the other's slips.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from graphql import GraphQLError

Body = Mapping[str, Any]
Node = dict[str, Any]


def gid(kind: str, number: object) -> str:
    """A global id."""
    return f"gid://shopify/{kind}/{number}"


def paged(items: Sequence[Node]) -> Callable[..., Node]:
    """A connection that is asked with `first` and `after`."""

    def page(_info: object, first: int, after: str | None = None) -> Node:
        begin = int(after.removeprefix("cursor-")) if after else 0
        end = begin + first
        has_next = end < len(items)
        info = {"hasNextPage": has_next, "endCursor": f"cursor-{end}" if items[begin:end] else None}
        return {"nodes": items[begin:end], "pageInfo": info}

    return page


def order_node(body: Body, visits: Sequence[Body] = (), hidden: Collection[str] = ()) -> Node:
    """The order as an app sees it that may not see the `hidden` fields."""
    currency = body["currency"]
    customer = body.get("customer")
    node: Node = {
        "id": gid("Order", body["id"]),
        "legacyResourceId": str(body["id"]),
        "name": body["name"],
        "createdAt": body["created_at"],
        "processedAt": body["processed_at"],
        "updatedAt": body["updated_at"],
        "cancelledAt": body["cancelled_at"],
        "test": body["test"],
        "currencyCode": currency,
        "taxesIncluded": body["taxes_included"],
        "displayFinancialStatus": body["financial_status"].upper(),
        "sourceName": body["source_name"],
        "app": {"id": gid("App", body["app_id"])} if body.get("app_id") else None,
        "tags": [tag.strip() for tag in body.get("tags", "").split(",") if tag.strip()],
        "customerLocale": body["customer_locale"],
        "statusPageUrl": body["order_status_url"],
        "landingPageUrl": _absolute(body["landing_site"]),
        "referrerUrl": body["referring_site"] or None,
        "clientIp": (body.get("client_details") or {}).get("browser_ip"),
        "cartToken": body.get("cart_token"),
        "checkoutToken": body.get("checkout_token"),
        "email": body["email"] or None,
        "phone": body["phone"],
        "customAttributes": [
            {"key": note["name"], "value": note["value"]} for note in body["note_attributes"]
        ],
        "subtotalPriceSet": bag(body["subtotal_price"], currency),
        "totalPriceSet": bag(body["total_price"], currency),
        "totalTaxSet": bag(body["total_tax"], currency),
        "currentSubtotalPriceSet": _current("subtotal_price", body),
        "currentTotalPriceSet": _current("total_price", body),
        "currentTotalTaxSet": _current("total_tax", body),
        "billingAddress": _place(body.get("billing_address")),
        "shippingAddress": _place(body.get("shipping_address")),
        "customer": _customer(customer) if customer else None,
        "customerJourneySummary": {**_journey(visits), "customerOrderIndex": body.get("_index")},
        "shippingLines": _shipping(body.get("shipping_lines", ()), currency),
        "lineItems": paged([_line(line, currency, hidden) for line in body["line_items"]]),
        "refunds": [refund_node(refund, currency) for refund in body["refunds"]],
    }
    return node | {name: denied(name) for name in hidden if name in node}


def refund_node(refund: Body, currency: str) -> Node:
    """A refund as the API shows it: shipping apart from the differences."""
    adjustments = refund.get("order_adjustments") or []
    shipping = [
        *(
            (-Decimal(str(a["amount"])), -Decimal(str(a["tax_amount"])))
            for a in adjustments
            if a["kind"] == "shipping_refund"
        ),
        *(
            (_told(line["subtotal_amount_set"]), _told(line["tax_amount_set"]))
            for line in refund.get("refund_shipping_lines", ())
        ),
    ]
    duties = _told(refund["total_duties_set"]) if "total_duties_set" in refund else 0
    differences = [a for a in adjustments if a["kind"] != "shipping_refund"]
    return {
        "id": gid("Refund", refund["id"]),
        "legacyResourceId": str(refund["id"]),
        "createdAt": refund["created_at"],
        "processedAt": refund["processed_at"],
        "duties": [{"amountSet": bag(duties, currency)}] if duties else [],
        "refundLineItems": paged(
            [
                {
                    "quantity": line["quantity"],
                    "lineItem": {"id": gid("LineItem", line.get("line_item_id", 0))},
                    "subtotalSet": bag(line["subtotal"], currency),
                    "totalTaxSet": bag(line["total_tax"], currency),
                }
                for line in refund["refund_line_items"]
            ]
        ),
        "refundShippingLines": paged(
            [
                {
                    "subtotalAmountSet": bag(subtotal, currency),
                    "taxAmountSet": bag(tax, currency),
                }
                for subtotal, tax in shipping
            ]
        ),
        "orderAdjustments": paged(
            [
                {
                    "amountSet": bag(a["amount"], currency),
                    "taxAmountSet": bag(a["tax_amount"], currency),
                }
                for a in differences
            ]
        ),
        "transactions": paged(
            [
                {
                    "kind": t["kind"].upper(),
                    "status": t["status"].upper(),
                    "amountSet": {
                        "shopMoney": _money(t["amount"], currency),
                        "presentmentMoney": _money(t["amount"], t["currency"]),
                    },
                }
                for t in refund["transactions"]
            ]
        ),
    }


def bag(amount: object, currency: str) -> Node | None:
    """An amount as the API writes it: with one decimal at least, and no more than it needs."""
    if amount is None:
        return None
    return {"shopMoney": _money(amount, currency), "presentmentMoney": _money(amount, currency)}


def _current(name: str, body: Body) -> Node | None:
    """A price of now: what it was at first, unless the body tells it."""
    return bag(body.get(f"current_{name}", body[name]) or "0", body["currency"])


def _told(money: Body) -> Decimal:
    return Decimal(str(money["shop_money"]["amount"]))


def denied(name: str) -> Callable[..., Any]:
    """A field that the app may not see."""

    def refuse(_info: object, **_: object) -> Any:
        raise GraphQLError(
            f"Access denied for {name} field. Required access: the scope of it.",
            extensions={"code": "ACCESS_DENIED"},
        )

    return refuse


def _money(amount: object, currency: str) -> Node:
    exact = Decimal(str(amount))
    short = exact.normalize()
    text = f"{exact:.1f}" if exact == round(exact, 1) else f"{short:f}"
    return {"amount": text, "currencyCode": currency}


def _absolute(landing: str | None) -> str | None:
    return f"https://shop.example{landing}" if landing else None


def _place(address: Body | None) -> Node | None:
    if address is None:
        return None
    return {
        "firstName": address.get("first_name"),
        "lastName": address.get("last_name"),
        "city": address.get("city"),
        "provinceCode": address.get("province_code"),
        "zip": address.get("zip"),
        "countryCodeV2": address.get("country_code"),
        "phone": address.get("phone"),
    }


def _customer(customer: Body) -> Node:
    email, phone = customer.get("email"), customer.get("phone")
    return {
        "legacyResourceId": str(customer["id"]),
        "numberOfOrders": str(customer.get("_orders", 5)),
        "firstName": customer.get("first_name"),
        "lastName": customer.get("last_name"),
        "defaultEmailAddress": {"emailAddress": email} if email else None,
        "defaultPhoneNumber": {"phoneNumber": phone} if phone else None,
        "defaultAddress": _place(customer.get("default_address")),
    }


def _line(line: Body, currency: str, hidden: Collection[str]) -> Node:
    product, variant = line["product_id"], line["variant_id"]
    node = {
        "id": gid("LineItem", line["id"]),
        "sku": line["sku"],
        "title": line["title"],
        "vendor": line["vendor"],
        "quantity": line["quantity"],
        "currentQuantity": line.get("current_quantity", line["quantity"]),
        "taxable": line.get("taxable", True),
        "product": {"legacyResourceId": str(product)} if product else None,
        "variant": {"legacyResourceId": str(variant)} if variant else None,
        "originalUnitPriceSet": bag(line["price"], currency),
        "discountAllocations": [
            {"allocatedAmountSet": bag(one["amount"], currency)}
            for one in line["discount_allocations"]
        ],
        "taxLines": _taxes(line, currency),
        "duties": [{"taxLines": _taxes(duty, currency)} for duty in line.get("duties", ())],
    }
    return node | {name: denied(name) for name in hidden if name in node}


def _taxes(taxed: Body, currency: str) -> list[Node]:
    return [{"priceSet": bag(one["price"], currency)} for one in taxed["tax_lines"]]


def _shipping(lines: Sequence[Body], currency: str) -> Callable[..., Node]:
    """The shipping lines: webhooks tell those that were removed, too."""

    def page(_info: object, first: int, includeRemovals: bool = False) -> Node:
        shown = [line for line in lines if includeRemovals or not line.get("is_removed")]
        nodes = [{"taxLines": _taxes(line, currency)} for line in shown]
        return paged(nodes)(None, first)

    return page


def _journey(visits: Sequence[Body]) -> Node:
    told = [
        {"__typename": "CustomerVisit", "utmParameters": None, "referrerUrl": None, **visit}
        for visit in visits
    ]
    return {
        "firstVisit": told[0] if told else None,
        "lastVisit": told[-1] if told else None,
        "moments": paged(told),
    }
