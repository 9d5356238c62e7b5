"""Conversions: one row an event, sent or not."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import conversions, outbox

_conversion_row: dict[str, Any] = {
    c.name: bindparam(c.name) for c in conversions.c if c.name != "id"
}
_put_conversion = Statement(
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
_conversion = Statement(select(conversions).where(conversions.c.event_id == bindparam("event_id")))
_newest = Statement(select(conversions.c.recorded_at).order_by(conversions.c.id.desc()).limit(1))
_credit = Statement(
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
_sightings = Statement(
    select(conversions)
    .where(
        conversions.c.visitor == bindparam("visitor"),
        conversions.c.order_id == literal_column("''"),
        conversions.c.at >= bindparam("since"),
        conversions.c.at <= bindparam("until"),
        conversions.c.is_counted == 1,
    )
    .order_by(conversions.c.at)
    .limit(1000)
)
_log = Statement(
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
    .limit(bindparam("most"))
)


def put(conn: Connection, row: Mapping[str, Any]) -> None:
    """Record an event of the funnel, or what has become of it."""
    _put_conversion.run(conn, **row)


def credit(conn: Connection, event: Row, **changed: Any) -> None:
    """Note what is known now of a recorded event's visitor, credit and reason."""
    names = ("visitor", "is_pinterest", "campaign_id", "campaign", "reason", "credited_then")
    news = {f"b_{name}": changed.get(name, getattr(event, name)) for name in names}
    _credit.run(conn, b_event_id=event.event_id, **news)


def browser_events_of(conn: Connection, visitor: str, since: int, until: int) -> list[Row]:
    """What a visitor did in the shop in [since, until], purchases apart."""
    return _sightings.all(conn, visitor=visitor, since=since, until=until)


def of_event(conn: Connection, event_id: str) -> Row | None:
    """The recorded event of this id."""
    return _conversion.first(conn, event_id=event_id)


def last_recorded(conn: Connection) -> int | None:
    """When the newest event was recorded (seconds UTC); None if there is none."""
    row = _newest.first(conn)
    return None if row is None else int(row.recorded_at)


def log(conn: Connection, state: str, after: int, most: int) -> list[Row]:
    """A page of the delivery log: each event with its state at each destination."""
    return _log.all(conn, state=state, after=after, most=most)
