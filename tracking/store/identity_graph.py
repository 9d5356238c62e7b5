"""The identity graph: which visitor ids share an identity key, and so belong to one person.

Nobody can guess the token of a checkout or a cart, nor Shopify's id of a browser, so the pixel's
word joins by them. Many know an e-mail address: it joins only once a signed body holds it together
with a token or a visitor id.
"""

from collections.abc import Collection, Iterable, Sequence, Set
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from tracking.domain.identity import (
    CLIENT,
    Digest,
    digest_of_key,
    identity_key,
    is_client,
    is_identity,
)
from tracking.domain.visitor import BROWSER_METHODS, Match, is_browser
from tracking.store import checkouts
from tracking.store.engine.name_lists import NameInSpan, ValuesInSpans, ValuesOfNames
from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import clients, links, told_links

# The first and the last instant (seconds UTC).
Span = tuple[int, int]


class LinkedClient(NamedTuple):
    """The visitor ids that are `concerned` when a browser's id is linked with another one, and
    True if this browser may now have another id that was seen last (`may_be_newest`)."""

    concerned: frozenset[str]
    may_be_newest: bool


class PersonSearch(NamedTuple):
    """A search for the person of a visitor id and of the keys beside it. Of a browser the visitor
    ids count that it had in the span."""

    keys: frozenset[str]
    visitor: str
    span: Span


class _FoundPerson:
    """The state of a search: the visitor ids of the person that were found, of them the `browsers`
    without other ids of the same browser, and the keys that were `seen`; `frontier` are the keys
    that are looked up next, `reached` the visitor ids that the last ones led to."""

    __slots__ = ("browsers", "frontier", "person", "reached", "seen", "span")

    def __init__(self, search: PersonSearch) -> None:
        self.browsers = {search.visitor}
        self.person = {search.visitor}
        self.frontier = {*search.keys}
        self.reached: set[str] = set()
        self.seen: set[str] = set()
        self.span = search.span

    def reaches(self, sharers: Set[str]) -> bool:
        """Takes up who shares the keys of the frontier; returns False where they are too many,
        which they never are for the first keys."""
        is_first = not self.seen
        self.seen |= self.frontier
        self.reached = {*sharers} - self.person
        if not is_first and len(self.browsers) + len(self.reached) > MOST_VISITORS:
            return False
        self.browsers |= self.reached
        return True


class _KeyOfVisitor(NamedTuple):
    link: str


# The most visitor ids of one person. Without a bound, an address that a whole staff orders with
# would make each order slower than the last.
MOST_VISITORS = 20
# The visitor ids that are kept of a browser, the newest. Without a bound, a script would make each
# event slower than the last.
MOST_KEPT_OF_CLIENT = 200
# The span (seconds UTC) of all time.
ALWAYS: Span = (0, 2**62)
_HOUR = 3600


def _keys_of_kind(
    is_of_kind: ColumnElement[bool], visitor: ColumnElement[str]
) -> Select[tuple[str]]:
    return (
        select(links.c.link.label("value"))
        .where(links.c.visitor == visitor, is_of_kind)
        .order_by(links.c.link)
        .limit(bindparam("most"))
    )


def _newest_of_client_in(
    client: ColumnElement[str], since: ColumnElement[int], until: ColumnElement[int]
) -> Select[tuple[str, bool]]:
    # Visitor ids of a later time than the span's must not crowd out those of the span. SQLite knows
    # a value of the query around this one in a column, but not in the order.
    is_later = (clients.c.first_at > until).label("is_later")
    return (
        select(clients.c.visitor.label("value"), is_later)
        .where(clients.c.link == client, clients.c.last_at >= since)
        .order_by(is_later, clients.c.last_at.desc(), clients.c.visitor)
        .limit(MOST_VISITORS)
    )


_add = Query(
    _KeyOfVisitor,
    insert(links)
    .values(link=bindparam("link"), visitor=bindparam("visitor"))
    .on_conflict_do_nothing()
    .returning(links.c.link),
)
_visitors_of = ValuesOfNames(
    lambda link: (
        select(links.c.visitor.label("value")).where(links.c.link == link).limit(bindparam("most"))
    )
)
# Keys of tokens ("ca:", "ck:") sort before those of identities.
_FIRST_IDENTITY: ColumnElement[str] = literal_column("'d'")
_identities_of, _tokens_of = (
    ValuesOfNames(partial(_keys_of_kind, is_of_kind))
    for is_of_kind in (links.c.link > _FIRST_IDENTITY, links.c.link < _FIRST_IDENTITY)
)
_client_row: dict[str, Any] = {c.name: bindparam(c.name) for c in clients.c}
# A visitor id that is told with ever new ids of browsers is no browser's.
_browsers_of_visitor = (
    select(clients.c.link)
    .where(clients.c.visitor == bindparam("visitor"))
    .limit(MOST_VISITORS)
    .subquery()
)
_add_client = Query(
    _KeyOfVisitor,
    insert(clients)
    .from_select(
        list(_client_row),
        select(*_client_row.values()).where(
            select(func.count()).select_from(_browsers_of_visitor).scalar_subquery() < MOST_VISITORS
        ),
    )
    .on_conflict_do_nothing()
    .returning(clients.c.link),
)
_is_crowded = Query(
    _KeyOfVisitor,
    select(clients.c.link)
    .where(clients.c.link == bindparam("link"))
    .offset(MOST_KEPT_OF_CLIENT)
    .limit(1),
)
_newest_of_client = (
    select(clients.c.visitor)
    .where(clients.c.link == bindparam("b_link"))
    .order_by(clients.c.last_at.desc(), clients.c.visitor)
    .limit(MOST_KEPT_OF_CLIENT)
)
_trim_client = Statement(
    delete(clients).where(
        clients.c.link == bindparam("b_link"), clients.c.visitor.not_in(_newest_of_client)
    )
)
_is_client: ColumnElement[bool] = and_(
    clients.c.link == bindparam("b_link"), clients.c.visitor == bindparam("b_visitor")
)
_extend_client_back = Statement(
    update(clients)
    .where(_is_client, clients.c.first_at > bindparam("b_first_at"))
    .values(first_at=bindparam("b_first_at"))
)
_extend_client_on = Query(
    _KeyOfVisitor,
    update(clients)
    .where(_is_client, clients.c.last_at < bindparam("b_last_at"))
    .values(last_at=bindparam("b_last_at"))
    .returning(clients.c.link),
)
_clients_of = ValuesOfNames(
    lambda visitor: (
        select(clients.c.link.label("value"))
        .where(clients.c.visitor == visitor)
        .order_by(clients.c.last_at.desc(), clients.c.link)
        .limit(MOST_VISITORS)
    )
)
_client = Query(
    _KeyOfVisitor, select(clients.c.link).where(clients.c.link == bindparam("link")).limit(1)
)
_visitors_of_client = ValuesInSpans(_newest_of_client_in)
_emails_of = Query(
    _KeyOfVisitor,
    union(
        *(
            select(table.c.link)
            .where(
                # Between letters, as a database may sort signs in an order of its own.
                table.c.visitor == bindparam("visitor"),
                table.c.link >= "em",
                table.c.link < "en",
            )
            .order_by(table.c.link)
            .limit(2)
            .subquery()
            .select()
            for table in (links, told_links)
        )
    ).limit(2),
)
_tell = Statement(
    insert(told_links)
    .values(link=bindparam("link"), visitor=bindparam("visitor"))
    .on_conflict_do_nothing()
)
_unlink = Statement(
    delete(links).where(
        links.c.link == bindparam("b_link"), links.c.visitor == bindparam("b_visitor")
    )
)


def link(conn: Connection, keys: Iterable[str], visitor: str) -> tuple[str, ...]:
    """Stores that a visitor id was seen with these keys; returns the keys that are new for it."""
    return tuple(key for key in keys if _add.first(conn, link=key, visitor=visitor) is not None)


def link_signed(conn: Connection, keys: Iterable[str], visitor: str) -> frozenset[str]:
    """Stores the keys that a signed body held together; returns the visitor ids it concerns.

    The visitor id is that of the buyer's browser if the body held it. If not, it is an identity of
    the buyer, and that identity belongs to the browsers that opened the body's checkout and cart.
    """
    keys = tuple(keys)
    concerned = joined_by(conn, link(conn, keys, visitor), visitor)
    if not is_identity(visitor):
        return concerned
    opened = (checkouts.of(conn, key) for key in keys if not is_identity(key))
    for browser in {row.visitor for row in opened if row is not None}:
        if link(conn, (visitor,), browser):
            concerned |= {browser, *joined_by(conn, (visitor,), browser)}
    return concerned


def link_tokens(conn: Connection, tokens: Iterable[str], visitor: str) -> frozenset[str]:
    """Stores that a browser opened these checkouts and carts; returns the visitor ids it concerns.

    The buyers for whom a signed body has named them were in this browser.
    """
    new = link(conn, tokens, visitor)
    buyers = {*filter(is_identity, sharers_of(conn, new))}
    return joined_by(conn, (*new, *link(conn, sorted(buyers), visitor)), visitor)


def link_client(
    conn: Connection, client: str, visitor: str, first_at: int, last_at: int
) -> LinkedClient:
    """Stores from when to when (seconds UTC) a browser had a visitor id; returns what this
    concerns."""
    begin, end = hours_around(first_at, last_at)
    row = {"link": client, "visitor": visitor, "first_at": begin, "last_at": end}
    if _add_client.first(conn, **row) is not None:
        if _is_crowded.first(conn, link=client) is not None:
            _trim_client.run(conn, b_link=client)
        return LinkedClient(frozenset(sharers_of(conn, (client,)) - {visitor}), True)
    _extend_client_back.run(conn, b_link=client, b_visitor=visitor, b_first_at=begin)
    is_later = _extend_client_on.first(conn, b_link=client, b_visitor=visitor, b_last_at=end)
    # Nearly always a browser has one id, which is the newest already.
    may_be_newest = is_later is not None and len(_clients_seen(conn, visitor)) > 1
    return LinkedClient(frozenset(), may_be_newest)


def hours_around(first_at: int, last_at: int) -> tuple[int, int]:
    """Returns the begin of the hour of one instant and the end of that of another."""
    return first_at - first_at % _HOUR, last_at + -last_at % _HOUR


def are_one_browser(conn: Connection, visitor: str, others: Iterable[str]) -> bool:
    """Returns True if a browser had this visitor id and, at another time, one of the others."""
    own = {*_clients_of.find(conn, (visitor,)).get(visitor, ())}
    theirs = _clients_of.find(conn, {*others}) if own else {}
    return any(client in own for found in theirs.values() for client in found)


def client_of_browser(conn: Connection, match: Match) -> str:
    """Returns the digest of Shopify's id of the browser that an order was matched with; "" if none
    is known. Of several the one seen last."""
    if match.method not in BROWSER_METHODS:
        return ""
    seen = _clients_seen(conn, match.visitor)
    return digest_of_key(seen[0]) if seen else ""


def _clients_seen(conn: Connection, visitor: str) -> Sequence[str]:
    """Returns Shopify's ids of the browser of a visitor id, the one seen last first."""
    return _clients_of.find(conn, (visitor,)).get(visitor, ())


def clients_among(conn: Connection, digests: Iterable[Digest]) -> frozenset[Digest]:
    """Returns the digests that are of Shopify's id of a browser."""
    keys = {digest: identity_key(CLIENT, digest) for digest in digests}
    return frozenset(digest for digest, key in keys.items() if _client.first(conn, link=key))


def tell(conn: Connection, keys: Iterable[str], visitor: str) -> None:
    """Stores the identity keys that the pixel told of a visitor id. They join nobody."""
    _tell.run_many(conn, ({"link": key, "visitor": visitor} for key in keys))


def emails_of(conn: Connection, visitor: str) -> tuple[str, ...]:
    """Returns the identity keys of the e-mails of a visitor id's checkouts, at most two."""
    return tuple(row.link for row in _emails_of.all(conn, visitor=visitor))


def joined_by(conn: Connection, keys: Iterable[str], visitor: str) -> frozenset[str]:
    """Returns every other visitor id that is concerned when this one gets new keys.

    A key that has just become too common to join persons concerns all that it had joined.
    """
    found = _visitors_of.find(conn, {*keys}, most=MOST_VISITORS + 2).values()
    concerned = {other for seen in found if len(seen) <= MOST_VISITORS + 1 for other in seen}
    return frozenset(concerned - {visitor})


def person_of(
    conn: Connection, keys: Iterable[str], visitor: str, span: Span = ALWAYS
) -> tuple[str, ...]:
    """Returns the visitor id and every other one of the same person, sorted.

    Visitor ids that share a key are one person, and so are those that share a key with any of
    them. But a key of more than MOST_VISITORS belongs to no person (it is a shop's own address,
    or a number that a form fills in by itself), nor does a visitor id with as many identities (a
    shared device). The search ends where it would find more than MOST_VISITORS.

    A browser may lose its cookie every week, so the visitor ids that Shopify's id of it knows count
    as one: the newest MOST_VISITORS that it had in the span (seconds UTC).
    """
    (person,) = persons_of(conn, [PersonSearch(frozenset(keys), visitor, span)])
    return person


def persons_of(conn: Connection, searches: Iterable[PersonSearch]) -> list[tuple[str, ...]]:
    """Returns the person of each search, as `person_of` does, with a few queries for all of them.

    The searches go on side by side, so that each step reads what all of them ask for.
    """
    found = [_FoundPerson(each) for each in searches]
    others = _with_other_ids(conn, [(each.browsers, each.span) for each in found])
    for each, ids in zip(found, others, strict=True):
        each.person = ids
    own = _own_keys(conn, [each.person for each in found])
    for each, keys in zip(found, own, strict=True):
        each.frontier |= keys
    growing = [each for each in found if each.frontier]
    while growing:
        reached = _sharers_of_each(conn, [(each.frontier, each.span) for each in growing])
        growing = [each for each, ids in zip(growing, reached, strict=True) if each.reaches(ids)]
        asked = [(each.reached, each.span) for each in growing]
        new = [
            ids - each.person
            for each, ids in zip(growing, _with_other_ids(conn, asked), strict=True)
        ]
        for each, ids, keys in zip(growing, new, _own_keys(conn, new), strict=True):
            each.person |= ids
            each.frontier = keys - each.seen
        growing = [each for each in growing if each.frontier]
    return [tuple(sorted(each.person)) for each in found]


def browsers_of(conn: Connection, identity: str) -> frozenset[str]:
    """Returns the browsers of a buyer's e-mail, phone or customer id.

    None if it is too common to join a person. A body without a visitor id has linked it to another
    identity of the buyer, and that to the browser.
    """
    sharers = sharers_of(conn, (identity,))
    sharers |= sharers_of(conn, {*filter(is_identity, sharers - {identity})})
    return frozenset(filter(is_browser, sharers))


def seen_with(conn: Connection, token: str) -> list[str]:
    """Returns visitor ids that were seen with the token of a checkout, MOST_VISITORS at most."""
    return _visitors_of.find(conn, (token,), most=MOST_VISITORS).get(token, [])


def sharers_of(conn: Connection, keys: Collection[str], span: Span = ALWAYS) -> set[str]:
    """Returns the visitor ids that share one of the keys, without those of keys too common: at most
    MOST_VISITORS for each key."""
    (sharers,) = _sharers_of_each(conn, [(keys, span)])
    return sharers


def _sharers_of_each(
    conn: Connection, asked: Sequence[tuple[Collection[str], Span]]
) -> list[set[str]]:
    """Returns those that share keys in a span, for each of many such questions."""
    had = _visitors_of_client.find(
        conn, {NameInSpan(key, *span) for keys, span in asked for key in filter(is_client, keys)}
    )
    others = {key for keys, _ in asked for key in keys if not is_client(key)}
    seen = _visitors_of.find(conn, others, most=MOST_VISITORS + 1)
    found: list[set[str]] = []
    for keys, span in asked:
        sharers: set[str] = set()
        for key in keys:
            if is_client(key):
                sharers.update(had.get(NameInSpan(key, *span), ()))
            elif len(of_key := seen.get(key, ())) <= MOST_VISITORS:
                sharers.update(of_key)
        found.append(sharers)
    return found


def _with_other_ids(
    conn: Connection, asked: Sequence[tuple[Collection[str], Span]]
) -> list[set[str]]:
    """Returns visitor ids, and the others that Shopify's id of their browser knows in a span, for
    each of many such questions."""
    browsers = {visitor for visitors, _ in asked for visitor in filter(is_browser, visitors)}
    known = _clients_of.find(conn, browsers)
    had = [
        ({client for visitor in visitors for client in known.get(visitor, ())}, span)
        for visitors, span in asked
    ]
    sharers = _sharers_of_each(conn, had)
    return [{*visitors} | ids for (visitors, _), ids in zip(asked, sharers, strict=True)]


def _own_keys(conn: Connection, asked: Sequence[Collection[str]]) -> list[set[str]]:
    """Returns the keys of visitor ids, except of those that belong to no person, for each of many
    such questions."""
    told = {visitor for visitors in asked for visitor in visitors}
    buyers = {*filter(is_identity, told)}
    seen = _visitors_of.find(conn, buyers, most=MOST_VISITORS + 1)
    told -= {key for key in buyers if _is_no_persons(seen.get(key, ()))}
    identities = _identities_of.find(conn, told, most=MOST_VISITORS + 1)
    personal = {visitor for visitor in told if len(identities.get(visitor, ())) <= MOST_VISITORS}
    tokens = _tokens_of.find(conn, personal, most=MOST_VISITORS)
    return [
        {
            key
            for found in (identities, tokens)
            for visitor in visitors
            if visitor in personal
            for key in found.get(visitor, ())
        }
        for visitors in asked
    ]


def _is_no_persons(sharers: Collection[str]) -> bool:
    """Returns True if an identity was never linked, or is too common to belong to a person."""
    return not 0 < len(sharers) <= MOST_VISITORS


def release_token(
    conn: Connection, token: str, visitor: str, named: Collection[str], *, keeps_buyers: bool
) -> None:
    """Forgets that a browser opened a checkout or cart, since another one did before, and the
    buyers that it is known by from this alone, unless it `keeps_buyers`.

    `named` are the keys that a signed body held together with its visitor id.
    """
    if token not in named:
        _unlink.run(conn, b_link=token, b_visitor=visitor)
    if keeps_buyers:
        return
    others = _tokens_of.find(conn, {visitor}, most=MOST_VISITORS).get(visitor, ())
    kept = sharers_of(conn, {*others})
    buyers = {*filter(is_identity, sharers_of(conn, (token,)))}
    for buyer in buyers - kept - {*named}:
        _unlink.run(conn, b_link=buyer, b_visitor=visitor)
