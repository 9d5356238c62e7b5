"""The identity graph: which visitor ids share an identity key, and so belong to one person."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.consent import Consent
from tracking.domain.visitor import BROWSER_METHODS, Match
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.orders import OrderRow
from tracking.store.schema import checkouts, links, visitors
from tracking.store.values import consent_from_json


class CheckoutRow(NamedTuple):
    """The visitor id that opened a checkout or cart first, and its session (JSON)."""

    link: str
    visitor: str
    session: str
    at: int


class VisitorRow(NamedTuple):
    """The newest answers of a visitor id about consent: 1, 0, or None where there is none."""

    visitor: str
    marketing: int | None = None
    marketing_at: int = 0
    sale_of_data: int | None = None
    sale_of_data_at: int = 0


class _KeyOfVisitor(NamedTuple):
    link: str


class _VisitorOfKey(NamedTuple):
    visitor: str


# The most visitor ids of one person. Without a bound, an address that a whole staff orders with
# would make each order slower than the last.
MOST_VISITORS = 20

_add = Query(
    _KeyOfVisitor,
    insert(links)
    .values(link=bindparam("link"), visitor=bindparam("visitor"))
    .on_conflict_do_nothing()
    .returning(links.c.link),
)
_visitors_of = Query(
    _VisitorOfKey,
    select(links.c.visitor).where(links.c.link == bindparam("link")).limit(bindparam("most")),
)
_keys_of = Query(
    _KeyOfVisitor,
    select(links.c.link).where(links.c.visitor == bindparam("visitor")).limit(bindparam("most")),
)
_checkout_row: dict[str, Any] = {c.name: bindparam(c.name) for c in checkouts.c}
_put_checkout = Statement(
    insert(checkouts)
    .values(_checkout_row)
    .on_conflict_do_update(
        index_elements=[checkouts.c.link],
        set_={name: bindparam(name) for name in ("session", "at")},
    )
)
_checkout = Query(CheckoutRow, select(checkouts).where(checkouts.c.link == bindparam("link")))
_consent = Query(VisitorRow, select(visitors).where(visitors.c.visitor == bindparam("visitor")))
_visitor_row: dict[str, Any] = {c.name: bindparam(c.name) for c in visitors.c}
_put_consent = Statement(
    insert(visitors)
    .values(_visitor_row)
    .on_conflict_do_update(
        index_elements=[visitors.c.visitor],
        set_={name: bindparam(name) for name in _visitor_row if name != "visitor"},
    )
)


def link(conn: Connection, keys: Iterable[str], visitor: str) -> tuple[str, ...]:
    """Stores that a visitor id was seen with these keys; returns the keys that are new for it."""
    return tuple(key for key in keys if _add.first(conn, link=key, visitor=visitor) is not None)


def joined_by(conn: Connection, keys: Iterable[str], visitor: str) -> frozenset[str]:
    """Returns every other visitor id that is concerned when this one gets new keys.

    A key that has just become too common to join persons concerns all that it had joined.
    """
    concerned: set[str] = set()
    for key in keys:
        seen = _visitors_of.all(conn, link=key, most=MOST_VISITORS + 2)
        if len(seen) <= MOST_VISITORS + 1:
            concerned.update(row.visitor for row in seen)
    return frozenset(concerned - {visitor})


def person_of(conn: Connection, keys: Iterable[str], visitor: str) -> tuple[str, ...]:
    """Returns the visitor id and every other one of the same person, sorted.

    Visitor ids that share a key are one person, and so are those that share a key with any of
    them. But a key of more than MOST_VISITORS belongs to no person (it is a shop's own address,
    or a number that a form fills in by itself), nor does a visitor id with as many keys (a shared
    device). The search ends where it would find more than MOST_VISITORS.
    """
    person = {visitor}
    seen: set[str] = set()
    frontier = {*keys, *_own_keys(conn, visitor)}
    is_first = True
    while frontier:
        seen |= frontier
        sharers = {other for key in frontier for other in _sharers(conn, key)} - person
        if not is_first and len(person) + len(sharers) > MOST_VISITORS:
            break
        is_first = False
        person |= sharers
        frontier = {key for other in sharers for key in _own_keys(conn, other)} - seen
    return tuple(sorted(person))


def sharers_of(conn: Connection, key: str) -> tuple[str, ...]:
    """Returns the visitor ids seen with this key, none if it is too common to join a person."""
    return tuple(sorted(_sharers(conn, key)))


def _sharers(conn: Connection, key: str) -> list[str]:
    seen = _visitors_of.all(conn, link=key, most=MOST_VISITORS + 1)
    return [row.visitor for row in seen] if len(seen) <= MOST_VISITORS else []


def _own_keys(conn: Connection, visitor: str) -> list[str]:
    seen = _keys_of.all(conn, visitor=visitor, most=MOST_VISITORS + 1)
    return [row.link for row in seen] if len(seen) <= MOST_VISITORS else []


def claim_checkout(
    conn: Connection, key: str, visitor: str, session: str, at: int
) -> tuple[bool, bool]:
    """Stores which visitor id opened a checkout or cart, and with what session.

    Returns two flags: the checkout belongs to this visitor id, since no other was first; and this
    or the session is new. Of one visitor's sessions that of the earliest event counts.
    """
    known = checkout(conn, key)
    if known is not None and known.visitor != visitor:
        return False, False
    if known is not None and (known.at, known.session) <= (at, session):
        return True, False
    _put_checkout.run(conn, link=key, visitor=visitor, session=session, at=at)
    return True, known is None or known.session != session


def checkout(conn: Connection, key: str) -> CheckoutRow | None:
    """Returns the visitor id and the session that opened a checkout or cart first."""
    return _checkout.first(conn, link=key)


def consent_of(conn: Connection, visitor: str) -> Consent:
    """Returns the newest answers of a visitor id about consent."""
    row = _consent.first(conn, visitor=visitor)
    return Consent() if row is None else Consent(_flag(row.marketing), _flag(row.sale_of_data))


def consent_of_browser(conn: Connection, match: Match) -> Consent:
    """Returns the consent that the browser gave which an order was matched with."""
    return consent_of(conn, match.visitor) if match.method in BROWSER_METHODS else Consent()


def consent_of_order(conn: Connection, order: OrderRow, visitor: str) -> Consent:
    """Returns the consent that an order states, joined with that of its browser.

    `visitor` is the visitor id whose purchase the order is.
    """
    of_browser = consent_of_browser(conn, Match(visitor, order.match_method))
    return consent_from_json(order.consent).merged_with(of_browser)


def put_consent(conn: Connection, visitor: str, consent: Consent, at: int) -> bool:
    """Stores the answers of a visitor id at an instant; returns whether any of them is new.

    Of each answer the newest counts, of two of the same second the refusal.
    """
    before = _consent.first(conn, visitor=visitor) or VisitorRow(visitor)
    after = before
    if _is_newer(consent.marketing, at, before.marketing, before.marketing_at):
        after = after._replace(marketing=int(bool(consent.marketing)), marketing_at=at)
    if _is_newer(consent.sale_of_data, at, before.sale_of_data, before.sale_of_data_at):
        after = after._replace(sale_of_data=int(bool(consent.sale_of_data)), sale_of_data_at=at)
    if after != before:
        _put_consent.run(conn, **after._asdict())
    return (after.marketing, after.sale_of_data) != (before.marketing, before.sale_of_data)


def _is_newer(answer: bool | None, at: int, known: int | None, known_at: int) -> bool:
    if answer is None or at < known_at:
        return False
    return at > known_at or (not answer and known != 0)


def _flag(number: int | None) -> bool | None:
    return None if number is None else bool(number)
