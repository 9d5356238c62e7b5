"""An event of another system, prepared for its transaction."""

from collections.abc import Sequence

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.conversion import event_id_of
from tracking.domain.identity import KEY_KINDS
from tracking.domain.touch import touch_of_session
from tracking.receive.event_input import MAX_AHEAD, InboundEvent
from tracking.receive.rows import conversion_row
from tracking.store.conversions import ConversionRow
from tracking.store.event_batches import RecordedEvent


class PreparedEvent(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="event"):
    """An event with all that is stored of it if its person is new, made before the transaction,
    so that it is short.

    `keys` are the identity keys of the person, `visit` is the one the event itself names,
    `conversion` is the event's row, and `payload` what is sent, empty if nothing is.
    """

    event_id: str
    order_id: str
    at: int
    visitor: str
    keys: tuple[str, ...]
    visit: Touch | None
    conversion: ConversionRow
    payload: bytes

    @property
    def lock_names(self) -> Sequence[str]:
        """Returns the names that no other transaction may write about meanwhile."""
        return [name for name in (self.order_id, self.visitor, *self.keys) if name]


def event_row(
    event: InboundEvent,
    visitor: str,
    visit: Touch | None,
    best: Touch | None,
    reason: str,
    now: int,
) -> ConversionRow:
    conversion = event.conversion
    # The order of any other checkout may be received as well, and would count twice.
    is_purchase = event.stage == "purchase"
    return conversion_row(
        event_id=conversion.event_id,
        stage=event.stage or "",
        visitor=visitor,
        at=conversion.event_time,
        is_counted=event.is_order_event if is_purchase else event.stage is not None,
        credited_to=best,
        session=event.session,
        is_visit_pinterest=visit is not None,
        currency=conversion.currency,
        value=event.value,
        reason=reason,
        recorded_at=now,
    )


def visit_named_by(event: InboundEvent, visitor: str, media: frozenset[str]) -> Touch | None:
    """Returns the visit from Pinterest that an event itself names."""
    conversion = event.conversion
    is_named = bool(conversion.click_id or conversion.event_source_url)
    if not (is_named and event.session.is_from_pinterest(media)):
        return None
    key = f"event:{conversion.event_id}"
    return touch_of_session(event.session, key, visitor, conversion.event_time, media)


def is_another(known: ConversionRow | RecordedEvent, event: PreparedEvent) -> bool:
    """Returns True if an event on record is not the one that now comes with its event id.

    Two senders of one event need not know the same of it: what only one of them says is no
    difference. An order knows its purchase better, and a browser has a clock of its own.
    """
    told = event.conversion
    if known.stage != told.stage:
        return True
    kind = known.visitor.partition(":")[0]
    is_told_by_a_server = kind in KEY_KINDS or known.visitor == told.event_id
    if known.order_id or not is_told_by_a_server:
        return False
    # An event that is told without a time has that of its receipt.
    has_time = told.at != told.recorded_at
    if has_time and abs(known.at - told.at) > MAX_AHEAD:
        return True
    has_money = told.value and known.currency and told.currency
    if has_money and (known.currency, known.value) != (told.currency, told.value):
        return True
    names_person = any(key.startswith(f"{kind}:") for key in event.keys)
    return kind in KEY_KINDS and names_person and known.visitor not in event.keys


def of_its_order(event: PreparedEvent) -> str:
    """Returns the event id of the order that an event names; if it names none, its own."""
    return event_id_of(event.order_id) if event.order_id else event.event_id


def not_sent(event: PreparedEvent, reason: str) -> PreparedEvent:
    row = event.conversion._replace(reason=reason)
    return msgspec.structs.replace(event, conversion=row, payload=b"")
