"""The figures that an operator watches; only `webhooks_stored` reads a large table as a whole."""

from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
)

from tracking.store.engine.statement import Connection, Query
from tracking.store.outbox import SENDABLE_SINCE
from tracking.store.schema import (
    attempt_sums,
    attempts,
    conversions,
    outbox,
    quarantine,
    receipts,
)

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


class SharedIdCount(NamedTuple):
    """The number of purchases sent under the storefront's id (`shared`) and under their `own`.

    `missed` are those whose storefront's id came after another was chosen, `taken` those whose
    storefront's id another event has, `late` those that were sent too late to be deduplicated.
    """

    shared: int
    own: int
    missed: int
    taken: int
    late: int


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
_deleted_attempts = Query(
    AttemptCount,
    select(
        attempt_sums.c.destination,
        attempt_sums.c.outcome,
        attempt_sums.c.attempts.label("events"),
    ),
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
_is_shared = conversions.c.sent_as != conversions.c.event_id
_is_unused = and_(
    conversions.c.storefront_id != "", conversions.c.storefront_id != conversions.c.sent_as
)
_other = conversions.alias("other")
_is_taken = or_(
    *(
        exists(select(_other.c.id).where(column != "", column == conversions.c.storefront_id))
        for column in (_other.c.event_id, _other.c.sent_as)
    )
)
_was_late = exists(
    select(attempts.c.id).where(
        attempts.c.event_id == conversions.c.event_id, attempts.c.outcome == "late"
    )
)


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


_shared_ids = Query(
    SharedIdCount,
    select(
        _count_if(_is_shared).label("shared"),
        _count_if(not_(_is_shared)).label("own"),
        _count_if(and_(_is_unused, not_(_is_taken))).label("missed"),
        _count_if(and_(_is_unused, _is_taken)).label("taken"),
        _count_if(_was_late).label("late"),
    ).where(conversions.c.at > bindparam("since"), conversions.c.sent_as != literal_column("''")),
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


def deleted_attempts(conn: Connection) -> list[AttemptCount]:
    """Returns how many delivery attempts ended in which outcome that are not kept any more."""
    return _deleted_attempts.all(conn)


def recorded(conn: Connection, since: int) -> list[RecordedCount]:
    """Returns how many events happened after an instant, by stage and reason."""
    return _recorded.all(conn, since=since)


def shared_ids(conn: Connection, since: int) -> SharedIdCount:
    """Returns how the purchases after an instant share their ids with Pinterest's own app."""
    (row,) = _shared_ids.all(conn, since=since)
    return row


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
