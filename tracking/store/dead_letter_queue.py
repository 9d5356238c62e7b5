"""Dead letters: events that were refused or expired. They are replayed, or given up."""

from typing import NamedTuple

from sqlalchemy import bindparam, func, literal_column, or_, select, update

from tracking.store.engine.statement import Connection, Query
from tracking.store.outbox import NO_PAYLOAD, NO_SETTINGS, OutboxId
from tracking.store.schema import outbox


class DeadLetter(NamedTuple):
    """An event that was refused or expired. Instants are seconds UTC."""

    id: int
    event_id: str
    destination: str
    event_time: int
    attempts: int
    reason: str
    settled_at: int


class _EventCount(NamedTuple):
    events: int


# No webhook waits long for the transaction.
_DISCARDED_AT_ONCE = 1_000
_dead = Query(
    DeadLetter,
    select(
        outbox.c.id,
        outbox.c.event_id,
        outbox.c.destination,
        outbox.c.event_time,
        outbox.c.attempts,
        outbox.c.reason,
        outbox.c.settled_at,
    )
    .where(outbox.c.state == "dead", outbox.c.id > bindparam("after"))
    .order_by(outbox.c.id)
    .limit(bindparam("most")),
)
_discarded = (
    select(outbox.c.id)
    .where(
        outbox.c.state == "dead",
        or_(bindparam("b_event_id") == "", outbox.c.event_id == bindparam("b_event_id")),
    )
    .limit(_DISCARDED_AT_ONCE)
)
_discard = Query(
    DeadLetter,
    update(outbox)
    .where(outbox.c.id.in_(_discarded.scalar_subquery()))
    .values(state="discarded", payload=NO_PAYLOAD, settled_at=bindparam("b_now"))
    .returning(*(outbox.c[name] for name in DeadLetter._fields)),
)
_given_up = (
    select(outbox.c.id)
    .where(
        outbox.c.destination == bindparam("b_destination"),
        outbox.c.state.in_([literal_column("'waiting'"), literal_column("'held'")]),
    )
    .limit(_DISCARDED_AT_ONCE)
)
_give_up = Query(
    OutboxId,
    update(outbox)
    .where(outbox.c.id.in_(_given_up.scalar_subquery()))
    .values(
        state="discarded",
        payload=NO_PAYLOAD,
        reason=NO_SETTINGS,
        settled_at=bindparam("b_now"),
    )
    .returning(outbox.c.id),
)
_dead_since = Query(
    _EventCount,
    select(func.count().label("events")).where(
        outbox.c.state == "dead", outbox.c.event_time > bindparam("since")
    ),
)
_replay = Query(
    OutboxId,
    update(outbox)
    .where(
        outbox.c.state == "dead",
        or_(bindparam("b_event_id") == "", outbox.c.event_id == bindparam("b_event_id")),
        outbox.c.event_time > bindparam("b_since"),
        or_(outbox.c.shares_id == 0, outbox.c.event_time >= bindparam("b_shared_since")),
    )
    .values(
        state="waiting",
        attempts=0,
        due_at=bindparam("b_now"),
        reason="",
        settled_at=0,
        is_withdrawn=0,
    )
    .returning(outbox.c.id),
)


def dead(conn: Connection, after: int = 0, most: int = 100) -> list[DeadLetter]:
    """Returns a page of the dead letters, those after an id."""
    return _dead.all(conn, after=after, most=most)


def discard(conn: Connection, now: int, event_id: str = "") -> list[DeadLetter]:
    """Gives up a page of the dead letters (or those of one event), and returns them.

    They are neither listed nor replayed from now on, and their payload is erased.
    """
    return _discard.all(conn, b_now=now, b_event_id=event_id)


def give_up(conn: Connection, destination: str, now: int) -> int:
    """Gives up a page of the events that wait for a destination, as `discard` gives up dead
    letters; returns how many."""
    return len(_give_up.all(conn, b_destination=destination, b_now=now))


def count_dead_since(conn: Connection, since: int) -> int:
    """Returns the number of dead letters whose events are newer than `since`."""
    (row,) = _dead_since.all(conn, since=since)
    return row.events


def replay(
    conn: Connection, now: int, since: int, event_id: str = "", shared_since: int = 0
) -> int:
    """Queues the dead letters (or one) whose events are newer than `since`; returns how many.

    Purchases that share their id are left out if they are older than `shared_since`.
    """
    return len(
        _replay.all(
            conn,
            b_now=now,
            b_since=since,
            b_event_id=event_id,
            b_shared_since=shared_since,
        )
    )
