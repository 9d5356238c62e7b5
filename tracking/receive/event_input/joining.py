"""Joins the rows of an order into one event: an export of a shop often has a row for each item."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tracking.destinations.pinterest_schema import problems_of
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input import fields
from tracking.receive.event_input.event import MAX_PRODUCTS, InboundEvent, build_event

_ITEM_FIELDS = ("content_ids", "contents")


def joined(events: Sequence[InboundEvent]) -> InboundEvent:
    """Returns the one event of several rows that have one event id.

    Equal rows are one. Rows of an order that differ in their items only are its event with all
    the items: an equal value is the order's, and where no row has one it is the sum of the items.

    Raises:
        ValidationError: the rows tell of different events; the errors name the fields.
    """
    distinct = list({msgspec.json.encode(event.event): event for event in events}.values())
    first = distinct[0]
    if len(distinct) == 1:
        return first
    if not first.conversion.order_id:
        raise ValidationError(FieldError("", "they are not equal, and have no order_id"))
    if differing := _differing_fields(distinct):
        raise ValidationError(FieldError("", f"they differ in {', '.join(differing)}"))
    return _with_all_items(distinct)


def _differing_fields(events: Sequence[InboundEvent]) -> Sequence[str]:
    """Returns the fields in which events differ, but for those of items."""
    flat = [_without_items(event) for event in events]
    names = dict.fromkeys(name for one in flat for name in one)
    return [name for name in names if any(one.get(name) != flat[0].get(name) for one in flat)]


def _without_items(event: InboundEvent) -> dict[str, Any]:
    top, custom = dict(event.event), dict(event.event.get("custom_data", {}))
    user: Mapping[str, Any] = top.pop("user_data")
    top.pop("custom_data", None)
    for name in _ITEM_FIELDS:
        custom.pop(name, None)
    if event.is_value_summed:
        custom["value"] = None
    return {**top, **user, **custom}


def _with_all_items(events: Sequence[InboundEvent]) -> InboundEvent:
    first = events[0]
    custom: dict[str, Any] = dict(first.event["custom_data"])
    parts = [event.event["custom_data"] for event in events]
    ids = dict.fromkeys(id for part in parts for id in part.get("content_ids", ()))
    contents = [content for part in parts for content in part.get("contents", ())]
    if max(len(ids), len(contents)) > MAX_PRODUCTS:
        raise ValidationError(FieldError("", f"more than {MAX_PRODUCTS} products"))
    custom |= {
        name: found for name, found in (("content_ids", [*ids]), ("contents", contents)) if found
    }
    is_value_summed = any(event.is_value_summed for event in events)
    if is_value_summed:
        custom["value"] = fields.sum_of_items(contents, custom.get("currency", ""))
    custom = {name: value for name, value in custom.items() if value is not None}
    event = {**first.event, "custom_data": custom}
    if problems := problems_of(event):
        raise ValidationError(*(FieldError(p.pointer, p.message) for p in problems))
    value = custom.get("value")
    return build_event(
        event,
        first.conversion.identity,
        first.consent,
        fields.minor_units(Decimal(value), custom.get("currency", "")) if value is not None else 0,
        limited=first.conversion.limited,
        left_out=first.left_out,
        is_value_summed=is_value_summed,
    )
