"""Records the browser events of the pixel, and credits again the orders that they concern."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.identity import identity_of_keys
from tracking.domain.touch import touch_of_session
from tracking.domain.visitor import is_browser
from tracking.receive import storefront_ids
from tracking.receive.attributor import Attributor
from tracking.receive.pixel import PixelEvent
from tracking.receive.privacy.erasure import without_erased
from tracking.store import conversions, identity_graph, outbox, touches
from tracking.store.conversions import ConversionRow
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.values import json_of

_DAY = 86_400


@dataclass(slots=True)
class _NewFacts:
    """The facts of a batch that were not stored before.

    `touches` are the new ones by visitor id, `joined` the visitor ids that share a new key with
    another one, `consenting` those whose consent is new.
    """

    touches: dict[str, list[Touch]] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    consenting: set[str] = field(default_factory=set)


def record_events(
    conn: Connection, attributor: Attributor, told: Sequence[PixelEvent], now: int
) -> None:
    """Records events, in any order, and credits again the orders that they concern.

    The same event again changes nothing.
    """
    advisory_locks.hold_found(conn, lambda: _lock_names(conn, told))
    events, erased = without_erased(conn, told)
    facts = _NewFacts()
    for event in events:
        if not event.is_bot:
            _gather(conn, event, attributor.planner.policy.pinterest_media, facts)
    if attributor.planner.is_beside_app:
        for event in events:
            storefront_ids.keep(conn, event, 2 * attributor.planner.reach + _DAY, now)
    for event in events:
        if event.conversion is None:
            continue
        is_erased = event.event_id in erased
        known = conversions.under_id(conn, event.event_id)
        if known is not None and not _is_same(known, event):
            event = _renamed(event)
            known = conversions.under_id(conn, event.event_id)
        if known is None:
            _record(conn, attributor, event, now, is_erased=is_erased)
    for visitor, found in facts.touches.items():
        _credit_later(conn, attributor, visitor, found, now)
    if persons := _persons_of(conn, facts.joined):
        attributor.credit(conn, persons, ALWAYS, now)
    if persons := _persons_of(conn, facts.consenting - facts.joined):
        attributor.credit_orders(conn, persons, ALWAYS, now)


def _persons_of(conn: Connection, visitors: Iterable[str]) -> list[str]:
    """Returns all visitor ids of the persons that these belong to."""
    persons = (identity_graph.person_of(conn, (), visitor) for visitor in visitors)
    return sorted({visitor for person in persons for visitor in person})


def _lock_names(conn: Connection, events: Iterable[PixelEvent]) -> set[str]:
    names: set[str] = set()
    for event in events:
        keys = (*event.tokens, *event.identity.graph_keys(), *filter(None, [event.client]))
        names |= {event.visitor, event.event_id, *keys}
        names |= {*identity_graph.person_of(conn, keys, event.visitor)}
    return names


def _gather(conn: Connection, event: PixelEvent, media: frozenset[str], facts: _NewFacts) -> None:
    """Stores the touch, the consent and the keys of an event, and adds what is new to the facts."""
    touch = event.touch or _touch_of(event, media)
    row = None if touch is None else touches.touch_row(touch)._replace(unfilled=event.unfilled)
    if touch is not None and row is not None and touches.add(conn, row):
        facts.touches.setdefault(event.visitor, []).append(touch)
    if identity_graph.put_consent(conn, event.visitor, event.consent, event.at):
        facts.consenting.add(event.visitor)
    opened = []
    for key in event.tokens:
        is_theirs, is_new = identity_graph.claim_checkout(
            conn, key, event.visitor, json_of(event.session), event.at
        )
        if is_theirs:
            opened.append(key)
        if is_new:
            facts.joined.add(event.visitor)
    identity_graph.tell(conn, event.identity.graph_keys(), event.visitor)
    concerned = identity_graph.link_tokens(conn, opened, event.visitor)
    if event.client:
        first_at = event.at if touch is None else min(event.at, touch.at)
        concerned |= identity_graph.link_client(
            conn, event.client, event.visitor, first_at, event.at
        )
    if concerned:
        facts.joined |= {event.visitor, *concerned}


def _touch_of(event: PixelEvent, media: frozenset[str]) -> Touch | None:
    """Returns the touch of an event without a landing page, if it says it came from Pinterest."""
    if not event.session.is_from_pinterest(media):
        return None
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
    consent = event.consent.merged_with(identity_graph.consent_of(conn, event.visitor))
    if not event.identity.em and consent.marketing:
        event = _with_email(event, identity_graph.emails_of(conn, event.visitor))
    row, payloads = planner.browser_event_row(event, best, consent, now)
    if is_erased:
        row, payloads = row._replace(reason="erased", detail=""), {}
    conversions.put(conn, row)
    for name, payload in payloads.items():
        outbox.queue(conn, event.event_id, name, payload, event.at, now)


def _with_email(event: PixelEvent, keys: Sequence[str]) -> PixelEvent:
    """Returns an event that is sent with the e-mail of an earlier checkout of its browser.

    A browser with several belongs to several people, and which of them is here is not known.
    """
    if event.conversion is None or len(keys) != 1:
        return event
    identity = msgspec.structs.replace(event.conversion.identity, em=identity_of_keys(keys).em)
    conversion = msgspec.structs.replace(event.conversion, identity=identity)
    return msgspec.structs.replace(event, conversion=conversion)


def _credit_later(
    conn: Connection, attributor: Attributor, visitor: str, new: Sequence[Touch], now: int
) -> None:
    """Credits again what came after touches that arrived only now."""
    person = identity_graph.person_of(conn, (), visitor)
    instants = [touch.at for touch in new]
    span = (min(instants), max(instants) + attributor.planner.reach)
    attributor.credit_orders(conn, person, span, now)
    if any(touch.is_pinterest for touch in new):
        attributor.credit_events(conn, person, span)
