"""Storefront events as Shopify hands them to the pixel, and calls of the collector."""

import copy
from typing import Any

from tests.actors import COLLECTOR_KEY, NOW, instant
from tracking.receive.pixel import ClientInfo

EPIK = "dj0yJnU9Q2xpY2tPZkFQaW5PbkFQaG9uZSZwPTAmbj1leGFtcGxl"


CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
)


CALLER = ClientInfo("203.0.113.7", CHROME)


VISITOR, CLIENT = "visitor-0000-0001", "1fd529f6-8f05-4118-ba6b-a4e20691aa0c"


SHOP = "https://mugs.example"


CHECKOUT_TOKEN = "dd84dba9362eab31f3513ebd3bd82b6c"


CART_TOKEN = "Z2NwLXVzLWNlbnRyYWwxOjAxSEtQOVRNQkcw"


CHECKOUT_PAGE = f"{SHOP}/checkouts/cn/{CART_TOKEN}"


VARIANT = {
    "id": "222",
    "sku": "MUG-1",
    "price": {"amount": 729.95, "currencyCode": "INR"},
    "product": {"id": "111", "title": "Stone mug", "vendor": "Kiln"},
    "title": "Large",
}


HOME = {
    "firstName": "Ada",
    "lastName": "Love",
    "city": "New York",
    "provinceCode": "NY",
    "zip": "10001",
    "countryCode": "US",
    "phone": "212-555-0142",
}


DATA: dict[str, dict[str, Any]] = {
    "page_viewed": {},
    "product_viewed": {"productVariant": VARIANT},
    "product_added_to_cart": {
        "cartLine": {
            "cost": {"totalAmount": {"amount": 1459.9, "currencyCode": "INR"}},
            "merchandise": VARIANT,
            "quantity": 2,
        }
    },
    "checkout_started": {
        "checkout": {
            "token": CHECKOUT_TOKEN,
            "currencyCode": "INR",
            "subtotalPrice": {"amount": 2189.85, "currencyCode": "INR"},
            "totalPrice": {"amount": 2500, "currencyCode": "INR"},
            "lineItems": [
                {"quantity": 2, "title": "Stone mug", "variant": VARIANT},
                {"quantity": 1, "title": "Engraving", "variant": None},
            ],
            "attributes": [{"key": "__pin_vid", "value": "somebody-else-1"}],
            "email": "Ada@Example.com ",
            "phone": "+1 212 555 0142",
            "billingAddress": HOME,
            "shippingAddress": {},
            "order": {"customer": {"id": "gid://shopify/Customer/9001"}},
        }
    },
    "ad_viewed": {
        "campaign": "Spring",
        "campaign_id": 626735565838,
        "ad_id": "687",
        "pin_id": "998",
    },
}


DATA["checkout_completed"] = DATA["checkout_started"]


STAGES = ["product_viewed", "product_added_to_cart", "checkout_started"]


def event(name: str = "page_viewed", /, **changes: Any) -> dict[str, Any]:
    """A storefront event of now, on a page reached from the shop's own. Give only what matters.

    `href` and `referrer` stand for their places deep in the context, `checkout` changes fields of
    the checkout.
    """
    on_page = CHECKOUT_PAGE if name.startswith("checkout") else f"{SHOP}/products/mug"
    location = {"href": changes.pop("href", on_page)}
    referrer = changes.pop("referrer", f"{SHOP}/")
    data = copy.deepcopy(DATA.get(name, {}))
    if "checkout" in changes:
        data["checkout"] |= changes.pop("checkout")
    told = {
        "id": "sh-fc25464d-85AC-4A1C-CF92-DC0BFE51CA69",
        "name": name,
        "clientId": CLIENT,
        "timestamp": instant(NOW),
        "context": {
            "document": {"location": location, "referrer": referrer},
            "navigator": {"userAgent": CHROME, "language": "en"},
        },
        "data": data,
    }
    return told | changes


def view(**changes: Any) -> dict[str, Any]:
    """A product that was looked at NOW."""
    event = {
        "id": "sh-0001-0001",
        "name": "product_viewed",
        "clientId": "visitor-0001",
        "timestamp": instant(NOW),
        "context": {
            "document": {"location": {"href": "https://shop.example/products/mug"}, "referrer": ""}
        },
        "data": {
            "productVariant": {
                "id": "222",
                "sku": "MUG-1",
                "price": {"amount": 20.0, "currencyCode": "USD"},
                "product": {"id": "111", "title": "Mug", "vendor": "Kiln"},
            }
        },
    }
    return event | changes


def call(*events: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A call of these events (or of one) with the right key."""
    return {"key": COLLECTOR_KEY, "events": list(events) or [view()]} | changes
