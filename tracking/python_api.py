"""Library for other Python programs: records storefront events and purchases, reads reports.

It uses the same tracker and store as the webhooks. The first call reads the environment, and
`.env`, as the service does.
"""

import hashlib
import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from config import Settings
from tracking.domain.client_ip import client_ip_of
from tracking.domain.consent import Consent, consent_in
from tracking.domain.conversion import (
    EVENT_NAMES,
    REASONS,
    Content,
    Conversion,
    Stage,
    event_id_of,
    is_limited,
    shop_page,
)
from tracking.domain.identity import Identity, identity_of
from tracking.domain.money import amount, is_currency, rounded_amount, to_major, to_minor
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
from tracking.receive.tracker import Tracker
from tracking.report.reports import Reports
from tracking.service import Service, open_service
from tracking.store import conversions

# The fields of a person, and the parameters that tell them.
_PARAMETER_OF = {"em": "customer_email", "ph": "customer_phone"}

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

_default: Service | None = None
_default_lock = threading.Lock()


class Recorded(int):
    """The result of a recorded event: equal to True, and says more.

    `reason` is why it is not sent (a key of REASONS in tracking/domain/conversion.py), "" if it is;
    `why` says so in words. `left_out` names the values that could not be used.
    """

    reason: str
    left_out: tuple[str, ...]

    def __new__(cls, reason: str, left_out: Iterable[str]) -> "Recorded":
        """Returns the result; its number is 1."""
        recorded = super().__new__(cls, True)
        recorded.reason, recorded.left_out = reason, tuple(dict.fromkeys(left_out))
        return recorded

    @property
    def is_sent(self) -> bool:
        """True if the event is sent, or was."""
        return not self.reason

    @property
    def why(self) -> str:
        """A sentence on whether and why the event is sent."""
        return REASONS.get(self.reason, self.reason)

    def __repr__(self) -> str:
        return f"Recorded(reason={self.reason!r}, left_out={self.left_out!r})"


class PinterestConversionTracker:
    """Tracker and reports of a service, by default of the one that the environment configures.

    Raises:
        ConfigurationError: the environment does not configure a service.
    """

    def __init__(self, service: Service | None = None) -> None:
        self._service = service or _default_service()
        self.tracker: Tracker = self._service.tracker
        self.reports: Reports = self._service.reports

    def track_purchase(
        self,
        order_id: str,
        order_value: Money,
        order_items: Sequence[Mapping[str, Any]] = (),
        session_data: SessionData | None = None,
        customer_email: str = "",
        customer_phone: str = "",
        currency: str = "USD",
    ) -> Recorded:
        """Records a purchase; repeating an order changes nothing.

        Raises:
            ValidationError: the order id, the value, the currency or an item cannot be used.
            StoreUnavailable: nothing may have been stored.
        """
        session_fields = session_data or {}
        now = int(self._service.clock())
        currency = _currency(currency)
        order = _order(
            _order_id(order_id),
            _minor_units("order_value", order_value, currency),
            currency,
            tuple(_line(f"order_items/{n}/", item) for n, item in enumerate(order_items)),
            session_fields,
            _buyer(customer_email, customer_phone),
            now,
        )
        self.tracker.record(order, "library")
        unusable = identity_of(order.buyer).unusable
        left_out = [_PARAMETER_OF[field] for field in unusable if field in _PARAMETER_OF]
        left_out += _left_out_of_items("order_items", order_items)
        return self._recorded(event_id_of(order.id), [*left_out, *_left_out_of(session_fields)])

    def _recorded(self, event_id: str, left_out: Iterable[str]) -> Recorded:
        with self._service.store.read() as conn:
            row = conversions.of_event(conn, event_id)
        return Recorded(row.reason if row is not None else "", left_out)

    def track_stage(
        self,
        stage: Stage,
        contents: Sequence[Content],
        value: Money,
        session_data: SessionData | None = None,
        url: str = "",
        currency: str = "USD",
        unusable: Sequence[str] = (),
    ) -> Recorded:
        """Records a product view, an addition to the cart or the start of a checkout, now.

        `unusable` names values of the contents that were left out of them.

        Raises:
            ValidationError: the value or the currency cannot be used.
            StoreUnavailable: nothing may have been stored.
        """
        session_fields = session_data or {}
        session = session_from(
            _note_attributes(session_fields),
            str(session_fields.get("referrer") or ""),
            (host_of(url), *self.tracker.planner.policy.own_hosts),
        )
        currency = _currency(currency)
        minor = _minor_units("value", value, currency)
        consent = consent_in(_note_attributes(session_fields))
        limited = is_limited(consent, self.tracker.planner.policy)
        email = str(session_fields.get("email") or "")
        identity = identity_of(_buyer(email, ""), limited=limited)
        page = _page_url(url)
        conversion = Conversion(
            event_id=f"{EVENT_NAMES[stage]}-{uuid.uuid4().hex}",
            event_name=EVENT_NAMES[stage],
            action_source="web",
            event_time=int(self._service.clock()),
            # Whoever refuses marketing is counted, and known by nothing but the visitor id.
            identity=Identity() if consent.marketing is False else identity,
            event_source_url=page or shop_page("", self.tracker.planner.policy),
            partner_name=self.tracker.planner.policy.partner_name,
            opt_out=limited,
            limited=limited,
            click_id=session.click_id,
            ip=_client_ip(session_fields),
            user_agent=str(session_fields.get("client_user_agent") or ""),
            currency=currency,
            value=to_major(minor, currency),
            contents=tuple(contents),
            num_items=sum(content.quantity for content in contents),
        )
        media = self.tracker.planner.policy.pinterest_media
        event = _pixel_event(stage, conversion, session, consent, minor, media)
        self.tracker.record_pixel_events([event])
        left_out = [*unusable, *(["email"] if identity.unusable else [])]
        left_out += ["product_url"] if url and not page else []
        return self._recorded(event.event_id, [*left_out, *_left_out_of(session_fields)])

    def get_conversion_funnel_analysis(
        self, start_date: str | None = None, end_date: str | None = None
    ) -> dict[str, Any]:
        """The report of GET /conversion-funnel; dates are inclusive shop days (YYYY-MM-DD)."""
        return self.reports.funnel(start_date, end_date)

    def get_roi_analysis(
        self, start_date: str | None = None, end_date: str | None = None
    ) -> dict[str, Any]:
        """The report of GET /roi-analysis; dates are inclusive shop days (YYYY-MM-DD)."""
        return self.reports.roi(start_date, end_date)


def track_pinterest_purchase(
    order_id: str,
    order_value: Money,
    order_items: Sequence[Mapping[str, Any]] = (),
    session_data: SessionData | None = None,
    customer_email: str = "",
    customer_phone: str = "",
    currency: str = "USD",
) -> Recorded:
    """Records a purchase; returns the result once it is on disk.

    Repeating an order changes nothing.
    """
    return PinterestConversionTracker().track_purchase(
        order_id, order_value, order_items, session_data, customer_email, customer_phone, currency
    )


def track_pinterest_product_view(
    product_id: str,
    product_name: str = "",
    product_price: Money = 0,
    product_url: str = "",
    session_data: SessionData | None = None,
    currency: str = "USD",
) -> Recorded:
    """Records a product view; returns the result once it is on disk."""
    price = _amount("product_price", product_price)
    content = Content(
        _product_id("product_id", product_id), _product_name(product_name), price=format(price, "f")
    )
    unusable = _unusable_in(product_id=product_id, product_name=product_name)
    return PinterestConversionTracker().track_stage(
        "product_view", (content,), price, session_data, product_url, currency, unusable
    )


def track_pinterest_add_to_cart(
    product_id: str,
    product_name: str = "",
    product_price: Money = 0,
    quantity: int = 1,
    session_data: SessionData | None = None,
    currency: str = "USD",
) -> Recorded:
    """Records an addition to the cart; returns the result once it is on disk."""
    price, pieces = _amount("product_price", product_price), _quantity("quantity", quantity)
    content = Content(
        _product_id("product_id", product_id),
        _product_name(product_name),
        price=format(price, "f"),
        quantity=pieces,
    )
    unusable = _unusable_in(product_id=product_id, product_name=product_name)
    return PinterestConversionTracker().track_stage(
        "add_to_cart", (content,), price * pieces, session_data, "", currency, unusable
    )


def track_pinterest_checkout(
    cart_value: Money,
    cart_items: Sequence[Mapping[str, Any]] = (),
    session_data: SessionData | None = None,
    currency: str = "USD",
) -> Recorded:
    """Records the start of a checkout; returns the result once it is on disk."""
    value = _amount("cart_value", cart_value)
    contents = [_content(f"cart_items/{n}/", item) for n, item in enumerate(cart_items)]
    unusable = _left_out_of_items("cart_items", cart_items)
    return PinterestConversionTracker().track_stage(
        "checkout_initiation", contents, value, session_data, "", currency, unusable
    )


def _default_service() -> Service:
    global _default
    with _default_lock:
        if _default is None:
            _default = open_service(Settings.load(), time.time)
        return _default


def _left_out_of(session_fields: SessionData) -> list[str]:
    """Returns the names in session data whose values cannot be used."""
    found = [
        name
        for name, value in session_fields.items()
        if name in _VISIT and value is not None and is_placeholder(str(value))
    ]
    told = session_fields.get("client_ip_address")
    return [*found, "client_ip_address"] if told and not _client_ip(session_fields) else found


def _left_out_of_items(name: str, items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the places in a list of items whose values name no product."""
    names = ("product_id", "variant_id", "sku", "title", "vendor")
    return [
        f"{name}/{n}/{field}"
        for n, item in enumerate(items)
        for field in _unusable_in(**{each: item.get(each) for each in names})
    ]


def _unusable_in(**values: object) -> list[str]:
    """Returns the names of the ids and names of a product that are left out, as they are told."""
    return [
        name
        for name, value in values.items()
        if value not in (None, "")
        and not (_product_id(name, value) if name in _PRODUCT_IDS else _product_name(value))
    ]


def _pixel_event(
    stage: Stage,
    conversion: Conversion,
    session: Session,
    consent: Consent,
    value: int,
    media: frozenset[str],
) -> PixelEvent:
    keys = conversion.identity.graph_keys()
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
        consent=consent,
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


def _order(
    order_id: str,
    value: int,
    currency: str,
    lines: tuple[Line, ...],
    session_fields: SessionData,
    buyer: Buyer,
    now: int,
) -> Order:
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
            ip=_client_ip(session_fields),
            user_agent=str(session_fields.get("client_user_agent") or ""),
        ),
        digest=hashlib.sha256(content.encode()).hexdigest(),
    )


def _page_url(url: str) -> str:
    """Returns a page's URL as it may be sent; "" for any other text."""
    try:
        return page_url(url)
    except (Rejected, Dropped):
        return ""


def _client_ip(session_fields: SessionData) -> str:
    return client_ip_of(str(session_fields.get("client_ip_address") or "").strip())


def _order_id(value: object) -> str:
    text = order_id_in(plain_id(str(value)))
    if is_shortened(text):
        raise ValidationError(FieldError("order_id", SHORTENED))
    if names_nothing(text):
        raise ValidationError(FieldError("order_id", "a placeholder, which names no order"))
    if not text or len(text) > 64 or not text.isprintable() or has_email(text):
        message = "not an id of 1 to 64 printable characters, nor an e-mail"
        raise ValidationError(FieldError("order_id", message))
    return text


def _buyer(email: str, phone: str) -> Buyer:
    return Buyer(emails=(email,) if email else (), phones=(phone,) if phone else ())


def _line(prefix: str, item: Mapping[str, Any]) -> Line:
    return Line(
        product_id=_product_id(f"{prefix}product_id", item.get("product_id")),
        variant_id=_product_id(f"{prefix}variant_id", item.get("variant_id")),
        sku=_product_id(f"{prefix}sku", item.get("sku")),
        title=_product_name(item.get("title")),
        vendor=_product_name(item.get("vendor")),
        price=format(_amount(f"{prefix}price", item.get("price") or 0), "f"),
        quantity=_quantity(f"{prefix}quantity", item.get("quantity")),
    )


def _product_id(name: str, value: object) -> str:
    text = plain_id("" if value is None else str(value))
    if is_shortened(text):
        raise ValidationError(FieldError(name, SHORTENED))
    return "" if names_nothing(text) or has_email(text) else text


def _product_name(value: object) -> str:
    text = "" if value is None else str(value)
    return "" if is_placeholder(text) or has_email(text) else text


def _content(prefix: str, item: Mapping[str, Any]) -> Content:
    line = _line(prefix, item)
    return Content(line.product_id, line.title, line.vendor, line.price, line.quantity)


def _currency(value: str) -> str:
    code = str(value).strip().upper()
    if not is_currency(code):
        raise ValidationError(FieldError("currency", "not an ISO 4217 code such as USD"))
    return code


def _minor_units(name: str, value: Money, currency: str) -> int:
    return to_minor(_amount(name, value), currency)


def _amount(name: str, value: Money) -> Decimal:
    decimal = amount(format(value, "f") if isinstance(value, Decimal) else str(value))
    if decimal is None and isinstance(value, float):
        decimal = rounded_amount(value)
    if decimal is None or decimal < 0:
        raise ValidationError(FieldError(name, "not an amount of zero or more, such as 12.50"))
    return decimal


def _quantity(name: str, value: object) -> int:
    text = f"{value:g}" if isinstance(value, float) else str(1 if value is None else value)
    if not _QUANTITY.fullmatch(text):
        raise ValidationError(FieldError(name, "not a whole number from 0 to 999999999"))
    return int(text)
