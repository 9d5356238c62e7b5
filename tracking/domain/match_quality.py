"""The match quality of events: which fields Pinterest scores, and what to do where they lack."""

from collections.abc import Mapping
from typing import NamedTuple

# The components of Pinterest's event quality score, in its words and its order.
FIELDS = (
    "click_id_epik",
    "hashed_email",
    "advertiser_external_id",
    "hashed_maid",
    "ip_address",
    "user_agent",
    "external_event_id",
    "order_id",
    "order_value",
    "product_id",
    "source_url",
)
# The bit that stands for each field.
BITS = {1 << n: field for n, field in enumerate(FIELDS)}
# Millionths of the whole: shares are whole numbers.
WHOLE = 1_000_000
# Of fewer events a share says little.
LEAST_EVENTS = 5
# Below this share of event ids that both senders have, purchases are counted twice.
LEAST_OVERLAP = 700_000

_PURCHASE = "checkout"
_STOREFRONT = ("page_visit", "add_to_cart", "initiate_checkout")


class _Advice(NamedTuple):
    """The advice for a field of events: the share (percent) below which it is weak, and what to do
    about it. `below_of_all` is that share where purchases that Pinterest did not cause are sent."""

    field: str
    events: tuple[str, ...]
    below: int
    what_to_do: str
    below_of_all: int | None = None


_TABLE = (
    _Advice(
        "click_id_epik",
        (_PURCHASE,),
        60,
        "the tag in the theme is missing where these orders began, or a redirect drops epik from"
        " the links of the pins. Put the tag into layout/theme.liquid (docs/pixel.md, In the"
        " theme)",
        below_of_all=5,
    ),
    _Advice(
        "click_id_epik",
        _STOREFRONT,
        60,
        "the custom pixel did not see the page that the pin leads to, or a redirect drops epik from"
        " the links. Paste the pixel's present text and connect it (docs/pixel.md, As a custom"
        " pixel)",
        below_of_all=5,
    ),
    _Advice(
        "hashed_email",
        (_PURCHASE,),
        95,
        "these orders have no e-mail. Choose e-mail as the contact of Shopify's checkout, and ask"
        " for the app's access to protected customer data (docs/install.md, step 5)",
    ),
    _Advice(
        "advertiser_external_id",
        (_PURCHASE,),
        80,
        "neither a customer nor Shopify's id of the browser is known. Connect the custom pixel, set"
        " COLLECTOR_KEY, and create the checkout webhooks (docs/install.md, steps 5 and 7)",
    ),
    _Advice(
        "advertiser_external_id",
        _STOREFRONT,
        80,
        "the tag in the theme alone does not see Shopify's id of the browser. Connect the custom"
        " pixel (docs/pixel.md, As a custom pixel)",
    ),
    _Advice(
        "ip_address",
        (_PURCHASE,),
        90,
        "Shopify tells no browser_ip of these orders: drafts, renewals and sales channels have"
        " none. Orders from POST /track-event need client_ip_address (docs/import-and-export.md)",
    ),
    _Advice(
        "ip_address",
        _STOREFRONT,
        90,
        "the address that arrives is that of a proxy. Set TRUSTED_PROXIES to the number of reverse"
        " proxies in front (docs/operating.md, The reverse proxy)",
    ),
    _Advice(
        "user_agent",
        (_PURCHASE,),
        90,
        "Shopify tells no user_agent of these orders: drafts, renewals and sales channels have"
        " none. Orders from POST /track-event need client_user_agent (docs/import-and-export.md)",
    ),
    _Advice(
        "user_agent",
        _STOREFRONT,
        90,
        "the reverse proxy drops the header User-Agent. Pass it on (docs/install.md, step 4)",
    ),
    _Advice(
        "order_id",
        (_PURCHASE,),
        99,
        "another system hands in purchases without it. Send custom_data.order_id with POST"
        " /track-event (docs/import-and-export.md)",
    ),
    _Advice(
        "order_value",
        (_PURCHASE,),
        99,
        "another system hands in purchases without it. Send custom_data.value and currency with"
        " POST /track-event (docs/import-and-export.md)",
    ),
    _Advice(
        "order_value",
        ("add_to_cart", "initiate_checkout"),
        90,
        "the theme's Pinterest tag tells no value. Name value and currency in its calls, or connect"
        " the custom pixel, which knows both (docs/pixel.md)",
    ),
    _Advice(
        "product_id",
        (_PURCHASE, *_STOREFRONT),
        90,
        "these products lack the id that CONTENT_ID chooses (a sku may be empty, and lines made by"
        " hand have no product). Set CONTENT_ID to the id of your Pinterest catalogue"
        " (docs/configuration.md)",
    ),
    _Advice(
        "source_url",
        (_PURCHASE,),
        95,
        "no page of these orders is known, and several could be the shop's. Name one origin in"
        " COLLECTOR_ORIGINS, or one shop in SHOPIFY_STORE_URL (docs/configuration.md)",
    ),
    _Advice(
        "source_url",
        _STOREFRONT,
        95,
        "another system tells these events without their page. Send event_source_url with POST"
        " /track-event (docs/import-and-export.md)",
    ),
)
_ADVICE: Mapping[tuple[str, str], _Advice] = {
    (row.field, event): row for row in _TABLE for event in row.events
}
_FIELD_WORDS = {
    "click_id_epik": "Click id",
    "hashed_email": "E-mail",
    "advertiser_external_id": "External id",
    "ip_address": "IP address",
    "user_agent": "User agent",
    "order_id": "Order id",
    "order_value": "Value",
    "product_id": "Product id",
    "source_url": "Page address",
}
_EVENT_WORDS = {
    "checkout": "purchases",
    "page_visit": "page visits",
    "add_to_cart": "additions to the cart",
    "initiate_checkout": "checkouts",
}
_OVERLAP_ADVICE = (
    "another sender tells Pinterest the same purchases under ids of its own, which then count"
    " twice. Set PINTEREST_APP=beside (docs/operating.md, Beside Pinterest's own Shopify app)"
)


def share_of(part: int, whole: int) -> int | None:
    """Returns a part of a whole in millionths; None of nothing."""
    return part * WHOLE // whole if whole else None


def advice_for(
    event_name: str,
    action_source: str,
    field: str,
    events: int,
    having: int,
    *,
    sends_all: bool = False,
) -> str:
    """Returns a line of advice if a field is weak, "" if it is not.

    `having` of so many events have the field. What is sold in a store, or in an app, is not judged
    by what a browser has. With `sends_all` purchases that Pinterest did not cause are sent too.
    """
    row = _ADVICE.get((field, event_name))
    if row is None or action_source != "web" or events < LEAST_EVENTS:
        return ""
    below = row.below if row.below_of_all is None or not sends_all else row.below_of_all
    if having * 100 >= events * below:
        return ""
    of_events = f"{_FIELD_WORDS[field]} on {having * 100 // events}% of {_EVENT_WORDS[event_name]}"
    return f"{of_events}: {row.what_to_do}."


def overlap_advice(overlap: int) -> str:
    """Returns a line of advice if too few event ids (millionths) are known from both senders of
    purchases, "" if that are enough."""
    if overlap >= LEAST_OVERLAP:
        return ""
    return f"Event ids overlap on {overlap * 100 // WHOLE}% of purchases: {_OVERLAP_ADVICE}."


def event_name_in(told: str) -> str:
    """Returns our name of an event that Pinterest names in one of its spellings (PAGE_VISIT,
    PageVisit, pagevisit)."""
    letters = told.replace("_", "").lower()
    return _BY_LETTERS.get(letters, told.lower())


_BY_LETTERS = {name.replace("_", ""): name for name in _EVENT_WORDS}
