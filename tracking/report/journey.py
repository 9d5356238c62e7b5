"""The story of one order: what touched its buyer, who was credited, what was sent, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from tracking.domain.attribution import MODELS, Model, Rules, Scope, Touch, age, bit, is_in_window
from tracking.domain.consent import Consent
from tracking.domain.conversion import REASONS
from tracking.domain.money import to_major
from tracking.store.attempts import DeliveryAttempt
from tracking.store.outbox import OutboxRow

_WHOLE_ORDER = 1_000_000
_DAY, _HOUR = 86_400, 3_600


@dataclass(frozen=True, slots=True)
class JourneyFacts:
    """All rows that tell of one order."""

    order: Any
    touches: Sequence[Touch]
    credits: Sequence[Any]
    conversion: Any
    consent: Consent
    deliveries: Sequence[OutboxRow]
    attempts: Sequence[DeliveryAttempt]

    @property
    def held_until(self) -> int | None:
        """Until when (seconds UTC) a late fact may still have the event sent."""
        return next((row.due_at for row in self.deliveries if row.state == "held"), None)

    @property
    def changed(self) -> dict[str, Any] | None:
        """What the event was credited to when it was sent, if that has changed since."""
        text = self.conversion.credited_then if self.conversion else ""
        found: dict[str, Any] | None = msgspec.json.decode(text) if text else None
        return found


def journey_of(
    story: JourneyFacts, rules: Rules, model: Model, scope: Scope, event: Any
) -> dict[str, Any]:
    """The journey report. `event` is the finished event without address and browser."""
    order = story.order
    money = {
        "gross_revenue": order.gross,
        "refunds": order.refunds,
        "cancellations": order.cancellations,
        "revenue": order.gross - order.refunds - order.cancellations,
    }
    return {
        "order_id": order.id,
        "name": order.name,
        "placed_at": _instant(order.placed_at),
        "financial_status": order.financial_status,
        "is_test": bool(order.is_test),
        "is_cancelled": order.cancelled_at is not None,
        "currency": order.currency,
        **{name: to_major(minor, order.currency) for name, minor in money.items()},
        "visitor": story.conversion.visitor if story.conversion else order.visitor,
        "match_method": order.match_method,
        "session": msgspec.json.decode(order.session or b"{}"),
        "consent": msgspec.to_builtins(story.consent),
        "unusable_fields": order.unusable.split(),
        "touches": [_touch(touch, story, rules) for touch in _by_age(story.touches)],
        "scope": scope,
        "model": model,
        "credits": {name: _credits(story, scope, name) for name in MODELS},
        "event": event,
        "deliveries": [
            _delivery(row, story.attempts) for row in story.deliveries if row.state != "held"
        ],
        "held_until": _instant(story.held_until) if story.held_until is not None else None,
        "credited_when_sent": _then(story.changed),
        "reason": story.conversion.reason if story.conversion else "",
        "why": why(story, rules, model),
    }


def why(story: JourneyFacts, rules: Rules, model: Model) -> str:
    """One sentence: why the order was or was not credited, and was or was not sent."""
    return f"{_why_credited(story, rules, model)}; {_why_sent(story)}."


def _why_credited(story: JourneyFacts, rules: Rules, model: Model) -> str:
    order = story.order
    if not order.is_counted:
        return "Not counted: " + ("it is a test order" if order.is_test else "it is not paid yet")
    earned = [
        row
        for row in story.credits
        if row.touch_key and row.is_pinterest and row.mask & bit("pinterest", model)
    ]
    if earned:
        best = max(earned, key=lambda row: (row.share, row.credited_at))
        touch = next((t for t in story.touches if t.key == best.touch_key), None)
        kind = touch.kind if touch else "touch"
        campaign = best.campaign or best.campaign_id
        named = f" of campaign {campaign}" if campaign else ""
        before = _span(order.placed_at - best.credited_at)
        return f"Credited to Pinterest: a {kind}{named} {before} lies in its attribution window"
    pinterest = [touch for touch in story.touches if touch.is_pinterest]
    if not pinterest:
        return "Not credited to Pinterest: no click or view of a pin is known of this buyer"
    inside = [touch for touch in pinterest if is_in_window(touch, order.placed_at, rules)]
    if inside:
        return f"Not credited to Pinterest: the model {model} gives its touches nothing"
    newest = max(pinterest, key=lambda touch: touch.at)
    span = _span(age(newest, order.placed_at))
    return f"Not credited to Pinterest: the newest {newest.kind}, {span}, is outside its window"


def _why_sent(story: JourneyFacts) -> str:
    changed = story.changed
    if changed is None:
        return _why_delivered(story)
    if not changed["is_pinterest"]:
        return f"{_why_delivered(story)}, before Pinterest was credited"
    campaign = changed["campaign"] or changed["campaign_id"]
    named = f" by campaign {campaign}" if campaign else ""
    return f"{_why_delivered(story)}, while it counted as earned{named}"


def _then(changed: dict[str, Any] | None) -> dict[str, Any] | None:
    if changed is None:
        return None
    return {
        **changed,
        "is_pinterest": bool(changed["is_pinterest"]),
        "until": _instant(changed["until"]),
    }


def _why_delivered(story: JourneyFacts) -> str:
    if all(row.state == "held" for row in story.deliveries):
        reason = story.conversion.reason if story.conversion else ""
        words = REASONS.get(reason, reason).rstrip(".")
        detail = f" ({story.conversion.detail})" if story.conversion.detail else ""
        return f"not sent: {_lower(words)}{detail}"
    return ", ".join(_fate(row) for row in story.deliveries if row.state != "held")


def _fate(row: OutboxRow) -> str:
    name = _title(row.destination)
    tries = f"after {row.attempts} attempt{'s' if row.attempts != 1 else ''}"
    match row.state:
        case "sent":
            return f"sent: {name} accepted the event {tries}"
        case "dead":
            return f"refused: {name} did not take the event ({row.reason})"
        case "withdrawn":
            words = REASONS.get(row.reason, row.reason).rstrip(".")
            return f"held back from {name}: {_lower(words)}"
        case _:
            trouble = f" ({row.reason})" if row.reason else ""
            return f"waiting to be sent to {name}{trouble}"


def _title(destination: str) -> str:
    """A destination's name as it is written: "Pinterest", "Track AI"."""
    words = destination.split("_")
    return " ".join(word.upper() if len(word) == 2 else word.capitalize() for word in words)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _span(seconds: int) -> str:
    """An age in words: "2 days before the order"."""
    if seconds < _HOUR:
        return "in the visit of the order" if seconds < 60 else "within an hour of the order"
    count, unit = (seconds // _DAY, "day") if seconds >= _DAY else (seconds // _HOUR, "hour")
    return f"{count} {unit}{'s' if count != 1 else ''} before the order"


def _by_age(touches: Sequence[Touch]) -> list[Touch]:
    return sorted(touches, key=lambda touch: (touch.at, touch.key))


def _touch(touch: Touch, story: JourneyFacts, rules: Rules) -> dict[str, Any]:
    at = story.order.placed_at
    return {
        "key": touch.key,
        "at": _instant(touch.at),
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


def _credits(story: JourneyFacts, scope: Scope, model: Model) -> list[dict[str, Any]]:
    currency = story.order.currency
    return [
        {
            "touch": row.touch_key,
            "campaign_id": row.campaign_id,
            "campaign": row.campaign,
            "share": f"{row.share // _WHOLE_ORDER}.{row.share % _WHOLE_ORDER:06d}",
            "revenue": to_major(row.net, currency),
        }
        for row in story.credits
        if row.touch_key and row.mask & bit(scope, model)
    ]


def _delivery(row: OutboxRow, attempts: Sequence[DeliveryAttempt]) -> dict[str, Any]:
    return {
        "destination": row.destination,
        "state": row.state,
        "reason": row.reason,
        "attempts": [
            {"at": _instant(a.at), "outcome": a.outcome, "answer": a.detail}
            for a in attempts
            if a.destination == row.destination
        ],
    }


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
