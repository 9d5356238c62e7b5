"""What is known of an order besides itself, and what a late fact changes about it."""

from collections.abc import Iterable, Mapping
from typing import Any

from tracking.domain.attribution import Touch, touch_key
from tracking.domain.consent import Consent
from tracking.domain.conversion import MAY_CHANGE, event_id_of, reason_again
from tracking.domain.session import Session
from tracking.domain.touch import newest_click_id
from tracking.domain.visitor import OF_THE_BROWSER, Match, is_browser, match_by_itself
from tracking.receive.planner import OrderFacts, Planner
from tracking.receive.rows import credited_to
from tracking.store import conversions, identity_graph, orders, outbox, touches
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection, Row
from tracking.store.values import consent_from_json, json_of, path_from, session_from_json

ALWAYS = (0, 2**62)
# What tells whose purchase an order is, the surest first.
_TOKENS = (("ck:", "checkout_token"), ("ca:", "cart_token"))
_IDENTITIES = (("id:", "customer"), ("em:", "email"), ("ph:", "phone"))

# What was found of a person by the time of an order, for the orders that are credited after it in
# the same transaction: of a buyer who places fifty at once it is read once.
_Gathered = dict[tuple[str, str, int], tuple[list[Touch], Match]]


class Attributor:
    """Gathers what orders are credited by, and credits those again that a fact concerns."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def match(
        self,
        conn: Connection,
        links: Iterable[str],
        visitor: str,
        seen_before: Iterable[Touch] = (),
    ) -> Match:
        """Whose purchase an order is: the note attribute, then the checkout token, the cart
        token, and then who else was seen as this customer, with this e-mail or this phone. Of
        several browsers it is the one that came last, by the touches from before the order."""
        if is_browser(visitor):
            return match_by_itself(visitor)
        for kind, method in _TOKENS:
            for key in _of_kind(links, kind):
                opened = identity_graph.checkout(conn, key)
                if opened is not None:
                    return Match(opened.visitor, method)
        for kind, method in _IDENTITIES:
            seen = {
                v for key in _of_kind(links, kind) for v in identity_graph.sharers_of(conn, key)
            }
            browsers = sorted(filter(is_browser, seen))
            if browsers:
                return Match(_latest(browsers, seen_before), method)
        return match_by_itself(visitor)

    def consent_of(self, conn: Connection, match: Match) -> Consent:
        """What the buyer's browser said of consent."""
        if match.method not in OF_THE_BROWSER:
            return Consent()
        return identity_graph.consent_of(conn, match.visitor)

    def stored(self, conn: Connection, links: Iterable[str]) -> Session | None:
        """What the pixel stored under an order's checkout token, or else its cart token."""
        for kind, _ in _TOKENS:
            for key in _of_kind(links, kind):
                opened = identity_graph.checkout(conn, key)
                if opened is not None and opened.session:
                    return session_from_json(opened.session)
        return None

    def others(
        self, conn: Connection, person: Iterable[str], order_id: str, since: int, until: int
    ) -> list[Touch]:
        """The touches of a person in [since, until], the order's own one apart."""
        found = touches.seen_by(conn, person, since, until)
        return [touch for touch in found if touch.order_id != order_id]

    def credit_orders(
        self,
        conn: Connection,
        visitors: Iterable[str],
        span: tuple[int, int],
        now: int,
        besides: str = "",
    ) -> None:
        """Credit the orders of these visitors again that were placed in a span."""
        since, until = span
        # The visit of an order may itself be told as up to two windows old.
        rows = touches.of_visitors(conn, visitors, since - 2 * self.planner.reach, until)
        found = {touches.touch_of(row).order_id for row in rows} - {"", besides}
        advisory_locks.hold(conn, found)
        gathered: _Gathered = {}
        for order_id in sorted(found):
            known = orders.of_id(conn, order_id)
            if known is not None and since <= known.placed_at <= until:
                self._credit_again(conn, known, now, gathered)

    def _credit_again(self, conn: Connection, known: Row, now: int, gathered: _Gathered) -> None:
        """Credit an order by all that is known by now."""
        row, links = known._asdict(), known.links.split()
        stored = self.stored(conn, links)
        newer = {} if stored is None else self._with_session(conn, known, stored)
        if newer:
            # With its session its own touch has changed, which others may have been credited by.
            row |= newer
            gathered.clear()
        at = known.placed_at
        whose = (known.links, known.visitor, at)
        if whose not in gathered:
            person = identity_graph.person_of(conn, links, known.visitor)
            found = touches.seen_by(conn, person, at - self.planner.reach, at)
            match = self.match(conn, links, known.visitor, self.planner.inside(found, at))
            gathered[whose] = (found, match)
        found, match = gathered[whose]
        path = self.planner.path_of(found, known.id, at, match)
        row["match_method"] = match.method
        best = self._write_credits(conn, known, row, path)
        self._tell(conn, row, match, best, newest_click_id(path), now)

    def settle_money(self, conn: Connection, known: Row) -> None:
        """After a refund the credits stay, and the net amount is split again."""
        self._write_credits(conn, known, known._asdict(), path_from(known.path))

    def complete(self, conn: Connection, known: Row, facts: OrderFacts) -> Row | None:
        """Write down what an older state of an order adds to what is known of it; the order as it
        is known now, None where nothing was added. It is not credited again yet."""
        row = self.planner.with_older(known._asdict(), facts)
        if row == known._asdict():
            return None
        key, since = touch_key(known.id), known.placed_at - 2 * self.planner.reach
        visits = touches.seen_by(conn, (known.visitor,), since, known.placed_at)
        touch = self.planner.own_touch_again(
            row,
            session_from_json(row["session"]),
            is_visit=any(visit.key == key for visit in visits),
        )
        touches.drop(conn, known.visitor, key)
        marker = touches.marker_row(key, row["visitor"], known.placed_at)
        touches.put(conn, marker if touch is None else touches.touch_row(touch))
        orders.put(conn, row)
        return orders.of_id(conn, known.id)

    def _with_session(self, conn: Connection, known: Row, stored: Session) -> Mapping[str, Any]:
        """The order's session as the pixel's completes it, and its own touch with it."""
        before = session_from_json(known.session)
        session = self.planner.session_again(known._asdict(), stored)
        if session == before:
            return {}
        touch = self.planner.own_touch_again(known._asdict(), session)
        if touch is not None:
            touches.drop(conn, known.visitor, touch.key)
            touches.put(conn, touches.touch_row(touch))
        return {"session": json_of(session)}

    def _write_credits(
        self, conn: Connection, known: Row, newer: Mapping[str, Any], path: Iterable[Touch]
    ) -> Touch | None:
        given_back = orders.refunded(conn, known.id, known.currency)._asdict()
        row, credits, best = self.planner.credits_again(newer, tuple(path), given_back)
        # Nearly always a late fact changes nothing: the same money, shared along the same path.
        if row != known._asdict():
            orders.put(conn, row)
            touches.put_credits(conn, known.id, credits, is_new=False)
        return best

    def _tell(
        self,
        conn: Connection,
        order: Mapping[str, Any],
        match: Match,
        best: Touch | None,
        click_id: str,
        now: int,
    ) -> None:
        """Let the order's conversion know, and its event for as long as it was not sent."""
        event = conversions.of_event(conn, event_id_of(order["id"]))
        if event is None:
            return
        consent = consent_from_json(order["consent"]).joined(self.consent_of(conn, match))
        deliveries = outbox.of_event(conn, event.event_id)
        changed = {"visitor": match.visitor, **credited_to(best)}
        if any(_is_known_to_destination(row, now) for row in deliveries):
            changed["credited_then"] = _credited_then(event, changed, now)
            if consent.marketing is False:
                # What is under way may arrive; what does not is not tried again.
                outbox.withdraw(conn, event.event_id, "consent_refused", now)
            self.amend(conn, deliveries, "", consent)
        else:
            reason = reason_again(
                event.reason, consent, self.planner.policy, is_credited=best is not None
            )
            changed["reason"] = self._decided(conn, event, reason, deliveries, now)
            self.amend(conn, deliveries, click_id, consent)
        if any(getattr(event, name) != value for name, value in changed.items()):
            conversions.credit(conn, event, **changed)

    def _decided(
        self, conn: Connection, event: Row, reason: str, deliveries: Iterable[Row], now: int
    ) -> str:
        """Carry out what a reason means for the event; the reason that stays."""
        until = event.recorded_at + self.planner.settling
        if reason in MAY_CHANGE and not event.reason and until > now:
            # Another fact may give back what this one took.
            outbox.hold(conn, event.event_id, until, now)
        elif reason and not event.reason:
            outbox.withdraw(conn, event.event_id, reason, now)
        elif reason == "consent_refused":
            outbox.forget_held(conn, event.event_id)
        elif not reason and event.reason:
            if not any(row.state == "held" and row.due_at > now for row in deliveries):
                # What could have been sent was kept for the settling time only.
                return "credited_late" if self.planner.destinations else "report_only"
            outbox.release_held(conn, event.event_id, now)
        return reason

    def amend(
        self, conn: Connection, deliveries: Iterable[Row], click_id: str, consent: Consent
    ) -> None:
        """Put into events that were not sent yet what became known since they were made."""
        limited = consent.sale_of_data is False
        for row in deliveries:
            destination = self.planner.destinations.get(row.destination)
            if destination is None or row.state not in ("waiting", "held"):
                continue
            before = bytes(row.payload)
            payload = destination.amended(before, click_id, limited)
            if payload != before:
                outbox.amend(conn, row.id, payload)


def _of_kind(links: Iterable[str], kind: str) -> list[str]:
    return [key for key in links if key.startswith(kind)]


def _latest(browsers: list[str], touches: Iterable[Touch]) -> str:
    """The browser that came last; of those that came together, or not at all, the first by name."""
    came = {touch.visitor: touch.at for touch in sorted(touches, key=lambda touch: touch.at)}
    return max(browsers, key=lambda visitor: came.get(visitor, -1))


def _is_known_to_destination(row: Row, now: int) -> bool:
    """Whether the destination knows the event, or may."""
    return row.state in ("sent", "dead") or (row.state == "waiting" and row.leased_until > now)


def _credited_then(event: Row, changed: Mapping[str, Any], now: int) -> str:
    """What an event was credited to when it was sent, noted at the first change."""
    names = ("is_pinterest", "campaign_id", "campaign")
    if event.credited_then or all(getattr(event, name) == changed[name] for name in names):
        return str(event.credited_then)
    return json_of({"until": now, **{name: getattr(event, name) for name in names}})
