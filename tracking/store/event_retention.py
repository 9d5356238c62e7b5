"""The queries that delete the storefront's events of closed days, a page at a time."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    exists,
    literal_column,
    not_,
    or_,
    select,
)

from tracking.store.attempts import added_up
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import attempts, conversions, outbox, report_marks

PAGE = 500


class ClosedEvent(NamedTuple):
    """An event of the storefront, with its instant (seconds UTC)."""

    id: int
    event_id: str
    at: int


_is_of_storefront = and_(
    conversions.c.stage != literal_column("'purchase'"),
    conversions.c.order_id == literal_column("''"),
)
_waits = exists(
    select(literal_column("1")).where(
        outbox.c.event_id == conversions.c.event_id,
        or_(*(outbox.c.state == literal_column(f"'{state}'") for state in ("waiting", "held"))),
    )
)
_page = Query(
    ClosedEvent,
    select(conversions.c.id, conversions.c.event_id, conversions.c.at)
    .where(
        conversions.c.at >= bindparam("last"),
        conversions.c.at < bindparam("closed"),
        _is_of_storefront,
        not_(_waits),
    )
    .order_by(conversions.c.at)
    .limit(PAGE),
)
_any_after = Query(
    ClosedEvent,
    select(conversions.c.id, conversions.c.event_id, conversions.c.at)
    .where(
        conversions.c.id > bindparam("through"),
        conversions.c.at < bindparam("closed"),
        _is_of_storefront,
    )
    .limit(1),
)
_is_attempt: ColumnElement[bool] = attempts.c.event_id == bindparam("b_event_id")
_delete = (
    added_up(_is_attempt),
    Statement(delete(attempts).where(_is_attempt)),
    Statement(delete(outbox).where(outbox.c.event_id == bindparam("b_event_id"))),
    Statement(delete(conversions).where(conversions.c.id == bindparam("b_id"))),
)
# The deletion itself changes no figures.
_drop_marks = Statement(
    delete(report_marks).where(
        report_marks.c.at < bindparam("b_closed"),
        report_marks.c.stage != literal_column("'purchase'"),
    )
)


def page(conn: Connection, closed: int, last: int) -> list[ClosedEvent]:
    """Returns the next events of the storefront from the instant `last` on and before the instant
    `closed`, the oldest first, but for those that wait to be sent."""
    return _page.all(conn, closed=closed, last=last)


def has_event_after(conn: Connection, through: int, closed: int) -> bool:
    """Returns True if an event before an instant has a number above `through`."""
    return _any_after.first(conn, through=through, closed=closed) is not None


def delete_events(conn: Connection, rows: Sequence[ClosedEvent], closed: int) -> None:
    """Deletes events with their deliveries and the attempts of these."""
    for statement, name in zip(_delete, (*["event_id"] * 3, "id"), strict=True):
        statement.run_many(conn, ({f"b_{name}": getattr(row, name)} for row in rows))
    _drop_marks.run(conn, b_closed=closed)
