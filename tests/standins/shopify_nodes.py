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
        "billingAddress": _place(body.get("billing_address")),
        "shippingAddress": _place(body.get("shipping_address")),
        "customer": _customer(customer) if customer else None,
        "customerJourneySummary": _journey(visits),
        "lineItems": paged([_line(line, currency, hidden) for line in body["line_items"]]),
        "refunds": [refund_node(refund, currency) for refund in body["refunds"]],
    }
    return node | {name: denied(name) for name in hidden if name in node}


def refund_node(refund: Body, currency: str) -> Node:
    """A refund as the API shows it: shipping apart from the differences."""
    adjustments = refund.get("order_adjustments") or []
    shipping = [a for a in adjustments if a["kind"] == "shipping_refund"]
    differences = [a for a in adjustments if a["kind"] != "shipping_refund"]
    return {
        "id": gid("Refund", refund["id"]),
        "legacyResourceId": str(refund["id"]),
        "createdAt": refund["created_at"],
        "processedAt": refund["processed_at"],
        "refundLineItems": paged(
            [
                {
                    "subtotalSet": bag(line["subtotal"], currency),
                    "totalTaxSet": bag(line["total_tax"], currency),
                }
                for line in refund["refund_line_items"]
            ]
        ),
        "refundShippingLines": paged(
            [
                {
                    "subtotalAmountSet": bag(-Decimal(str(a["amount"])), currency),
                    "taxAmountSet": bag(-Decimal(str(a["tax_amount"])), currency),
                }
                for a in shipping
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
        "firstName": customer.get("first_name"),
        "lastName": customer.get("last_name"),
        "defaultEmailAddress": {"emailAddress": email} if email else None,
        "defaultPhoneNumber": {"phoneNumber": phone} if phone else None,
        "defaultAddress": _place(customer.get("default_address")),
    }


def _line(line: Body, currency: str, hidden: Collection[str]) -> Node:
    product, variant = line["product_id"], line["variant_id"]
    node = {
        "sku": line["sku"],
        "title": line["title"],
        "vendor": line["vendor"],
        "quantity": line["quantity"],
        "product": {"legacyResourceId": str(product)} if product else None,
        "variant": {"legacyResourceId": str(variant)} if variant else None,
        "originalUnitPriceSet": bag(line["price"], currency),
        "discountAllocations": [
            {"allocatedAmountSet": bag(one["amount"], currency)}
            for one in line["discount_allocations"]
        ],
        "taxLines": [{"priceSet": bag(one["price"], currency)} for one in line["tax_lines"]],
    }
    return node | {name: denied(name) for name in hidden if name in node}


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
