"""Distinct signed Shopify orders of a typical size (about 8 kB), for benchmarks."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from webhooks.signature import sign

_PINTEREST = "utm_source=pinterest&utm_medium=cpc&utm_campaign=autumn&utm_campaign_id=626735565838"
EPIK = "dj0yJnU9" + "aB3" * 30


def signed_orders(secret: bytes, first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Signature and body of `count` orders with ids from `first`, each of another buyer."""
    template = json.dumps(_order(), separators=(",", ":"))
    for number in range(first, first + count):
        phone = f"{200 + number // 10_000 % 800}-{number % 10_000:04}"
        body = template.replace("@NUMBER@", str(number)).replace("@PHONE@", phone).encode()
        yield sign(body, secret), body


def _money(amount: str) -> dict[str, Any]:
    money = {"amount": amount, "currency_code": "USD"}
    return {"shop_money": money, "presentment_money": money}


def _address(kind: str) -> dict[str, Any]:
    return {
        "first_name": "Ada",
        "last_name": f"Buyer{kind}",
        "address1": "1 Main Street",
        "address2": None,
        "company": None,
        "city": "Springfield",
        "zip": "62701",
        "province": "Illinois",
        "country": "United States",
        "phone": "(217) @PHONE@",
        "name": "Ada Buyer",
        "country_code": "US",
        "province_code": "IL",
        "latitude": 39.8,
        "longitude": -89.6,
    }


def _line(number: int) -> dict[str, Any]:
    return {
        "id": 13000000000000 + number,
        "admin_graphql_api_id": f"gid://shopify/LineItem/{13000000000000 + number}",
        "current_quantity": 1,
        "fulfillable_quantity": 1,
        "fulfillment_service": "manual",
        "fulfillment_status": None,
        "gift_card": False,
        "grams": 250,
        "name": f"Linen shirt number {number} - M",
        "price": "29.99",
        "price_set": _money("29.99"),
        "product_exists": True,
        "product_id": 7000000000000 + number,
        "properties": [],
        "quantity": 1,
        "requires_shipping": True,
        "sku": f"LS-{number}-M",
        "taxable": True,
        "title": f"Linen shirt number {number}",
        "total_discount": "0.00",
        "total_discount_set": _money("0.00"),
        "variant_id": 41000000000000 + number,
        "variant_inventory_management": "shopify",
        "variant_title": "M",
        "vendor": "Linen House",
        "tax_lines": [
            {"price": "1.87", "rate": 0.0625, "title": "IL", "price_set": _money("1.87")}
        ],
        "duties": [],
        "discount_allocations": [],
    }


def _order() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    totals = {
        name: _money(value)
        for name, value in {
            "current_subtotal_price_set": "89.97",
            "current_total_discounts_set": "0.00",
            "current_total_price_set": "101.58",
            "current_total_tax_set": "5.61",
            "subtotal_price_set": "89.97",
            "total_discounts_set": "0.00",
            "total_line_items_price_set": "89.97",
            "total_price_set": "101.58",
            "total_shipping_price_set": "6.00",
            "total_tax_set": "5.61",
        }.items()
    }
    return {
        # A number in the body, made by replacing the whole text.
        "id": "@NUMBER@",
        "admin_graphql_api_id": "gid://shopify/Order/@NUMBER@",
        "app_id": 580111,
        "browser_ip": "203.0.113.24",
        "cancelled_at": None,
        "cart_token": "cart-@NUMBER@",
        "checkout_token": "checkout-@NUMBER@",
        "client_details": {
            "accept_language": "en-US",
            "browser_ip": "203.0.113.24",
            "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) "
            "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
        },
        "contact_email": "buyer-@NUMBER@@example.com",
        "created_at": now,
        "currency": "USD",
        **totals,
        "current_subtotal_price": "89.97",
        "current_total_price": "101.58",
        "customer_locale": "en-US",
        "discount_codes": [],
        "email": "buyer-@NUMBER@@example.com",
        "financial_status": "paid",
        "fulfillment_status": None,
        "landing_site": f"/products/linen-shirt?{_PINTEREST}&epik={EPIK}",
        "name": "#@NUMBER@",
        "note_attributes": [
            {"name": "__pin_vid", "value": "visitor-@NUMBER@"},
            {"name": "gift", "value": "no"},
        ],
        "order_status_url": "https://linen.example/100/orders/@NUMBER@/authenticate?key=k",
        "payment_gateway_names": ["shopify_payments"],
        "phone": None,
        "presentment_currency": "USD",
        "processed_at": now,
        "referring_site": "https://www.pinterest.com/",
        "source_name": "web",
        "subtotal_price": "89.97",
        "tags": "",
        "tax_lines": [{"price": "5.61", "rate": 0.0625, "title": "IL"}],
        "taxes_included": False,
        "test": False,
        "total_discounts": "0.00",
        "total_price": "101.58",
        "total_tax": "5.61",
        "updated_at": now,
        "billing_address": _address(""),
        "shipping_address": _address(""),
        "customer": {
            "id": "@NUMBER@",
            "email": "buyer-@NUMBER@@example.com",
            "first_name": "Ada",
            "last_name": "Buyer",
            "phone": None,
            "default_address": _address(""),
        },
        "fulfillments": [],
        "line_items": [_line(i) for i in range(3)],
        "refunds": [],
        "shipping_lines": [{"id": 1, "title": "Standard", "price": "6.00"}],
    }
