"""Events on their way out. Claiming one is a promise to settle it before the lease ends."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    LargeBinary,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import outbox

_NO_PAYLOAD = literal(b"", LargeBinary)
# What one call carries and a process holds at a time: six times a thousand usual events.
_MOST_BYTES = 8 * 1024 * 1024
# An event that was settled, or that is being sent right now, stays as it is: Pinterest knows it.
_queue = Statement(
    insert(outbox)
    .values(
        event_id=bindparam("event_id"),
        destination=bindparam("destination"),
        state=bindparam("state"),
        payload=bindparam("payload"),
        event_time=bindparam("event_time"),
        due_at=bindparam("due_at"),
        queued_at=bindparam("now"),
    )
    .on_conflict_do_update(
        constraint=None,
        index_elements=[outbox.c.event_id, outbox.c.destination],
        set_={
            "payload": literal_column("excluded.payload"),
            "state": literal_column("excluded.state"),
            # One that waits for its next attempt goes on waiting.
            "due_at": case(
                (
                    and_(
                        outbox.c.state == "waiting", literal_column("excluded.state") == "waiting"
                    ),
                    outbox.c.due_at,
                ),
                else_=literal_column("excluded.due_at"),
            ),
            "is_withdrawn": 0,
            "reason": "",
            "settled_at": 0,
        },
        where=or_(
            and_(outbox.c.state == "waiting", outbox.c.leased_until <= bindparam("now")),
            outbox.c.state == "withdrawn",
            outbox.c.state == "held",
        ),
    )
)
_is_held = outbox.c.state == literal_column("'held'")
_forget_held = Statement(delete(outbox).where(outbox.c.event_id == bindparam("event_id"), _is_held))
_overdue = select(outbox.c.id).where(_is_held, outbox.c.due_at <= bindparam("now")).limit(500)
_let_go = Statement(delete(outbox).where(outbox.c.id.in_(_overdue.scalar_subquery())))
_has_overdue = Statement(_overdue.limit(1))
_amend = Statement(
    update(outbox)
    .where(
        outbox.c.id == bindparam("b_id"),
        or_(_is_held, outbox.c.state == literal_column("'waiting'")),
    )
    .values(payload=bindparam("b_payload"))
)
_hold = Statement(
    update(outbox)
    .where(
        outbox.c.event_id == bindparam("b_event_id"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.leased_until <= bindparam("b_now"),
    )
    .values(state="held", due_at=bindparam("b_until"))
)
_release_held = Statement(
    update(outbox)
    .where(outbox.c.event_id == bindparam("b_event_id"), _is_held)
    .values(state="waiting", due_at=bindparam("b_now"))
)
_is_refused = bindparam("b_reason") == literal_column("'consent_refused'")
_withdraw = Statement(
    update(outbox)
    .where(
        outbox.c.event_id == bindparam("b_event_id"),
        or_(
            outbox.c.state == literal_column("'waiting'"),
            # A dead letter may be replayed, but not against the buyer's will.
            and_(outbox.c.state == literal_column("'dead'"), _is_refused),
        ),
    )
    .values(
        is_withdrawn=1,
        # One that is under way may arrive; if it does not, the settling withdraws it. The payload
        # may hold an address and a browser, and nobody needs it any more.
        state=case((outbox.c.leased_until > bindparam("b_now"), "waiting"), else_="withdrawn"),
        payload=case(
            (outbox.c.leased_until > bindparam("b_now"), outbox.c.payload), else_=_NO_PAYLOAD
        ),
        reason=bindparam("b_reason"),
        settled_at=bindparam("b_now"),
    )
)
_give_back = Statement(
    update(outbox)
    .where(
        outbox.c.event_id == bindparam("b_event_id"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.is_withdrawn == 1,
    )
    .values(is_withdrawn=0, reason="", settled_at=0)
)
_has_due = Statement(
    select(outbox.c.id)
    .where(
        outbox.c.destination == bindparam("destination"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.due_at <= bindparam("now"),
        outbox.c.leased_until <= bindparam("now"),
    )
    .limit(1)
)
_due = (
    select(outbox.c.id, outbox.c.due_at, func.length(outbox.c.payload).label("size"))
    .where(
        outbox.c.destination == bindparam("b_destination"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.due_at <= bindparam("b_now"),
        outbox.c.leased_until <= bindparam("b_now"),
    )
    .order_by(outbox.c.due_at, outbox.c.id)
    .limit(bindparam("b_most"))
    .with_for_update(skip_locked=True)
    .subquery("due")
)
_before = func.sum(_due.c.size).over(order_by=(_due.c.due_at, _due.c.id)) - _due.c.size
_weighed = select(_due.c.id, _before.label("before")).subquery("weighed")
_light = select(_weighed.c.id).where(_weighed.c.before < bindparam("b_bytes"))
_claim = Statement(
    update(outbox)
    .where(outbox.c.id.in_(_light.scalar_subquery()))
    .values(claim=bindparam("b_claim"), leased_until=bindparam("b_until"))
    .returning(
        outbox.c.id,
        outbox.c.event_id,
        outbox.c.payload,
        outbox.c.event_time,
        outbox.c.attempts,
        outbox.c.reason,
        outbox.c.is_withdrawn,
    )
)
_is_taken_back = and_(bindparam("b_state") == "waiting", outbox.c.is_withdrawn == 1)
# Only an erased event is withdrawn while it is under way.
_is_erased = outbox.c.state == literal_column("'withdrawn'")
_settle = Statement(
    update(outbox)
    .where(outbox.c.id == bindparam("b_id"), outbox.c.claim == bindparam("b_claim"))
    .values(
        state=case(
            (_is_taken_back, "withdrawn"),
            (and_(_is_erased, bindparam("b_state") != "sent"), "withdrawn"),
            else_=bindparam("b_state"),
        ),
        # What is tried again may have been amended while it was under way.
        payload=case(
            (or_(_is_taken_back, _is_erased), _NO_PAYLOAD),
            (bindparam("b_state") == "waiting", outbox.c.payload),
            else_=bindparam("b_payload"),
        ),
        reason=case(
            (_is_taken_back, outbox.c.reason),
            (_is_erased, case((bindparam("b_state") == "sent", ""), else_=outbox.c.reason)),
            else_=bindparam("b_reason"),
        ),
        due_at=bindparam("b_due_at"),
        attempts=outbox.c.attempts + bindparam("b_used"),
        settled_at=case((_is_taken_back, outbox.c.settled_at), else_=bindparam("b_settled_at")),
        claim="",
        leased_until=0,
    )
)
_release = Statement(
    update(outbox)
    .where(outbox.c.claim == bindparam("b_claim"), outbox.c.state == literal_column("'waiting'"))
    .values(claim="", leased_until=0)
)
_hasten = Statement(
    update(outbox)
    .where(
        outbox.c.destination == bindparam("b_destination"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.due_at > bindparam("b_now"),
        outbox.c.leased_until <= bindparam("b_now"),
    )
    .values(due_at=bindparam("b_now"))
)
_next = (
    select(outbox.c.id)
    .where(
        outbox.c.destination == bindparam("b_destination"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.leased_until <= bindparam("b_now"),
    )
    .order_by(outbox.c.due_at, outbox.c.id)
    .limit(1)
)
_bring_forward = Statement(
    update(outbox)
    .where(outbox.c.id == _next.scalar_subquery(), outbox.c.due_at > bindparam("b_by"))
    .values(due_at=bindparam("b_by"))
)
_of_event = Statement(
    select(outbox).where(outbox.c.event_id == bindparam("event_id")).order_by(outbox.c.destination)
)
_waiting = Statement(
    select(
        func.count().label("events"),
        func.min(outbox.c.queued_at).label("oldest"),
    ).where(outbox.c.state == literal_column("'waiting'"))
)
_states = Statement(
    select(outbox.c.destination, outbox.c.state, func.count().label("events"))
    .group_by(outbox.c.destination, outbox.c.state)
    .order_by(outbox.c.destination, outbox.c.state)
)
_dead = Statement(
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
    .limit(bindparam("most"))
)
_replay = Statement(
    update(outbox)
    .where(
        outbox.c.state == "dead",
        or_(bindparam("b_event_id") == "", outbox.c.event_id == bindparam("b_event_id")),
        outbox.c.event_time > bindparam("b_since"),
    )
    .values(
        state="waiting",
        attempts=0,
        due_at=bindparam("b_now"),
        reason="",
        settled_at=0,
        is_withdrawn=0,
    )
    .returning(outbox.c.id)
)


def queue(
    conn: Connection,
    event_id: str,
    destination: str,
    payload: bytes,
    event_time: int,
    now: int,
    held_until: int | None = None,
) -> None:
    """Put a finished event in line, or replace the one that still waits there. With `held_until`
    (seconds UTC) it is kept that long for a fact that would have it sent."""
    _queue.run(
        conn,
        event_id=event_id,
        destination=destination,
        state="waiting" if held_until is None else "held",
        payload=payload,
        event_time=event_time,
        due_at=now if held_until is None else held_until,
        now=now,
    )


def forget_held(conn: Connection, event_id: str) -> None:
    """Forget an event that was held and will not be sent."""
    _forget_held.run(conn, event_id=event_id)


def has_overdue(conn: Connection, now: int) -> bool:
    """Whether any held event has been held long enough."""
    return _has_overdue.first(conn, now=now) is not None


def drop_expired(conn: Connection, now: int) -> None:
    """Forget a page of the events that were held long enough."""
    _let_go.run(conn, now=now)


def hold(conn: Connection, event_id: str, until: int, now: int) -> None:
    """Hold an event that is not on its way until an instant."""
    _hold.run(conn, b_event_id=event_id, b_until=until, b_now=now)


def release_held(conn: Connection, event_id: str, now: int) -> None:
    """Put a held event in line."""
    _release_held.run(conn, b_event_id=event_id, b_now=now)


def amend(conn: Connection, id: int, payload: bytes) -> None:
    """Replace the payload of an event that was not sent yet; for what is on its way it holds if
    that does not arrive."""
    _amend.run(conn, b_id=id, b_payload=payload)


def withdraw(conn: Connection, event_id: str, reason: str, now: int) -> None:
    """Hold back an event that was not sent yet."""
    _withdraw.run(conn, b_event_id=event_id, b_reason=reason, b_now=now)


def undo_withdrawal(conn: Connection, event_id: str) -> None:
    """Let an event that was withdrawn while it was under way be tried again."""
    _give_back.run(conn, b_event_id=event_id)


def has_due(conn: Connection, destination: str, now: int) -> bool:
    """Whether anything may be claimed. Asked first, since asking takes no write lock."""
    return _has_due.first(conn, destination=destination, now=now) is not None


def claim(
    conn: Connection, destination: str, claim: str, now: int, until: int, most: int
) -> list[Row]:
    """Lease up to `most` due events until an instant, fewer of large ones; nobody else gets them
    before."""
    rows = _claim.all(
        conn,
        b_destination=destination,
        b_claim=claim,
        b_now=now,
        b_until=until,
        b_most=most,
        b_bytes=_MOST_BYTES,
    )
    return sorted(rows, key=lambda row: row.id)


def settle(conn: Connection, claim: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write what became of claimed events. An event whose lease passed on to another claim is
    left to it."""
    _settle.run_many(conn, ({**row, "b_claim": claim} for row in rows))


def release(conn: Connection, claim: str) -> None:
    """Give back what was claimed and not tried."""
    _release.run(conn, b_claim=claim)


def retry_now(conn: Connection, destination: str, now: int) -> None:
    """Let everything that waits for its next attempt be due: the destination answers again."""
    _hasten.run(conn, b_destination=destination, b_now=now)


def bring_forward(conn: Connection, destination: str, now: int, by: int) -> None:
    """Let the event that is due first be due by an instant."""
    _bring_forward.run(conn, b_destination=destination, b_now=now, b_by=by)


def of_event(conn: Connection, event_id: str) -> list[Row]:
    """The event's row for each destination."""
    return _of_event.all(conn, event_id=event_id)


def waiting(conn: Connection) -> Row:
    """How many `events` wait, and since when the `oldest` does (None if none)."""
    return _waiting.first(conn)


def states(conn: Connection) -> list[Row]:
    """How many events are in which state, for each destination."""
    return _states.all(conn)


def dead(conn: Connection, after: int = 0, most: int = 100) -> list[Row]:
    """A page of the dead letters."""
    return _dead.all(conn, after=after, most=most)


def replay(conn: Connection, now: int, since: int, event_id: str = "") -> int:
    """Put dead letters (or one) whose event is newer than `since` back in line; how many."""
    return len(_replay.all(conn, b_now=now, b_since=since, b_event_id=event_id))
