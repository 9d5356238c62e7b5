"""What happened in the storefront, written down, and whatever it changes about what is known."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tracking.domain.attribution import Touch
from tracking.domain.touch import touch_of_session
from tracking.receive.attributor import ALWAYS, Attributor
from tracking.receive.pixel import PixelEvent
from tracking.receive.privacy.erasure import without_erased
from tracking.receive.rows import credited_to
from tracking.store import conversions, identity_graph, outbox, touches
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.values import json_of


@dataclass(slots=True)
class _NewFacts:
    """What a call brought that was not known, by visitor.

    `came` are the new touches, `joined` the visitors who are one person with somebody
    since now, or whose word of consent is new.
    """

    came: dict[str, list[Touch]] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)


def record_pixel_events(
    conn: Connection, attributor: Attributor, seen: Sequence[PixelEvent], now: int
) -> None:
    """Write down what the pixel told, in whatever order it came, and credit again what it
    concerns. An event told twice is one event."""
    advisory_locks.hold(conn, _names(conn, seen))
    seen, erased = without_erased(conn, seen)
    news = _NewFacts()
    for one in seen:
        if not one.is_bot:
            _note(conn, one, news)
    for one in seen:
        if one.conversion is not None and conversions.of_event(conn, one.event_id) is None:
            _record(conn, attributor, one, now, is_erased=one.event_id in erased)
    for visitor, found in news.came.items():
        _credit_browser_events(conn, attributor, visitor, found)
        _credit_orders(conn, attributor, visitor, found, now)
    for visitor in sorted(news.joined):
        person = identity_graph.person_of(conn, (), visitor)
        attributor.credit_orders(conn, person, ALWAYS, now)


def _names(conn: Connection, seen: Iterable[PixelEvent]) -> set[str]:
    names: set[str] = set()
    for one in seen:
        links = (*one.tokens, *one.identity.links())
        names |= {one.visitor, one.event_id, *links}
        names |= {*identity_graph.person_of(conn, links, one.visitor)}
    return names


def _note(conn: Connection, one: PixelEvent, news: _NewFacts) -> None:
    """The touch, the consent and the links an event tells of."""
    touch = one.touch or _touch_of(one)
    if touch is not None and touches.add(conn, touches.touch_row(touch)):
        news.came.setdefault(one.visitor, []).append(touch)
    if identity_graph.put_consent(conn, one.visitor, one.consent, one.at):
        news.joined.add(one.visitor)
    opened = []
    for key in one.tokens:
        is_theirs, is_news = identity_graph.claim_checkout(
            conn, key, one.visitor, json_of(one.session), one.at
        )
        if is_theirs:
            opened.append(key)
        if is_news:
            news.joined.add(one.visitor)
    links = identity_graph.link(conn, (*opened, *one.identity.links()), one.visitor)
    concerned = identity_graph.joined_by(conn, links, one.visitor)
    if concerned:
        news.joined |= {one.visitor, *concerned}


def _touch_of(one: PixelEvent) -> Touch | None:
    """An event without a landing is evidence of a visit from Pinterest, if it says so itself."""
    if not one.session.is_pinterest:
        return None
    return touch_of_session(one.session, f"event:{one.event_id}", one.visitor, one.at)


def _record(
    conn: Connection, attributor: Attributor, one: PixelEvent, now: int, *, is_erased: bool
) -> None:
    reach = attributor.planner.reach
    found = touches.seen_by(conn, (one.visitor,), one.at - reach, one.at)
    best = attributor.planner.newest_from_pinterest(found, one.at)
    consent = one.consent.joined(identity_graph.consent_of(conn, one.visitor))
    row, payloads = attributor.planner.browser_event_row(one, best, consent, now)
    if is_erased:
        row, payloads = {**row, "reason": "erased", "detail": ""}, {}
    conversions.put(conn, row)
    for name, payload in payloads.items():
        outbox.queue(conn, one.event_id, name, payload, one.at, now)


def _credit_browser_events(
    conn: Connection, attributor: Attributor, visitor: str, came: Sequence[Touch]
) -> None:
    """What the visitor did after a touch that is told only now was its doing, perhaps."""
    reach = attributor.planner.reach
    instants = [touch.at for touch in came if touch.is_pinterest]
    if not instants:
        return
    since, until = min(instants), max(instants) + reach
    found = touches.seen_by(conn, (visitor,), since - reach, until)
    for event in conversions.browser_events_of(conn, visitor, since, until):
        best = attributor.planner.newest_from_pinterest(found, event.at)
        changed = credited_to(best)
        if best is not None and any(
            getattr(event, name) != value for name, value in changed.items()
        ):
            is_late = event.reason == "not_attributed" and changed["is_pinterest"]
            reason = "credited_late" if is_late else event.reason
            conversions.credit(conn, event, **changed, reason=reason)


def _credit_orders(
    conn: Connection, attributor: Attributor, visitor: str, came: Sequence[Touch], now: int
) -> None:
    person = identity_graph.person_of(conn, (), visitor)
    instants = [touch.at for touch in came]
    span = (min(instants), max(instants) + attributor.planner.reach)
    attributor.credit_orders(conn, person, span, now)
