"""Inbound events of callers and files, parsed into Pinterest's form."""

from tracking.receive.event_input.envelope import (
    MAX_EVENTS,
    inbound_event_of,
    inbound_events_of,
)
from tracking.receive.event_input.event import MAX_AHEAD, InboundEvent, event_from
from tracking.receive.event_input.rows import RowReader

__all__ = [
    "MAX_AHEAD",
    "MAX_EVENTS",
    "InboundEvent",
    "RowReader",
    "event_from",
    "inbound_event_of",
    "inbound_events_of",
]
