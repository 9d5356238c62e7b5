"""The figures that an operator watches; only `webhooks_stored` reads a large table as a whole."""

from typing import NamedTuple

from sqlalchemy import bindparam, func, literal_column, select, text

from tracking.store.engine.statement import Connection, Query
from tracking.store.outbox import SENDABLE_SINCE
from tracking.store.schema import attempts, conversions, outbox, quarantine, receipts

# The states by which the outbox is indexed. Settled events are counted as attempts, below.
OPEN_STATES = ("waiting", "held", "dead")


class OpenEvents(NamedTuple):
    """The number of a destination's `events`, and since when the `oldest` could be sent
    (seconds UTC)."""

    destination: str
    events: int
    oldest: int


class AttemptCount(NamedTuple):
    """The number of delivery attempts of one destination that ended in one outcome."""

    destination: str
    outcome: str
    events: int


class RecordedCount(NamedTuple):
    """The number of events of one stage; `reason` says why they are not sent, "" if they are."""

    stage: str
    reason: str
    events: int


class BodyCount(NamedTuple):
    """The number of webhook bodies of one topic."""

    topic: str
    bodies: int


class _LastAttempt(NamedTuple):
    id: int


class _DatabaseSize(NamedTuple):
    bytes: int


_open = {
    state: Query(
        OpenEvents,
        select(
            outbox.c.destination,
            func.count().label("events"),
            func.min(SENDABLE_SINCE).label("oldest"),
        )
        .where(outbox.c.state == literal_column(f"'{state}'"))
        .group_by(outbox.c.destination)
        .order_by(outbox.c.destination),
    )
    for state in OPEN_STATES
}
_last_attempt = Query(_LastAttempt, select(func.coalesce(func.max(attempts.c.id), 0).label("id")))
_attempts = Query(
    AttemptCount,
    select(attempts.c.destination, attempts.c.outcome, func.count().label("events"))
    .where(attempts.c.id > bindparam("after"), attempts.c.id <= bindparam("through"))
    .group_by(attempts.c.destination, attempts.c.outcome),
)
_recorded = Query(
    RecordedCount,
    select(conversions.c.stage, conversions.c.reason, func.count().label("events"))
    .where(conversions.c.at > bindparam("since"))
    .group_by(conversions.c.stage, conversions.c.reason)
    .order_by(conversions.c.stage, conversions.c.reason),
)
_stored = Query(
    BodyCount,
    select(receipts.c.topic, func.count().label("bodies"))
    .group_by(receipts.c.topic)
    .order_by(receipts.c.topic),
)
_quarantined = Query(
    BodyCount,
    select(quarantine.c.topic, func.count().label("bodies"))
    .where(quarantine.c.replayed_at == 0)
    .group_by(quarantine.c.topic)
    .order_by(quarantine.c.topic),
)
_size = Query(
    _DatabaseSize,
    {
        "sqlite": select(literal_column("page_count * page_size").label("bytes")).select_from(
            text("pragma_page_count(), pragma_page_size()")
        ),
        "postgresql": select(
            func.pg_database_size(func.current_database()).label("bytes"),
        ),
    },
)


def open_events(conn: Connection, state: str) -> list[OpenEvents]:
    """Returns how many events of each destination are in one of `OPEN_STATES`."""
    return _open[state].all(conn)


def last_attempt(conn: Connection) -> int:
    """Returns the id of the newest delivery attempt; 0 if there was none."""
    (row,) = _last_attempt.all(conn)
    return row.id


def attempts_between(conn: Connection, after: int, through: int) -> list[AttemptCount]:
    """Returns how many of the delivery attempts with these ids ended in which outcome."""
    return _attempts.all(conn, after=after, through=through)


def recorded(conn: Connection, since: int) -> list[RecordedCount]:
    """Returns how many events happened after an instant, by stage and reason."""
    return _recorded.all(conn, since=since)


def webhooks_stored(conn: Connection) -> list[BodyCount]:
    """Returns how many webhook bodies are on record, by topic; it reads the whole table."""
    return _stored.all(conn)


def quarantined(conn: Connection) -> list[BodyCount]:
    """Returns how many bodies are in quarantine, by topic."""
    return _quarantined.all(conn)


def size(conn: Connection) -> int:
    """Returns the database's size in bytes, without the write-ahead log."""
    (row,) = _size.all(conn)
    return row.bytes
