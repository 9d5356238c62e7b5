"""Plans calls of the pixel that concern nobody but their own visitor, many in one transaction.

Nearly all calls are such: their visitor is new, or comes back with nothing that an order or an
event would have to be credited by again. All other calls are recorded one by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tracking.domain.attribution import Touch
from tracking.receive.browser_events import touch_of_event
from tracking.receive.pixel import PixelEvent
from tracking.receive.planner import Planner
from tracking.store import usual_calls
from tracking.store.consents import VisitorRow
from tracking.store.engine.statement import Connection
from tracking.store.erasure import tombstone_of
from tracking.store.identity_graph import hours_around
from tracking.store.touches import TouchRow, touch_of, touch_row
from tracking.store.usual_calls import (
    MOST_TOUCHES,
    CallRows,
    ClientRow,
    KnownCalls,
    KnownVisitor,
    QueuedBrowserEvent,
)

# A longer call is worth a transaction of its own.
MOST_EVENTS = 8
_DAY = 86_400


def names_of(events: Iterable[PixelEvent]) -> set[str]:
    """Returns what the events of a usual call have in common with other transactions."""
    return {
        name for event in events for name in (event.visitor, event.event_id, event.client) if name
    }


def may_be_usual(events: Sequence[PixelEvent]) -> bool:
    """Returns False for a call that is unusual, whatever is stored: it names a checkout or a buyer,
    or more than one browser."""
    if not 0 < len(events) <= MOST_EVENTS:
        return False
    browsers = {event.client for event in events if event.client}
    event_ids = {event.event_id for event in events}
    return (
        len({event.visitor for event in events}) == 1
        and len(browsers) <= 1
        and len(event_ids) == len(events)
        and not any(event.tokens or event.identity.graph_keys() for event in events)
    )


@dataclass(slots=True)
class _VisitorSoFar:
    """A visitor id as the calls so far leave it."""

    row: VisitorRow
    touches: list[TouchRow] = field(default_factory=list)
    client: ClientRow | None = None
    has_events: bool = False

    def copy(self) -> "_VisitorSoFar":
        """Returns a copy whose changes do not change this one."""
        return _VisitorSoFar(self.row, [*self.touches], self.client, self.has_events)


class UsualCalls:
    """The rows of calls that are usual, by what is stored and what the calls before have told.

    `rows` are those to write.
    """

    def __init__(self, planner: Planner, known: KnownCalls, now: int) -> None:
        self._planner = planner
        self._now = now
        self._stored: Mapping[str, KnownVisitor] = {each.visitor: each for each in known.visitors}
        self._visitors: dict[str, _VisitorSoFar] = {}
        self._taken_clients = {*known.clients}
        self._taken_events = {*known.event_ids}
        self._erased = frozenset(known.erased)
        self.rows = CallRows()

    def add(self, events: Sequence[PixelEvent]) -> bool:
        """Adds the rows of a call that `may_be_usual`; returns False if it is not."""
        name = events[0].visitor
        before = self._visitors.get(name) or _usual(self._stored[name])
        if before is None or not self._taken_events.isdisjoint(e.event_id for e in events):
            return False
        after = before.copy()
        new_touches = [row for event in events for row in self._gather(event, after)]
        is_credited_again = before.has_events and any(row.is_pinterest for row in new_touches)
        if is_credited_again or not self._may_have_client(events, before.client):
            return False
        self.rows.touches += new_touches
        for event in events:
            self._record(event, after)
        self._visitors[name] = after
        if after.client is not None:
            self._taken_clients.add(after.client.link)
        return True

    def finished(self) -> CallRows:
        """Returns the rows to write."""
        for name, after in self._visitors.items():
            stored = self._stored[name]
            if after.row != (stored.consent or VisitorRow(name)):
                self.rows.visitors.append(after.row)
            known_client = stored.clients[0][0] if stored.clients else None
            if after.client is not None and after.client != known_client:
                self.rows.clients.append(after.client)
        return self.rows

    def _may_have_client(self, events: Sequence[PixelEvent], known: ClientRow | None) -> bool:
        """Returns False for a browser that was erased, or whose id this or another visitor id had
        not so far."""
        told = {event.client for event in events if event.client}
        if any(tombstone_of(client) in self._erased for client in told):
            return False
        if known is None:
            return told.isdisjoint(self._taken_clients)
        return told <= {known.link}

    def _gather(self, event: PixelEvent, visitor: _VisitorSoFar) -> Iterable[TouchRow]:
        """Notes the consent and the browser of an event; yields its touch, if that is new."""
        if event.is_bot:
            return
        touch = touch_of_event(event, self._planner.policy.pinterest_media)
        if touch is not None and not _is_known(touch, visitor.touches):
            row = touch_row(touch)._replace(unfilled=event.unfilled)
            visitor.touches.append(row)
            yield row
        visitor.row = visitor.row.answered(event.consent, event.at)
        if event.client:
            first_at = event.at if touch is None else min(event.at, touch.at)
            begin, end = hours_around(first_at, event.at)
            if visitor.client is not None:
                begin, end = min(begin, visitor.client.first_at), max(end, visitor.client.last_at)
            visitor.client = ClientRow(event.client, event.visitor, begin, end)

    def _record(self, event: PixelEvent, visitor: _VisitorSoFar) -> None:
        if event.conversion is None:
            return
        planner, now = self._planner, self._now
        since = event.at - planner.reach
        behind = [touch_of(row) for row in visitor.touches if since <= row.at <= event.at]
        best = planner.newest_from_pinterest(behind, event.at)
        consent = event.consent.merged_with(visitor.row.consent)
        row, payloads = planner.browser_event_row(event, best, consent, now)
        visitor.has_events = True
        self._taken_events.add(event.event_id)
        self.rows.conversions.append(row)
        self.rows.outbox += [
            QueuedBrowserEvent(event.event_id, name, payload, event.at, now, now)
            for name, payload in payloads.items()
        ]


def known_of(conn: Connection, calls: Iterable[Sequence[PixelEvent]]) -> KnownCalls:
    """Returns what is stored that tells which of these calls are usual."""
    events = [event for call in calls for event in call]
    return usual_calls.known_of(
        conn,
        {event.visitor for event in events},
        {event.client for event in events if event.client},
        {event.event_id for event in events},
    )


def _usual(stored: KnownVisitor) -> _VisitorSoFar | None:
    """Returns what is stored of a visitor id, None if others have to do with it: an order, a buyer,
    or other visitor ids of its browser."""
    is_crowded = len(stored.touches) > MOST_TOUCHES or len(stored.clients) > 1
    is_shared = any(sharers > 1 for _, sharers in stored.clients)
    has_orders = any(touch_of(row).order_id or not row.kind for row in stored.touches)
    if stored.is_linked or is_crowded or is_shared or has_orders:
        return None
    client = stored.clients[0][0] if stored.clients else None
    row = stored.consent or VisitorRow(stored.visitor)
    return _VisitorSoFar(row, stored.touches, client, bool(stored.has_events))


def _is_known(touch: Touch, stored: Iterable[TouchRow]) -> bool:
    """Returns True if a touch is stored already, up to a day earlier or later."""
    return any(row.key == touch.key and abs(row.at - touch.at) <= _DAY for row in stored)
