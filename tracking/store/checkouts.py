"""Whose each checkout and cart is, and what the storefront told of it."""

from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import checkouts as table


class CheckoutRow(NamedTuple):
    """The visitor id that opened a checkout or cart first, and its session (JSON).

    `completed_as` is the event id of the storefront's first `checkout_completed`, "" before it.
    `is_first` is 1 if the storefront said that it is the buyer's first order, 0 if it is not.
    """

    link: str
    visitor: str
    session: str
    at: int
    completed_as: str
    completed_at: int
    is_first: int | None


class CheckoutClaim(NamedTuple):
    """Whose a checkout or cart is: it `is_theirs` who told of it if no other visitor id opened it
    before, and that or its session `is_new`. `former` is the visitor id that it belonged to until
    now, by a later event.
    """

    is_theirs: bool
    is_new: bool
    former: str = ""


class _KeyOfCheckout(NamedTuple):
    link: str


_checkout_row: dict[str, Any] = {
    name: bindparam(name) for name in ("link", "visitor", "session", "at")
}
_put_checkout = Statement(
    insert(table)
    .values(_checkout_row)
    .on_conflict_do_update(
        index_elements=[table.c.link],
        set_={name: bindparam(name) for name in ("visitor", "session", "at")},
    )
)
_complete_checkout = Statement(
    update(table)
    .where(table.c.link == bindparam("b_link"))
    .values(completed_as=bindparam("b_event_id"), completed_at=bindparam("b_at"))
)
_set_first = Query(
    _KeyOfCheckout,
    update(table)
    .where(
        table.c.link == bindparam("b_link"),
        # A no stands, in whatever order both were told.
        func.coalesce(table.c.is_first, 2) > bindparam("b_is_first"),
    )
    .values(is_first=bindparam("b_is_first"))
    .returning(table.c.link),
)
_checkout = Query(CheckoutRow, select(table).where(table.c.link == bindparam("link")))


def claim(conn: Connection, key: str, visitor: str, session: str, at: int) -> CheckoutClaim:
    """Stores which visitor id opened a checkout or cart first, and with what session: those of its
    earliest event, whichever was told first."""
    known = of(conn, key)
    if known is not None and (known.at, known.visitor, known.session) <= (at, visitor, session):
        return CheckoutClaim(is_theirs=known.visitor == visitor, is_new=False)
    _put_checkout.run(conn, link=key, visitor=visitor, session=session, at=at)
    if known is None or known.visitor == visitor:
        return CheckoutClaim(True, is_new=known is None or known.session != session)
    return CheckoutClaim(True, is_new=True, former=known.visitor)


def complete(conn: Connection, key: str, event_id: str, at: int) -> bool:
    """Stores the event id by which the storefront tells that a checkout was completed.

    Returns whether it is new: of several events the first in time counts.
    """
    known = of(conn, key)
    if known is None:
        return False
    if known.completed_as and (known.completed_at, known.completed_as) <= (at, event_id):
        return False
    _complete_checkout.run(conn, b_link=key, b_event_id=event_id, b_at=at)
    return True


def tell_first(conn: Connection, key: str, *, is_first: bool) -> bool:
    """Stores whether a checkout is the buyer's first order, as the storefront told; returns True if
    that is new."""
    return _set_first.first(conn, b_link=key, b_is_first=int(is_first)) is not None


def of(conn: Connection, key: str) -> CheckoutRow | None:
    """Returns the visitor id and the session that opened a checkout or cart first."""
    return _checkout.first(conn, link=key)
