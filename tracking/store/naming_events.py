"""The events in the outbox by which other systems name an order.

Of the checkouts among them, and the order's own event, a destination is told one.
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
    or_,
    select,
    update,
)

from tracking.domain.conversion import MAY_END
from tracking.store.engine.name_lists import DIALECTS, among, is_among
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.outbox import (
    IS_NEVER_TRIED,
    MAY_BE_WITHDRAWN,
    WITHDRAWN,
    WITHDRAWN_AT_ONCE,
)
from tracking.store.schema import conversions, outbox


class _EventId(NamedTuple):
    event_id: str


class _NamedOrder(NamedTuple):
    order_id: str


_state = outbox.c.state
_held: ColumnElement[str] = literal_column("'held'")
_waiting: ColumnElement[str] = literal_column("'waiting'")
_dead: ColumnElement[str] = literal_column("'dead'")
_withdrawn: ColumnElement[str] = literal_column("'withdrawn'")
_waits = _state.in_([_waiting, _held])
_lives = _state.in_([_waiting, _held, literal_column("'sent'")])
_is_leased = outbox.c.leased_until > bindparam("b_now")
_is_checkout = exists(
    select(conversions.c.id).where(
        conversions.c.event_id == outbox.c.event_id,
        conversions.c.stage == literal_column("'purchase'"),
    )
)
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
        or_(and_(_state == _held, outbox.c.due_at > bindparam("b_now")), _is_held_in_flight),
    )
    .values(
        state=_waiting,
        is_withdrawn=0,
        reason=case((_state == _held, outbox.c.reason), else_=literal_column("''")),
        due_at=bindparam("b_now"),
    )
    .returning(outbox.c.event_id),
)
_replace = Query(
    _EventId,
    WITHDRAWN_AT_ONCE.where(
        _is_other_checkout,
        or_(
            and_(_waits, IS_NEVER_TRIED),
            _state == _dead,
            and_(_state == _withdrawn, outbox.c.reason != bindparam("b_reason")),
        ),
    ).returning(outbox.c.event_id),
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
_told = Query(_EventId, select(outbox.c.event_id).where(_is_other_checkout, _lives).limit(1))
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
    reason: str,
    now: int,
    *,
    only_dead: bool = False,
) -> list[str]:
    """Withdraws the other checkouts of an order that the destination was never told of, since the
    event of this id tells of it; returns their ids.

    A checkout that was refused would be a second purchase if it was replayed. With `only_dead`
    only those are withdrawn. Those that were withdrawn for another reason have this one now.
    """
    statement = _replace_dead if only_dead else _replace
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


def is_told(conn: Connection, order_id: str, event_id: str, destination: str) -> bool:
    """Returns True if another checkout of an order than that of this id was sent to the
    destination, or waits for it."""
    row = _told.first(conn, b_order_id=order_id, b_event_id=event_id, b_destination=destination)
    return row is not None


def of_order(conn: Connection, order_id: str) -> list[str]:
    """Returns the ids of the events that name an order."""
    return _ids(_of_order.all(conn, b_order_id=order_id))


def name_order(conn: Connection, event_id: str, order_id: str) -> None:
    """Stores which order an event names that named none."""
    _name_order.run(conn, b_event_id=event_id, b_order_id=order_id)


def named(conn: Connection, order_ids: Collection[str]) -> set[str]:
    """Returns those of the orders that an event in the outbox names."""
    return {row.order_id for row in among(conn, _named, set(order_ids) - {""})}


def told_under(conn: Connection, event_ids: Collection[str]) -> set[str]:
    """Returns those of the ids under which another system's checkout was sent or waits."""
    return set(_ids(among(conn, _told_under, event_ids)))


def _ids(rows: list[_EventId]) -> list[str]:
    return [row.event_id for row in rows]
