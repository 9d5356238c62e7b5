"""Counts, of events that Pinterest accepted, which of the fields it scores they had."""

from collections.abc import Iterable
from datetime import date

from tracking.destinations.pinterest_fields import fields_of
from tracking.store.claims import ClaimedEvent
from tracking.store.match_quality import SentEvent

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()


def sent_events(events: Iterable[ClaimedEvent]) -> dict[int, SentEvent]:
    """Returns what is counted of events, by their ids; their payloads are as they were sent.

    A day is one of UTC: what is counted once cannot be counted anew for another zone.
    """
    sent = {}
    for event in events:
        told = fields_of(event.payload)
        if told is not None:
            day = _EPOCH + event.event_time // _DAY
            sent[event.id] = SentEvent(
                day,
                told.event_name,
                told.action_source,
                event.event_id,
                told.order_id,
                told.bits,
            )
    return sent
