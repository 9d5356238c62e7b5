"""Delivery attempts: when each was made, how it ended and what the destination answered."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import attempts

_add = Statement(
    insert(attempts).values({c.name: bindparam(c.name) for c in attempts.c if c.name != "id"})
)
_of_event = Statement(
    select(attempts).where(attempts.c.event_id == bindparam("event_id")).order_by(attempts.c.id)
)


def add(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Stores the delivery attempts."""
    _add.run_many(conn, rows)


def of_event(conn: Connection, event_id: str) -> list[Row]:
    """Returns every delivery attempt of an event, oldest first."""
    return _of_event.all(conn, event_id=event_id)
