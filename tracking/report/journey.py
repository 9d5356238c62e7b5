"""The journey of one order: its buyer's touches, the credits, the deliveries, and the reasons."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tracking.domain.attribution import (
    MODELS,
    Model,
    Rules,
    Scope,
    Touch,
    age,
    bit,
    is_in_window,
    share_text,
    visits_before,
)
from tracking.domain.consent import Consent
from tracking.domain.conversion import REASONS
from tracking.domain.durations import duration_text
from tracking.domain.instants import instant
from tracking.domain.money import to_major
from tracking.domain.visitor import evidence_of, is_browser
from tracking.store.attempts import DeliveryAttempt
from tracking.store.conversions import ConversionRow, SharedId
from tracking.store.orders import OrderRow
from tracking.store.outbox import NO_SETTINGS, SETTLED, OutboxRow
from tracking.store.touches import CreditRow


@dataclass(frozen=True, slots=True)
class JourneyFacts:
    """All rows about one order.

    `touches` are those of its buyer. The storefront told an id that `is_id_taken` by another event.
    """

    order: OrderRow
    touches: Sequence[Touch]
    credits: Sequence[CreditRow]
    conversion: ConversionRow | None
    ids: SharedId | None
    consent: Consent
    deliveries: Sequence[OutboxRow]
    attempts: Sequence[DeliveryAttempt]
    is_id_taken: bool = False

    @property
    def is_matched(self) -> bool:
        """True if a browser, or something else than the order itself, is known of its buyer."""
        visitor = self.conversion.visitor if self.conversion else self.order.visitor
        is_seen = bool(visitor) and is_browser(visitor)
        return is_seen or any(touch.order_id != self.order.id for touch in self.touches)

    @property
    def held_until(self) -> int | None:
        """The instant (seconds UTC) until which the event is held for a late fact."""
        return next((row.due_at for row in self.deliveries if row.state == "held"), None)

    @property
    def sent_as(self) -> str | None:
        """The id that the event was sent under, or will be; None while none was chosen."""
        if self.ids is None:
            return None
        deliveries = [(row.state, row.attempts) for row in self.deliveries]
        return id_sent_as(self.ids.event_id, self.ids.sent_as, deliveries)

    @property
    def missed_id(self) -> str | None:
        """The storefront's id of the purchase, if it is not sent under that one."""
        if self.ids is None or not self.ids.sent_as:
            return None
        told = self.ids.storefront_id
        return told if told and told != self.ids.sent_as else None

    @property
    def credited_then(self) -> dict[str, Any] | None:
        """The credit that the event was sent with, if it has changed since."""
        text = self.conversion.credited_then if self.conversion else ""
        credit: dict[str, Any] | None = msgspec.json.decode(text) if text else None
        return credit


def id_sent_as(event_id: str, chosen: str, deliveries: Iterable[tuple[str, int]]) -> str | None:
    """Returns the id that an event is sent under: the chosen one, or its own event id once it was
    tried. `deliveries` are its states and numbers of attempts. None while it may still change."""
    if chosen:
        return chosen
    is_tried = any(state in SETTLED or tries for state, tries in deliveries)
    return event_id if is_tried else None


def journey_of(
    facts: JourneyFacts, rules: Rules, model: Model, scope: Scope, event: Any
) -> dict[str, Any]:
    """Returns the journey report. `event` is the event as sent, without IP address and browser."""
    order = facts.order
    money = {
        "gross_revenue": order.gross,
        "refunds": order.refunds,
        "cancellations": order.cancellations,
        "revenue": order.gross - order.refunds - order.cancellations,
    }
    return {
        "order_id": order.id,
        "name": order.name,
        "placed_at": instant(order.placed_at),
        "financial_status": order.financial_status,
        "is_test": bool(order.is_test),
        "is_cancelled": order.cancelled_at is not None,
        "is_deleted": order.deleted_at is not None,
        "customer_type": order.customer_type,
        "currency": order.currency,
        **{name: to_major(minor, order.currency) for name, minor in money.items()},
        "visitor": facts.conversion.visitor if facts.conversion else order.visitor,
        "match_method": order.match_method,
        "evidence": evidence_of(order.match_method) if facts.is_matched else "",
        "session": msgspec.json.decode(order.session or b"{}"),
        "consent": msgspec.to_builtins(facts.consent),
        "unusable_fields": order.unusable.split(),
        "touches": [*_touches(facts, rules)],
        "scope": scope,
        "model": model,
        "credits": {name: _credits(facts, scope, name) for name in MODELS},
        "event_id": facts.ids.event_id if facts.ids else None,
        "sent_as": facts.sent_as,
        "missed_storefront_id": facts.missed_id,
        "event": event,
        "deliveries": [_delivery(row, facts.attempts) for row in _begun(facts.deliveries)],
        "held_until": instant(facts.held_until) if facts.held_until is not None else None,
        "credited_when_sent": _credited_when_sent(facts.credited_then),
        "reason": facts.conversion.reason if facts.conversion else "",
        "why": why(facts, rules, model),
    }


def why(facts: JourneyFacts, rules: Rules, model: Model) -> str:
    """Returns a sentence that says why the order was or was not credited, and sent."""
    return f"{_why_credited(facts, rules, model)}; {_why_sent(facts)}{_why_missed(facts)}."


def _why_missed(facts: JourneyFacts) -> str:
    if not facts.missed_id:
        return ""
    if facts.is_id_taken:
        return "; the storefront told an id of it that another event has"
    return "; the storefront told its id of it too late"


def _why_credited(facts: JourneyFacts, rules: Rules, model: Model) -> str:
    order = facts.order
    if not order.is_counted:
        return f"Not counted: {_why_not_counted(order)}"
    credits = [
        row
        for row in facts.credits
        if row.touch_key and row.is_pinterest and row.mask & bit("pinterest", model)
    ]
    if credits:
        best = max(credits, key=lambda row: (row.share, row.credited_at))
        touch = next((t for t in facts.touches if t.key == best.touch_key), None)
        kind = touch.kind if touch else "touch"
        campaign = best.campaign or best.campaign_id
        named = f" of campaign {campaign}" if campaign else ""
        before = _before(order.placed_at - best.credited_at)
        return f"Credited to Pinterest: a {kind}{named} {before} lies in its attribution window"
    pinterest = [touch for touch in facts.touches if touch.is_pinterest]
    if not pinterest:
        return "Not credited to Pinterest: no click or view of a pin is known of this buyer"
    inside = [touch for touch in pinterest if is_in_window(touch, order.placed_at, rules)]
    if inside:
        return f"Not credited to Pinterest: the model {model} gives its touches nothing"
    newest = max(pinterest, key=lambda touch: touch.at)
    before = _before(age(newest, order.placed_at))
    return f"Not credited to Pinterest: the newest {newest.kind}, {before}, is outside its window"


def _why_not_counted(order: OrderRow) -> str:
    if order.deleted_at is not None:
        return "it was deleted in Shopify"
    if order.is_test:
        return "it is a test order"
    return "it was never paid" if order.is_never_paid else "it is not paid yet"


def _why_sent(facts: JourneyFacts) -> str:
    order, is_sent = facts.order, any(row.state == "sent" for row in facts.deliveries)
    is_unpaid = is_sent and order.is_never_paid and order.cancelled_at is None
    payment = ", before its payment was voided or expired" if is_unpaid else ""
    return f"{_why_delivered(facts)}{_credit_when_sent(facts.credited_then)}{payment}"


def _credit_when_sent(credit: dict[str, Any] | None) -> str:
    if credit is None:
        return ""
    if not credit["is_pinterest"]:
        return ", before Pinterest was credited"
    campaign = credit["campaign"] or credit["campaign_id"]
    named = f" by campaign {campaign}" if campaign else ""
    return f", while it counted as earned{named}"


def _credited_when_sent(credit: dict[str, Any] | None) -> dict[str, Any] | None:
    if credit is None:
        return None
    return {
        **credit,
        "is_pinterest": bool(credit["is_pinterest"]),
        "until": instant(credit["until"]),
    }


def _why_delivered(facts: JourneyFacts) -> str:
    deliveries = _begun(facts.deliveries)
    if not deliveries:
        reason = facts.conversion.reason if facts.conversion else ""
        words = REASONS.get(reason, reason).rstrip(".")
        detail = facts.conversion.detail if facts.conversion else ""
        detail = f" ({detail})" if detail else ""
        return f"not sent: {_lower(words)}{detail}"
    return ", ".join(_delivery_text(row) for row in deliveries)


def _begun(deliveries: Sequence[OutboxRow]) -> list[OutboxRow]:
    """Returns the deliveries without those that were never to be or never begun.

    Whether an event was queued before the fact that withdrew it is an accident of arrival.
    """
    return [
        row
        for row in deliveries
        if row.state != "held"
        and (row.state != "withdrawn" or row.attempts or row.reason == "told_before")
    ]


def _delivery_text(row: OutboxRow) -> str:
    name = _title(row.destination)
    tries = f"after {row.attempts} attempt{'s' if row.attempts != 1 else ''}"
    match row.state:
        case "sent":
            return f"sent: {name} accepted the event {tries}"
        case "dead":
            return f"refused: {name} did not take the event ({row.reason.rstrip('.')})"
        case "discarded" if row.reason == NO_SETTINGS:
            return f"given up: {row.reason}"
        case "discarded":
            return f"given up: {name} did not take the event ({row.reason.rstrip('.')})"
        case "withdrawn":
            words = REASONS.get(row.reason, row.reason).rstrip(".")
            return f"held back from {name}: {_lower(words)}"
        case _:
            trouble = row.reason or _why_not_yet(row)
            return f"waiting to be sent to {name}{f' ({trouble})' if trouble else ''}"


def _why_not_yet(row: OutboxRow) -> str:
    if row.event_time > row.queued_at:
        return f"not before its own time, {instant(row.event_time)}"
    if row.shares_id and not row.attempts and row.due_at > row.queued_at:
        return f"until {instant(row.due_at)} at most, for the storefront's id of it"
    return ""


def _title(destination: str) -> str:
    """Returns a destination's name for people: "Pinterest", "Track AI"."""
    words = destination.split("_")
    return " ".join(word.upper() if len(word) == 2 else word.capitalize() for word in words)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _before(seconds: int) -> str:
    """Returns an age in words: "2 days before the order"."""
    if seconds < 60:
        return "in the visit of the order"
    return f"{duration_text(seconds)} before the order"


def _by_age(touches: Sequence[Touch]) -> list[Touch]:
    return sorted(touches, key=lambda touch: (touch.at, touch.key))


def _touches(facts: JourneyFacts, rules: Rules) -> Iterator[dict[str, Any]]:
    """Yields the touches, oldest first. A repeat is no visit of its own: it goes on with an earlier
    one, or tells its click again."""
    order = facts.order
    visitor = facts.conversion.visitor if facts.conversion else order.visitor
    visits = visits_before(facts.touches, order.id, order.placed_at, rules, visitor)
    known = {visit.key for visit in visits}
    for touch in _by_age(facts.touches):
        told = _touch(touch, order.placed_at, rules)
        yield {**told, "is_repeat": told["in_window"] and touch.key not in known}


def _touch(touch: Touch, at: int, rules: Rules) -> dict[str, Any]:
    return {
        "key": touch.key,
        "at": instant(touch.at),
        "age_seconds": age(touch, at),
        "in_window": is_in_window(touch, at, rules),
        "kind": touch.kind,
        "is_pinterest": touch.is_pinterest,
        "source": touch.source,
        "medium": touch.medium,
        "campaign_id": touch.campaign_id,
        "campaign": touch.campaign,
        "pin_id": touch.pin_id,
        "ad_id": touch.ad_id,
        "has_click_id": bool(touch.click_id),
    }


def _credits(facts: JourneyFacts, scope: Scope, model: Model) -> list[dict[str, Any]]:
    currency = facts.order.currency
    return [
        {
            "touch": row.touch_key,
            "campaign_id": row.campaign_id,
            "campaign": row.campaign,
            "share": share_text(row.share),
            "revenue": to_major(row.net, currency),
        }
        for row in facts.credits
        if row.touch_key and row.mask & bit(scope, model)
    ]


def _delivery(row: OutboxRow, attempts: Sequence[DeliveryAttempt]) -> dict[str, Any]:
    return {
        "destination": row.destination,
        "state": row.state,
        "reason": row.reason,
        "attempts": [
            {"at": instant(a.at), "outcome": a.outcome, "answer": a.detail}
            for a in _attempts_of(row, attempts)
        ],
    }


def _attempts_of(row: OutboxRow, attempts: Sequence[DeliveryAttempt]) -> list[DeliveryAttempt]:
    """Returns the attempts of a delivery; the one that succeeded at once is not kept for long."""
    made = [attempt for attempt in attempts if attempt.destination == row.destination]
    if row.state == "sent" and not any(attempt.outcome in ("sent", "late") for attempt in made):
        last = DeliveryAttempt(row.event_id, row.destination, row.settled_at, "sent", row.reason)
        made.append(last)
    return made
