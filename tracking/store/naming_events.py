"""The events in the outbox by which other systems name an order."""

from typing import NamedTuple

from sqlalchemy import and_, bindparam, select

from tracking.store.engine.statement import Connection, Query
from tracking.store.outbox import MAY_BE_WITHDRAWN, WITHDRAWN
from tracking.store.schema import outbox


class _EventId(NamedTuple):
    event_id: str


# The second condition is that of the index.
_names_order = and_(outbox.c.order_id == bindparam("b_order_id"), outbox.c.order_id != "")
_withdraw = Query(
    _EventId,
    WITHDRAWN.where(_names_order, MAY_BE_WITHDRAWN).returning(outbox.c.event_id),
)
_of_order = Query(_EventId, select(outbox.c.event_id).where(_names_order))


def withdraw(conn: Connection, order_id: str, reason: str, now: int) -> list[str]:
    """Withdraws the waiting events that name an order; returns their ids."""
    rows = _withdraw.all(conn, b_order_id=order_id, b_reason=reason, b_now=now)
    return [row.event_id for row in rows]


def of_order(conn: Connection, order_id: str) -> list[str]:
    """Returns the ids of the events that name an order."""
    return [row.event_id for row in _of_order.all(conn, b_order_id=order_id)]
