"""Personal data and secrets that must not be found where they do not belong."""

from collections.abc import Iterable
from typing import Any

from tests.actors import order, pinned

EMAIL = "canary.bird@example.com"


IP, BROWSER = "203.0.113.187", "CanaryBrowser/9.9"


SECRET = "shpss_canary-of-the-webhooks"


API_TOKEN = "canary-of-the-owner-5f0e"


PINTEREST_TOKEN = "pina_canary-of-the-account"


PASSWORD = "canary-of-the-database"


PERSON = (
    *(EMAIL, "canary.bird", "Canaria", "Vogelsang", "Canaryville", "77 Aviary Row", "10187-0187"),
    *("212-555-0187", "2125550187", "12125550187", "1990-12-31", "key-of-canary", "987654321012"),
)


SECRETS = (SECRET, API_TOKEN, PINTEREST_TOKEN)


DEVICE = (IP, BROWSER)


def canary(number: int, **changes: Any) -> dict[str, Any]:
    """An order whose every personal field, and every field a shop may misuse, sings."""
    home = {
        "first_name": "Canaria",
        "last_name": "Vogelsang",
        "name": "Canaria Vogelsang",
        "address1": "77 Aviary Row",
        "city": "Canaryville",
        "province_code": "NY",
        "zip": "10187-0187",
        "country_code": "US",
        "phone": "212-555-0187",
    }
    body = order(
        id=number,
        email=EMAIL,
        contact_email=EMAIL,
        phone="+12125550187",
        landing_site=pinned(utm_term=EMAIL, epik="dj0yJnU9b2JwcTV2cjl5VjN1", email=EMAIL),
        referring_site=f"https://www.pinterest.com/?mail={EMAIL}",
        order_status_url="https://shop.example/1/orders/x/authenticate?key=key-of-canary",
        note="For Canaria",
        note_attributes=[{"name": "birthday", "value": "1990-12-31"}],
        client_details={"browser_ip": IP, "user_agent": BROWSER},
        customer={
            "id": 987654321012,
            "email": EMAIL,
            "first_name": "Canaria",
            "last_name": "Vogelsang",
            "phone": "+12125550187",
            "default_address": home,
        },
        billing_address=home,
        shipping_address=home,
    )
    return body | changes


def found(canaries: Iterable[str], *places: str) -> list[str]:
    """The canaries that sing in any of the places."""
    return [canary for canary in canaries if any(canary in place for place in places)]
