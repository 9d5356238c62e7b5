"""Conversions: one row an event, sent or not."""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.names import is_among, names_of
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import conversions, orders, outbox


class ConversionRow(NamedTuple):
    """An event of the funnel, with the reason why it is not sent (a key of REASONS), "" if it is.

    Instants are seconds UTC, `value` is in minor units. `credited_then` is JSON: what the event
    was credited to when it was sent, if that has changed since. The `visit_…` campaign is the one
    that its own visit names; `is_visit_pinterest` is 1 if that visit is Pinterest's and no touch.
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
    visit_campaign_id: str = ""
    visit_campaign: str = ""
    is_visit_pinterest: int = 0


class MatchedOrder(NamedTuple):
    """The visitor id whose purchase an order is, and the method that matched it."""

    order_id: str
    visitor: str
    match_method: str


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
        visit_campaign_id=bindparam("b_visit_campaign_id"),
        visit_campaign=bindparam("b_visit_campaign"),
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
_events_of = Query(
    ConversionRow,
    {
        dialect: select(*COLUMNS)
        .where(
            is_among(dialect, conversions.c.visitor),
            conversions.c.order_id == literal_column("''"),
            conversions.c.at >= bindparam("since"),
            conversions.c.at <= bindparam("until"),
            conversions.c.is_counted == 1,
        )
        .order_by(conversions.c.at, conversions.c.event_id)
        .limit(1000)
        for dialect in ("sqlite", "postgresql")
    },
)
_matches_of = Query(
    MatchedOrder,
    {
        dialect: select(conversions.c.order_id, conversions.c.visitor, orders.c.match_method)
        .select_from(conversions.join(orders, orders.c.id == conversions.c.order_id))
        .where(is_among(dialect, conversions.c.event_id))
        for dialect in ("sqlite", "postgresql")
    },
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
    """Updates the visitor, the credit, the campaign of the visit and the reason of an event."""
    _set_credit.run(
        conn,
        b_event_id=row.event_id,
        b_visitor=row.visitor,
        b_is_pinterest=row.is_pinterest,
        b_campaign_id=row.campaign_id,
        b_campaign=row.campaign,
        b_reason=row.reason,
        b_credited_then=row.credited_then,
        b_visit_campaign_id=row.visit_campaign_id,
        b_visit_campaign=row.visit_campaign,
    )


def set_reason(conn: Connection, event_ids: Iterable[str], reason: str) -> None:
    """Stores why recorded events are not sent."""
    _set_reason.run_many(conn, ({"b_event_id": id, "b_reason": reason} for id in event_ids))


def count(conn: Connection, event_id: str, *, is_counted: bool) -> None:
    """Stores whether a recorded event counts in the reports."""
    _count.run(conn, b_event_id=event_id, b_is_counted=int(is_counted))


def events_of(
    conn: Connection, visitors: Collection[str], since: int, until: int
) -> list[ConversionRow]:
    """Returns the counted events of visitor ids in [since, until] that are no order's purchase."""
    return _events_of.all(conn, names=names_of(conn, visitors), since=since, until=until)


def matches_of(conn: Connection, event_ids: Collection[str]) -> list[MatchedOrder]:
    """Returns the matches of the orders whose purchases have these event ids."""
    return _matches_of.all(conn, names=names_of(conn, event_ids)) if event_ids else []


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
