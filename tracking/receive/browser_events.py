"""Records the browser events of the pixel, and credits again the orders that they concern."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from msgspec.structs import replace

from tracking.domain.attribution import Touch
from tracking.domain.touch import touch_of_session
from tracking.domain.visitor import is_browser
from tracking.receive.attributor import Attributor
from tracking.receive.pixel import PixelEvent
from tracking.receive.privacy.erasure import without_erased
from tracking.receive.rows import with_credit
from tracking.store import conversions, identity_graph, outbox, touches
from tracking.store.conversions import ConversionRow
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.values import json_of


@dataclass(slots=True)
class _NewFacts:
    """The facts of a batch that were not stored before.

    `touches` are the new ones by visitor id, `joined` the visitor ids that share a new key with
    another one, or whose consent is new.
    """

    touches: dict[str, list[Touch]] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)


def record_events(
    conn: Connection, attributor: Attributor, events: Sequence[PixelEvent], now: int
) -> None:
    """Records events, in any order, and credits again the orders that they concern.

    The same event again changes nothing.
    """
    advisory_locks.hold(conn, _lock_names(conn, events))
    events, erased = without_erased(conn, events)
    facts = _NewFacts()
    for event in events:
        if not event.is_bot:
            _gather(conn, event, facts)
    for event in events:
        if event.conversion is None:
            continue
        is_erased = event.event_id in erased
        event = _distinct(conn, event)
        if conversions.of_event(conn, event.event_id) is None:
            _record(conn, attributor, event, now, is_erased=is_erased)
    for visitor, found in facts.touches.items():
        _credit_browser_events(conn, attributor, visitor, found)
        _credit_orders(conn, attributor, visitor, found, now)
    persons = {
        other for visitor in facts.joined for other in identity_graph.person_of(conn, (), visitor)
    }
    attributor.credit_orders(conn, sorted(persons), ALWAYS, now)


def _lock_names(conn: Connection, events: Iterable[PixelEvent]) -> set[str]:
    names: set[str] = set()
    for event in events:
        keys = (*event.tokens, *event.identity.graph_keys(), *filter(None, [event.client]))
        names |= {event.visitor, event.event_id, *keys}
        names |= {*identity_graph.person_of(conn, keys, event.visitor)}
    return names


def _gather(conn: Connection, event: PixelEvent, facts: _NewFacts) -> None:
    """Stores the touch, the consent and the keys of an event, and adds what is new to the facts."""
    touch = event.touch or _touch_of(event)
    if touch is not None and touches.add(conn, touches.touch_row(touch)):
        facts.touches.setdefault(event.visitor, []).append(touch)
    if identity_graph.put_consent(conn, event.visitor, event.consent, event.at):
        facts.joined.add(event.visitor)
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


def _touch_of(event: PixelEvent) -> Touch | None:
    """Returns the touch of an event without a landing page, if it says it came from Pinterest."""
    if not event.session.is_pinterest:
        return None
    return touch_of_session(event.session, f"event:{event.event_id}", event.visitor, event.at)


def _distinct(conn: Connection, event: PixelEvent) -> PixelEvent:
    """Returns an event under an id of its own if its id is that of another event.

    A page may give its events ids that repeat in each browser or at each step, such as 42.
    """
    known = conversions.of_event(conn, event.event_id)
    if known is None or event.conversion is None or _is_same(known, event):
        return event
    content = "\0".join((event.visitor, event.name, event.event_id)).encode()
    event_id = sha256(content).hexdigest()
    conversion = replace(event.conversion, event_id=event_id)
    return replace(event, event_id=event_id, conversion=conversion)


def _is_same(known: ConversionRow, event: PixelEvent) -> bool:
    # An event that was handed in under the same id has no browser.
    has_browser = known.visitor and is_browser(known.visitor)
    return known.stage == event.stage and (not has_browser or known.visitor == event.visitor)


def _record(
    conn: Connection, attributor: Attributor, event: PixelEvent, now: int, *, is_erased: bool
) -> None:
    planner = attributor.planner
    found = touches.seen_by(conn, (event.visitor,), event.at - planner.reach, event.at)
    best = planner.newest_from_pinterest(found, event.at)
    consent = event.consent.merged_with(identity_graph.consent_of(conn, event.visitor))
    row, payloads = planner.browser_event_row(event, best, consent, now)
    if is_erased:
        row, payloads = row._replace(reason="erased", detail=""), {}
    conversions.put(conn, row)
    for name, payload in payloads.items():
        outbox.queue(conn, event.event_id, name, payload, event.at, now)


def _credit_browser_events(
    conn: Connection, attributor: Attributor, visitor: str, new: Sequence[Touch]
) -> None:
    """Credits what the visitor did after a Pinterest touch that arrived only now."""
    reach = attributor.planner.reach
    instants = [touch.at for touch in new if touch.is_pinterest]
    if not instants:
        return
    since, until = min(instants), max(instants) + reach
    found = touches.seen_by(conn, (visitor,), since - reach, until)
    for event in conversions.browser_events_of(conn, visitor, since, until):
        best = attributor.planner.newest_from_pinterest(found, event.at)
        credited = with_credit(event, best)
        if best is not None and credited != event:
            is_late = event.reason == "not_attributed"
            reason = "credited_late" if is_late else event.reason
            conversions.set_credit(conn, credited._replace(reason=reason))


def _credit_orders(
    conn: Connection, attributor: Attributor, visitor: str, new: Sequence[Touch], now: int
) -> None:
    person = identity_graph.person_of(conn, (), visitor)
    instants = [touch.at for touch in new]
    span = (min(instants), max(instants) + attributor.planner.reach)
    attributor.credit_orders(conn, person, span, now)
