"""Pinterest's documented rules of an event, written a second time on purpose.

The stand-in must not be blind to a mistake in the product's own schema, so nothing here comes
from it. Sources: the field texts of the OpenAPI description and Pinterest's developer pages.
"""

import re
from collections.abc import Iterator
from typing import Any

WEEK = 7 * 24 * 3600
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

NAMES = {
    "add_payment_info", "add_to_cart", "add_to_wishlist", "app_install", "app_open", "checkout",
    "contact", "custom", "customize_product", "find_location", "initiate_checkout", "lead",
    "page_visit", "schedule", "search", "signup", "start_trial", "submit_application", "subscribe",
    "view_category", "view_content", "watch_video",
}  # fmt: skip
SOURCES = {"app_android", "app_ios", "web", "offline"}
HASHED = {
    "em", "ph", "ge", "db", "fn", "ln", "ct", "st", "zp", "country", "external_id", "hashed_maids",
}  # fmt: skip
CLEAR = {"click_id", "client_ip_address", "client_user_agent", "partner_id", "customer_type"}
EVENT = {
    "event_name": str, "action_source": str, "event_time": int, "event_id": str, "user_data": dict,
    "custom_data": dict, "event_source_url": str, "language": str, "partner_name": str,
    "opt_out": bool, "wifi": bool, "app_id": str, "app_name": str, "app_version": str,
    "device_brand": str, "device_carrier": str, "device_model": str, "device_type": str,
    "os_version": str, "app_info": dict, "device_info": dict,
}  # fmt: skip
CUSTOM = {
    "currency": str, "value": str, "order_id": str, "content_ids": list, "contents": list,
    "num_items": int, "content_name": str, "content_category": str, "content_brand": str,
    "search_string": str, "predicted_ltv": str, "opt_out_type": str, "np": str,
    "external_measurement_id": str, "external_measurement_vendor_id": int,
}  # fmt: skip
CONTENT = {
    "id": str, "item_name": str, "item_category": str, "item_brand": str, "item_price": str,
    "quantity": int,
}  # fmt: skip
REQUIRED = ("event_name", "action_source", "event_time", "event_id", "user_data")


def faults_of(event: Any) -> Iterator[str]:
    """What makes Pinterest refuse the whole request that holds this event."""
    if not isinstance(event, dict):
        yield "an event must be an object"
        return
    yield from (f"'{key}' is a required property" for key in REQUIRED if key not in event)
    yield from _misfits(event, EVENT)
    if event.get("event_name") not in NAMES:
        yield "unknown event_name"
    if event.get("action_source") not in SOURCES:
        yield "unknown action_source"
    if isinstance(event.get("user_data"), dict):
        yield from _faults_of_person(event["user_data"])
    if isinstance(event.get("custom_data"), dict):
        yield from _faults_of_sale(event["custom_data"])


def failure_of(event: dict[str, Any], now: float) -> str:
    """Why Pinterest takes the request but not this event of it; nothing if it takes it."""
    at = event["event_time"]
    if at > now:
        return f"Invalid event_time: {at} is in the future, it is {int(now)}"
    if now - at > WEEK:
        return f"Invalid event_time: {at} is too far in the past, it is {int(now)}"
    return ""


def warning_of(event: dict[str, Any]) -> str:
    """The remark Pinterest makes on an event it takes all the same."""
    missing = [key for key in ("external_id", "click_id") if key not in event["user_data"]]
    return "; ".join(f"{key} is missing" for key in missing)


def _misfits(found: dict[str, Any], kinds: dict[str, type]) -> Iterator[str]:
    for key, value in found.items():
        if key not in kinds:
            yield f"Additional properties are not allowed ('{key}' was unexpected)"
        elif type(value) is not kinds[key]:
            yield f"'{key}' must be of type {kinds[key].__name__}"


def _faults_of_person(person: dict[str, Any]) -> Iterator[str]:
    for key, value in person.items():
        if key in HASHED:
            if not isinstance(value, list) or not value or not all(map(_is_digest, value)):
                yield f"'{key}' must be a list of SHA-256 digests"
        elif key not in CLEAR:
            yield f"'{key}' is not a field of user_data"
        elif not isinstance(value, str) or not value:
            yield f"'{key}' must be text"
    has_browser = {"client_ip_address", "client_user_agent"} <= person.keys()
    if not ("em" in person or "hashed_maids" in person or has_browser):
        yield "user_data must hold em, hashed_maids or address and user agent"


def _faults_of_sale(sale: dict[str, Any]) -> Iterator[str]:
    yield from _misfits(sale, CUSTOM)
    if not all(isinstance(i, str) for i in sale.get("content_ids") or []):
        yield "'content_ids' must hold texts"
    for content in sale.get("contents") or []:
        if isinstance(content, dict):
            yield from _misfits(content, CONTENT)
        else:
            yield "'contents' must hold objects"
    for key in ("value", "predicted_ltv"):
        if key in sale and not _is_number(sale[key]):
            yield f"'{key}' does not parse as a number"


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.match(value) is not None


def _is_number(text: Any) -> bool:
    try:
        return isinstance(text, str) and float(text) == float(text)
    except ValueError:
        return False
