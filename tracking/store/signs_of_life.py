"""When the service last saw each of its sources, looked up among the newest rows alone."""

from typing import NamedTuple

from sqlalchemy import UnaryExpression, bindparam, func, literal_column, select

from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import conversions, outbox, receipts

# So many of the newest rows are looked at: the answer is for a shop that begins.
NEWEST = 500


class LastSeen(NamedTuple):
    """The instant (seconds UTC) at which something was seen last; None if it was not."""

    at: int | None


class TopicSeen(NamedTuple):
    """A topic of webhooks, and when the last one of it was accepted (seconds UTC)."""

    topic: str
    at: int


_purchase = Query(
    LastSeen,
    select(func.max(conversions.c.at).label("at")).where(
        conversions.c.stage == literal_column("'purchase'")
    ),
)
_newest_events = (
    select(conversions.c.stage, conversions.c.recorded_at, conversions.c.visitor)
    .order_by(conversions.c.id.desc())
    .limit(bindparam("newest"))
    .subquery("newest_events")
)
_storefront = Query(
    LastSeen,
    select(func.max(_newest_events.c.recorded_at).label("at")).where(
        _newest_events.c.stage != literal_column("'purchase'"),
        _newest_events.c.visitor != literal_column("''"),
    ),
)


def _accepted_among(order: UnaryExpression[int]) -> Query[LastSeen]:
    some = (
        select(outbox.c.settled_at, outbox.c.state, outbox.c.destination)
        .order_by(order)
        .limit(bindparam("newest"))
        .subquery("some")
    )
    return Query(
        LastSeen,
        select(func.max(some.c.settled_at).label("at")).where(
            some.c.state == literal_column("'sent'"),
            some.c.destination == bindparam("destination"),
        ),
    )


# The newest, and, if all of these still wait, the oldest.
_accepted = [_accepted_among(order) for order in (outbox.c.id.desc(), outbox.c.id.asc())]
_newest_receipts = (
    select(receipts.c.topic, receipts.c.received_at)
    .order_by(receipts.c.order_id.desc(), receipts.c.digest.desc())
    .limit(bindparam("newest"))
    .subquery("newest_receipts")
)
_topics = Query(
    TopicSeen,
    select(_newest_receipts.c.topic, func.max(_newest_receipts.c.received_at).label("at"))
    .group_by(_newest_receipts.c.topic)
    .order_by(_newest_receipts.c.topic),
)


def last_order(conn: Connection) -> int | None:
    """Returns when the newest order was placed."""
    return _purchase.all(conn)[0].at


def last_storefront_event(conn: Connection) -> int | None:
    """Returns when the storefront's newest event was recorded."""
    return _storefront.all(conn, newest=NEWEST)[0].at


def last_accepted(conn: Connection, destination: str) -> int | None:
    """Returns when a destination accepted an event last, of the newest or else the oldest ones."""
    found = (query.all(conn, newest=NEWEST, destination=destination)[0].at for query in _accepted)
    return next(filter(None, found), None)


def topics(conn: Connection) -> list[TopicSeen]:
    """Returns the topics of the newest orders' webhooks."""
    return _topics.all(conn, newest=NEWEST)
