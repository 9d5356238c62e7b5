"""The outbox: events that wait to be delivered, and what becomes of them until they are claimed."""

from collections.abc import Collection, Iterable
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

from tracking.domain.conversion import TOLD_OTHERWISE
from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.packed_payloads import unpacked
from tracking.store.schema import conversions, outbox

# An outbox of millions of settled events is not read for their number.
NEWEST_EVENTS = 10_000


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


class WaitingEvents(NamedTuple):
    """The number of waiting `events`, and since when the `oldest` could be sent (seconds UTC)."""

    events: int
    oldest: int | None


class _Payload(NamedTuple):
    payload: bytes


class NewestCount(NamedTuple):
    """The number of one destination's newest `events`, and of those that were `sent`."""

    destination: str
    events: int
    sent: int


class OutboxId(NamedTuple):
    """The id of a row of the outbox."""

    id: int


# The states of an event that was sent, or that was given up.
SETTLED = frozenset({"sent", "dead", "discarded"})
# The longest wait between two attempts, or for the storefront's id, and the longest lease of a
# claim. Seconds.
LONGEST_WAIT, LONGEST_LEASE = 900, 120
# The clocks of machines differ, and one is read a while before the rows. Seconds.
CLOCKS_DIFFER = 60
LONGEST_SENDABLE = 7 * 86_400
# Begins the reason of an event that was not sent in time.
EXPIRED = "expired: "
# The reason of an event that was given up because nobody was left to send it.
NO_SETTINGS = "the settings of this destination were removed"

# When an event was queued, or its own time if that lies later.
SENDABLE_SINCE = case(
    (outbox.c.event_time > outbox.c.queued_at, outbox.c.event_time), else_=outbox.c.queued_at
)
NO_PAYLOAD = literal(b"", LargeBinary)
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
            "is_browser": literal_column("excluded.is_browser"),
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
_has_overdue = Query(OutboxId, _overdue.limit(1))
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
_of_event = Query(
    OutboxRow,
    select(*(outbox.c[name] for name in OutboxRow._fields))
    .where(outbox.c.event_id == bindparam("event_id"))
    .order_by(outbox.c.destination),
)
_is_sent_to = and_(
    outbox.c.destination == bindparam("destination"), outbox.c.state == literal_column("'sent'")
)
_sent = Query(
    _Payload,
    {
        dialect: select(outbox.c.payload).where(is_among(dialect, outbox.c.event_id), _is_sent_to)
        for dialect in DIALECTS
    },
)
_sent_of_visitors = Query(
    _Payload,
    {
        dialect: select(outbox.c.payload)
        .join(conversions, conversions.c.event_id == outbox.c.event_id)
        .where(
            is_among(dialect, conversions.c.visitor),
            conversions.c.order_id == literal_column("''"),
            _is_sent_to,
        )
        .order_by(conversions.c.at.desc(), outbox.c.id)
        .limit(bindparam("most"))
        for dialect in DIALECTS
    },
)
_waiting = Query(
    WaitingEvents,
    select(
        func.count().label("events"),
        func.min(SENDABLE_SINCE).label("oldest"),
    ).where(outbox.c.state == literal_column("'waiting'")),
)
_newest = (
    select(outbox.c.destination, outbox.c.state)
    .order_by(outbox.c.id.desc())
    .limit(literal_column(str(NEWEST_EVENTS)))
    .subquery()
)
_counts_of_newest = Query(
    NewestCount,
    select(
        _newest.c.destination,
        func.count().label("events"),
        func.count(case((_newest.c.state == literal_column("'sent'"), 1))).label("sent"),
    ).group_by(_newest.c.destination),
)
_waiting_for = Query(
    WaitingEvents,
    select(func.count().label("events"), func.min(SENDABLE_SINCE).label("oldest")).where(
        outbox.c.state == literal_column("'waiting'"),
        outbox.c.destination == bindparam("destination"),
    ),
)


def queue(
    conn: Connection,
    event_id: str,
    destination: str,
    payload: bytes,
    *,
    event_time: int,
    now: int,
    held_until: int | None = None,
    order_id: str = "",
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


def undo_withdrawal(conn: Connection, event_id: str) -> None:
    """Makes an event wait again that was withdrawn while it was being sent."""
    _undo_withdrawal.run(conn, b_event_id=event_id)


def of_event(conn: Connection, event_id: str) -> list[OutboxRow]:
    """Returns the event's row for each destination."""
    rows = _of_event.all(conn, event_id=event_id)
    return [row._replace(payload=unpacked(row.payload)) for row in rows]


def sent_payloads(conn: Connection, destination: str, event_ids: Collection[str]) -> list[bytes]:
    """Returns the payloads of those of the events that a destination was sent."""
    rows = _sent.all(conn, names=names_of(conn, event_ids), destination=destination)
    return [unpacked(row.payload) for row in rows]


def sent_payloads_of(
    conn: Connection, destination: str, visitors: Collection[str], most: int
) -> list[bytes]:
    """Returns the payloads of the storefront events of visitor ids that a destination was sent:
    of the newest, `most` at most."""
    names = names_of(conn, visitors)
    rows = _sent_of_visitors.all(conn, names=names, destination=destination, most=most)
    return [unpacked(row.payload) for row in rows]


def waiting(conn: Connection) -> WaitingEvents:
    """Returns how many events wait, and since when the oldest of them does."""
    (found,) = _waiting.all(conn)
    return found


def newest(conn: Connection) -> list[NewestCount]:
    """Returns the numbers of the newest events of all destinations, NEWEST_EVENTS at most."""
    return _counts_of_newest.all(conn)


def waiting_for(conn: Connection, destination: str) -> WaitingEvents:
    """Returns how many events wait for a destination, and since when the oldest of them does."""
    (found,) = _waiting_for.all(conn, destination=destination)
    return found
