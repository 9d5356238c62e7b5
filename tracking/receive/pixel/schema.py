"""The shapes of a pixel call, and what every event must have.

Any browser may call, so a value that does not fit its place counts as missing. The shapes are those
of Shopify's web pixel events.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import msgspec

from tracking.domain.conversion import Stage, event_id_of, is_event_id_of_order
from tracking.domain.placeholders import is_placeholder, names_nothing
from tracking.domain.validation import FieldError, ValidationError
from tracking.domain.visitor import is_visitor_id
from tracking.domain.web_text import has_email, seconds_in

MOST_EVENTS = 20

# Shopify's name of each event that is taken, and the stage of the funnel it stands for.
STAGE_OF: Mapping[str, Stage | None] = {
    "page_viewed": None,
    "product_viewed": "product_view",
    "product_added_to_cart": "add_to_cart",
    "checkout_started": "checkout_initiation",
    # It may never fire, and any client can send it: the purchase comes from the signed order.
    "checkout_completed": None,
    "ad_viewed": None,
}

_OLDEST_EVENT = 86_400
# A call may be under way for some seconds; what differs by more is a wrong clock.
_MOST_UNDER_WAY = 30
_TEXT_LIMIT = 256

_EVENT_ID_LIMIT = 128
# Begins the event ids of orders, which no browser may take.
_ORDER_EVENT_PREFIX = event_id_of("")
_GID = re.compile(r"(?:gid://shopify/[A-Za-z]{1,40}/)?([0-9]{1,20})(?:\?.*)?")

# The values that a body may hold where text is expected.
_Text = str | int | float | bool | None


class Location(msgspec.Struct, gc=False):
    href: _Text = None


class Document(msgspec.Struct, gc=False):
    location: Location | None = None
    referrer: _Text = None


class Navigator(msgspec.Struct, gc=False, rename="camel"):
    user_agent: _Text = None
    language: _Text = None


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


class RawAddress(msgspec.Struct, gc=False, rename="camel"):
    first_name: _Text = None
    last_name: _Text = None
    city: _Text = None
    province_code: _Text = None
    zip: _Text = None
    country_code: _Text = None
    phone: _Text = None


class Customer(msgspec.Struct, gc=False, rename="camel"):
    id: _Text = None
    is_first_order: _Text = None


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
    billing_address: RawAddress | None = None
    shipping_address: RawAddress | None = None
    order: RawOrder | None = None


class TagItem(msgspec.Struct, gc=False):
    """One of the `line_items` in a call of Pinterest's tag."""

    product_id: _Text = None
    product_name: _Text = None
    product_brand: _Text = None
    product_price: _Text = None
    product_quantity: _Text = None


class TagCall(msgspec.Struct, gc=False):
    """The data of a call of Pinterest's tag, under the names of Pinterest's documentation."""

    value: _Text = None
    currency: _Text = None
    order_quantity: _Text = None
    line_items: list[TagItem | None] | None = None


class Data(msgspec.Struct, gc=False, rename="camel"):
    product_variant: Variant | None = None
    cart_line: PixelLine | None = None
    checkout: Checkout | None = None
    tag_call: TagCall | None = None


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
    """A batch as it was received. Its events are a list, one object, or the batch itself."""

    key: Any = None
    sent_at: Any = None
    cart_token: Any = None
    events: Any = None


_S = TypeVar("_S", bound=msgspec.Struct)


def decode_batch(body: bytes) -> tuple[RawBatch, list[tuple[str, RawEvent]]]:
    """Returns the batch, and each event with the JSON pointer to it.

    Raises:
        ValidationError: the body is not JSON, or has no event or more than MOST_EVENTS.
    """
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationError(FieldError("", "not JSON text in UTF-8")) from None
    if isinstance(tree, list):
        return RawBatch(), _events("", tree)
    if not isinstance(tree, dict):
        raise ValidationError(FieldError("", "neither a call nor a list of events"))
    batch = convert_leniently(tree, RawBatch)
    if batch.events is None and batch.name is not None:
        return batch, [("", batch)]
    if isinstance(batch.events, dict):
        return batch, [("/events", convert_leniently(batch.events, RawEvent))]
    return batch, _events("/events", batch.events)


def _events(pointer: str, events: Any) -> list[tuple[str, RawEvent]]:
    if not isinstance(events, list) or not 1 <= len(events) <= MOST_EVENTS:
        raise ValidationError(
            FieldError(pointer, f"not an event, nor a list of 1 to {MOST_EVENTS} of them")
        )
    return [(f"{pointer}/{i}", convert_leniently(raw, RawEvent)) for i, raw in enumerate(events)]


def convert_leniently(tree: object, struct: type[_S]) -> _S:
    """Returns the tree as a struct; a value of another type than its field counts as missing."""
    try:
        return msgspec.convert(tree, struct)
    except msgspec.ValidationError:
        converted = _converted(tree, struct)
        return converted if isinstance(converted, struct) else struct()


def _converted(tree: Any, kind: Any) -> Any:
    for option in get_args(kind) or (kind,):
        if get_origin(option) is list:
            if isinstance(tree, list):
                return [_converted(item, *get_args(option)) for item in tree]
        elif not issubclass(option, msgspec.Struct):
            if isinstance(tree, option):
                return tree
        elif isinstance(tree, dict):
            fields = msgspec.structs.fields(option)
            return option(**{f.name: _converted(tree.get(f.encode_name), f.type) for f in fields})
    return None


def text_of(value: object, limit: int = _TEXT_LIMIT) -> str:
    """Returns the text of a scalar without NUL, which no store can hold; "" if it is too long.

    It is not cut, because half of an address or an id is another one.
    """
    if not isinstance(value, str):
        # JSON's true and false have no meaning where text is expected.
        if not isinstance(value, int | float) or isinstance(value, bool):
            return ""
        value = str(value)
    text = value.replace("\x00", "").strip()
    return text if len(text) <= limit else ""


def text_without_email(value: object) -> str:
    """Returns a text that may be sent to others; "" if there is an e-mail address in it."""
    text = text_of(value)
    return "" if has_email(text) else text


def digits_of(value: object) -> str:
    """Returns the digits of an id, bare or in a `gid://`."""
    gid = _GID.fullmatch(text_of(value))
    return gid[1] if gid else ""


def product_id_of(value: object) -> str:
    """Returns the id of a product or a variant as catalogues have it: Shopify's as its digits."""
    text = text_without_email(value)
    product_id = digits_of(text) or text
    return "" if names_nothing(product_id) else product_id


def seconds_of(value: object) -> int | None:
    """Returns seconds UTC from ISO 8601 (no zone means UTC), Unix seconds or milliseconds."""
    return seconds_in(text_of(value))


class Clock(NamedTuple):
    """A browser's clock, by the arrival of its call. Both are seconds UTC.

    `ahead` is by how much the clock is ahead, negative for one that is behind.
    """

    received_at: int
    ahead: int

    def corrected(self, told: int) -> int:
        """Returns the time of an instant that the browser told, at the latest its arrival."""
        return min(told - self.ahead, self.received_at)


def clock_of(batch: RawBatch, events: Iterable[RawEvent], received_at: int) -> Clock:
    """Returns the clock of the browser that sent a call.

    A call that does not tell when it was sent was sent by the time of its newest event: its clock
    is ahead at least by that, and nothing can be said of a clock that is behind.
    """
    sent_at = seconds_of(batch.sent_at)
    if sent_at is None:
        told = ((seconds_of(event.timestamp) or 0) - received_at for event in events)
        return Clock(received_at, max((n for n in told if 0 < n <= _OLDEST_EVENT), default=0))
    ahead = sent_at - received_at
    return Clock(received_at, ahead if abs(ahead) > _MOST_UNDER_WAY else 0)


class EventHeader(NamedTuple):
    """The fields that every event has.

    `at` is seconds UTC; `told_at` is the same instant by the browser's clock, which does not change
    when the event is sent again.
    """

    event_id: str
    name: str
    at: int
    told_at: int
    visitor: str


def header_of(pointer: str, event: RawEvent, batch: RawBatch, clock: Clock) -> EventHeader:
    """Returns the checked header of an event; `pointer` is the JSON pointer to the event.

    Raises:
        ValidationError: a field is missing or wrong.
    """
    if not isinstance(event.id, str) or not _is_event_id(event.id):
        raise ValidationError(
            FieldError(
                f"{pointer}/id",
                f"not an id of 1 to {_EVENT_ID_LIMIT} printable characters, or it begins"
                f" {_ORDER_EVENT_PREFIX} or holds an e-mail",
            )
        )
    if not isinstance(event.name, str) or event.name not in STAGE_OF:
        raise ValidationError(FieldError(f"{pointer}/name", f"not one of {', '.join(STAGE_OF)}"))
    at, told_at = _times(f"{pointer}/timestamp", event.timestamp, clock)
    return EventHeader(event.id, event.name, at, told_at, _visitor(pointer, event, batch))


def _is_event_id(text: str) -> bool:
    is_printable = 1 <= len(text) <= _EVENT_ID_LIMIT and text.isprintable() and not text.isspace()
    is_taken = is_event_id_of_order(text) or is_placeholder(text)
    return is_printable and not is_taken and not has_email(text)


def _times(pointer: str, value: object, clock: Clock) -> tuple[int, int]:
    """Returns the time of an event and the time that the browser told."""
    told_at = seconds_of(value)
    if told_at is None:
        raise ValidationError(FieldError(pointer, "not an instant in ISO 8601 or in milliseconds"))
    at = clock.corrected(told_at)
    if at < clock.received_at - _OLDEST_EVENT:
        raise ValidationError(FieldError(pointer, "older than a day"))
    return at, told_at


def _visitor(pointer: str, event: RawEvent, batch: RawBatch) -> str:
    candidates = (
        (f"{pointer}/visitor", event.visitor),
        ("/visitor", batch.visitor),
        (f"{pointer}/clientId", event.client_id),
    )
    place, visitor = next((c for c in candidates if c[1] not in (None, "")), candidates[0])
    if not isinstance(visitor, str) or not is_visitor_id(visitor):
        raise ValidationError(FieldError(place, "not a visitor id of 8 to 64 of A-Z a-z 0-9 _ -"))
    return visitor
