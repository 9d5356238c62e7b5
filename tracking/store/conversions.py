"""Conversions: one row an event, sent or not."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.name_lists import DIALECTS, among, is_among, names_of, selected
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


class SharedId(NamedTuple):
    """The ids of a purchase: `sent_as` was chosen when it was claimed first, `storefront_id` is
    the one that the storefront tells it by. Either is "" while there is none."""

    event_id: str
    sent_as: str
    storefront_id: str


class LoggedDelivery(NamedTuple):
    """An event and its delivery to one destination; without any, the latter fields are None."""

    id: int
    event_id: str
    sent_as: str
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


class _RecordedId(NamedTuple):
    event_id: str


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
# Ids by which the purchase is or may be told, and then those that no other event may have.
_is_sent_as = and_(
    conversions.c.sent_as == bindparam("event_id"), conversions.c.sent_as != literal_column("''")
)
_is_told_as = and_(
    conversions.c.storefront_id == bindparam("event_id"),
    conversions.c.storefront_id != literal_column("''"),
    conversions.c.stage == literal_column("'purchase'"),
)
_has_id = conversions.c.event_id == bindparam("event_id")
_under_id = Query(
    ConversionRow,
    {
        "sqlite": select(*COLUMNS).where(or_(_has_id, _is_sent_as)).limit(1),
        # For an OR, PostgreSQL reads a table that it knows nothing of from end to end.
        "postgresql": union_all(
            *(select(*COLUMNS).where(found).subquery().select() for found in (_has_id, _is_sent_as))
        ).limit(1),
    },
)
_told_as = Query(ConversionRow, select(*COLUMNS).where(_is_told_as).limit(1))
_ids = [conversions.c[name] for name in SharedId._fields]
_ids_of = Query(SharedId, select(*_ids).where(conversions.c.event_id == bindparam("event_id")))
_lock_ids = Query(
    SharedId,
    {
        dialect: select(*_ids)
        .where(is_among(dialect, conversions.c.event_id))
        .with_for_update(skip_locked=True)
        for dialect in DIALECTS
    },
)
_recorded = selected(_RecordedId, conversions.c.event_id)
_of_others = Query(
    _RecordedId,
    {
        dialect: select(conversions.c.event_id).where(
            is_among(dialect, conversions.c.event_id),
            or_(
                conversions.c.stage != literal_column("'purchase'"),
                conversions.c.order_id != literal_column("''"),
            ),
        )
        for dialect in DIALECTS
    },
)
_sent_as = Query(
    _RecordedId,
    {
        dialect: select(conversions.c.sent_as.label("event_id")).where(
            is_among(dialect, conversions.c.sent_as),
            conversions.c.sent_as != literal_column("''"),
        )
        for dialect in DIALECTS
    },
)
_told = Query(
    _RecordedId,
    {
        dialect: select(conversions.c.storefront_id.label("event_id")).where(
            is_among(dialect, conversions.c.storefront_id),
            conversions.c.storefront_id != literal_column("''"),
            conversions.c.stage == literal_column("'purchase'"),
        )
        for dialect in DIALECTS
    },
)
_set_sent_as = Statement(
    update(conversions)
    .where(
        conversions.c.event_id == bindparam("b_event_id"),
        conversions.c.sent_as == literal_column("''"),
    )
    .values(sent_as=bindparam("b_sent_as"))
)
_set_storefront_id = Statement(
    update(conversions)
    .where(conversions.c.event_id == bindparam("b_event_id"))
    .values(storefront_id=bindparam("b_storefront_id"))
)
_newest = Query(
    _RecordedAt, select(conversions.c.recorded_at).order_by(conversions.c.id.desc()).limit(1)
)
_purchase_since = Query(
    _RecordedId,
    select(conversions.c.event_id)
    .where(conversions.c.at >= bindparam("since"), conversions.c.order_id != literal_column("''"))
    .limit(1),
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
            or_(conversions.c.at > bindparam("since"), conversions.c.event_id > bindparam("after")),
            conversions.c.is_counted == 1,
        )
        .order_by(conversions.c.at, conversions.c.event_id)
        .limit(bindparam("most"))
        for dialect in DIALECTS
    },
)
_matches_of = Query(
    MatchedOrder,
    {
        dialect: select(conversions.c.order_id, conversions.c.visitor, orders.c.match_method)
        .select_from(conversions.join(orders, orders.c.id == conversions.c.order_id))
        .where(is_among(dialect, conversions.c.event_id))
        for dialect in DIALECTS
    },
)
_logged = (
    select(
        conversions.c.id,
        conversions.c.event_id,
        conversions.c.sent_as,
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
    .where(conversions.c.id > bindparam("after"))
    .order_by(conversions.c.id, outbox.c.destination)
    .limit(bindparam("most"))
)
_is_in_state: ColumnElement[bool] = or_(
    bindparam("state") == "", func.coalesce(outbox.c.state, "not_sent") == bindparam("state")
)
_log = Query(LoggedDelivery, _logged.where(_is_in_state))
_log_of_event = Query(
    LoggedDelivery,
    _logged.where(conversions.c.event_id == bindparam("event_id"), _is_in_state),
)
# The states whose events have an index of their own. Few events are in them, mostly the newest, for
# which the log would be read from its beginning.
_INDEXED_STATES = ("waiting", "held", "dead")
_MOST_FROM_INDEX = 20_000


def _in_indexed_state(state: str) -> ColumnElement[bool]:
    return outbox.c.state == literal_column(f"'{state}'")


_log_in_state = {
    state: Query(LoggedDelivery, _logged.where(_in_indexed_state(state)))
    for state in _INDEXED_STATES
}
_is_common = {
    state: Query(
        _RecordedId,
        select(outbox.c.event_id).where(_in_indexed_state(state)).offset(_MOST_FROM_INDEX).limit(1),
    )
    for state in _INDEXED_STATES
}


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
    conn: Connection, visitors: Collection[str], since: int, until: int, after: str, most: int
) -> list[ConversionRow]:
    """Returns up to `most` counted events of visitor ids in [since, until], oldest first, that are
    no order's purchase. Of the first second those up to the event id `after` are left out."""
    names = names_of(conn, visitors)
    return _events_of.all(conn, names=names, since=since, until=until, after=after, most=most)


def matches_of(conn: Connection, event_ids: Collection[str]) -> list[MatchedOrder]:
    """Returns the matches of the orders whose purchases have these event ids."""
    return _matches_of.all(conn, names=names_of(conn, event_ids)) if event_ids else []


def of_event(conn: Connection, event_id: str) -> ConversionRow | None:
    """Returns the recorded event of this id."""
    return _of_event.first(conn, event_id=event_id)


def under_id(conn: Connection, event_id: str) -> ConversionRow | None:
    """Returns the recorded event that has this id, or that is sent under it."""
    return _under_id.first(conn, event_id=event_id)


def told_as(conn: Connection, event_id: str) -> ConversionRow | None:
    """Returns the purchase that the storefront tells by this id."""
    return _told_as.first(conn, event_id=event_id)


def ids_of(conn: Connection, event_id: str) -> SharedId | None:
    """Returns the ids of a recorded event."""
    return _ids_of.first(conn, event_id=event_id)


def lock_ids(conn: Connection, event_ids: Collection[str]) -> list[SharedId]:
    """Locks the rows of events, and returns their ids. A row that another transaction is about to
    change is left out."""
    return among(conn, _lock_ids, event_ids)


def recorded(conn: Connection, event_ids: Collection[str]) -> set[str]:
    """Returns those of the ids that an event on record has."""
    return {row.event_id for row in among(conn, _recorded, event_ids)}


def sent_as(conn: Connection, event_ids: Collection[str]) -> set[str]:
    """Returns those of the ids that an event is sent under instead of its own."""
    return {row.event_id for row in among(conn, _sent_as, event_ids)}


def taken(conn: Connection, event_ids: Collection[str]) -> set[str]:
    """Returns those of the ids that an event has, apart from other systems' checkouts, or is sent
    under."""
    others = {row.event_id for row in among(conn, _of_others, event_ids)}
    return others | sent_as(conn, event_ids)


def told(conn: Connection, event_ids: Collection[str]) -> set[str]:
    """Returns those of the ids that the storefront tells a purchase by."""
    return {row.event_id for row in among(conn, _told, event_ids)}


def set_sent_as(conn: Connection, chosen: Mapping[str, str]) -> None:
    """Stores the ids that events (by event id) are sent under; a choice made before stays."""
    _set_sent_as.run_many(
        conn, ({"b_event_id": event_id, "b_sent_as": id} for event_id, id in chosen.items())
    )


def set_storefront_id(conn: Connection, event_id: str, storefront_id: str) -> None:
    """Stores the id that the storefront tells a purchase by."""
    _set_storefront_id.run(conn, b_event_id=event_id, b_storefront_id=storefront_id)


def last_recorded(conn: Connection) -> int | None:
    """Returns when the newest event was recorded (seconds UTC); None if there is none."""
    row = _newest.first(conn)
    return None if row is None else row.recorded_at


def has_purchase_since(conn: Connection, since: int) -> bool:
    """Returns True if an order was placed since an instant (seconds UTC)."""
    return _purchase_since.first(conn, since=since) is not None


def log(
    conn: Connection, state: str, after: int, most: int, event_id: str = ""
) -> list[LoggedDelivery]:
    """Returns a page of the delivery log: each event with its state at each destination.

    With `event_id` only that event.
    """
    page = {"after": after, "most": most}
    if event_id:
        return _log_of_event.all(conn, **page, event_id=event_id, state=state)
    if state in _INDEXED_STATES and _is_common[state].first(conn) is None:
        return _log_in_state[state].all(conn, **page)
    return _log.all(conn, **page, state=state)
