"""The shapes of a pixel call, and what every event must have.

Any browser may call, so a value that does not fit its place counts as missing. The shapes are those
of Shopify's web pixel events.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from tracking.domain.conversion import Stage
from tracking.domain.validation import FieldError, ValidationError

MOST_EVENTS = 20

# Shopify's name of each event that is taken, and the stage of the funnel it stands for.
STAGE_OF: Mapping[str, Stage | None] = {
    "page_viewed": None,
    "product_viewed": "product_view",
    "product_added_to_cart": "add_to_cart",
    "checkout_started": "checkout_initiation",
    # It may never fire, and anybody can send it: the purchase is what the signed order says.
    "checkout_completed": None,
    "ad_viewed": None,
}

_OLDEST_EVENT = 86_400
# How far a visitor's clock may be ahead of ours.
_MOST_AHEAD = 300
_TEXT_LIMIT = 256

# "checkout-" begins the event ids of orders, which no browser may take.
_EVENT_ID = re.compile(r"(?!checkout-)[A-Za-z0-9_.:-]{8,128}")
# What a script writes that has no id would make one visitor of all its visitors.
_VISITOR = re.compile(r"(?!undefined$)[A-Za-z0-9_-]{8,64}")
_UNIX = re.compile(r"([0-9]{10})(?:[0-9]{3})?(?:\.[0-9]*)?")
_GID = re.compile(r"(?:gid://shopify/[A-Za-z]{1,40}/)?([0-9]{1,20})(?:\?.*)?")
_ENCODED_AT = re.compile(r"%(?:25)*40")
_EMAIL = re.compile(r"@[^\s@]*\.[^\s@]")


# What a body may hold where a text is expected.
_Text = str | int | float | bool | None


class Location(msgspec.Struct, gc=False):
    href: _Text = None


class Document(msgspec.Struct, gc=False):
    location: Location | None = None
    referrer: _Text = None


class Navigator(msgspec.Struct, gc=False, rename="camel"):
    user_agent: _Text = None


class Context(msgspec.Struct, gc=False):
    document: Document | None = None
    navigator: Navigator | None = None


class Money(msgspec.Struct, gc=False, rename="camel"):
    amount: _Text = None
    currency_code: _Text = None


class Product(msgspec.Struct, gc=False):
    id: _Text = None
    title: _Text = None
    vendor: _Text = None


class Variant(msgspec.Struct, gc=False):
    id: _Text = None
    sku: _Text = None
    price: Money | None = None
    product: Product | None = None


class Cost(msgspec.Struct, gc=False, rename="camel"):
    total_amount: Money | None = None


class PixelLine(msgspec.Struct, gc=False):
    """A line of the checkout has a `variant`, one of the cart `merchandise` and its `cost`."""

    quantity: _Text = None
    title: _Text = None
    variant: Variant | None = None
    merchandise: Variant | None = None
    cost: Cost | None = None


class Attribute(msgspec.Struct, gc=False):
    key: _Text = None
    value: _Text = None


class Home(msgspec.Struct, gc=False, rename="camel"):
    first_name: _Text = None
    last_name: _Text = None
    city: _Text = None
    province_code: _Text = None
    zip: _Text = None
    country_code: _Text = None
    phone: _Text = None


class Customer(msgspec.Struct, gc=False):
    id: _Text = None


class RawOrder(msgspec.Struct, gc=False):
    customer: Customer | None = None


class Checkout(msgspec.Struct, gc=False, rename="camel"):
    token: _Text = None
    currency_code: _Text = None
    subtotal_price: Money | None = None
    total_price: Money | None = None
    line_items: list[PixelLine | None] | None = None
    attributes: list[Attribute | None] | None = None
    email: _Text = None
    phone: _Text = None
    billing_address: Home | None = None
    shipping_address: Home | None = None
    order: RawOrder | None = None


class Data(msgspec.Struct, gc=False, rename="camel"):
    product_variant: Variant | None = None
    cart_line: PixelLine | None = None
    checkout: Checkout | None = None


_NAMES = {"client_id": "clientId", "custom_data": "customData"}


class RawEvent(msgspec.Struct, gc=False, rename=_NAMES):
    """An event as it was received; its parts are decoded where they are used."""

    id: Any = None
    name: Any = None
    client_id: Any = None
    timestamp: Any = None
    context: Any = None
    data: Any = None
    custom_data: Any = None
    visitor: Any = None
    consent: Any = None
    session: Any = None


class RawBatch(RawEvent, gc=False, rename=_NAMES):
    """A call as it came. One event may stand in it or be it."""

    key: Any = None
    cart_token: Any = None
    events: Any = None


_S = TypeVar("_S", bound=msgspec.Struct)


def decoded(body: bytes) -> tuple[RawBatch, list[tuple[str, RawEvent]]]:
    """The call, and each event with the JSON pointer to it."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationError(FieldError("", "not JSON text in UTF-8")) from None
    if isinstance(tree, list):
        return RawBatch(), _events("", tree)
    if not isinstance(tree, dict):
        raise ValidationError(FieldError("", "neither a call nor a list of events"))
    call = fitted(tree, RawBatch)
    if call.events is None and call.name is not None:
        return call, [("", call)]
    if isinstance(call.events, dict):
        return call, [("/events", fitted(call.events, RawEvent))]
    return call, _events("/events", call.events)


def _events(where: str, events: Any) -> list[tuple[str, RawEvent]]:
    if not isinstance(events, list) or not 1 <= len(events) <= MOST_EVENTS:
        raise ValidationError(
            FieldError(where, f"not an event, nor a list of 1 to {MOST_EVENTS} of them")
        )
    return [(f"{where}/{n}", fitted(event, RawEvent)) for n, event in enumerate(events)]


def fitted(tree: object, struct: type[_S]) -> _S:
    """A tree as a struct. Whatever does not fit its place counts as missing."""
    try:
        return msgspec.convert(tree, struct)
    except msgspec.ValidationError:
        found = _fitting(tree, struct)
        return found if isinstance(found, struct) else struct()


def _fitting(tree: Any, kind: Any) -> Any:
    for one in get_args(kind) or (kind,):
        if get_origin(one) is list:
            if isinstance(tree, list):
                return [_fitting(item, *get_args(one)) for item in tree]
        elif not issubclass(one, msgspec.Struct):
            if isinstance(tree, one):
                return tree
        elif isinstance(tree, dict):
            fields = msgspec.structs.fields(one)
            return one(**{f.name: _fitting(tree.get(f.encode_name), f.type) for f in fields})
    return None


def text_of(value: object, limit: int = _TEXT_LIMIT) -> str:
    """Text of a scalar without NUL, which no store can hold. "" if it is longer than it should
    be: half of an address or an id is another one."""
    if not isinstance(value, str):
        # JSON's true and false say nothing where text is expected.
        if not isinstance(value, int | float) or isinstance(value, bool):
            return ""
        value = str(value)
    text = value.replace("\x00", "").strip()
    return text if len(text) <= limit else ""


def has_at(text: str) -> bool:
    """Returns True if there is an @ in the text, even one that is encoded twice."""
    return "@" in text or _ENCODED_AT.search(text) is not None


def words_of(value: object) -> str:
    """Returns a text that may be sent to others; "" if there is an e-mail address in it."""
    text = text_of(value)
    return "" if has_at(text) and _EMAIL.search(_ENCODED_AT.sub("@", text)) else text


def digits_of(value: object) -> str:
    """The number of an id, be it bare or a `gid://`."""
    found = _GID.fullmatch(text_of(value))
    return found[1] if found else ""


def seconds_of(value: object) -> int | None:
    """Seconds UTC of ISO 8601 (no zone means UTC), Unix seconds or Unix milliseconds."""
    text = text_of(value)
    if unix := _UNIX.fullmatch(text):
        return int(unix[1])
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        return None


class EventHeader(NamedTuple):
    """The fields that every event has. `at` is seconds UTC."""

    event_id: str
    name: str
    at: int
    visitor: str


def header_of(where: str, event: RawEvent, call: RawBatch, received_at: int) -> EventHeader:
    """Returns the checked header of an event; `where` is the JSON pointer to the event.

    Raises:
        ValidationError: a field is missing or wrong.
    """
    if not isinstance(event.id, str) or not _EVENT_ID.fullmatch(event.id):
        raise ValidationError(
            FieldError(
                f"{where}/id", "not 8 to 128 of A-Z a-z 0-9 _ . : - that do not begin checkout-"
            )
        )
    if not isinstance(event.name, str) or event.name not in STAGE_OF:
        raise ValidationError(FieldError(f"{where}/name", f"not one of {', '.join(STAGE_OF)}"))
    at = _at(f"{where}/timestamp", event.timestamp, received_at)
    return EventHeader(event.id, event.name, at, _visitor(where, event, call))


def _at(where: str, value: object, received_at: int) -> int:
    at = seconds_of(value)
    if at is None:
        raise ValidationError(FieldError(where, "not an instant in ISO 8601 or in milliseconds"))
    if at < received_at - _OLDEST_EVENT:
        raise ValidationError(FieldError(where, "older than a day"))
    if at > received_at + _MOST_AHEAD:
        raise ValidationError(FieldError(where, f"more than {_MOST_AHEAD} seconds in the future"))
    return min(at, received_at)


def _visitor(where: str, event: RawEvent, call: RawBatch) -> str:
    candidates = (
        (f"{where}/visitor", event.visitor),
        ("/visitor", call.visitor),
        (f"{where}/clientId", event.client_id),
    )
    place, visitor = next((one for one in candidates if one[1] not in (None, "")), candidates[0])
    if not isinstance(visitor, str) or not _VISITOR.fullmatch(visitor):
        raise ValidationError(FieldError(place, "not a visitor id of 8 to 64 of A-Z a-z 0-9 _ -"))
    return visitor
