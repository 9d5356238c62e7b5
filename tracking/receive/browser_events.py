"""Records the browser events of the pixel, and credits again the orders that they concern."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.identity import identity_of_keys
from tracking.domain.touch import touch_of_session
from tracking.domain.visitor import is_browser
from tracking.receive import storefront_ids
from tracking.receive.attributor import Attributor
from tracking.receive.pixel import PixelEvent
from tracking.receive.privacy.tombstones import without_erased
from tracking.store import checkouts, consents, conversions, identity_graph, orders, outbox, touches
from tracking.store.conversions import ConversionRow
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import SHORT_TRANSACTION, Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.values import json_of

_DAY = 86_400
# Of a person's orders and events so many are credited again in one transaction.
_ORDERS_AT_ONCE, _EVENTS_AT_ONCE = 20, 100
# PostgreSQL has room for some thousand locks, of all transactions together.
_MOST_LOCKED = 300


class Recredit(msgspec.Struct, frozen=True, gc=False):
    """Orders and events to credit again: of the person of a visitor id, in a span (seconds UTC).

    The orders are those after the order `after_order`, the events those after `after_event` in its
    first second; each kind may be left out. Many orders are gone through twice, since one may be
    credited by the visit of another.
    """

    visitor: str
    since: int
    until: int
    with_orders: bool = True
    with_events: bool = False
    after_order: str = ""
    after_event: str = ""
    is_again: bool = False
    is_of_all_time: bool = False


class Unrecorded(msgspec.Struct, frozen=True, gc=False):
    """The part of a call of the pixel that is not recorded yet."""

    events: tuple[PixelEvent, ...] = ()
    recredits: tuple[Recredit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.events or self.recredits)


@dataclass(slots=True)
class _NewFacts:
    """The facts of a batch that were not stored before.

    `touches` are the new ones by visitor id, `joined` the visitor ids that share a new key with
    another one, `consenting` those whose consent is new, `identified` those of which Shopify's id
    of the browser may be new.
    """

    touches: dict[str, list[Touch]] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    consenting: set[str] = field(default_factory=set)
    identified: set[str] = field(default_factory=set)

    def recredits(self, reach: int) -> Iterator[Recredit]:
        """Returns what these facts concern: later orders and events, or those of all time."""
        of_all_time = self.joined | self.consenting | self.identified
        for visitor, found in self.touches.items():
            instants = [touch.at for touch in found]
            with_events = any(touch.is_pinterest for touch in found)
            if with_events or visitor not in of_all_time:
                since, until = min(instants), max(instants) + reach
                yield Recredit(visitor, since, until, with_events=with_events)
        for visitor in sorted(self.joined):
            yield Recredit(visitor, *ALWAYS, with_events=True, is_of_all_time=True)
        for visitor in sorted(of_all_time - self.joined):
            yield Recredit(visitor, *ALWAYS, is_of_all_time=True)


class _Budget:
    """The statements that a transaction may still execute before it should come to its end."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._end = conn.executed + SHORT_TRANSACTION

    @property
    def left(self) -> int:
        return max(0, self._end - self._conn.executed)

    def spent_on(self, events: Iterable[PixelEvent]) -> Iterator[PixelEvent]:
        """Returns the events until the budget is used up, at least one."""
        for event in events:
            yield event
            if not self.left:
                return


class Locked(NamedTuple):
    """The part of a call that one transaction records: as much as it may lock."""

    events: Sequence[PixelEvent]
    recredits: Sequence[Recredit]


def record_events(
    conn: Connection,
    attributor: Attributor,
    told: Unrecorded,
    now: int,
    locked: Locked | None = None,
) -> Unrecorded:
    """Records events, in any order, and credits again the orders that they concern.

    The same event again changes nothing. Ends after a short time, whatever is stored already, and
    returns what is left for another transaction. `locked` is what `lock` returned, where that was
    the transaction's first step.
    """
    budget = _Budget(conn)
    events, recredits = locked or lock(conn, told)
    recorded, facts = _record_all(conn, attributor, events, now, budget)
    recredits = [*recredits, *facts.recredits(attributor.planner.reach)]
    left = _credit_all(conn, attributor, recredits, now, budget)
    return Unrecorded(told.events[recorded:], (*left, *told.recredits[_MOST_LOCKED:]))


def lock(conn: Connection, told: Unrecorded) -> Locked:
    """Locks what events and visitor ids have in common with others; returns the first of both, as
    many as one transaction may lock."""
    events, recredits = told.events, told.recredits[:_MOST_LOCKED]
    if conn.dialect == "postgresql":
        while len(events) > 1 and len(_lock_names(conn, events)) > _MOST_LOCKED:
            events = events[: len(events) // 2]
    visitors = {recredit.visitor for recredit in recredits}
    advisory_locks.hold_found(conn, lambda: visitors | _lock_names(conn, events))
    return Locked(events, recredits)


def _record_all(
    conn: Connection,
    attributor: Attributor,
    told: Sequence[PixelEvent],
    now: int,
    budget: _Budget,
) -> tuple[int, _NewFacts]:
    """Records events until the budget is used up; returns how many, and what is new in them.

    The touches of all of them come first, since each may be credited by any.
    """
    events, erased = without_erased(conn, told)
    facts = _NewFacts()
    planner = attributor.planner
    gathered: list[PixelEvent] = []
    for event in budget.spent_on(events):
        if not event.is_bot:
            _gather(conn, event, planner.policy.pinterest_media, facts)
        if planner.is_beside_app:
            for order in storefront_ids.keep(conn, event, 2 * planner.reach + _DAY):
                attributor.events.note_storefront_id(conn, order, order.keys, now)
        gathered.append(event)
    recorded = 0
    for event in budget.spent_on(gathered):
        if event.conversion is not None:
            _record_once(conn, attributor, event, now, is_erased=event.event_id in erased)
        recorded += 1
    return recorded, facts


def _record_once(
    conn: Connection, attributor: Attributor, event: PixelEvent, now: int, *, is_erased: bool
) -> None:
    known = conversions.under_id(conn, event.event_id)
    if known is not None and not _is_same(known, event):
        event = _renamed(event)
        known = conversions.under_id(conn, event.event_id)
    if known is None:
        _record(conn, attributor, event, now, is_erased=is_erased)


def _credit_all(
    conn: Connection,
    attributor: Attributor,
    recredits: Sequence[Recredit],
    now: int,
    budget: _Budget,
) -> tuple[Recredit, ...]:
    """Credits again until the budget is used up; returns what is left.

    Several visitor ids of one person are credited together.
    """
    done: set[tuple[str, bool]] = set()
    for n, recredit in enumerate(recredits):
        if not budget.left:
            return tuple(recredits[n:])
        if recredit.is_of_all_time and (recredit.visitor, recredit.with_events) in done:
            continue
        person = identity_graph.person_of(conn, (), recredit.visitor)
        rest = _credit(conn, attributor, person, recredit, now, budget)
        if rest is not None:
            return (rest, *recredits[n + 1 :])
        if recredit.is_of_all_time:
            done |= {(visitor, recredit.with_events) for visitor in person}
    return ()


def _credit(
    conn: Connection,
    attributor: Attributor,
    person: Sequence[str],
    recredit: Recredit,
    now: int,
    budget: _Budget,
) -> Recredit | None:
    """Credits a page of a person's orders, or of the events after them; returns what is left."""
    span = (recredit.since, recredit.until)
    if recredit.with_orders:
        order_ids = attributor.orders_of(conn, person, span)
        rest = [id for id in order_ids if id > recredit.after_order]
        attributor.credit_each(conn, rest[:_ORDERS_AT_ONCE], span, now)
        if len(rest) > _ORDERS_AT_ONCE:
            return msgspec.structs.replace(recredit, after_order=rest[_ORDERS_AT_ONCE - 1])
        if len(order_ids) > _ORDERS_AT_ONCE and not recredit.is_again:
            return msgspec.structs.replace(recredit, after_order="", is_again=True)
        recredit = msgspec.structs.replace(recredit, with_orders=False)
    if not recredit.with_events:
        return None
    visitors = _with_other_credit(person, recredit)
    if not visitors:
        return None
    end = attributor.credit_events(
        conn, visitors, span, recredit.after_event, _EVENTS_AT_ONCE, budget.left
    )
    if end is None:
        return None
    return msgspec.structs.replace(recredit, since=end[0], after_event=end[1])


def _with_other_credit(person: Iterable[str], recredit: Recredit) -> list[str]:
    """Returns those of a person's visitor ids whose events may now be credited otherwise.

    The events of a browser are credited to its own visits, and to those of the orders that were
    placed in it, which are stored under an identity.
    """
    others = [visitor for visitor in person if not is_browser(visitor)]
    if recredit.is_of_all_time:
        return [*person] if others else []
    return [recredit.visitor, *(other for other in others if other != recredit.visitor)]


def _lock_names(conn: Connection, events: Iterable[PixelEvent]) -> set[str]:
    """Returns what these events have in common with other transactions.

    Whoever writes about a person locks all of the person's visitor ids, so one of them is enough.
    """
    joining: set[str] = set()
    names: set[str] = set()
    for event in events:
        joining |= {*event.tokens, *filter(None, [event.client])}
        names |= {event.visitor, event.event_id, *event.identity.graph_keys()}
    return names | joining | identity_graph.sharers_of(conn, joining)


def _gather(conn: Connection, event: PixelEvent, media: frozenset[str], facts: _NewFacts) -> None:
    """Stores the touch, the consent and the keys of an event, and adds what is new to the facts."""
    touch = touch_of_event(event, media)
    row = None if touch is None else touches.touch_row(touch)._replace(unfilled=event.unfilled)
    if touch is not None and row is not None and touches.add(conn, row):
        facts.touches.setdefault(event.visitor, []).append(touch)
    if consents.put(conn, event.visitor, event.consent, event.at):
        facts.consenting.add(event.visitor)
    opened = []
    for key in event.tokens:
        claim = checkouts.claim(conn, key, event.visitor, json_of(event.session), event.at)
        if claim.is_theirs:
            opened.append(key)
        if claim.is_new:
            facts.joined.add(event.visitor)
        if claim.former:
            _release_token(conn, key, claim.former)
            facts.joined.add(claim.former)
    _tell_first(conn, event, facts)
    identity_graph.tell(conn, event.identity.graph_keys(), event.visitor)
    concerned = identity_graph.link_tokens(conn, opened, event.visitor)
    if event.client:
        first_at = event.at if touch is None else min(event.at, touch.at)
        linked = identity_graph.link_client(conn, event.client, event.visitor, first_at, event.at)
        concerned |= linked.concerned
        if linked.may_be_newest:
            facts.identified.add(event.visitor)
    if concerned:
        facts.joined |= {event.visitor, *concerned}


def _tell_first(conn: Connection, event: PixelEvent, facts: _NewFacts) -> None:
    """Stores whether the storefront took the buyer of a checkout for a new customer."""
    if event.is_first is None:
        return
    for key in event.tokens:
        if key.startswith("ck:") and checkouts.tell_first(conn, key, is_first=event.is_first):
            opened = checkouts.of(conn, key)
            facts.identified |= {event.visitor, *([opened.visitor] if opened else [])}


def _release_token(conn: Connection, token: str, visitor: str) -> None:
    """Forgets that a browser opened a checkout or cart, which another one opened before."""
    rows = touches.of_visitors(conn, (visitor,), *ALWAYS)
    order_ids = {touches.touch_of(row).order_id for row in rows} - {""}
    placed = (orders.of_id(conn, order_id) for order_id in sorted(order_ids))
    named = {key for order in placed if order is not None for key in order.keys}
    # Which buyer a signed checkout named with the browser is stored in its links alone.
    is_any_named = any(row.key == "checkout" for row in rows)
    identity_graph.release_token(conn, token, visitor, named, keeps_buyers=is_any_named)


def touch_of_event(event: PixelEvent, media: frozenset[str]) -> Touch | None:
    """Returns the touch of an event; without a landing page, if it says it came from Pinterest."""
    if event.touch is not None or not event.session.is_from_pinterest(media):
        return event.touch
    key = f"event:{event.event_id}"
    return touch_of_session(event.session, key, event.visitor, event.at, media)


def _renamed(event: PixelEvent) -> PixelEvent:
    """Returns an event, whose id is that of another event, under an id of its own.

    A page may give its events ids that repeat in each browser or at each step, such as 42.
    """
    content = "\0".join((event.visitor, event.name, event.event_id)).encode()
    event_id = sha256(content).hexdigest()
    conversion = event.conversion
    if conversion is not None:
        conversion = msgspec.structs.replace(conversion, event_id=event_id)
    return msgspec.structs.replace(event, event_id=event_id, conversion=conversion)


def _is_same(known: ConversionRow, event: PixelEvent) -> bool:
    # An event that was handed in under the same id has no browser.
    has_browser = known.visitor and is_browser(known.visitor)
    return known.stage == event.stage and (not has_browser or known.visitor == event.visitor)


def _record(
    conn: Connection, attributor: Attributor, event: PixelEvent, now: int, *, is_erased: bool
) -> None:
    planner = attributor.planner
    found = attributor.touches_behind(conn, event.visitor, event.at - planner.reach, event.at)
    best = planner.newest_from_pinterest(found, event.at)
    consent = event.consent.merged_with(consents.of(conn, event.visitor))
    if not event.identity.em and consent.marketing:
        event = _with_email(event, identity_graph.emails_of(conn, event.visitor))
    row, payloads = planner.browser_event_row(event, best, consent, now)
    if is_erased:
        row, payloads = row._replace(reason="erased", detail=""), {}
    conversions.put(conn, row)
    for name, payload in payloads.items():
        outbox.queue(
            conn,
            event.event_id,
            name,
            payload,
            event_time=event.at,
            now=now,
            is_browser=True,
        )


def _with_email(event: PixelEvent, keys: Sequence[str]) -> PixelEvent:
    """Returns an event that is sent with the e-mail of an earlier checkout of its browser.

    A browser with several belongs to several people, and which of them is here is not known.
    """
    if event.conversion is None or len(keys) != 1:
        return event
    identity = msgspec.structs.replace(event.conversion.identity, em=identity_of_keys(keys).em)
    conversion = msgspec.structs.replace(event.conversion, identity=identity)
    return msgspec.structs.replace(event, conversion=conversion)
