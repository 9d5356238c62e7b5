"""Decides which event an order is, and whether it is sent."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Literal

import msgspec

from tracking.domain.consent import Consent
from tracking.domain.customer import CustomerType
from tracking.domain.identity import Identity
from tracking.domain.language import language_of
from tracking.domain.money import to_major
from tracking.domain.order import Line, Order, least, lines_without, most
from tracking.domain.pinterest_traffic import MEDIA

Send = Literal["attributed", "all", "off"]
PurchaseOn = Literal["create", "paid"]
ConversionValue = Literal["net", "total"]
ContentId = Literal["product", "variant", "sku"]
ConsentUnknown = Literal["send", "limit", "hold"]
Stage = Literal["product_view", "add_to_cart", "checkout_initiation", "purchase"]

STAGES: tuple[Stage, ...] = ("product_view", "add_to_cart", "checkout_initiation", "purchase")
# Pinterest's name of each stage's event.
EVENT_NAMES: dict[Stage, str] = {
    "product_view": "page_visit",
    "add_to_cart": "add_to_cart",
    "checkout_initiation": "initiate_checkout",
    "purchase": "checkout",
}
MAX_CONTENTS = 250
# Pinterest takes no event older than seven days (Amperity's documentation of the endpoint).
MAX_EVENT_AGE = 7 * 86_400

_OF_ORDER = "checkout-"

# The reasons not to send a conversion: the stored word, and its text for the shop.
REASONS = {
    "": "It is sent.",
    "test": "It is a test order.",
    "deleted": "The order was deleted in Shopify.",
    "unpaid": "The order is not paid yet, and PURCHASE_ON is paid.",
    "cancelled": "The order was cancelled before its event was sent.",
    "never_paid": "The order was never paid: its payment was voided or expired.",
    "refunded": "Everything was given back before its event was sent.",
    "imported": "The order was imported: it was sold earlier, elsewhere.",
    "free": "It is worth nothing (SEND_FREE_ORDERS would send it).",
    "expired": "It is older than the seven days Pinterest accepts.",
    "off": "Sending is switched off (PINTEREST_SEND is off).",
    "report_only": "No Pinterest credentials are configured: the service only reports.",
    "consent_refused": "The buyer refused marketing consent.",
    "consent_unknown": "The buyer's consent is not known, and CONSENT_UNKNOWN is hold.",
    "no_identity": "Nothing Pinterest could match the buyer by: no e-mail, no browser.",
    "renewal": "A subscription renewed itself: no visit that Pinterest could have caused.",
    "copied": "Staff copied it from another order, with the visit of that one.",
    "not_attributed": "No Pinterest click or view lies in its attribution window.",
    "told_before": "Another system's event had told Pinterest of the purchase.",
    "told_by_order": "The order's own event tells Pinterest of the purchase.",
    "credited_late": "The touch that earned it became known only after it was decided.",
    "unencodable": "It does not fit Pinterest's published schema.",
    "bot": "A crawler or a link preview, not a person.",
    "erased": "The buyer's data was erased on request.",
}
# The reasons that hold back every event that names the order, whoever sends it.
OF_THE_ORDER = frozenset(
    {
        *("deleted", "test", "never_paid", "unpaid", "cancelled", "refunded"),
        *("consent_refused", "erased"),
    }
)
# The reasons of an event whose purchase another event tells: they end if that is not sent.
TOLD_OTHERWISE = frozenset({"told_before", "told_by_order"})
# Those of OF_THE_ORDER that end: when the order is paid after all, or its refund fails.
MAY_END = frozenset({"unpaid", "never_paid", "refunded"})
# The reasons that a touch, a visitor, a consent or a refund that fails may still change when it
# becomes known later.
MAY_CHANGE = frozenset({"consent_unknown", "not_attributed", "refunded"})
_SETTLED_BY_FACTS = MAY_CHANGE | {"", "consent_refused", "credited_late", "report_only"}


@dataclass(frozen=True, slots=True)
class Policy:
    """The shop's settings: which order is a purchase, what it is worth, and which are sent.

    `pinterest_media` are the values of utm_medium that are Pinterest's, `own_hosts` the configured
    hosts of the shop's own pages. `shop_origin` is scheme and host of those pages, "" if there are
    several, `partner_name` who sends the events on the shop's behalf.
    """

    send: Send = "attributed"
    purchase_on: PurchaseOn = "create"
    value: ConversionValue = "net"
    content_id: ContentId = "product"
    consent_unknown: ConsentUnknown = "send"
    pinterest_media: frozenset[str] = MEDIA
    own_hosts: frozenset[str] = frozenset()
    send_free_orders: bool = False
    shop_origin: str = ""
    partner_name: str = ""


def is_lifted(reason: str, policy: Policy, *, is_connected: bool) -> bool:
    """Returns True if only a setting held an event back for a reason, and the present settings do
    not; `is_connected` says that there are credentials of Pinterest."""
    match reason:
        case "report_only":
            return is_connected
        case "off":
            return policy.send != "off"
        case "free":
            return policy.send_free_orders
        case "consent_unknown":
            return policy.consent_unknown != "hold"
        case "not_attributed":
            return policy.send == "all"
        case "unpaid":
            return policy.purchase_on == "create"
        case _:
            return False


class Content(msgspec.Struct, frozen=True, gc=False):
    """One product of an event; `price` is decimal text in major units, before discounts."""

    id: str
    name: str = ""
    brand: str = ""
    price: str = ""
    quantity: int = 1


class ContentLine(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A line of an order as its event names it: by the id of the catalogue, or else by its title.

    It `is_reduced` as a `Line` is.
    """

    id: str
    content_id: str
    name: str
    price: str
    is_reduced: bool


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """Evidence of an event's buyer and visit; a text is empty where it is not known.

    `client` is the digest of Shopify's id of the browser, `former_clients` are those that the event
    must not have any more: an older one, or that of another browser. `customer_type` replaces that
    of the event, unless it is None.
    """

    identity: Identity = Identity()
    client: str = ""
    former_clients: tuple[str, ...] = ()
    click_id: str = ""
    ip: str = ""
    user_agent: str = ""
    event_source_url: str = ""
    language: str = ""
    customer_type: CustomerType | None = None

    def lacks_any_of(self, other: "Evidence") -> bool:
        """Returns True if the other has a field that this one has not."""
        return self.identity.completed_by(other.identity) is not self.identity or any(
            theirs and not own
            for own, theirs in zip(_texts_of(self), _texts_of(other), strict=True)
        )


NO_EVIDENCE = Evidence()


class Conversion(msgspec.Struct, frozen=True, gc=False):
    """One event as a destination needs it. An empty text is left out.

    `event_time` is seconds UTC, `value` decimal text in major units of `currency`, `ip` a public
    address (`client_ip_of`). `limited` asks for Limited Data Processing. `client` is the digest of
    Shopify's id of the browser, which is sent beside the ids of the person and joins nobody.
    """

    event_id: str
    event_name: str
    action_source: str
    event_time: int
    identity: Identity
    client: str = ""
    event_source_url: str = ""
    partner_name: str = ""
    language: str = ""
    opt_out: bool = False
    limited: bool = False
    click_id: str = ""
    ip: str = ""
    user_agent: str = ""
    currency: str = ""
    value: str = ""
    order_id: str = ""
    contents: tuple[Content, ...] = ()
    num_items: int = 0
    customer_type: CustomerType = ""

    @property
    def is_identified(self) -> bool:
        """True by Pinterest's rule: an e-mail, an advertising id, or IP address and browser."""
        known = self.identity
        return bool(known.em or known.hashed_maids or (self.ip and self.user_agent))

    @property
    def is_free_purchase(self) -> bool:
        """True for a purchase that is known to be worth nothing."""
        is_purchase = self.event_name == EVENT_NAMES["purchase"]
        return is_purchase and self.value != "" and not Decimal(self.value)


def event_id_of(order_id: str) -> str:
    """Returns the event id of an order, equal for every topic, redelivery, import and retry."""
    return f"{_OF_ORDER}{order_id}"


def is_event_id_of_order(event_id: str) -> bool:
    """Returns True for an event id of the form that only the events of orders have."""
    return event_id.startswith(_OF_ORDER)


def order_id_of_event(event_id: str) -> str:
    """Returns the id of the order that has this event id; "" if it is no order's."""
    return event_id.removeprefix(_OF_ORDER) if is_event_id_of_order(event_id) else ""


def is_limited(consent: Consent, policy: Policy) -> bool:
    """Returns True if Pinterest may process the event only in a limited way (opt_out with LDP)."""
    if consent.sale_of_data is False:
        return True
    return consent.marketing is None and policy.consent_unknown == "limit"


def kept_of(order: Order, policy: Policy) -> int | None:
    """Returns what the buyer kept by the shop's setting, in minor units; None if that is not
    known."""
    return order.kept_total if policy.value == "total" else order.kept_net


def sold_of(order: Order, policy: Policy) -> int | None:
    """Returns what an order was worth before it was changed, in minor units; None if no state of it
    is known that tells."""
    is_told = order.has_shopifys_prices and kept_of(order, policy) is None
    return least(value_of(order, policy) if is_told else None, order.sold)


def peak_of(order: Order, policy: Policy) -> int | None:
    """Returns the most that the buyer had by any state, in minor units; None if no state of it is
    known that tells."""
    if not order.has_shopifys_prices:
        return order.peak
    kept = kept_of(order, policy)
    return most(value_of(order, policy) if kept is None else kept, order.peak)


def shop_page(origin: str, policy: Policy) -> str:
    """Returns the front page of a shop, for a web event of which no page is known; "" for none."""
    origin = origin or policy.shop_origin
    return f"{origin}/" if origin else ""


def value_of(order: Order, policy: Policy) -> int:
    """Returns the value of the purchase by the shop's setting, in minor units."""
    return order.total if policy.value == "total" else order.net


def is_purchase(order: Order, policy: Policy) -> bool:
    """Returns True if this state of the order counts as a purchase."""
    is_real = not order.test and order.deleted_at is None
    return is_real and (policy.purchase_on == "create" or order.is_paid)


def conversion_of(
    order: Order,
    identity: Identity,
    consent: Consent,
    policy: Policy,
    page_url: str = "",
    click_id: str = "",
    value: int | None = None,
    client: str = "",
    gone: Sequence[Line] = (),
    customer_type: CustomerType = "",
) -> Conversion:
    """Returns the purchase event of an order, with the page and the click that began its visit.

    `value` is what is left of the order, in minor units, if that is not its whole value, `client`
    the digest of Shopify's id of the browser. `gone` are pieces of its lines that it must not name.
    """
    limited = is_limited(consent, policy)
    lines = lines_without(order.lines, gone) if gone else order.lines
    return Conversion(
        event_id=event_id_of(order.id),
        event_name=EVENT_NAMES["purchase"],
        action_source="offline" if order.is_pos else "web",
        event_time=order.placed_at,
        identity=identity,
        client="" if consent.marketing is False else client,
        event_source_url="" if order.is_pos else page_url or shop_page(order.origin, policy),
        partner_name=policy.partner_name,
        language=language_of(order.locale),
        opt_out=limited,
        limited=limited,
        click_id=click_id,
        ip=order.browser.ip,
        user_agent=order.browser.user_agent,
        currency=order.currency,
        value=to_major(value_of(order, policy) if value is None else value, order.currency),
        order_id=order.id,
        contents=contents_of(lines, policy.content_id),
        num_items=sum([line.quantity for line in lines]),
        customer_type=customer_type,
    )


def reason_not_to_send(
    order: Order,
    consent: Consent,
    policy: Policy,
    *,
    is_identified: bool,
    is_credited: bool,
    is_refunded: bool,
    now: int,
) -> str:
    """Returns the first reason not to send an order's event (a key of REASONS), or ""."""
    return _first(
        ("deleted", order.deleted_at is not None),
        ("test", order.test),
        ("never_paid", order.is_never_paid and order.cancelled_at is None),
        ("unpaid", policy.purchase_on == "paid" and not order.is_paid),
        ("cancelled", order.cancelled_at is not None),
        ("refunded", is_refunded),
        ("imported", order.is_imported),
        ("free", not policy.send_free_orders and value_of(order, policy) == 0),
        *_rules_for_all(order.placed_at, consent, policy, is_identified=is_identified, now=now),
        ("renewal", policy.send == "attributed" and order.is_renewal),
        ("copied", policy.send == "attributed" and order.is_copied),
        ("not_attributed", policy.send == "attributed" and not is_credited),
    )


def revised_reason(
    reason: str, consent: Consent, policy: Policy, *, is_credited: bool, is_refunded: bool
) -> str:
    """Returns the reason after more became known of the order: a key of REASONS, or ""."""
    if reason not in _SETTLED_BY_FACTS:
        return reason
    return _first(
        ("refunded", is_refunded),
        ("consent_refused", consent.marketing is False),
        ("consent_unknown", consent.marketing is None and policy.consent_unknown == "hold"),
        ("not_attributed", policy.send == "attributed" and not is_credited),
    )


def reason_of_naming(reason: str, consent: Consent, *, is_refunded: bool) -> str:
    """Returns why no event that names an order may be sent, by the reason of its own event: a
    reason of OF_THE_ORDER, or ""."""
    if consent.marketing is False:
        return "consent_refused"
    if reason in OF_THE_ORDER - {"refunded"}:
        return reason
    return "refunded" if is_refunded else ""


def reason_by_credit(reason: str, *, is_credited: bool) -> str:
    """Returns why a storefront event was not sent (a key of REASONS), after its credit changed:
    nothing holds it, and so a late credit comes too late."""
    if reason not in ("not_attributed", "credited_late"):
        return reason
    return "credited_late" if is_credited else "not_attributed"


def reason_not_to_send_event(
    conversion: Conversion, consent: Consent, policy: Policy, *, is_credited: bool, now: int
) -> str:
    """Returns the first reason not to send a storefront event (a key of REASONS), or ""."""
    is_identified = conversion.is_identified
    return _first(
        ("free", not policy.send_free_orders and conversion.is_free_purchase),
        *_rules_for_all(
            conversion.event_time, consent, policy, is_identified=is_identified, now=now
        ),
        ("not_attributed", policy.send == "attributed" and not is_credited),
    )


_Rule = tuple[str, bool]


def _rules_for_all(
    event_time: int, consent: Consent, policy: Policy, *, is_identified: bool, now: int
) -> tuple[_Rule, ...]:
    return (
        ("expired", now - event_time > MAX_EVENT_AGE),
        ("off", policy.send == "off"),
        ("consent_refused", consent.marketing is False),
        ("consent_unknown", consent.marketing is None and policy.consent_unknown == "hold"),
        ("no_identity", not is_identified),
    )


def _first(*rules: _Rule) -> str:
    for reason, holds in rules:
        if holds:
            return reason
    return ""


def content_lines_of(lines: Iterable[Line], kind: ContentId) -> tuple[ContentLine, ...]:
    """Returns the lines of an order as its event names them."""
    id_of = _CONTENT_IDS[kind]
    return tuple(
        [
            ContentLine(
                line.id,
                content_id := id_of(line),
                "" if content_id else line.title,
                line.price,
                line.is_reduced,
            )
            for line in lines
            if line.id
        ]
    )


def contents_of(lines: Iterable[Line], kind: ContentId) -> tuple[Content, ...]:
    """Returns the products of these lines, by the id that the shop's catalogue uses."""
    id_of = _CONTENT_IDS[kind]
    sendable = [line for line in lines if line.quantity]
    return tuple(
        [
            Content(
                id=id_of(line),
                name=line.title,
                brand=line.vendor,
                price=line.price,
                quantity=line.quantity,
            )
            for line in sendable[:MAX_CONTENTS]
        ]
    )


_texts_of: Callable[[Evidence], tuple[str, ...]] = attrgetter(
    "click_id", "ip", "user_agent", "event_source_url", "language"
)
# The catalogue's id of a line. Custom items have none: it stays empty, never "None".
_CONTENT_IDS: dict[ContentId, Callable[[Line], str]] = {
    "product": attrgetter("product_id"),
    "variant": attrgetter("variant_id"),
    "sku": attrgetter("sku"),
}
