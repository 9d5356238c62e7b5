"""The outbox: events that wait to be delivered. Who claims one settles it before the lease ends."""

from collections.abc import Iterable
from typing import NamedTuple

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

from tracking.domain.conversion import MAY_END, TOLD_OTHERWISE
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import outbox


class OutboxRow(NamedTuple):
    """One event for one destination. Instants are seconds UTC."""

    id: int
    event_id: str
    destination: str
    state: str
    payload: bytes
    event_time: int
    attempts: int
    due_at: int
    claim: str
    leased_until: int
    is_withdrawn: int
    reason: str
    queued_at: int
    settled_at: int
    order_id: str
    shares_id: int
    is_browser: int = 0


class ClaimedEvent(NamedTuple):
    """An event that a deliverer has leased. `event_time` is seconds UTC.

    With `shares_id` it is sent under the id that was chosen for it, not under its event id.
    `order_id` is the order that it names beside other events.
    """

    id: int
    event_id: str
    payload: bytes
    event_time: int
    attempts: int
    reason: str
    is_withdrawn: int
    shares_id: int
    order_id: str


class Settlement(NamedTuple):
    """The result of an attempt to deliver a claimed event.

    `used` is how many attempts it counts as; instants are seconds UTC, `settled_at` 0 while the
    event waits.
    """

    id: int
    state: str
    payload: bytes
    reason: str
    due_at: int
    used: int
    settled_at: int


class DeadLetter(NamedTuple):
    """An event that was refused or expired. Instants are seconds UTC."""

    id: int
    event_id: str
    destination: str
    event_time: int
    attempts: int
    reason: str
    settled_at: int


class WaitingEvents(NamedTuple):
    """The number of waiting `events`, and since when the `oldest` could be sent (seconds UTC)."""

    events: int
    oldest: int | None


class StateCount(NamedTuple):
    """The number of events of one destination in one state."""

    destination: str
    state: str
    events: int


class _EventCount(NamedTuple):
    events: int


class _OutboxId(NamedTuple):
    id: int


# The states of an event that was sent, or that was given up.
SETTLED = frozenset({"sent", "dead", "discarded"})
# The longest wait between two attempts, or for the storefront's id, and the longest lease of a
# claim. Seconds.
LONGEST_WAIT, LONGEST_LEASE = 900, 120
LONGEST_SENDABLE = 7 * 86_400
# Begins the reason of an event that was not sent in time.
EXPIRED = "expired: "
# The reason of an event that was given up because nobody was left to send it.
NO_SETTINGS = "the settings of this destination were removed"
# Between the owner of a claim and its own part.
CLAIM_SEPARATOR = "/"

# When an event was queued, or its own time if that lies later.
SENDABLE_SINCE = case(
    (outbox.c.event_time > outbox.c.queued_at, outbox.c.event_time), else_=outbox.c.queued_at
)
NO_PAYLOAD = literal(b"", LargeBinary)
# The payload one claim holds in memory: six times that of a thousand usual events.
_MOST_BYTES = 8 * 1024 * 1024
# No webhook waits long for the transaction.
_DISCARDED_AT_ONCE = 1_000
# No claim has taken it: no destination can have it.
IS_NEVER_TRIED = and_(outbox.c.attempts == 0, outbox.c.claim == "", outbox.c.reason == "")
_never_claimed = and_(outbox.c.shares_id == 0, IS_NEVER_TRIED)
# A checkout that was handed in under the event id of its order is the order's from now on.
_begins_to_share = and_(_never_claimed, literal_column("excluded.shares_id") == 1)
# An event that was settled, or that is being sent right now, stays as it is: Pinterest has it.
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
        order_id=bindparam("order_id"),
        shares_id=bindparam("shares_id"),
        is_browser=bindparam("is_browser"),
    )
    .on_conflict_do_update(
        constraint=None,
        index_elements=[outbox.c.event_id, outbox.c.destination],
        set_={
            "payload": literal_column("excluded.payload"),
            "event_time": literal_column("excluded.event_time"),
            "state": literal_column("excluded.state"),
            # An event that waits for its next attempt keeps its backoff.
            "due_at": case(
                (_begins_to_share, literal_column("excluded.due_at")),
                (
                    and_(
                        outbox.c.state == "waiting", literal_column("excluded.state") == "waiting"
                    ),
                    outbox.c.due_at,
                ),
                else_=literal_column("excluded.due_at"),
            ),
            # What was sent once under its event id is sent under it again.
            "shares_id": case(
                (_never_claimed, literal_column("excluded.shares_id")), else_=outbox.c.shares_id
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
# An event in reserve: another one of the same purchase is in line, and may not be sent in the end.
IS_SPARE = and_(
    _is_held,
    outbox.c.reason.in_([literal_column(f"'{reason}'") for reason in sorted(TOLD_OTHERWISE)]),
)
# A spare is of use for as long as any event is.
SPARE_UNTIL = outbox.c.event_time + LONGEST_SENDABLE
_reserve = Statement(
    update(outbox)
    .where(
        outbox.c.event_id == bindparam("b_event_id"),
        outbox.c.destination == bindparam("b_destination"),
        or_(and_(outbox.c.state == literal_column("'waiting'"), IS_NEVER_TRIED), _is_held),
    )
    .values(state="held", due_at=SPARE_UNTIL, reason=bindparam("b_reason"))
)
_forget_held = Statement(delete(outbox).where(outbox.c.event_id == bindparam("event_id"), _is_held))
_overdue = select(outbox.c.id).where(_is_held, outbox.c.due_at <= bindparam("now")).limit(500)
_drop_expired = Statement(delete(outbox).where(outbox.c.id.in_(_overdue.scalar_subquery())))
_has_overdue = Query(_OutboxId, _overdue.limit(1))
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
    .values(
        state="waiting",
        due_at=bindparam("b_due_at"),
        reason=case((IS_SPARE, ""), else_=outbox.c.reason),
    )
)
# An event that was never tried, and waits for the id that the storefront tells it by.
_end_wait = Statement(
    update(outbox)
    .where(
        outbox.c.event_id == bindparam("b_event_id"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.shares_id == 1,
        IS_NEVER_TRIED,
        outbox.c.due_at > bindparam("b_now"),
    )
    .values(due_at=bindparam("b_now"))
)
_is_for_good = bindparam("b_reason").in_(
    [literal_column("'consent_refused'"), literal_column("'deleted'")]
)
MAY_BE_WITHDRAWN = or_(
    outbox.c.state == literal_column("'waiting'"),
    # A dead letter may be replayed, but not once the buyer refused consent, or the order was
    # deleted.
    and_(outbox.c.state == literal_column("'dead'"), _is_for_good),
)
WITHDRAWN = update(outbox).values(
    is_withdrawn=1,
    # An event that is being sent may arrive; if it does not, its settlement withdraws it. The
    # payload may hold an IP address and a user agent, which are no longer needed.
    state=case((outbox.c.leased_until > bindparam("b_now"), "waiting"), else_="withdrawn"),
    payload=case((outbox.c.leased_until > bindparam("b_now"), outbox.c.payload), else_=NO_PAYLOAD),
    reason=bindparam("b_reason"),
    settled_at=bindparam("b_now"),
)
# Of an event of which no call is under way.
WITHDRAWN_AT_ONCE = update(outbox).values(
    state="withdrawn",
    is_withdrawn=1,
    payload=NO_PAYLOAD,
    reason=bindparam("b_reason"),
    settled_at=bindparam("b_now"),
)
_withdraw = Statement(
    WITHDRAWN.where(outbox.c.event_id == bindparam("b_event_id"), MAY_BE_WITHDRAWN)
)
_withdraw_from = Statement(
    WITHDRAWN_AT_ONCE.where(
        outbox.c.event_id == bindparam("b_event_id"),
        outbox.c.destination == bindparam("b_destination"),
        or_(
            and_(outbox.c.state == literal_column("'waiting'"), IS_NEVER_TRIED),
            outbox.c.state == literal_column("'dead'"),
        ),
    )
)
_withdraw_claimed = Statement(
    WITHDRAWN_AT_ONCE.where(outbox.c.id == bindparam("b_id")).values(claim="", leased_until=0)
)
_withdraw_spare = Statement(
    update(outbox)
    .where(outbox.c.id == bindparam("b_id"), IS_SPARE)
    .values(state="withdrawn", is_withdrawn=1, payload=NO_PAYLOAD, settled_at=bindparam("b_now"))
)
_undo_withdrawal = Statement(
    update(outbox)
    .where(
        outbox.c.event_id == bindparam("b_event_id"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.is_withdrawn == 1,
    )
    .values(is_withdrawn=0, reason="", settled_at=0)
)
# By the clock of whoever told of it an event may lie ahead of ours. No destination takes it before
# its time.
_has_due = Query(
    _OutboxId,
    select(outbox.c.id)
    .where(
        outbox.c.destination == bindparam("destination"),
        outbox.c.is_browser == bindparam("is_browser"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.due_at <= bindparam("now"),
        outbox.c.event_time <= bindparam("now"),
        outbox.c.leased_until <= bindparam("now"),
    )
    .limit(1),
)
_is_waiting_for = and_(
    outbox.c.destination == bindparam("b_destination"),
    outbox.c.state == literal_column("'waiting'"),
)
# What lies further ahead than any wait lasts was stored before the clock was set back.
_is_due_too_late = and_(
    _is_waiting_for,
    outbox.c.due_at > bindparam("b_now") + LONGEST_WAIT,
    # One that is withdrawn while it is sent is held until then.
    outbox.c.is_withdrawn == 0,
)
_is_leased_too_long = and_(
    _is_waiting_for, outbox.c.leased_until > bindparam("b_now") + LONGEST_LEASE
)
# An event that expired by a clock which was ahead.
_is_expired_ahead = and_(
    outbox.c.destination == bindparam("b_destination"),
    outbox.c.state == literal_column("'dead'"),
    outbox.c.settled_at > bindparam("b_now") + LONGEST_WAIT,
    outbox.c.reason.startswith(EXPIRED),
    outbox.c.event_time > bindparam("b_now") - LONGEST_SENDABLE,
)
_has_due_too_late = Query(
    _OutboxId,
    select(outbox.c.id)
    .where(_is_due_too_late, outbox.c.is_browser == bindparam("is_browser"))
    .limit(1),
)
_has_ahead = Query(
    _OutboxId,
    select(outbox.c.id)
    .where(or_(_is_due_too_late, _is_leased_too_long, _is_expired_ahead))
    .limit(1),
)
_bring_back = (
    Statement(update(outbox).where(_is_due_too_late).values(due_at=bindparam("b_now"))),
    Statement(update(outbox).where(_is_leased_too_long).values(leased_until=0)),
    Statement(
        update(outbox)
        .where(_is_expired_ahead)
        .values(state="waiting", due_at=bindparam("b_now"), reason="", settled_at=0)
    ),
)
_end_leases = Statement(
    update(outbox)
    .where(
        _is_waiting_for,
        outbox.c.leased_until > 0,
        outbox.c.claim.startswith(bindparam("b_owner"), autoescape=False),
    )
    .values(leased_until=0)
)
_due = (
    select(outbox.c.id, outbox.c.due_at, func.length(outbox.c.payload).label("size"))
    .where(
        outbox.c.destination == bindparam("b_destination"),
        outbox.c.is_browser == bindparam("b_is_browser"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.due_at <= bindparam("b_now"),
        outbox.c.event_time <= bindparam("b_now"),
        outbox.c.leased_until <= bindparam("b_now"),
    )
    .order_by(outbox.c.due_at, outbox.c.id)
    .limit(bindparam("b_most"))
    .with_for_update(skip_locked=True)
    .subquery("due")
)
_before = func.sum(_due.c.size).over(order_by=(_due.c.due_at, _due.c.id)) - _due.c.size
_weighed = select(_due.c.id, _before.label("before")).subquery("weighed")
_within_size = select(_weighed.c.id).where(_weighed.c.before < bindparam("b_bytes"))
_claim = Query(
    ClaimedEvent,
    update(outbox)
    .where(outbox.c.id.in_(_within_size.scalar_subquery()))
    .values(claim=bindparam("b_claim"), leased_until=bindparam("b_until"))
    .returning(
        outbox.c.id,
        outbox.c.event_id,
        outbox.c.payload,
        outbox.c.event_time,
        outbox.c.attempts,
        outbox.c.reason,
        outbox.c.is_withdrawn,
        outbox.c.shares_id,
        outbox.c.order_id,
    ),
)
_unclaim = Statement(
    update(outbox).where(outbox.c.id == bindparam("b_id")).values(claim="", leased_until=0)
)
_waits_though_withdrawn = and_(bindparam("b_state") == "waiting", outbox.c.is_withdrawn == 1)
# The event names an order whose reason not to be sent may end.
_waits_though_held = and_(
    _waits_though_withdrawn,
    outbox.c.order_id != "",
    outbox.c.reason.in_([literal_column(f"'{reason}'") for reason in sorted(MAY_END)]),
)
# Only erasure sets this state while an event is being sent; `withdraw` leaves it to the settlement.
_is_erased = outbox.c.state == literal_column("'withdrawn'")
_settle = Statement(
    update(outbox)
    .where(outbox.c.id == bindparam("b_id"), outbox.c.claim == bindparam("b_claim"))
    .values(
        state=case(
            (_waits_though_held, "held"),
            (_waits_though_withdrawn, "withdrawn"),
            (and_(_is_erased, bindparam("b_state") != "sent"), "withdrawn"),
            else_=bindparam("b_state"),
        ),
        # An event that is tried again may have been amended while it was being sent.
        payload=case(
            (_waits_though_held, outbox.c.payload),
            (or_(_waits_though_withdrawn, _is_erased), NO_PAYLOAD),
            (bindparam("b_state") == "waiting", outbox.c.payload),
            else_=bindparam("b_payload"),
        ),
        reason=case(
            (_waits_though_held, bindparam("b_reason")),
            (_waits_though_withdrawn, outbox.c.reason),
            (_is_erased, case((bindparam("b_state") == "sent", ""), else_=outbox.c.reason)),
            else_=bindparam("b_reason"),
        ),
        due_at=case((_waits_though_held, outbox.c.due_at), else_=bindparam("b_due_at")),
        is_withdrawn=case((_waits_though_held, 0), else_=outbox.c.is_withdrawn),
        attempts=outbox.c.attempts + bindparam("b_used"),
        settled_at=case(
            (_waits_though_withdrawn, outbox.c.settled_at), else_=bindparam("b_settled_at")
        ),
        claim="",
        leased_until=0,
    )
)
_release = Statement(
    update(outbox)
    .where(outbox.c.claim == bindparam("b_claim"), outbox.c.state == literal_column("'waiting'"))
    .values(claim="", leased_until=0)
)
# An event that waits for the storefront's id waits for no destination.
_waits_for_destination = or_(
    outbox.c.shares_id == 0, outbox.c.attempts > 0, outbox.c.reason != literal_column("''")
)
_retry_now = Statement(
    update(outbox)
    .where(
        outbox.c.destination == bindparam("b_destination"),
        outbox.c.state == literal_column("'waiting'"),
        _waits_for_destination,
        outbox.c.due_at > bindparam("b_now"),
        outbox.c.leased_until <= bindparam("b_now"),
    )
    .values(due_at=bindparam("b_now"))
)
_next = (
    select(outbox.c.id)
    .where(
        outbox.c.destination == bindparam("b_destination"),
        outbox.c.is_browser == bindparam("b_is_browser"),
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.event_time <= bindparam("b_now"),
        _waits_for_destination,
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
_of_event = Query(
    OutboxRow,
    select(outbox).where(outbox.c.event_id == bindparam("event_id")).order_by(outbox.c.destination),
)
_waiting = Query(
    WaitingEvents,
    select(
        func.count().label("events"),
        func.min(SENDABLE_SINCE).label("oldest"),
    ).where(outbox.c.state == literal_column("'waiting'")),
)
_states = Query(
    StateCount,
    select(outbox.c.destination, outbox.c.state, func.count().label("events"))
    .group_by(outbox.c.destination, outbox.c.state)
    .order_by(outbox.c.destination, outbox.c.state),
)
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
    _OutboxId,
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
_waiting_for = Query(
    WaitingEvents,
    select(func.count().label("events"), func.min(SENDABLE_SINCE).label("oldest")).where(
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.destination == bindparam("destination"),
    ),
)
_dead_since = Query(
    _EventCount,
    select(func.count().label("events")).where(
        outbox.c.state == "dead", outbox.c.event_time > bindparam("since")
    ),
)
_replay = Query(
    _OutboxId,
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


def queue(
    conn: Connection,
    event_id: str,
    destination: str,
    payload: bytes,
    event_time: int,
    now: int,
    held_until: int | None = None,
    order_id: str = "",
    *,
    due_at: int = 0,
    shares_id: bool = False,
    is_browser: bool = False,
) -> None:
    """Queues a finished event, or replaces the queued one unless it is being sent.

    It is due at `due_at` (seconds UTC), or at once if that is over. With `held_until` it is held
    until then, for a fact that lets it be sent. `order_id` is the order that another system's event
    names. With `shares_id` the id it is sent under is chosen when it is claimed first.
    """
    _queue.run(
        conn,
        event_id=event_id,
        destination=destination,
        state="waiting" if held_until is None else "held",
        payload=payload,
        event_time=event_time,
        due_at=max(now, due_at) if held_until is None else held_until,
        now=now,
        order_id=order_id,
        shares_id=int(shares_id),
        is_browser=int(is_browser),
    )


def forget_held(conn: Connection, event_id: str) -> None:
    """Deletes a held event, which will not be sent."""
    _forget_held.run(conn, event_id=event_id)


def has_overdue(conn: Connection, now: int) -> bool:
    """Returns True if the time of a held event is over."""
    return _has_overdue.first(conn, now=now) is not None


def drop_expired(conn: Connection, now: int) -> None:
    """Deletes a page of the held events whose time is over."""
    _drop_expired.run(conn, now=now)


def hold(conn: Connection, event_id: str, until: int, now: int) -> None:
    """Holds a waiting event until an instant, unless it is being sent."""
    _hold.run(conn, b_event_id=event_id, b_until=until, b_now=now)


def release_held(conn: Connection, event_id: str, due_at: int) -> None:
    """Makes a held event wait for delivery, due at an instant (seconds UTC)."""
    _release_held.run(conn, b_event_id=event_id, b_due_at=due_at)


def reserve(conn: Connection, event_id: str, destination: str, reason: str) -> None:
    """Holds an event, that the destination was never told of, in reserve for the other event that
    tells of its purchase (`reason`, of TOLD_OTHERWISE)."""
    _reserve.run(conn, b_event_id=event_id, b_destination=destination, b_reason=reason)


def withdraw_spares(conn: Connection, ids: Iterable[int], now: int) -> None:
    """Withdraws events that were held in reserve, since another one was sent."""
    _withdraw_spare.run_many(conn, ({"b_id": id, "b_now": now} for id in ids))


def is_spare(row: OutboxRow) -> bool:
    """Returns True for an event that is held in reserve."""
    return row.state == "held" and row.reason in TOLD_OTHERWISE


def end_wait(conn: Connection, event_id: str, now: int) -> None:
    """Makes an event due that waits for the id the storefront tells it by."""
    _end_wait.run(conn, b_event_id=event_id, b_now=now)


def amend(conn: Connection, id: int, payload: bytes) -> None:
    """Replaces the payload of a waiting or held event.

    If the event is being sent, the new payload counts only for the next attempt.
    """
    _amend.run(conn, b_id=id, b_payload=payload)


def withdraw(conn: Connection, event_id: str, reason: str, now: int) -> None:
    """Withdraws a waiting event, so that it is not sent."""
    _withdraw.run(conn, b_event_id=event_id, b_reason=reason, b_now=now)


def withdraw_from(conn: Connection, event_id: str, destination: str, reason: str, now: int) -> None:
    """Withdraws an event from a destination that was never told of it, or that refused it."""
    _withdraw_from.run(
        conn, b_event_id=event_id, b_destination=destination, b_reason=reason, b_now=now
    )


def withdraw_claimed(conn: Connection, ids: Iterable[int], reason: str, now: int) -> None:
    """Withdraws events in the transaction that claimed them: they are not sent."""
    _withdraw_claimed.run_many(conn, ({"b_id": id, "b_reason": reason, "b_now": now} for id in ids))


def undo_withdrawal(conn: Connection, event_id: str) -> None:
    """Makes an event wait again that was withdrawn while it was being sent."""
    _undo_withdrawal.run(conn, b_event_id=event_id)


def has_due(
    conn: Connection, destination: str, now: int, *, is_browser: bool | None = None
) -> bool:
    """Returns True if an event may be claimed; reading this first avoids needless write locks.

    With `is_browser` only what the pixel told counts, or only all else.
    """
    kinds = (False, True) if is_browser is None else (is_browser,)
    return any(
        _has_due.first(conn, destination=destination, now=now, is_browser=int(kind)) is not None
        for kind in kinds
    )


def has_due_too_late(conn: Connection, destination: str, now: int) -> bool:
    """Returns True if an event is due further ahead than any wait lasts."""
    found = (
        _has_due_too_late.first(conn, b_destination=destination, b_now=now, is_browser=kind)
        for kind in (0, 1)
    )
    return any(row is not None for row in found)


def has_ahead(conn: Connection, destination: str, now: int) -> bool:
    """Returns True if an event is due or leased too far ahead, or expired by a clock that was set
    back since. This reads every waiting event."""
    return _has_ahead.first(conn, b_destination=destination, b_now=now) is not None


def bring_back(conn: Connection, destination: str, now: int) -> None:
    """Makes the events due that `has_ahead` means, and ends their leases."""
    for statement in _bring_back:
        statement.run(conn, b_destination=destination, b_now=now)


def end_leases(conn: Connection, destination: str, owner: str) -> None:
    """Ends the leases of a process that does not run any more. Their claims stay on record, since
    the destination may have these events."""
    _end_leases.run(conn, b_destination=destination, b_owner=f"{owner}{CLAIM_SEPARATOR}")


def claim(
    conn: Connection,
    destination: str,
    claim: str,
    now: int,
    until: int,
    most: int,
    *,
    is_browser: bool = False,
) -> list[ClaimedEvent]:
    """Leases up to `most` due events until an instant (fewer if they are large), and returns them.

    No other claim gets them before the lease ends.
    """
    rows = _claim.all(
        conn,
        b_destination=destination,
        b_claim=claim,
        b_now=now,
        b_until=until,
        b_most=most,
        b_bytes=_MOST_BYTES,
        b_is_browser=int(is_browser),
    )
    return sorted(rows, key=lambda row: row.id)


def unclaim(conn: Connection, ids: Iterable[int]) -> None:
    """Ends the lease of events in the transaction that claimed them: they stay due."""
    _unclaim.run_many(conn, ({"b_id": id} for id in ids))


def settle(conn: Connection, claim: str, settlements: Iterable[Settlement]) -> None:
    """Stores the results of the claimed events; an event that another claim has leased since is
    left to that claim."""
    _settle.run_many(
        conn,
        (
            {"b_claim": claim, **{f"b_{name}": value for name, value in row._asdict().items()}}
            for row in settlements
        ),
    )


def release(conn: Connection, claim: str) -> None:
    """Ends the lease of the claimed events that were not settled."""
    _release.run(conn, b_claim=claim)


def retry_now(conn: Connection, destination: str, now: int) -> None:
    """Makes every waiting event of a destination due now, since the destination answers again."""
    _retry_now.run(conn, b_destination=destination, b_now=now)


def bring_forward(conn: Connection, destination: str, now: int, by: int) -> None:
    """Makes the event that is due first due by an instant (`by`) at the latest, and the first of
    those that the pixel told."""
    for kind in (0, 1):
        _bring_forward.run(conn, b_destination=destination, b_now=now, b_by=by, b_is_browser=kind)


def of_event(conn: Connection, event_id: str) -> list[OutboxRow]:
    """Returns the event's row for each destination."""
    return _of_event.all(conn, event_id=event_id)


def waiting(conn: Connection) -> WaitingEvents:
    """Returns how many events wait, and since when the oldest of them does."""
    (found,) = _waiting.all(conn)
    return found


def states(conn: Connection) -> list[StateCount]:
    """Returns the number of events in each state, for each destination."""
    return _states.all(conn)


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


def waiting_for(conn: Connection, destination: str) -> WaitingEvents:
    """Returns how many events wait for a destination, and since when the oldest of them does."""
    (found,) = _waiting_for.all(conn, destination=destination)
    return found


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
