"""Bodies that hold one event or a list of events, as callers and Pinterest's SDK send them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tracking.domain.conversion import Policy
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.event_input.columns import pointer_to
from tracking.receive.event_input.event import InboundEvent, event_from

MAX_EVENTS = 1000
_MAX_ERRORS = 100
# Senders of an older form of the API name the account beside the event.
_ACCOUNTS = ("advertiser_id", "ad_account_id")


def inbound_event_of(
    body: bytes,
    policy: Policy,
    received_at: int,
    *,
    needs_time: bool = False,
    account_id: str = "",
) -> InboundEvent:
    """The event of a body: `{"event_data": {…}}`, or the event alone.

    `account_id` is the ad account that events are sent to, "" for none: a body may name it.

    Raises:
        ValidationError: the body is not JSON, holds several events, or the event has errors; all
            of them are listed.
    """
    tree = _decoded(body)
    if _is_list(tree):
        raise ValidationError(FieldError("/data", "a list of events: send one"))
    return _only_event(tree, policy, received_at, account_id, needs_time=needs_time)


def inbound_events_of(
    body: bytes, policy: Policy, received_at: int, account_id: str
) -> InboundEvent | Sequence[InboundEvent]:
    """The event of a body as `inbound_event_of` reads it, or the events of `{"data": […]}`.

    Raises:
        ValidationError: the body is not JSON, or an event has errors; those of all are listed.
    """
    tree = _decoded(body)
    if not _is_list(tree):
        return _only_event(tree, policy, received_at, account_id)
    _check_beside(tree, "data", account_id)
    listed = tree["data"]
    if not listed or len(listed) > MAX_EVENTS:
        raise ValidationError(FieldError("/data", f"not a list of 1 to {MAX_EVENTS} events"))
    events: list[InboundEvent] = []
    errors: list[FieldError] = []
    for n, each in enumerate(listed):
        try:
            events.append(event_from(each, policy, received_at, f"/data/{n}"))
        except ValidationError as error:
            errors += error.errors
        if len(errors) >= _MAX_ERRORS:
            break
    if errors:
        raise ValidationError(*errors[:_MAX_ERRORS])
    return events


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationError(FieldError("", "not JSON text in UTF-8")) from None


def _is_list(tree: Any) -> bool:
    return isinstance(tree, dict) and isinstance(tree.get("data"), list)


def _only_event(
    tree: Any, policy: Policy, received_at: int, account_id: str, *, needs_time: bool = False
) -> InboundEvent:
    if not isinstance(tree, dict) or "event_data" not in tree:
        return event_from(tree, policy, received_at, needs_time=needs_time)
    _check_beside(tree, "event_data", account_id)
    return event_from(tree["event_data"], policy, received_at, "/event_data", needs_time=needs_time)


def _check_beside(tree: dict[str, Any], name: str, account_id: str) -> None:
    """Checks what stands beside the events.

    Raises:
        ValidationError: it is no account, or another one than that of the settings.
    """
    others = [other for other in tree if other != name and other not in _ACCOUNTS]
    errors = [FieldError(pointer_to("", other), f"stands beside {name}") for other in others]
    for named in _ACCOUNTS:
        told = tree.get(named)
        if told is not None and account_id and str(told).strip() != account_id:
            errors.append(FieldError(f"/{named}", "is not PINTEREST_AD_ACCOUNT_ID"))
    if errors:
        raise ValidationError(*errors)
