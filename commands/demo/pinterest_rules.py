"""Pinterest's documented rules for an event, independent of the service's own schema.

The stand-in must notice a mistake in that schema, so the rules are written here a second time.
Sources: the field texts of the OpenAPI description and Pinterest's developer pages.
"""

import json
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
    # Published later.
    "item_brand_id": str,
    "quantity": int,
}  # fmt: skip
REQUIRED = ("event_name", "action_source", "event_time", "event_id", "user_data")


def faults_of(event: Any) -> Iterator[str]:
    """Yields the reasons for which Pinterest refuses the whole call that holds this event."""
    if not isinstance(event, dict):
        yield "an event must be an object"
        return
    yield from (f"'{key}' is a required property" for key in REQUIRED if key not in event)
    yield from _type_faults(event, EVENT)
    if event.get("event_name") not in NAMES:
        yield "unknown event_name"
    if event.get("action_source") not in SOURCES:
        yield "unknown action_source"
    if isinstance(event.get("user_data"), dict):
        yield from _user_data_faults(event["user_data"])
    if isinstance(event.get("custom_data"), dict):
        yield from _custom_data_faults(event["custom_data"])


def failure_of(event: dict[str, Any], now: float) -> str:
    """Returns why Pinterest fails this event of an accepted call, or an empty text."""
    at = event["event_time"]
    if at > now:
        return f"Invalid event_time: {at} is in the future, it is {int(now)}"
    if now - at > WEEK:
        return f"Invalid event_time: {at} is too far in the past, it is {int(now)}"
    return ""


def warning_of(event: dict[str, Any]) -> str:
    """Returns the warning that Pinterest adds to an accepted event, or an empty text."""
    missing = [key for key in ("external_id", "click_id") if key not in event["user_data"]]
    return "; ".join(f"{key} is missing" for key in missing)


def _type_faults(fields: dict[str, Any], types: dict[str, type]) -> Iterator[str]:
    for key, value in fields.items():
        if key not in types:
            yield f"Additional properties are not allowed ('{key}' was unexpected)"
        elif type(value) is not types[key]:
            yield f"'{key}' must be of type {types[key].__name__}"


def _user_data_faults(user_data: dict[str, Any]) -> Iterator[str]:
    for key, value in user_data.items():
        if key in HASHED:
            if not isinstance(value, list) or not value or not all(map(_is_digest, value)):
                yield f"'{key}' must be a list of SHA-256 digests"
        elif key not in CLEAR:
            yield f"'{key}' is not a field of user_data"
        elif not isinstance(value, str) or not value:
            yield f"'{key}' must be text"
    has_browser = {"client_ip_address", "client_user_agent"} <= user_data.keys()
    if not ("em" in user_data or "hashed_maids" in user_data or has_browser):
        yield "user_data must hold em, hashed_maids or address and user agent"


def _custom_data_faults(custom_data: dict[str, Any]) -> Iterator[str]:
    yield from _type_faults(custom_data, CUSTOM)
    if not all(isinstance(i, str) for i in custom_data.get("content_ids") or []):
        yield "'content_ids' must hold texts"
    for content in custom_data.get("contents") or []:
        if isinstance(content, dict):
            yield from _type_faults(content, CONTENT)
        else:
            yield "'contents' must hold objects"
    for key in ("value", "predicted_ltv"):
        if key in custom_data and not _is_number(custom_data[key]):
            yield f"'{key}' does not parse as a number"


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.match(value) is not None


def _is_number(text: Any) -> bool:
    try:
        return isinstance(text, str) and float(text) == float(text)
    except ValueError:
        return False


def deletion_targets_of(body: bytes) -> dict[str, Any] | str:
    """Returns the targets of a deletion request, or why they are none: e-mails in clear text and
    click ids, one at least."""
    try:
        request = json.loads(body)
        targets = request["deletion_targets"]
        emails, click_ids = targets["user_emails"], targets["epiks"]
    except (ValueError, KeyError, TypeError):
        return "deletion_targets: needs user_emails and epiks"
    if {*request} != {"deletion_targets"} or {*targets} != {"user_emails", "epiks"}:
        return "an unknown field"
    if not all(isinstance(each, list) for each in (emails, click_ids)) or not [*emails, *click_ids]:
        return "deletion_targets: lists, one of which is not empty"
    if not all(isinstance(text, str) and text for text in (*emails, *click_ids)):
        return "deletion_targets: texts"
    if not all(re.fullmatch(r"[^@\s]+@[^@\s]+", email) for email in emails):
        return "user_emails: addresses in clear text"
    return {"user_emails": emails, "epiks": click_ids}
