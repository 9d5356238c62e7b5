"""Puts events through the models of Pinterest's own SDK: JSON texts on stdin, one a line.

Runs in the environment of requirements.txt beside it, which knows nothing of the service. The
models type each field strictly and hold the rule of identity; fields they do not know they let
pass, so those are counted here, and only those published after the SDK are allowed.
"""

import copy
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from openapi_generated.pinterest_client.api_client import ApiClient
from openapi_generated.pinterest_client.configuration import Configuration
from openapi_generated.pinterest_client.exceptions import ApiTypeError, ApiValueError
from openapi_generated.pinterest_client.model.conversion_events import ConversionEvents
from openapi_generated.pinterest_client.model_utils import validate_and_convert_types

# In Pinterest's API description since 5.23 or later; the SDK was made of an older one.
NEWER = {
    "app_info",
    "device_info",
    "user_data.customer_type",
    "custom_data.predicted_ltv",
    "custom_data.external_measurement_id",
    "custom_data.external_measurement_vendor_id",
}
REFUSALS = (ApiTypeError, ApiValueError, TypeError)
GOOD: dict[str, Any] = {
    "event_name": "checkout",
    "action_source": "web",
    "event_time": 1_790_000_000,
    "event_id": "checkout-1",
    "user_data": {"em": ["a" * 64]},
    "custom_data": {"value": "1.00", "contents": [{"id": "1", "quantity": 1}]},
}
# Mistakes that senders made; a check that lets one of them pass checks nothing.
BROKEN: dict[str, dict[str, Any]] = {
    "no event_id": {name: value for name, value in GOOD.items() if name != "event_id"},
    "a time as text": GOOD | {"event_time": "1790000000"},
    "an e-mail without its list": GOOD | {"user_data": {"em": "a" * 64}},
    "nobody": GOOD | {"user_data": {"ph": ["a" * 64]}},
    "a browser without an address": GOOD | {"user_data": {"client_user_agent": "Mozilla"}},
    "a value as a number": GOOD | {"custom_data": {"value": 1.5}},
    "an id as a number": GOOD | {"custom_data": {"content_ids": [1]}},
    "a product's id as a number": GOOD | {"custom_data": {"contents": [{"id": 1}]}},
    "a count as text": GOOD | {"custom_data": {"num_items": "2"}},
    "an opt-out as text": GOOD | {"opt_out": "true"},
}


def modelled(events: list[Any]) -> Any:
    """The call's body as the SDK's own model.

    Raises:
        one of REFUSALS: it is none.
    """
    # The SDK puts its models into what it is given.
    return validate_and_convert_types(
        {"data": copy.deepcopy(events)}, (ConversionEvents,), ["body"], True, True, Configuration()
    )


def plain(value: Any) -> Any:
    """What the SDK would send for a value of its own."""
    if hasattr(value, "to_dict"):
        return plain(ApiClient.sanitize_for_serialization(value))
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def unknown_in(event: Mapping[str, Any], model: Any) -> Iterator[str]:
    """The fields that the SDK's models do not know."""
    parts = {"": (event, model)}
    parts |= {
        f"{name}.": (event[name], model[name])
        for name in ("user_data", "custom_data")
        if name in event
    }
    for prefix, (told, known) in parts.items():
        yield from (f"{prefix}{name}" for name in told if name not in known.openapi_types)


def faults_of(event: Any, newer: Counter[str]) -> Iterator[str]:
    """What the SDK has against one event."""
    try:
        model = modelled([event])
    except REFUSALS as error:
        yield str(error)
        return
    if plain(model) != {"data": [event]}:
        yield "the SDK would send something else"
    for name in unknown_in(event, model.data[0]):
        newer[name] += 1
        if name not in NEWER:
            yield f"{name}: no field of Pinterest's"


def passes_although_broken() -> list[str]:
    """The mistakes that this check would overlook."""
    return [what for what, event in BROKEN.items() if not list(faults_of(event, Counter()))]


def report(events: list[Any]) -> tuple[list[str], bool]:
    """What was checked, in words, and whether all is well."""
    newer: Counter[str] = Counter()
    faults = [f"{e['event_id']}: {fault}" for e in events for fault in faults_of(e, newer)]
    overlooked = passes_although_broken()
    version = metadata.version("pinterest-api-sdk")
    kinds = Counter(event["event_name"] for event in events)
    told = ", ".join(f"{name} ({count})" for name, count in sorted(newer.items())) or "none"
    said = [
        f"{len(events)} events of {len(kinds)} kinds checked by pinterest-api-sdk {version}",
        f"{len(BROKEN) - len(overlooked)} of {len(BROKEN)} known mistakes are refused",
        f"fields newer than the SDK, which lets them pass unchecked: {told}",
        *faults[:20],
        f"{len(faults)} faults, 0 events skipped",
    ]
    return said, bool(events) and not faults and not overlooked


def main() -> int:
    """Check all of stdin; the exit status."""
    said, is_well = report([json.loads(line) for line in sys.stdin])
    sys.stdout.write("\n".join(said) + "\n")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
