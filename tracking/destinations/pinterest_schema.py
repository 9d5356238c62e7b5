"""JSON schema of a Pinterest event: the published types, and stricter rules seen in practice.

Published is the type of each field (Pinterest's OpenAPI description, schema ConversionEvents).
Added are rules for values that pass the published schema and still cost the conversion: unknown
names of events and sources, clear text or the digest of an empty text instead of a digest, empty
lists, unknown keys of user_data, milliseconds. The published schema has its identity rule next to
a `$ref`, where validators of OpenAPI 3.0 ignore it; this schema enforces it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs

Schema = dict[str, Any]

_EVENT_NAMES = """
    add_payment_info add_to_cart add_to_wishlist app_install checkout custom initiate_checkout
    lead page_visit search signup subscribe view_category view_content watch_video
"""
# Not in the description of 5.23 yet, but in Pinterest's own tag template and in 5.28.
_LATER_EVENT_NAMES = """
    app_open contact customize_product find_location schedule start_trial submit_application
"""
EVENT_NAMES = (*_EVENT_NAMES.split(), *_LATER_EVENT_NAMES.split())
ACTION_SOURCES = ("app_android", "app_ios", "web", "offline")

_EMPTY_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_LATEST_SECOND = 9_999_999_999
_INT64 = 2**63

_TEXT: Schema = {"type": "string"}
_FILLED: Schema = {"type": "string", "minLength": 1}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_BOOLEAN: Schema = {"type": "boolean"}
_INTEGER: Schema = {"type": "integer", "minimum": -_INT64, "maximum": _INT64 - 1}
_DIGESTS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "not": {"enum": [_EMPTY_DIGEST]},
    },
}
# Pinterest parses these texts into a double.
_DECIMAL = "^-?[0-9]{1,15}(\\.[0-9]{1,6})?$"
_PRICE: Schema = {"type": "string", "pattern": _DECIMAL}
_PRICE_OR_NULL: Schema = {"type": ["string", "null"], "pattern": _DECIMAL}


def _text(limit: int) -> Schema:
    return {"type": "string", "maxLength": limit}


def _integer(limit: int) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": limit}


def _one_of(values: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(values)}


def _each(kind: Schema, names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), kind)


def _object(fields: Mapping[str, Schema], required: str = "", **more: Any) -> Schema:
    requirement = {"required": required.split()} if required else {}
    return {
        "type": "object",
        "properties": dict(fields),
        "additionalProperties": False,
        **requirement,
        **more,
    }


_USER_DATA = _object(
    {
        **_each(_DIGESTS, "em ph ge db ln fn ct st zp country external_id hashed_maids"),
        **_each(_TEXT_OR_NULL, "click_id partner_id"),
        "client_ip_address": {**_FILLED, "not": {"enum": ["0.0.0.0", "::"]}},  # noqa: S104
        "client_user_agent": _FILLED,
        # Published after 5.23, whose user_data is open and lets it pass.
        "customer_type": _one_of(("new", "returning")),
    },
    anyOf=[
        {"required": ["em"]},
        {"required": ["hashed_maids"]},
        {"required": ["client_ip_address", "client_user_agent"]},
    ],
)
_CONTENT = _object(
    {
        **_each(_TEXT, "id item_name item_category item_brand"),
        # Published after 5.23.
        "item_brand_id": _text(64),
        "item_price": _PRICE,
        "quantity": _INTEGER,
    }
)
_CUSTOM_DATA = _object(
    {
        **_each(_PRICE_OR_NULL, "value predicted_ltv"),
        "currency": {"type": ["string", "null"], "pattern": "^[A-Z]{3}$"},
        **_each(_TEXT_OR_NULL, "order_id opt_out_type search_string np external_measurement_id"),
        **_each(_TEXT_OR_NULL, "content_name content_category content_brand"),
        "content_ids": _TEXTS,
        "contents": {"type": "array", "items": _CONTENT},
        "num_items": _INTEGER,
        "external_measurement_vendor_id": {**_INTEGER, "type": ["integer", "null"]},
    }
)
_APP_INFO = _object(
    {
        **_each(_text(200), "app_id app_name app_package_name"),
        **_each(_text(100), "app_store app_version"),
        "install_time": _integer(_INT64 - 1),
        "user_agent": _text(16_384),
        **_each(_integer(30_720), "window_height window_width"),
    }
)
_FORM_FACTORS = "desktop laptop cellphone tablet smartwatch tv vr console other"
_NETWORKS = """
    wifi cellular_2g cellular_3g cellular_4g cellular_5g cellular_6g ethernet unknown
"""
_OS_FAMILIES = "ios android macos windows linux bsd other"
_DEVICE_INFO = _object(
    {
        **_each(_text(100), "brand carrier kernel_version model os_name os_release_name"),
        **_each(_text(100), "os_version type"),
        "locale": _text(35),
        "timezone": _text(40),
        "timezone_abbr": _text(5),
        "languages": {"type": "array", "items": _TEXT, "maxItems": 100},
        "battery_level": _integer(100),
        "cpu_cores": _integer(1_152),
        "screen_density": _integer(100_000),
        **_each(_integer(30_720), "screen_height screen_width"),
        **_each(_integer(1_048_576), "external_storage_free_space external_storage_size"),
        **_each(_integer(1_048_576), "storage_free_space storage_size"),
        "form_factor": _one_of(_FORM_FACTORS.split()),
        "network_type": _one_of(_NETWORKS.split()),
        "os_family": _one_of(_OS_FAMILIES.split()),
    }
)
EVENT = _object(
    {
        "event_name": _one_of(EVENT_NAMES),
        "action_source": _one_of(ACTION_SOURCES),
        "event_time": {"type": "integer", "minimum": 1, "maximum": _LATEST_SECOND},
        "event_id": _FILLED,
        "user_data": _USER_DATA,
        "custom_data": _CUSTOM_DATA,
        "app_info": _APP_INFO,
        "device_info": _DEVICE_INFO,
        **_each(_BOOLEAN, "opt_out wifi"),
        **_each(_TEXT_OR_NULL, "event_source_url language partner_name os_version"),
        **_each(_TEXT_OR_NULL, "app_id app_name app_version"),
        **_each(_TEXT_OR_NULL, "device_brand device_carrier device_model device_type"),
    },
    required="event_name action_source event_time user_data event_id",
)

# Draft 4 is the last draft that does not accept 1.0 as an integer. The mask keeps personal data
# out of the messages.
_validator = jsonschema_rs.Draft4Validator(EVENT, mask="the value")
_NO_IDENTITY = "needs em, hashed_maids, or client_ip_address together with client_user_agent"


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of an event: its RFC 6901 pointer (empty for the event itself) and a message."""

    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}"


def is_valid(event: object) -> bool:
    """Returns whether Pinterest will accept the event and match it."""
    try:
        return _validator.is_valid(event)
    except ValueError:
        return False


def problems_of(event: object) -> list[Problem]:
    """Returns all errors of the event. No message quotes a value."""
    try:
        return [problem for error in _validator.iter_errors(event) for problem in _problems(error)]
    except ValueError:
        return [Problem("", "holds something that JSON has no form for")]


def _problems(error: jsonschema_rs.ValidationError) -> Iterator[Problem]:
    # No published name holds a character that a pointer would have to escape.
    pointer = "".join(f"/{step}" for step in error.instance_path)
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        for name in error.kind.unexpected:
            yield Problem(f"{pointer}/{name}", "not a field")
    else:
        yield Problem(pointer, _NO_IDENTITY if error.kind.name == "anyOf" else error.message)
