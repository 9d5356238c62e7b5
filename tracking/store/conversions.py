"""Conversions: one row an event, sent or not."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import conversions, outbox


class ConversionRow(NamedTuple):
    """An event of the funnel, with the reason why it is not sent (a key of REASONS), "" if it is.

    Instants are seconds UTC, `value` is in minor units. `credited_then` is JSON: what the event
    was credited to when it was sent, if that has changed since.
    """

    event_id: str
    stage: str
    order_id: str
    visitor: str
    at: int
    is_counted: int
    is_pinterest: int
    campaign_id: str
    campaign: str
    currency: str
    value: int
    reason: str
    detail: str
    recorded_at: int
    credited_then: str = ""


class LoggedDelivery(NamedTuple):
    """An event and its delivery to one destination; without any, the latter fields are None."""

    id: int
    event_id: str
    stage: str
    order_id: str
    at: int
    decision: str
    detail: str
    destination: str | None
    state: str | None
    attempts: int | None
    reason: str | None
    due_at: int | None
    settled_at: int | None


class _RecordedAt(NamedTuple):
    recorded_at: int


# The columns of a ConversionRow.
COLUMNS = [conversions.c[name] for name in ConversionRow._fields]
_conversion_row: dict[str, Any] = {name: bindparam(name) for name in ConversionRow._fields}
_put = Statement(
    insert(conversions)
    .values(_conversion_row)
    .on_conflict_do_update(
        index_elements=[conversions.c.event_id],
        set_={
            name: literal_column(f"excluded.{name}")
            for name in _conversion_row
            if name not in ("event_id", "recorded_at", "credited_then")
        },
    )
)
_of_event = Query(
    ConversionRow, select(*COLUMNS).where(conversions.c.event_id == bindparam("event_id"))
)
_newest = Query(
    _RecordedAt, select(conversions.c.recorded_at).order_by(conversions.c.id.desc()).limit(1)
)
_set_credit = Statement(
    update(conversions)
    .where(conversions.c.event_id == bindparam("b_event_id"))
    .values(
        is_pinterest=bindparam("b_is_pinterest"),
        campaign_id=bindparam("b_campaign_id"),
        campaign=bindparam("b_campaign"),
        visitor=bindparam("b_visitor"),
        reason=bindparam("b_reason"),
        credited_then=bindparam("b_credited_then"),
    )
)
_set_reason = Statement(
    update(conversions)
    .where(conversions.c.event_id == bindparam("b_event_id"))
    .values(reason=bindparam("b_reason"))
)
_count = Statement(
    update(conversions)
    .where(
        conversions.c.event_id == bindparam("b_event_id"),
        conversions.c.is_counted != bindparam("b_is_counted"),
    )
    .values(is_counted=bindparam("b_is_counted"))
)
_browser_events = Query(
    ConversionRow,
    select(*COLUMNS)
    .where(
        conversions.c.visitor == bindparam("visitor"),
        conversions.c.order_id == literal_column("''"),
        conversions.c.at >= bindparam("since"),
        conversions.c.at <= bindparam("until"),
        conversions.c.is_counted == 1,
    )
    .order_by(conversions.c.at)
    .limit(1000),
)
_log = Query(
    LoggedDelivery,
    select(
        conversions.c.id,
        conversions.c.event_id,
        conversions.c.stage,
        conversions.c.order_id,
        conversions.c.at,
        conversions.c.reason.label("decision"),
        conversions.c.detail,
        outbox.c.destination,
        outbox.c.state,
        outbox.c.attempts,
        outbox.c.reason,
        outbox.c.due_at,
        outbox.c.settled_at,
    )
    .select_from(conversions.outerjoin(outbox, outbox.c.event_id == conversions.c.event_id))
    .where(
        conversions.c.id > bindparam("after"),
        or_(
            bindparam("state") == "",
            func.coalesce(outbox.c.state, "not_sent") == bindparam("state"),
        ),
    )
    .order_by(conversions.c.id, outbox.c.destination)
    .limit(bindparam("most")),
)


def put(conn: Connection, row: ConversionRow) -> None:
    """Inserts an event of the funnel, or replaces its row; when it was first recorded stays."""
    _put.run(conn, **row._asdict())


def set_credit(conn: Connection, row: ConversionRow) -> None:
    """Updates the visitor, credit and reason of a recorded event."""
    _set_credit.run(
        conn,
        b_event_id=row.event_id,
        b_visitor=row.visitor,
        b_is_pinterest=row.is_pinterest,
        b_campaign_id=row.campaign_id,
        b_campaign=row.campaign,
        b_reason=row.reason,
        b_credited_then=row.credited_then,
    )


def set_reason(conn: Connection, event_ids: Iterable[str], reason: str) -> None:
    """Stores why recorded events are not sent."""
    _set_reason.run_many(conn, ({"b_event_id": id, "b_reason": reason} for id in event_ids))


def count(conn: Connection, event_id: str, *, is_counted: bool) -> None:
    """Stores whether a recorded event counts in the reports."""
    _count.run(conn, b_event_id=event_id, b_is_counted=int(is_counted))


def browser_events_of(
    conn: Connection, visitor: str, since: int, until: int
) -> list[ConversionRow]:
    """Returns the counted events of a visitor id in [since, until] that are no order's purchase."""
    return _browser_events.all(conn, visitor=visitor, since=since, until=until)


def of_event(conn: Connection, event_id: str) -> ConversionRow | None:
    """Returns the recorded event of this id."""
    return _of_event.first(conn, event_id=event_id)


def last_recorded(conn: Connection) -> int | None:
    """Returns when the newest event was recorded (seconds UTC); None if there is none."""
    row = _newest.first(conn)
    return None if row is None else row.recorded_at


def log(conn: Connection, state: str, after: int, most: int) -> list[LoggedDelivery]:
    """Returns a page of the delivery log: each event with its state at each destination."""
    return _log.all(conn, state=state, after=after, most=most)
