"""Purchases of orders, and what became of each at Pinterest, as expressions of SQL."""

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, literal_column, select

from tracking.domain.conversion import TOLD_OTHERWISE
from tracking.store.schema import conversions, orders, outbox


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'")


# The delivery of an event to Pinterest, if there is one.
DELIVERY = outbox.alias("told")
IS_DELIVERY = and_(
    DELIVERY.c.event_id == conversions.c.event_id, DELIVERY.c.destination == _text("pinterest")
)
_state: ColumnElement[str] = DELIVERY.c.state
# Of several destinations Pinterest counts: what is not queued for it, and is for another one, was
# recorded without credentials of Pinterest.
_is_for_others = exists(
    select(literal_column("1")).where(outbox.c.event_id == conversions.c.event_id)
)
_is_in_reserve = DELIVERY.c.reason.in_([_text(reason) for reason in sorted(TOLD_OTHERWISE)])

# A reason not to send it (a key of REASONS), or "sent", "waiting" or "lost". Deliveries settled
# before the instant `forgotten` have been deleted.
FATE = case(
    (_state == _text("sent"), _text("sent")),
    (conversions.c.reason != _text(""), conversions.c.reason),
    (_state.in_([_text("dead"), _text("discarded")]), _text("lost")),
    (_state == _text("withdrawn"), DELIVERY.c.reason),
    (and_(_state == _text("held"), _is_in_reserve), DELIVERY.c.reason),
    (_state.is_not(None), _text("waiting")),
    (_is_for_others, _text("report_only")),
    # It was settled so long ago that its delivery was deleted: nearly always it was sent.
    (conversions.c.at < bindparam("forgotten"), _text("sent")),
    else_=_text("lost"),
)
IS_PURCHASE = and_(
    conversions.c.stage == _text("purchase"),
    conversions.c.order_id != _text(""),
)
# The events, their orders, and their deliveries to Pinterest.
PURCHASES = conversions.join(orders, orders.c.id == conversions.c.order_id).outerjoin(
    DELIVERY, IS_DELIVERY
)
