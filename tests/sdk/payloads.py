"""Every kind of event this service can send, a JSON text a line: `python -m tests.sdk.payloads`.

They are made by the code that sends them, from orders, storefront events and events handed in.
"""

import json
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any, get_args

import msgspec

from tests.actors import NOW, notes, order, pinned
from tests.orders import VARIANTS
from tests.pixel_events import CALLER, STAGES
from tests.pixel_events import event as storefront_event
from tracking.destinations.pinterest import Pinterest, amend, encode, strip
from tracking.destinations.pinterest_schema import ACTION_SOURCES, EVENT_NAMES
from tracking.domain.attribution import Rules
from tracking.domain.conversion import (
    ConsentUnknown,
    ContentId,
    ConversionValue,
    Evidence,
    Policy,
)
from tracking.domain.shopify_order import order_of
from tracking.receive.event_input import inbound_event_of
from tracking.receive.pixel import pixel_batch_of
from tracking.receive.planner import Planner

EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
POLICIES = [
    Policy(send="all", value=value, content_id=content_id, consent_unknown=consent)
    for value, content_id, consent in product(
        get_args(ConversionValue), get_args(ContentId), get_args(ConsentUnknown)
    )
]
# On top of what orders differ in: where the buyer came from, and what the buyer allows.
VISITS: tuple[dict[str, Any], ...] = (
    {},
    {"landing_site": pinned(epik=EPIK, utm_campaign="été & co")},
    {"note_attributes": notes(pin_consent="marketing=yes;sale_of_data=no;gpc=1")},
)
PERSON: dict[str, Any] = {
    "em": ["ada@example.com", "a" * 64],
    "ph": "+1 212 555 0142",
    "ge": "female",
    "db": "1990-01-31",
    "fn": "Ada",
    "ln": "Löve",
    "ct": "New York",
    "st": "NY",
    "zp": "10001",
    "country": "US",
    "external_id": ["9001"],
    "hashed_maids": ["cdda802e-fb9c-47ad-9866-0794d394c912"],
    "client_ip_address": "2001:db8::17",
    "client_user_agent": "Mozilla/5.0 (Macintosh)",
    "click_id": EPIK,
    "partner_id": "p-1",
}
CUSTOM: dict[str, Any] = {
    "currency": "EUR",
    "value": "59.98",
    "order_id": "5001",
    "num_items": 2,
    "search_string": "mug",
    "content_name": "Mug",
    "content_category": "Cups",
    "content_brand": "Kiln",
    "content_ids": ["111"],
    "contents": [{"id": "111", "item_price": 29.99, "quantity": 2, "item_name": "Mug"}],
    "opt_out_type": "LDP",
    "np": "direct",
}
ABOUT: dict[str, Any] = {
    "event_time": NOW - 60,
    "event_id": "given-1",
    "event_source_url": "https://shop.example/products/mug?utm_source=pinterest",
    "opt_out": True,
    "wifi": True,
    "language": "en",
    "partner_name": "direct",
    "app_id": "1",
    "app_name": "Shop",
    "app_version": "1.2",
    "device_brand": "Apple",
    "device_carrier": "T",
    "device_model": "iPhone",
    "device_type": "phone",
    "os_version": "17.4",
}
ROW: dict[str, Any] = {
    "EM": "ada@example.com",
    "EM_1": "b@example.com",
    "VALUE": "59.98",
    "CURRENCY": "USD",
    "ITEM_ID": "111",
    "ITEM_PRICE_1": "29.99",
    "ITEM_QUANTITY_1": "2",
    "EVENT_TIME": NOW - 60,
}


def purchases() -> Iterator[bytes]:
    """The purchase of every kind of order, under every policy that changes what is told."""
    account = Pinterest("a-token-of-the-tests", "549755885175")
    for policy, variant, visit in product(POLICIES, VARIANTS.values(), VISITS):
        planner = Planner({"pinterest": account}, policy, Rules.of(30, 24), "last_touch")
        body = order(**{**variant, **visit})
        draft = planner.facts_of(order_of(json.dumps(body).encode()))
        plan = planner.rows_of(draft, int(NOW))
        yield from plan.payloads.values()
    account.close()


def sightings() -> Iterator[bytes]:
    """What the pixel tells that is told on."""
    said: tuple[dict[str, Any], ...] = (
        {},
        {"consent": {"marketing": True, "sale_of_data": False}},
        {"href": f"https://shop.example/products/mug?epik={EPIK}"},
    )
    for policy, name, changes in product(POLICIES, STAGES, said):
        body = json.dumps({"events": [storefront_event(name, **changes)]}).encode()
        for seen in pixel_batch_of(body, CALLER, policy, int(NOW)).events:
            if seen.conversion is not None:
                yield encode(seen.conversion)


def handed_in() -> Iterator[bytes]:
    """Events of others, whole, with the least that is taken, and as a row of a table."""
    for name, source in product(EVENT_NAMES, ACTION_SOURCES):
        told = {"event_name": name, "action_source": source}
        for form in (
            {**told, **ABOUT, "user_data": PERSON, "custom_data": CUSTOM},
            {**told, "user_data": {"em": "ada@example.com"}},
            {**told, **ROW},
        ):
            yield msgspec.json.encode(
                inbound_event_of(json.dumps(form).encode(), Policy(), int(NOW)).event
            )
    newer: dict[str, Any] = {
        "user_data": {**PERSON, "customer_type": "new"},
        "custom_data": {**CUSTOM, "predicted_ltv": "820.50"},
        "app_info": {"app_name": "Shop"},
        "device_info": {"brand": "Apple"},
    }
    whole = {"event_name": "checkout", "action_source": "app_ios", **ABOUT, **newer}
    yield msgspec.json.encode(
        inbound_event_of(json.dumps(whole).encode(), Policy(), int(NOW)).event
    )


def changed(events: Iterator[bytes]) -> Iterator[bytes]:
    """The same, and each as it is after a late click, and without the browser if that may be."""
    for event in events:
        yield event
        yield amend(event, Evidence(click_id=EPIK), True)
        if b'"em"' in event:
            yield strip(event)


def main() -> None:
    """Write them, each once."""
    found = dict.fromkeys(
        line for kind in (purchases, sightings, handed_in) for line in changed(kind())
    )
    sys.stdout.writelines(f"{line.decode()}\n" for line in found)


if __name__ == "__main__":
    main()
