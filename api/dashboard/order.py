"""The page of one order: why it was or was not credited to Pinterest, and sent."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from werkzeug.exceptions import NotFound

from api.dashboard.formats import NOTHING, destination_title, money_text, percent_text, time_text
from api.dashboard.page import DashboardPage, PageAction, PageContent, PageRequest
from api.dashboard.replays import send_again
from api.dashboard.tables import PageTable, TableColumn
from api.dashboard.timeline import age_text, timeline_of
from tracking.domain.conversion import event_id_of
from tracking.domain.order import order_id_in
from tracking.service import Service

_DAY, _HOUR = 86_400, 3_600
MODEL_TITLES = {
    "first_touch": "First touch",
    "last_touch": "Last touch",
    "last_non_direct": "Last touch, direct visits aside",
    "linear": "Linear",
    "position_based": "Position based (40, 20, 40)",
    "time_decay": "Time decay",
    "view_through": "Views alone",
}
_MATCHES = {
    "note_attribute": "the pixel's visitor id, in the order itself",
    "checkout_token": "the checkout, which the pixel saw",
    "cart_token": "the cart, which the pixel saw",
    "shopify_client": "Shopify's own id of the browser",
    "email": "the e-mail address (digest)",
    "phone": "the phone number (digest)",
    "customer": "the customer id (digest)",
}
_CONSENT = {True: "given", False: "refused", None: "not known"}

_BUYER_FIELDS = {
    "em": "e-mail address",
    "ph": "phone number",
    "fn": "first name",
    "ln": "last name",
    "ct": "city",
    "st": "state",
    "zp": "postal code",
    "country": "country",
    "external_id": "customer id",
}

# The words of the page for outcomes that are the program's.
_OUTCOMES = {"dead": "refused", "later": "to be tried again", "late": "sent late, as offline"}


def order_address(order_id: str) -> str:
    """Returns the address of an order's page."""
    return ORDER_PAGE.address({"order_id": order_id})


def _view(asked: PageRequest) -> PageContent:
    settings, order_id = asked.service.settings, order_id_in(asked.path["order_id"])
    journey = asked.service.reports.journey(order_id)
    if journey is None:
        raise NotFound("No order of this id was received.")
    credited = {row["touch"] for row in journey["credits"][journey["model"]]}
    tables = [
        _touch_table(asked, journey, credited),
        _credit_table(journey),
        _attempt_table(asked, journey),
    ]
    values = {
        "journey": journey,
        "title": journey["name"] or journey["order_id"],
        "facts": [*_facts(asked, journey)],
        "admin": asked.admin_address(journey["order_id"]),
        "timeline": timeline_of(
            journey["touches"],
            settings.click_window_days * _DAY,
            settings.view_window_hours * _HOUR,
        ),
        "click_days": settings.click_window_days,
        "view_hours": settings.view_window_hours,
        "replay": f"{order_address(journey['order_id'])}/replay"
        if any(delivery["state"] == "dead" for delivery in journey["deliveries"])
        else "",
        "event": json.dumps(journey["event"], indent=2, ensure_ascii=False)
        if journey["event"]
        else "",
        "touches": tables[0],
        "credits": tables[1],
        "attempts": tables[2],
    }
    return PageContent("order.html", values, tables)


def _facts(asked: PageRequest, journey: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the titles and the words of what is known of the order."""
    currency = journey["currency"]
    yield "Placed", _time(asked, journey["placed_at"])
    yield "State", _state(journey)
    yield "Revenue", f"{money_text(journey['revenue'])} {currency}"
    for name, title in (("refunds", "Refunded"), ("cancellations", "Cancelled")):
        if float(journey[name]):
            yield title, f"{money_text(journey[name])} {currency}"
    yield "Buyer matched by", _MATCHES.get(journey["match_method"], "nothing: no visit is known")
    consent = journey["consent"]
    yield "Consent to marketing", _CONSENT[consent.get("marketing")]
    yield "Consent to the sale of data", _CONSENT[consent.get("sale_of_data")]
    if journey["unusable_fields"]:
        unusable = [_BUYER_FIELDS.get(field, field) for field in journey["unusable_fields"]]
        yield "Left out as unusable", ", ".join(unusable)
    until = journey["held_until"]
    if until and datetime.fromisoformat(until).timestamp() > asked.service.clock():
        yield "May still be sent until", _time(asked, until)
    if journey["event_id"]:
        yield "Event id", journey["sent_as"] or journey["event_id"]


def _state(journey: Mapping[str, Any]) -> str:
    states = {"is_test": "test order", "is_cancelled": "cancelled", "is_deleted": "deleted"}
    paid = journey["financial_status"].replace("_", " ")
    words = [text for name, text in states.items() if journey[name]]
    return ", ".join(filter(None, [paid, *words])).capitalize() or NOTHING


def _time(asked: PageRequest, text: str) -> str:
    zone = asked.service.settings.shop_timezone
    return time_text(datetime.fromisoformat(text).timestamp(), zone)


def _touch_table(asked: PageRequest, journey: Mapping[str, Any], credited: set[str]) -> PageTable:
    rows = [
        {
            "at": _time(asked, touch["at"]),
            "age": age_text(touch["age_seconds"]),
            "what": _touch_text(touch),
            "campaign": touch["campaign"] or touch["campaign_id"],
            "ad_id": touch["ad_id"],
            "pin_id": touch["pin_id"],
            "click_id": "yes" if touch["has_click_id"] else "",
            "verdict": _verdict(touch, is_credited=touch["key"] in credited),
        }
        for touch in journey["touches"]
    ]
    columns = [
        TableColumn("at", "At", "time"),
        TableColumn("age", "Before the order"),
        TableColumn("what", "What"),
        TableColumn("campaign", "Campaign"),
        TableColumn("ad_id", "Ad", "code"),
        TableColumn("pin_id", "Pin", "code"),
        TableColumn("click_id", "Click id"),
        TableColumn("verdict", "Counts"),
    ]
    empty = "No visit of this buyer is known."
    return PageTable("touches", "Touches", columns, rows, empty=empty)


def _touch_text(touch: Mapping[str, Any]) -> str:
    if touch["is_pinterest"]:
        return f"Pinterest {touch['kind']}"
    source = " / ".join(filter(None, (touch["source"], touch["medium"])))
    return source or "direct visit"


def _verdict(touch: Mapping[str, Any], *, is_credited: bool) -> str:
    if is_credited:
        return "credited"
    if not touch["is_pinterest"]:
        return "not Pinterest's"
    if touch["is_repeat"]:
        return "the same visit again"
    return "in its window" if touch["in_window"] else "outside its window"


def _credit_table(journey: Mapping[str, Any]) -> PageTable:
    rows = [
        {
            "model": MODEL_TITLES[model] + (" (chosen)" if model == journey["model"] else ""),
            "campaign": row["campaign"] or row["campaign_id"] or "no campaign",
            "share": percent_text(row["share"]),
            "revenue": row["revenue"],
            "currency": journey["currency"],
        }
        for model, credits in journey["credits"].items()
        for row in credits
    ]
    columns = [
        TableColumn("model", "Model"),
        TableColumn("campaign", "Credited to"),
        TableColumn("share", "Share of the order", "percent"),
        TableColumn("revenue", "Revenue", "money"),
    ]
    empty = "No model credits it to Pinterest."
    return PageTable("credits", "Credits by model", columns, rows, empty=empty)


def _attempt_table(asked: PageRequest, journey: Mapping[str, Any]) -> PageTable:
    rows = [
        {
            "at": _time(asked, attempt["at"]),
            "destination": destination_title(delivery["destination"]),
            "outcome": _OUTCOMES.get(attempt["outcome"], attempt["outcome"]),
            "answer": attempt["answer"],
        }
        for delivery in journey["deliveries"]
        for attempt in _oldest_first(delivery["attempts"])
    ]
    columns = [
        TableColumn("at", "At", "time"),
        TableColumn("destination", "To"),
        TableColumn("outcome", "Outcome"),
        TableColumn("answer", "Answer"),
    ]
    return PageTable("attempts", "Attempts to send it", columns, rows, empty="It was not tried.")


def _oldest_first(attempts: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return sorted(attempts, key=lambda attempt: str(attempt["at"]))


def _replay(service: Service, form: Mapping[str, str]) -> str:
    return send_again(service, event_id_of(form["order_id"]))


ORDER_PAGE = DashboardPage(
    "order",
    "/orders/<path:order_id>",
    "Order",
    _view,
    has_span=False,
    in_navigation=False,
    actions=(PageAction("replay", _replay),),
)
