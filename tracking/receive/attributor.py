"""Gathers what orders are credited by, and credits them again when a later fact concerns them."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from tracking.domain.attribution import Touch, touch_key
from tracking.domain.conversion import (
    event_id_of,
    reason_by_credit,
)
from tracking.domain.order import Order, is_without_visit
from tracking.domain.session import Session
from tracking.domain.touch import newest_click_id
from tracking.domain.visitor import Match, is_browser, match_without_graph
from tracking.receive.customers import with_customer
from tracking.receive.order_facts import OrderFacts
from tracking.receive.planner import Planner
from tracking.receive.purchase_events import PurchaseEvents
from tracking.receive.rows import visit_of, with_credit
from tracking.store import checkouts, conversions, identity_graph, orders, refunds, touches
from tracking.store.engine import advisory_locks
from tracking.store.engine.name_lists import remembered
from tracking.store.engine.statement import Connection
from tracking.store.orders import OrderRow
from tracking.store.refunds import RefundChange
from tracking.store.touches import CreditRow, TouchRow
from tracking.store.values import json_of, path_from, session_from_json
from tracking.store.visits import in_their_browsers

# Of an event's person so many events are credited again at once.
MOST_EVENTS_CREDITED = 1000

# The keys that match an order with a visitor id, the surest first.
_TOKENS = (("ck:", "checkout_token"), ("ca:", "cart_token"))
_IDENTITIES = (("id:", "customer"), ("em:", "email"), ("ph:", "phone"))


class _Gathered(NamedTuple):
    """A person's touches by the time of an order, as they are stored, and the order's match."""

    touches: list[Touch]
    match: Match


# By keys, visitor id and time of an order, kept for the orders that are credited after it in the
# same transaction: for a buyer who places fifty at once the rows are read once.
_GatheredByBuyer = dict[tuple[str, str, int], _Gathered]


class Attributor:
    """Credits orders by all that is known of their buyers."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.events = PurchaseEvents(planner)

    def match(
        self,
        conn: Connection,
        keys: Iterable[str],
        visitor: str,
        touches_before: Iterable[Touch] = (),
    ) -> Match:
        """Returns the visitor id whose purchase an order is, and what matched it.

        The note attribute comes first, then the checkout token, the cart token (or Shopify's id of
        that browser, if it clicked under an earlier visitor id alone), and then the
        visitor ids that share the customer id, the e-mail or the phone. Of several browsers the
        one that came last is chosen, by the touches from before the order.
        """
        browser = self._browser_of(conn, keys, visitor)
        if browser is not None:
            clicked = {touch.visitor for touch in touches_before if touch.is_pinterest}
            if not clicked or clicked & {visitor, browser.visitor}:
                return browser
            is_same = identity_graph.are_one_browser(conn, browser.visitor, clicked)
            return Match(browser.visitor, "shopify_client") if is_same else browser
        for kind, method in _IDENTITIES:
            browsers = {
                browser
                for key in _of_kind(keys, kind)
                for browser in identity_graph.browsers_of(conn, key)
            }
            if browsers:
                return Match(_latest(sorted(browsers), touches_before), method)
        return match_without_graph(visitor)

    def _browser_of(self, conn: Connection, keys: Iterable[str], visitor: str) -> Match | None:
        """Returns the match with the browser in which the order was placed, if it is known."""
        if is_browser(visitor):
            return match_without_graph(visitor)
        for kind, method in _TOKENS:
            for key in _of_kind(keys, kind):
                opened = checkouts.of(conn, key)
                if opened is not None:
                    return Match(opened.visitor, method)
        return None

    def stored_session(self, conn: Connection, keys: Iterable[str]) -> Session | None:
        """Returns the session that the pixel stored under an order's checkout or cart token."""
        for kind, _ in _TOKENS:
            for key in _of_kind(keys, kind):
                opened = checkouts.of(conn, key)
                if opened is not None and opened.session:
                    return session_from_json(opened.session)
        return None

    def other_touches(self, conn: Connection, person: Iterable[str], order: Order) -> list[Touch]:
        """Returns the touches of a person that can have a share in an order, without its own."""
        at = order.placed_at
        found = touches.seen_by(conn, person, at - self.planner.reach, at)
        return [touch for touch in found if touch.order_id != order.id]

    def touches_behind(self, conn: Connection, visitor: str, since: int, until: int) -> list[Touch]:
        """Returns the touches in [since, until] that an event of a visitor id may be credited to.

        For a browser they are its own, and the visits of the orders that were placed in it; for an
        event of a person that no browser is known of, all of the person's.
        """
        person = identity_graph.person_of(conn, (), visitor, (since, until))
        if not is_browser(visitor):
            return touches.seen_by(conn, person, since, until)
        identities = [other for other in person if not is_browser(other)]
        visits = touches.seen_by(conn, identities, since, until)
        placed = in_their_browsers(conn, visits) if visits else []
        own = touches.seen_by(conn, (visitor,), since, until)
        return [*own, *(touch for touch in placed if touch.visitor == visitor)]

    def credit(
        self,
        conn: Connection,
        visitors: Collection[str],
        span: tuple[int, int],
        now: int,
        excluded: str = "",
    ) -> None:
        """Credits the orders and the other events of these visitor ids in a span (seconds UTC)
        again, except the order `excluded`."""
        self.credit_orders(conn, visitors, span, now, excluded)
        self.credit_events(conn, visitors, span)

    def credit_events(
        self,
        conn: Connection,
        visitors: Collection[str],
        span: tuple[int, int],
        after: str = "",
        most: int = MOST_EVENTS_CREDITED,
        most_statements: int | None = None,
    ) -> tuple[int, str] | None:
        """Credits what these visitor ids did in a span (seconds UTC) again, apart from orders.

        It changes the reports only: what was not sent then is not sent now. Of the first second the
        events up to the event id `after` are left out. Returns instant and id of the event that it
        ends with, if there may be more: after `most` events, or so many statements.
        """
        events = conversions.events_of(conn, visitors, *span, after, most)
        behind: dict[str, list[Touch]] = {}
        begun = conn.executed
        for n, event in enumerate(events, 1):
            if event.visitor not in behind:
                since = event.at - self.planner.reach
                behind[event.visitor] = self.touches_behind(
                    conn, event.visitor, since, events[-1].at
                )
            found = [*behind[event.visitor], *visit_of(event)]
            best = self.planner.newest_from_pinterest(found, event.at)
            reason = reason_by_credit(event.reason, is_credited=best is not None)
            credited = with_credit(event, best)._replace(reason=reason)
            if credited != event:
                conversions.set_credit(conn, credited)
            is_enough = most_statements is not None and conn.executed - begun > most_statements
            if n == most or (is_enough and n < len(events)):
                return event.at, event.event_id
        return None

    def credit_orders(
        self,
        conn: Connection,
        visitors: Iterable[str],
        span: tuple[int, int],
        now: int,
        excluded: str = "",
    ) -> None:
        """Credits the orders of these visitor ids again that were placed in a span (seconds UTC).

        The order `excluded` is left as it is.
        """
        order_ids = [id for id in self.orders_of(conn, visitors, span) if id != excluded]
        self.credit_each(conn, order_ids, span, now)

    def orders_of(
        self, conn: Connection, visitors: Iterable[str], span: tuple[int, int]
    ) -> list[str]:
        """Returns the ids of the orders of these visitor ids, sorted, that may have been placed in
        a span (seconds UTC)."""
        since, until = span
        # The visit of an order may itself be up to two windows old.
        rows = touches.of_visitors(conn, visitors, since - 2 * self.planner.reach, until)
        return sorted({touches.touch_of(row).order_id for row in rows} - {""})

    def credit_each(
        self, conn: Connection, order_ids: Collection[str], span: tuple[int, int], now: int
    ) -> None:
        """Credits those of the orders again that were placed in a span (seconds UTC)."""
        since, until = span
        advisory_locks.hold(conn, order_ids)
        stored = (orders.of_id(conn, order_id) for order_id in order_ids)
        due = [
            known
            for known in stored
            if known is not None and not known.is_forgotten and since <= known.placed_at <= until
        ]
        # An order is credited by the visits of others: those are brought up to date first.
        newer = [self._with_stored_session(conn, known) for known in due]
        by_buyer: _GatheredByBuyer = {}
        # Nearly always they are one person's, who would be searched for anew with each.
        with remembered(conn):
            gathered = [self._gathered(conn, row, by_buyer) for row in newer]
        matches = {row.id: each.match for row, each in zip(newer, gathered, strict=True)}
        for known, row, each in zip(due, newer, gathered, strict=True):
            found = in_their_browsers(conn, each.touches, matches)
            self._recredit(conn, known, row, found, each.match, now)

    def settle_money(
        self,
        conn: Connection,
        known: OrderRow,
        now: int,
        newer: OrderRow | None = None,
        changes: Iterable[RefundChange] = (),
    ) -> None:
        """Splits the net amount of an order again after its refunds changed; its credits stay.

        An event that was not sent yet gets the new value and contents, or is held back if nothing
        is left.
        """
        row, best = self.write_credits(conn, known, newer or known)
        event = conversions.of_event(conn, event_id_of(known.id))
        gone = self.planner.contents_gone(row, changes)
        if event is not None and (gone or row != known):
            match = Match(event.visitor, known.match_method)
            self.events.update(conn, row, match, best, "", now, gone)

    def complete(self, conn: Connection, known: OrderRow, facts: OrderFacts) -> OrderRow | None:
        """Stores what an older state of an order adds to a known one, without crediting it again.

        Returns the order as it is known then, None if nothing was added.
        """
        row = self.planner.with_older(known, facts)
        if row == known:
            return None
        self._put_own_touch(conn, known, row)
        self.write_credits(conn, known, row)
        return orders.of_id(conn, known.id)

    def _gathered(self, conn: Connection, row: OrderRow, by_buyer: _GatheredByBuyer) -> _Gathered:
        buyer = (row.links, row.visitor, row.placed_at)
        if buyer not in by_buyer:
            at, keys = row.placed_at, row.keys
            span = (at - self.planner.reach, at)
            person = identity_graph.person_of(conn, keys, row.visitor, span)
            found = touches.seen_by(conn, person, *span)
            in_window = self.planner.touches_in_window(found, at)
            match = self.match(conn, keys, row.visitor, in_window)
            by_buyer[buyer] = _Gathered(found, match)
        return by_buyer[buyer]

    def _recredit(
        self,
        conn: Connection,
        known: OrderRow,
        row: OrderRow,
        found: Iterable[Touch],
        match: Match,
        now: int,
    ) -> None:
        """Credits an order by all that is known by now; `row` has its newest session."""
        seen = () if is_without_visit(row.source_name) else found
        path = self.planner.path_of(seen, row.id, row.placed_at, match)
        row = with_customer(conn, row._replace(match_method=match.method))
        row, best = self.write_credits(conn, known, row, path)
        self.events.update(conn, row, match, best, newest_click_id(path), now)

    def _with_stored_session(self, conn: Connection, known: OrderRow) -> OrderRow:
        """Returns an order's row, its session completed by the pixel's, and its own touch with
        it."""
        has_visit = not is_without_visit(known.source_name)
        stored = self.stored_session(conn, known.keys) if has_visit else None
        if stored is None:
            return known
        session = self.planner.completed_session(known, stored)
        if session == session_from_json(known.session):
            return known
        row = known._replace(session=json_of(session))
        self._put_own_touch(conn, known, row)
        return row

    def _put_own_touch(self, conn: Connection, known: OrderRow, row: OrderRow) -> None:
        """Replaces the visit that a known order was placed in by that of its newer session."""
        key, since = touch_key(known.id), known.placed_at - 2 * self.planner.reach
        visits = touches.seen_by(conn, (known.visitor,), since, known.placed_at)
        touch = self.planner.own_touch_of(
            row,
            session_from_json(row.session),
            is_visit=any(visit.key == key for visit in visits),
        )
        touches.drop(conn, known.visitor, key)
        without_visit = TouchRow(visitor=row.visitor, at=known.placed_at, key=key)
        touches.put(conn, without_visit if touch is None else touches.touch_row(touch))

    def write_credits(
        self,
        conn: Connection,
        known: OrderRow,
        newer: OrderRow,
        path: Iterable[Touch] | None = None,
    ) -> tuple[OrderRow, Touch | None]:
        """Stores a newer row of a known order, and its credits along a path, by default the one
        that it has; returns the settled row and the Pinterest touch that earned most of it."""
        row, credits, best = self.credited(conn, known, newer, path)
        # Nearly always a later fact changes nothing: the same money, shared along the same path.
        if row != known:
            orders.put(conn, row)
            touches.put_credits(conn, known.id, credits, known.placed_at)
        return row, best

    def credited(
        self,
        conn: Connection,
        known: OrderRow,
        newer: OrderRow,
        path: Iterable[Touch] | None = None,
    ) -> tuple[OrderRow, Sequence[CreditRow], Touch | None]:
        """Returns a newer row of a known order, its credits and the touch that earned most."""
        given_back = refunds.of_order(conn, known.id, known.currency)
        if path is None and known.is_forgotten:
            credits = touches.credits_of(conn, known.id, known.placed_at)
            return self.planner.split_again(newer, credits, given_back)
        return self.planner.recredit(
            newer, path_from(known.path) if path is None else tuple(path), given_back
        )


def _of_kind(keys: Iterable[str], kind: str) -> list[str]:
    return [key for key in keys if key.startswith(kind)]


def _latest(browsers: list[str], touches: Iterable[Touch]) -> str:
    """Returns the browser that came last, by its visitor id; of equals the first by name."""
    came_at = {touch.visitor: touch.at for touch in sorted(touches, key=lambda touch: touch.at)}
    return max(browsers, key=lambda visitor: came_at.get(visitor, -1))
