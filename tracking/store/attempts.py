"""Delivery attempts: when each was made, how it ended and what the destination answered."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine import many_rows
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import attempt_sums, attempts


class DeliveryAttempt(NamedTuple):
    """One attempt to deliver an event. `at` is seconds UTC, `detail` the destination's answer."""

    event_id: str
    destination: str
    at: int
    outcome: str
    detail: str


_columns = [attempts.c[name] for name in DeliveryAttempt._fields]
_of_event = Query(
    DeliveryAttempt,
    select(*_columns).where(attempts.c.event_id == bindparam("event_id")).order_by(attempts.c.id),
)


def added_up(*conditions: ColumnElement[bool]) -> Statement:
    """Returns the statement that adds up the attempts of these conditions, which are deleted next:
    the metrics count them on."""
    return Statement(
        insert(attempt_sums)
        .from_select(
            [*attempt_sums.c.keys()],
            select(attempts.c.destination, attempts.c.outcome, func.count())
            .where(*conditions)
            .group_by(attempts.c.destination, attempts.c.outcome),
        )
        .on_conflict_do_update(
            index_elements=[attempt_sums.c.destination, attempt_sums.c.outcome],
            set_={"attempts": attempt_sums.c.attempts + literal_column("excluded.attempts")},
        )
    )


def add(conn: Connection, rows: Sequence[DeliveryAttempt]) -> None:
    """Stores delivery attempts."""
    many_rows.insert(conn, attempts, DeliveryAttempt._fields, rows)


def of_event(conn: Connection, event_id: str) -> list[DeliveryAttempt]:
    """Returns every delivery attempt of an event, oldest first."""
    return _of_event.all(conn, event_id=event_id)
