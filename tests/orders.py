"""Order bodies of every kind that a shop sends."""

import json
import time
from typing import Any

from tests.actors import DAY, NOW, instant, notes, order, pinned, refund


def line(**changes: Any) -> dict[str, Any]:
    (one,) = order()["line_items"]
    return {**one, **changes}


SHIPPING_BACK = [
    {"kind": "shipping_refund", "amount": "-7.00", "tax_amount": "-0.50"},
    {"kind": "refund_discrepancy", "amount": "1.25", "tax_amount": "0.00"},
]


ADDRESS = {**order()["billing_address"], "first_name": "Bo", "phone": None, "city": "Albany"}


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "taxes included": {"taxes_included": True, "subtotal_price": "40.00"},
    "no subtotal": {"subtotal_price": None},
    "a discount": {
        "subtotal_price": "35.55",
        "line_items": [line(discount_allocations=[{"amount": "4.45"}])],
    },
    "cancelled": {"cancelled_at": instant(NOW + 9), "financial_status": "voided"},
    "test": {"test": True},
    "unpaid": {"financial_status": "pending"},
    "refunded": {"refunds": [refund()], "financial_status": "partially_refunded"},
    "shipping refunded": {"refunds": [refund(order_adjustments=SHIPPING_BACK)]},
    "shipping taken off an unpaid order": {
        "refunds": [refund(order_adjustments=SHIPPING_BACK, transactions=[])]
    },
    "refunded in another currency": {
        "refunds": [
            refund(
                transactions=[
                    {"kind": "refund", "status": "success", "amount": "9.10", "currency": "EUR"}
                ]
            )
        ]
    },
    "a refund that failed": {
        "refunds": [
            refund(
                transactions=[
                    {"kind": "refund", "status": "failure", "amount": "10.00", "currency": "USD"}
                ]
            )
        ]
    },
    "custom item": {"line_items": [line(product_id=None, variant_id=None, sku=None, vendor=None)]},
    "many lines": {"line_items": [line(sku=f"S{n}", quantity=n + 1) for n in range(61)]},
    "no customer": {"customer": None, "billing_address": None, "email": "", "contact_email": ""},
    "two addresses": {"shipping_address": ADDRESS},
    "only a default address": {
        "billing_address": None,
        "customer": {"id": 9_001, "email": "bo@example.com", "default_address": ADDRESS},
    },
    "a phone": {"phone": "+12125550143"},
    "over the counter": {"source_name": "pos", "landing_site": None},
    "a draft": {"source_name": "shopify_draft_order", "app_id": 1354745},
    "a draft of an app": {"source_name": "1234", "app_id": 1354745},
    "a renewal": {"source_name": "subscription_contract", "landing_site": None},
    "an import": {"processed_at": instant(NOW - 30 * DAY)},
    "notes": {"note_attributes": notes(__pin_vid="visitor-77", __pin_consent="marketing=no")},
    "an empty note": {"note_attributes": [{"name": "x", "value": None}]},
    "a landing page": {"landing_site": pinned(epik="dj0yJnU9abcdefgh"), "referring_site": ""},
    "a referrer": {"referring_site": "https://www.pinterest.com/pin/1"},
    "the front page": {"landing_site": "/"},
    "a landing page that was cut": {
        "landing_site": ("/p?x=" + "y" * 200 + "&epik=dj0yJnU9" + "a" * 99)[:255]
    },
    "tokens": {"cart_token": "c1-abcdef", "checkout_token": "0123456789abcdef"},
    "yen": {
        "currency": "JPY",
        "subtotal_price": "4000",
        "total_price": "5000",
        "total_tax": "300",
        "line_items": [line(price="2000", tax_lines=[{"price": "300"}])],
    },
    "dinars": {
        "currency": "BHD",
        "subtotal_price": "40.125",
        "total_price": "50.375",
        "line_items": [line(price="20.125")],
    },
    "a price below a cent": {"line_items": [line(price="0.125")]},
}


EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"


def paid(number: int, **changes: Any) -> bytes:
    """An order placed just now by a buyer of its own, brought by a pin."""
    email = f"{number}@example.com"
    now = instant(time.time())
    moments = dict.fromkeys(("created_at", "processed_at", "updated_at"), now)
    buyer = {"email": email, "contact_email": email, "customer": {"id": number, "email": email}}
    body = order(id=number, landing_site=pinned(epik=EPIK), **moments) | buyer | changes
    return json.dumps(body).encode()


PIN = pinned(epik=EPIK)


def of_buyer(number: int) -> dict[str, Any]:
    """An order of this number by a buyer of this number."""
    email = f"{number}@example.com"
    return order(
        id=number,
        email=email,
        contact_email=email,
        customer={"id": number, "email": email},
        billing_address=None,
        landing_site=PIN,
    )
