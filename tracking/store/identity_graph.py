"""Which visitor ids are one person, as far as anybody told."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.consent import Consent
from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import checkouts, links, visitors

# What one person is believed to have. Without a bound, an address that a whole staff orders with
# would make each order slower than the last.
MOST_VISITORS = 20

_add = Statement(
    insert(links)
    .values(link=bindparam("link"), visitor=bindparam("visitor"))
    .on_conflict_do_nothing()
    .returning(links.c.link)
)
_visitors_of = Statement(
    select(links.c.visitor).where(links.c.link == bindparam("link")).limit(bindparam("most"))
)
_links_of = Statement(
    select(links.c.link).where(links.c.visitor == bindparam("visitor")).limit(bindparam("most"))
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
_checkout = Statement(select(checkouts).where(checkouts.c.link == bindparam("link")))
_consent = Statement(select(visitors).where(visitors.c.visitor == bindparam("visitor")))
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
    """Note that this visitor id was seen with these links; those it was not seen with before."""
    return tuple(key for key in keys if _add.first(conn, link=key, visitor=visitor) is not None)


def joined_by(conn: Connection, keys: Iterable[str], visitor: str) -> frozenset[str]:
    """Every other visitor id for whom it makes a difference that this one has new links.

    A link that has just become too common to join anybody concerns all it had joined.
    """
    found: set[str] = set()
    for key in keys:
        seen = _visitors_of.all(conn, link=key, most=MOST_VISITORS + 2)
        if len(seen) <= MOST_VISITORS + 1:
            found.update(row.visitor for row in seen)
    return frozenset(found - {visitor})


def person_of(conn: Connection, keys: Iterable[str], visitor: str) -> tuple[str, ...]:
    """The visitor id, and every other one that is the same person, sorted.

    Whoever shared a link is one person, and so is whoever shared one with them. But a link with
    more than MOST_VISITORS is no person's (it is a shop's own address, or a number that a form
    fills in by itself), nor is a visitor id with as many links (a device for everybody). And
    where going on would find more than MOST_VISITORS, nobody is looked for any further.
    """
    person = {visitor}
    seen: set[str] = set()
    frontier = {*keys, *_own_links(conn, visitor)}
    is_first = True
    while frontier:
        seen |= frontier
        found = {other for key in frontier for other in _sharers(conn, key)} - person
        if not is_first and len(person) + len(found) > MOST_VISITORS:
            break
        is_first = False
        person |= found
        frontier = {key for other in found for key in _own_links(conn, other)} - seen
    return tuple(sorted(person))


def sharers_of(conn: Connection, key: str) -> tuple[str, ...]:
    """The visitor ids seen with this link, none if it is too common to mean anybody."""
    return tuple(sorted(_sharers(conn, key)))


def _sharers(conn: Connection, key: str) -> list[str]:
    seen = _visitors_of.all(conn, link=key, most=MOST_VISITORS + 1)
    return [row.visitor for row in seen] if len(seen) <= MOST_VISITORS else []


def _own_links(conn: Connection, visitor: str) -> list[str]:
    seen = _links_of.all(conn, visitor=visitor, most=MOST_VISITORS + 1)
    return [row.link for row in seen] if len(seen) <= MOST_VISITORS else []


def claim_checkout(
    conn: Connection, key: str, visitor: str, session: str, at: int
) -> tuple[bool, bool]:
    """Note who opened a checkout or cart, and with what session.

    Returns whether it is this visitor's, which it is not if another was first, and whether that
    or the session is news. Of one visitor's sessions that of the earliest event counts.
    """
    known = checkout(conn, key)
    if known is not None and known.visitor != visitor:
        return False, False
    if known is not None and (known.at, known.session) <= (at, session):
        return True, False
    _put_checkout.run(conn, link=key, visitor=visitor, session=session, at=at)
    return True, known is None or known.session != session


def checkout(conn: Connection, key: str) -> Row | None:
    """Who opened a checkout or cart."""
    return _checkout.first(conn, link=key)


def consent_of(conn: Connection, visitor: str) -> Consent:
    """What a visitor last said of consent."""
    row = _consent.first(conn, visitor=visitor)
    return Consent() if row is None else _consent_of(row)


def put_consent(conn: Connection, visitor: str, said: Consent, at: int) -> bool:
    """Note what a visitor said at an instant; whether it is news. Of each answer the newest
    counts, of two of the same second the refusal."""
    found = _consent.first(conn, visitor=visitor)
    known = found._asdict() if found is not None else {"visitor": visitor, **_NOTHING_SAID}
    news = {
        **_newer(known, "marketing", said.marketing, at),
        **_newer(known, "sale_of_data", said.sale_of_data, at),
    }
    if news:
        _put_consent.run(conn, **{**known, **news})
    return any(known[name] != answer for name, answer in news.items() if name in _ANSWERS)


_ANSWERS = ("marketing", "sale_of_data")
_NOTHING_SAID: dict[str, Any] = {
    "marketing": None,
    "marketing_at": 0,
    "sale_of_data": None,
    "sale_of_data_at": 0,
}


def _newer(known: dict[str, Any], name: str, answer: bool | None, at: int) -> dict[str, Any]:
    before = known[f"{name}_at"]
    if answer is None or at < before or (at == before and (answer or known[name] == 0)):
        return {}
    return {name: int(answer), f"{name}_at": at}


def _consent_of(row: Row) -> Consent:
    return Consent(_answer(row.marketing), _answer(row.sale_of_data))


def _answer(number: int | None) -> bool | None:
    return None if number is None else bool(number)
