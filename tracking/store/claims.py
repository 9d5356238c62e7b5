"""The claims of deliverers: who leases an event settles it before the lease ends."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from sqlalchemy import and_, bindparam, case, func, literal_column, or_, select, update

from tracking.domain.conversion import MAY_END
from tracking.store.engine import many_rows
from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.outbox import (
    CLOCKS_DIFFER,
    EXPIRED,
    LONGEST_LEASE,
    LONGEST_SENDABLE,
    LONGEST_WAIT,
    NO_PAYLOAD,
    WITHDRAWN_AT_ONCE,
    OutboxId,
)
from tracking.store.schema import outbox


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


class HeldEvent(NamedTuple):
    """The id of an event that a claim has, and the event as it is now."""

    id: int
    payload: bytes


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


class PartlyLost(Exception):
    """Another claim has leased some of the events since."""


# Between the owner of a claim and its own part.
CLAIM_SEPARATOR = "/"
# The payload one claim holds in memory: six times that of a thousand usual events.
_MOST_BYTES = 8 * 1024 * 1024
_withdraw_claimed = Statement(
    WITHDRAWN_AT_ONCE.where(outbox.c.id == bindparam("b_id")).values(claim="", leased_until=0)
)
# By the clock of whoever told of it an event may lie ahead of ours. No destination takes it before
# its time.
_has_due = Query(
    OutboxId,
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
# To end a lease under which a call is out would send its events twice.
_is_leased_too_long = and_(
    _is_waiting_for,
    outbox.c.leased_until > bindparam("b_now") + (LONGEST_LEASE + CLOCKS_DIFFER),
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
    OutboxId,
    select(outbox.c.id)
    .where(_is_due_too_late, outbox.c.is_browser == bindparam("is_browser"))
    .limit(1),
)
_has_ahead = Query(
    OutboxId,
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
_SETTLED = [f"b_{name}" for name in Settlement._fields]
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
# What is left of the statement above where the event was sent: a third of the time, as it has so
# much fewer values.
_settle_sent = Statement(
    update(outbox)
    .where(outbox.c.id == bindparam("b_id"), outbox.c.claim == bindparam("b_claim"))
    .values(
        state=literal_column("'sent'"),
        payload=case((_is_erased, NO_PAYLOAD), else_=bindparam("b_payload")),
        reason=case((_is_erased, literal_column("''")), else_=bindparam("b_reason")),
        due_at=bindparam("b_due_at"),
        attempts=outbox.c.attempts + bindparam("b_used"),
        settled_at=bindparam("b_settled_at"),
        claim=literal_column("''"),
        leased_until=literal_column("0"),
    )
)
# The same for many events, whose settlements are its rows.
_SETTLE_SENT_ON_SQLITE = """
    UPDATE outbox SET
        state = 'sent',
        payload = CASE WHEN outbox.state = 'withdrawn' THEN x'' ELSE told.column3 END,
        reason = CASE WHEN outbox.state = 'withdrawn' THEN '' ELSE told.column4 END,
        due_at = told.column5,
        attempts = outbox.attempts + told.column6,
        settled_at = told.column7,
        claim = '',
        leased_until = 0
    FROM ({rows}) AS told
    WHERE outbox.id = told.column1 AND outbox.claim = ?
"""
_release = Statement(
    update(outbox)
    .where(
        outbox.c.id == bindparam("b_id"),
        outbox.c.claim == bindparam("b_claim"),
        outbox.c.state == literal_column("'waiting'"),
    )
    .values(claim="", leased_until=0)
)
_held = Query(
    HeldEvent,
    {
        dialect: select(outbox.c.id, outbox.c.payload).where(
            is_among(dialect, outbox.c.id),
            outbox.c.claim == bindparam("claim"),
            outbox.c.state == literal_column("'waiting'"),
            outbox.c.is_withdrawn == 0,
        )
        for dialect in DIALECTS
    },
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


def withdraw_claimed(conn: Connection, ids: Iterable[int], reason: str, now: int) -> None:
    """Withdraws events in the transaction that claimed them: they are not sent."""
    _withdraw_claimed.run_many(conn, ({"b_id": id, "b_reason": reason, "b_now": now} for id in ids))


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


def settle(
    conn: Connection, claim: str, settlements: Sequence[Settlement], *, each: bool = False
) -> set[int]:
    """Stores the results of the claimed events; an event that another claim has leased since is
    left to that claim. Returns the ids of the others; with `each` it finds them one by one.

    Raises:
        PartlyLost: another claim has some of them, and `each` is False.
    """
    if each:
        return {row.id for row in settlements if _settled(conn, claim, [row])}
    settled = _settled(conn, claim, settlements)
    if 0 < settled < len(settlements):
        raise PartlyLost
    return {row.id for row in settlements} if settled else set()


def _settled(conn: Connection, claim: str, settlements: Sequence[Settlement]) -> int:
    """Stores the results of the events that the claim still has; returns their number."""
    sent = [row for row in settlements if row.state == "sent"]
    others = [row for row in settlements if row.state != "sent"]
    settle_sent = _settle_sent_on_sqlite if conn.dialect == "sqlite" else _settle_each
    return settle_sent(conn, claim, sent) + _settle_each(conn, claim, others)


def _settle_each(conn: Connection, claim: str, settlements: Sequence[Settlement]) -> int:
    is_sent = all(row.state == "sent" for row in settlements)
    rows = (dict(zip(_SETTLED, row, strict=True)) for row in settlements)
    return (_settle_sent if is_sent else _settle).run_many(conn, rows, b_claim=claim)


def _settle_sent_on_sqlite(conn: Connection, claim: str, sent: Sequence[Settlement]) -> int:
    settled = 0
    for chunk in many_rows.chunks_of(sent):
        conn.cursor.execute(_sent_on_sqlite(len(chunk)), [*chain.from_iterable(chunk), claim])
        settled += conn.cursor.rowcount
    conn.executed += len(sent)
    return settled


@lru_cache
def _sent_on_sqlite(rows: int) -> str:
    values = many_rows.values_of(len(Settlement._fields), rows)
    return _SETTLE_SENT_ON_SQLITE.format(rows=values)


def release(conn: Connection, claim: str, ids: Iterable[int]) -> None:
    """Ends the lease of those claimed events that were not settled."""
    _release.run_many(conn, ({"b_id": id, "b_claim": claim} for id in ids))


def held(conn: Connection, claim: str, ids: Iterable[int]) -> Mapping[int, bytes]:
    """Returns the payloads of those claimed events that no other claim has, and that nobody has
    withdrawn, by their ids: they may have been amended since they were claimed."""
    rows = _held.all(conn, claim=claim, names=names_of(conn, ids))
    return {row.id: row.payload for row in rows}


def retry_now(conn: Connection, destination: str, now: int) -> None:
    """Makes every waiting event of a destination due now, since the destination answers again."""
    _retry_now.run(conn, b_destination=destination, b_now=now)


def bring_forward(conn: Connection, destination: str, now: int, by: int) -> None:
    """Makes the event that is due first due by an instant (`by`) at the latest, and the first of
    those that the pixel told."""
    for kind in (0, 1):
        _bring_forward.run(conn, b_destination=destination, b_now=now, b_by=by, b_is_browser=kind)
