"""The arguments of the library's functions, read into an order or an event of the storefront."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tracking.domain.client_ip import client_ip_of
from tracking.domain.consent import Consent, consent_in
from tracking.domain.conversion import Content, Conversion, Policy, Stage, is_limited
from tracking.domain.identity import Identity, identity_of
from tracking.domain.money import amount, is_currency, rounded_amount, to_minor
from tracking.domain.order import LIBRARY_SOURCE, Browser, Buyer, Line, Order, order_id_in
from tracking.domain.placeholders import is_placeholder, names_nothing
from tracking.domain.session import Session
from tracking.domain.session_reader import session_from
from tracking.domain.spreadsheet import SHORTENED, is_shortened, plain_id
from tracking.domain.touch import touch_of_session
from tracking.domain.validation import FieldError, ValidationError
from tracking.domain.web_text import has_email, host_of
from tracking.receive.event_input.fields import Dropped, Rejected, page_url
from tracking.receive.pixel import PixelEvent, is_bot

Money = float | int | str | Decimal
SessionData = Mapping[str, Any]

_PRODUCT_IDS = frozenset({"product_id", "variant_id", "sku"})
# What session data tells of the visit.
_VISIT = frozenset(
    {
        *("utm_source", "utm_medium", "utm_campaign", "utm_campaign_id", "utm_id", "utm_ad_id"),
        *("utm_pin_id", "utm_term", "utm_content", "epik", "visitor_id", "session_id"),
    }
)
_QUANTITY = re.compile(r"[0-9]{1,9}")


def left_out_of(session_fields: SessionData) -> list[str]:
    """Returns the names in session data whose values cannot be used."""
    found = [
        name
        for name, value in session_fields.items()
        if name in _VISIT and value is not None and is_placeholder(str(value))
    ]
    told = session_fields.get("client_ip_address")
    return [*found, "client_ip_address"] if told and not client_ip_in(session_fields) else found


def left_out_of_items(name: str, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the places in a list of items whose values name no product."""
    names = ("product_id", "variant_id", "sku", "title", "vendor")
    return [
        f"{name}/{n}/{field}"
        for n, item in enumerate(items)
        for field in unusable_in(**{each: item.get(each) for each in names})
    ]


def unusable_in(**values: object) -> list[str]:
    """Returns the names of the ids and names of a product that are left out, as they are told."""
    return [
        name
        for name, value in values.items()
        if value not in (None, "")
        and not (product_id_of(name, value) if name in _PRODUCT_IDS else product_name_of(value))
    ]


class LibraryVisit(NamedTuple):
    """The visit and the person that session data tells of."""

    session: Session
    consent: Consent
    is_limited: bool
    identity: Identity


def visit_of(session_fields: SessionData, url: str, policy: Policy) -> LibraryVisit:
    """Returns what session data tells of the visit of a page."""
    attributes = _note_attributes(session_fields)
    consent = consent_in(attributes)
    limited = is_limited(consent, policy)
    referrer = str(session_fields.get("referrer") or "")
    buyer = buyer_of(str(session_fields.get("email") or ""), "")
    return LibraryVisit(
        session=session_from(attributes, referrer, (host_of(url), *policy.own_hosts)),
        consent=consent,
        is_limited=limited,
        identity=identity_of(buyer, limited=limited),
    )


def pixel_event_of(
    stage: Stage,
    conversion: Conversion,
    visit: LibraryVisit,
    value: int,
    media: frozenset[str],
) -> PixelEvent:
    """Returns an event of the storefront whose visitor is told, or known by the person."""
    session, keys = visit.session, conversion.identity.graph_keys()
    visitor = session.visitor or (keys[0] if keys else conversion.event_id)
    at = conversion.event_time
    key = f"event:{conversion.event_id}"
    touch = None
    if not session.is_direct:
        touch = touch_of_session(session, key, visitor, at, media)
    return PixelEvent(
        event_id=conversion.event_id,
        name=stage,
        at=at,
        visitor=visitor,
        stage=stage,
        session=session,
        touch=touch,
        consent=visit.consent,
        identity=conversion.identity,
        tokens=(),
        conversion=conversion,
        value=value,
        # A caller that tells no browser is no crawler.
        is_bot=bool(conversion.user_agent) and is_bot(conversion.user_agent),
    )


def _note_attributes(session_data: SessionData) -> list[tuple[str, str]]:
    """Session data as note attributes, with the visitor id under its attribute name."""
    attributes = [
        (str(name), str(value)) for name, value in session_data.items() if value is not None
    ]
    visitor = session_data.get("visitor_id") or session_data.get("session_id")
    return [*attributes, ("pin_vid", str(visitor))] if visitor else attributes


def order_of(
    order_id: str,
    value: int,
    currency: str,
    lines: tuple[Line, ...],
    session_fields: SessionData,
    buyer: Buyer,
    now: int,
) -> Order:
    """Returns an order that the library records; `value` is in minor units, `now` seconds UTC."""
    content = f"{order_id}\0{value}\0{currency}\0{lines!r}"
    return Order(
        id=order_id,
        name=order_id,
        placed_at=now,
        processed_at=now,
        # Any state that Shopify sends of the same order is newer.
        updated_at=0,
        cancelled_at=None,
        currency=currency,
        net=value,
        total=value,
        test=False,
        financial_status="paid",
        source_name=LIBRARY_SOURCE,
        locale="",
        origin="",
        landing_site="",
        referring_site=str(session_fields.get("referrer") or ""),
        checkout_token="",
        cart_token="",
        notes=tuple(_note_attributes(session_fields)),
        lines=lines,
        refunds=(),
        buyer=buyer,
        browser=Browser(
            ip=client_ip_in(session_fields),
            user_agent=str(session_fields.get("client_user_agent") or ""),
        ),
        digest=hashlib.sha256(content.encode()).hexdigest(),
    )


def page_of(url: str) -> str:
    """Returns a page's URL as it may be sent; "" for any other text."""
    try:
        return page_url(url)
    except (Rejected, Dropped):
        return ""


def client_ip_in(session_fields: SessionData) -> str:
    """Returns the browser's address of session data; "" if it is none."""
    return client_ip_of(str(session_fields.get("client_ip_address") or "").strip())


def order_id_of(value: object) -> str:
    """Returns the id of an order.

    Raises:
        ValidationError: it names no order.
    """
    text = order_id_in(plain_id(str(value)))
    if is_shortened(text):
        raise ValidationError(FieldError("order_id", SHORTENED))
    if names_nothing(text):
        raise ValidationError(FieldError("order_id", "a placeholder, which names no order"))
    if not text or len(text) > 64 or not text.isprintable() or has_email(text):
        message = "not an id of 1 to 64 printable characters, nor an e-mail"
        raise ValidationError(FieldError("order_id", message))
    return text


def buyer_of(email: str, phone: str) -> Buyer:
    """Returns the buyer with the e-mail and phone that are told."""
    return Buyer(emails=(email,) if email else (), phones=(phone,) if phone else ())


def line_of(prefix: str, item: Mapping[str, Any]) -> Line:
    """Returns an item as a line of an order.

    Raises:
        ValidationError: a value cannot be used; it is named behind the `prefix`.
    """
    return Line(
        product_id=product_id_of(f"{prefix}product_id", item.get("product_id")),
        variant_id=product_id_of(f"{prefix}variant_id", item.get("variant_id")),
        sku=product_id_of(f"{prefix}sku", item.get("sku")),
        title=product_name_of(item.get("title")),
        vendor=product_name_of(item.get("vendor")),
        price=format(amount_of(f"{prefix}price", item.get("price") or 0), "f"),
        quantity=quantity_of(f"{prefix}quantity", item.get("quantity")),
    )


def product_id_of(name: str, value: object) -> str:
    """Returns the id of a product; "" if it names none.

    Raises:
        ValidationError: a spreadsheet has shortened it.
    """
    text = plain_id("" if value is None else str(value))
    if is_shortened(text):
        raise ValidationError(FieldError(name, SHORTENED))
    return "" if names_nothing(text) or has_email(text) else text


def product_name_of(value: object) -> str:
    """Returns the name of a product; "" if it is a placeholder or tells an e-mail."""
    text = "" if value is None else str(value)
    return "" if is_placeholder(text) or has_email(text) else text


def content_of(prefix: str, item: Mapping[str, Any]) -> Content:
    """Returns an item as content of an event; raises as `line_of`."""
    line = line_of(prefix, item)
    return Content(line.product_id, line.title, line.vendor, line.price, line.quantity)


def currency_of(value: str) -> str:
    """Returns the ISO 4217 code in upper case.

    Raises:
        ValidationError: it is none.
    """
    code = str(value).strip().upper()
    if not is_currency(code):
        raise ValidationError(FieldError("currency", "not an ISO 4217 code such as USD"))
    return code


def minor_units(name: str, value: Money, currency: str) -> int:
    """Returns an amount in minor units of its currency; raises as `amount_of`."""
    return to_minor(amount_of(name, value), currency)


def amount_of(name: str, value: Money) -> Decimal:
    """Returns an amount in major units.

    Raises:
        ValidationError: it is no amount of zero or more.
    """
    decimal = amount(format(value, "f") if isinstance(value, Decimal) else str(value))
    if decimal is None and isinstance(value, float):
        decimal = rounded_amount(value)
    if decimal is None or decimal < 0:
        raise ValidationError(FieldError(name, "not an amount of zero or more, such as 12.50"))
    return decimal


def quantity_of(name: str, value: object) -> int:
    """Returns a number of pieces, by default 1.

    Raises:
        ValidationError: it is no whole number.
    """
    text = f"{value:g}" if isinstance(value, float) else str(1 if value is None else value)
    if not _QUANTITY.fullmatch(text):
        raise ValidationError(FieldError(name, "not a whole number from 0 to 999999999"))
    return int(text)
