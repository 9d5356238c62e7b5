"""The events in the outbox by which other systems name an order.

Of the checkouts among them, and the order's own event, a destination is told one. The others are
held in reserve until it has that one.
"""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    literal_column,
    not_,
    or_,
    select,
    update,
)

from tracking.domain.conversion import MAY_END
from tracking.store.engine.name_lists import DIALECTS, among, is_among, selected
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.outbox import (
    EXPIRED,
    IS_NEVER_TRIED,
    IS_SPARE,
    MAY_BE_WITHDRAWN,
    NO_PAYLOAD,
    SPARE_UNTIL,
    WITHDRAWN,
    WITHDRAWN_AT_ONCE,
)
from tracking.store.schema import conversions, outbox


class _EventId(NamedTuple):
    event_id: str


class _NamedOrder(NamedTuple):
    order_id: str


class _Rival(NamedTuple):
    state: str


class PurchaseEvent(NamedTuple):
    """One of the events that tell a destination of an order's purchase.

    `reason` says why it is not sent (a key of REASONS). It `is_in_line` if it was sent or may be,
    `is_spare` while it is held in reserve, and `is_refused` if the destination did not take it.
    """

    id: int
    event_id: str
    state: str
    reason: str
    is_in_line: int
    is_spare: int
    is_refused: int


_state = outbox.c.state
_held: ColumnElement[str] = literal_column("'held'")
_waiting: ColumnElement[str] = literal_column("'waiting'")
_dead: ColumnElement[str] = literal_column("'dead'")
_withdrawn: ColumnElement[str] = literal_column("'withdrawn'")
_waits = _state.in_([_waiting, _held])
_sent: ColumnElement[str] = literal_column("'sent'")
_lives = and_(_state.in_([_waiting, _held, _sent]), not_(IS_SPARE))
_is_leased = outbox.c.leased_until > bindparam("b_now")
_is_checkout = exists(
    select(conversions.c.id)
    .where(
        conversions.c.event_id == outbox.c.event_id,
        conversions.c.stage == literal_column("'purchase'"),
    )
    .correlate(outbox)
)
_is_handed_in = exists(
    select(conversions.c.id)
    .where(
        conversions.c.event_id == outbox.c.event_id,
        conversions.c.order_id == literal_column("''"),
    )
    .correlate(outbox)
)
# An order's own event that is held may come back in line, and is not in it.
_is_in_line = and_(_lives, or_(_state != _held, _is_handed_in))
# That of the index, as text: a condition with a placeholder is none that it can be chosen by.
_names_any = outbox.c.order_id != literal_column("''")
_names_order = and_(outbox.c.order_id == bindparam("b_order_id"), _names_any)
_is_other = and_(_names_order, outbox.c.event_id != bindparam("b_event_id"))
_is_other_checkout = and_(
    _is_other, outbox.c.destination == bindparam("b_destination"), _is_checkout
)
_withdraw = Query(
    _EventId,
    WITHDRAWN.where(_names_order, or_(MAY_BE_WITHDRAWN, _state == _held)).returning(
        outbox.c.event_id
    ),
)
_of_order = Query(_EventId, select(outbox.c.event_id).where(_names_order))
_hold = Query(
    _EventId,
    update(outbox)
    .where(_is_other, _waits)
    .values(
        # An event that is being sent may arrive; if it does not, its settlement holds it.
        state=case((_is_leased, _waiting), else_=_held),
        is_withdrawn=case((_is_leased, 1), else_=0),
        reason=case((_is_leased, bindparam("b_reason")), else_=outbox.c.reason),
        due_at=bindparam("b_until"),
    )
    .returning(outbox.c.event_id),
)
_is_held_in_flight = and_(
    _state == _waiting,
    outbox.c.is_withdrawn == 1,
    outbox.c.reason.in_([literal_column(f"'{reason}'") for reason in sorted(MAY_END)]),
)
_release = Query(
    _EventId,
    update(outbox)
    .where(
        _is_other,
        or_(
            and_(_state == _held, outbox.c.due_at > bindparam("b_now"), not_(IS_SPARE)),
            _is_held_in_flight,
        ),
    )
    .values(
        state=_waiting,
        is_withdrawn=0,
        reason=case((_state == _held, outbox.c.reason), else_=literal_column("''")),
        due_at=bindparam("b_now"),
    )
    .returning(outbox.c.event_id),
)
_is_unsent = or_(and_(_waits, IS_NEVER_TRIED), IS_SPARE)
_is_out_of_line = or_(
    _state == _dead, and_(_state == _withdrawn, outbox.c.reason != bindparam("b_reason"))
)
_replace = Query(
    _EventId,
    update(outbox)
    .where(_is_other_checkout, or_(_is_unsent, _is_out_of_line))
    .values(
        state=case((_is_unsent, _held), else_=_withdrawn),
        is_withdrawn=case((_is_unsent, 0), else_=1),
        payload=case((_is_unsent, outbox.c.payload), else_=NO_PAYLOAD),
        due_at=case((_is_unsent, SPARE_UNTIL), else_=outbox.c.due_at),
        settled_at=case((_is_unsent, 0), else_=bindparam("b_now")),
        reason=bindparam("b_reason"),
    )
    .returning(outbox.c.event_id),
)
_replace_for_good = Query(
    _EventId,
    WITHDRAWN_AT_ONCE.where(_is_other_checkout, or_(_is_unsent, _is_out_of_line)).returning(
        outbox.c.event_id
    ),
)
_replace_dead = Query(
    _EventId,
    WITHDRAWN_AT_ONCE.where(_is_other_checkout, _state == _dead).returning(outbox.c.event_id),
)
_explain = Query(
    _EventId,
    update(outbox)
    .where(
        _is_other,
        _state == _withdrawn,
        outbox.c.reason.in_([literal_column("'told_by_order'"), literal_column("'told_before'")]),
    )
    .values(reason=bindparam("b_reason"))
    .returning(outbox.c.event_id),
)
# The deliverer that settles a rival, and whoever asks for it, wait for each other.
_rival = Query(
    _Rival,
    select(_state)
    .where(_is_other_checkout, _is_in_line)
    .order_by(_state != _sent, outbox.c.id)
    .limit(1)
    .with_for_update(),
)
_first_spare = (
    select(outbox.c.id)
    .where(_is_other_checkout, IS_SPARE, outbox.c.due_at > bindparam("b_now"))
    .order_by(outbox.c.id)
    .limit(1)
)
_release_spare = Query(
    _EventId,
    update(outbox)
    .where(outbox.c.id == _first_spare.scalar_subquery())
    .values(state=_waiting, reason="", due_at=bindparam("b_now"))
    .returning(outbox.c.event_id),
)
_put_in_line = Query(
    _EventId,
    update(outbox)
    .where(
        outbox.c.event_id == bindparam("b_event_id"),
        outbox.c.destination == bindparam("b_destination"),
        IS_SPARE,
    )
    .values(state=_waiting, reason="", due_at=bindparam("b_due_at"))
    .returning(outbox.c.event_id),
)
_keep_spares = Query(
    _EventId,
    update(outbox)
    .where(_is_other_checkout, IS_SPARE)
    .values(due_at=SPARE_UNTIL, reason=bindparam("b_reason"))
    .returning(outbox.c.event_id),
)
_of_purchase = Query(
    PurchaseEvent,
    select(
        outbox.c.id,
        outbox.c.event_id,
        _state,
        conversions.c.reason,
        case((_is_in_line, 1), else_=0).label("is_in_line"),
        case((IS_SPARE, 1), else_=0).label("is_spare"),
        # What expired may have arrived.
        case((and_(_state == _dead, not_(outbox.c.reason.startswith(EXPIRED))), 1), else_=0).label(
            "is_refused"
        ),
    )
    .select_from(outbox.join(conversions, conversions.c.event_id == outbox.c.event_id))
    .where(
        _names_order,
        outbox.c.destination == bindparam("b_destination"),
        conversions.c.stage == literal_column("'purchase'"),
    )
    .order_by(outbox.c.id),
)
_name_order = Statement(
    update(outbox)
    .where(outbox.c.event_id == bindparam("b_event_id"), outbox.c.order_id == literal_column("''"))
    .values(order_id=bindparam("b_order_id"))
)
_named = Query(
    _NamedOrder,
    {
        dialect: select(outbox.c.order_id)
        .where(is_among(dialect, outbox.c.order_id), _names_any)
        .distinct()
        for dialect in DIALECTS
    },
)
_named_by = selected(_NamedOrder, outbox.c.event_id, outbox.c.order_id)
_told_under = Query(
    _EventId,
    {
        dialect: select(outbox.c.event_id)
        .select_from(outbox.join(conversions, conversions.c.event_id == outbox.c.event_id))
        .where(
            is_among(dialect, outbox.c.event_id),
            _lives,
            conversions.c.stage == literal_column("'purchase'"),
            conversions.c.order_id == literal_column("''"),
        )
        .distinct()
        for dialect in DIALECTS
    },
)


def withdraw(conn: Connection, order_id: str, reason: str, now: int) -> list[str]:
    """Withdraws the waiting and held events that name an order; returns their ids."""
    return _ids(_withdraw.all(conn, b_order_id=order_id, b_reason=reason, b_now=now))


def hold(
    conn: Connection, order_id: str, own_id: str, reason: str, until: int, now: int
) -> list[str]:
    """Holds the waiting events that name an order, all but its own one, until an instant (seconds
    UTC); returns their ids."""
    return _ids(
        _hold.all(
            conn,
            b_order_id=order_id,
            b_event_id=own_id,
            b_reason=reason,
            b_until=until,
            b_now=now,
        )
    )


def release(conn: Connection, order_id: str, own_id: str, now: int) -> list[str]:
    """Makes the held events that name an order wait for delivery; returns their ids."""
    return _ids(_release.all(conn, b_order_id=order_id, b_event_id=own_id, b_now=now))


def replace(
    conn: Connection,
    order_id: str,
    event_id: str,
    destination: str,
    *,
    reason: str,
    now: int,
    only_dead: bool = False,
    is_sent: bool = False,
) -> list[str]:
    """Holds the other checkouts of an order in reserve that the destination was never told of,
    since the event of this id tells of it; returns their ids.

    If that event `is_sent` already they are withdrawn. So is a checkout that was refused: it would
    be a second purchase if it was replayed. With `only_dead` only those are. Those that were
    withdrawn for another reason have this one now.
    """
    statement = _replace_for_good if is_sent else _replace
    if only_dead:
        statement = _replace_dead
    found = statement.all(
        conn,
        b_order_id=order_id,
        b_event_id=event_id,
        b_destination=destination,
        b_reason=reason,
        b_now=now,
    )
    return _ids(found)


def explain(conn: Connection, order_id: str, own_id: str, reason: str) -> list[str]:
    """Stores another reason for the checkouts of an order that another one was to be sent instead
    of, since that is not sent either; returns their ids."""
    return _ids(_explain.all(conn, b_order_id=order_id, b_event_id=own_id, b_reason=reason))


def rival(conn: Connection, order_id: str, event_id: str, destination: str) -> str:
    """Returns the state of another checkout of an order than that of this id that was sent to the
    destination, or waits for it; "" if there is none."""
    row = _rival.first(conn, b_order_id=order_id, b_event_id=event_id, b_destination=destination)
    return "" if row is None else row.state


def release_spare(
    conn: Connection, order_id: str, event_id: str, destination: str, now: int
) -> list[str]:
    """Puts the first checkout of an order in line that is held in reserve, apart from the event of
    this id; returns its id."""
    found = _release_spare.all(
        conn, b_order_id=order_id, b_event_id=event_id, b_destination=destination, b_now=now
    )
    return _ids(found)


def put_in_line(conn: Connection, event_id: str, destination: str, due_at: int) -> bool:
    """Makes an event wait for delivery that is held in reserve, due at an instant (seconds UTC);
    returns False if it is not in reserve any more."""
    values = {"b_event_id": event_id, "b_destination": destination, "b_due_at": due_at}
    return _put_in_line.first(conn, **values) is not None


def keep_spares(
    conn: Connection, order_id: str, event_id: str, destination: str, reason: str
) -> list[str]:
    """Keeps the checkouts of an order in reserve that are, apart from the event of this id, for as
    long as they are of use, and for another reason; returns their ids."""
    found = _keep_spares.all(
        conn, b_order_id=order_id, b_event_id=event_id, b_destination=destination, b_reason=reason
    )
    return _ids(found)


def of_purchase(conn: Connection, order_id: str, destination: str) -> list[PurchaseEvent]:
    """Returns the events that tell a destination of an order's purchase, the oldest first; the own
    event of the order is among them if another one was ever held back for it, or it for another."""
    return _of_purchase.all(conn, b_order_id=order_id, b_destination=destination)


def of_order(conn: Connection, order_id: str) -> list[str]:
    """Returns the ids of the events that name an order."""
    return _ids(_of_order.all(conn, b_order_id=order_id))


def name_order(conn: Connection, event_id: str, order_id: str) -> None:
    """Stores which order an event names that named none."""
    _name_order.run(conn, b_event_id=event_id, b_order_id=order_id)


def named(conn: Connection, order_ids: Collection[str]) -> set[str]:
    """Returns those of the orders that an event in the outbox names."""
    return {row.order_id for row in among(conn, _named, set(order_ids) - {""})}


def named_by(conn: Connection, event_ids: Collection[str]) -> set[str]:
    """Returns the orders that these events in the outbox name."""
    return {row.order_id for row in among(conn, _named_by, event_ids)} - {""}


def told_under(conn: Connection, event_ids: Collection[str]) -> set[str]:
    """Returns those of the ids under which another system's checkout was sent or waits."""
    return set(_ids(among(conn, _told_under, event_ids)))


def _ids(rows: list[_EventId]) -> list[str]:
    return [row.event_id for row in rows]
