"""Library for other Python programs: records storefront events and purchases, reads reports.

It uses the same tracker and store as the webhooks. The first call reads the environment, and
`.env`, as the service does.
"""

import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from config import Settings
from tracking.domain.conversion import (
    EVENT_NAMES,
    REASONS,
    Content,
    Conversion,
    Stage,
    event_id_of,
    shop_page,
)
from tracking.domain.identity import Identity, identity_of
from tracking.domain.money import to_major
from tracking.receive.library_input import (
    Money,
    SessionData,
    amount_of,
    buyer_of,
    client_ip_in,
    content_of,
    currency_of,
    left_out_of,
    left_out_of_items,
    line_of,
    minor_units,
    order_id_of,
    order_of,
    page_of,
    pixel_event_of,
    product_id_of,
    product_name_of,
    quantity_of,
    unusable_in,
    visit_of,
)
from tracking.receive.tracker import Tracker
from tracking.report.reports import Reports
from tracking.service import Service, open_service
from tracking.store import conversions

# The fields of a person, and the parameters that tell them.
_PARAMETER_OF = {"em": "customer_email", "ph": "customer_phone"}

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
        currency = currency_of(currency)
        order = order_of(
            order_id_of(order_id),
            minor_units("order_value", order_value, currency),
            currency,
            tuple(line_of(f"order_items/{n}/", item) for n, item in enumerate(order_items)),
            session_fields,
            buyer_of(customer_email, customer_phone),
            now,
        )
        self.tracker.record(order, "library")
        unusable = identity_of(order.buyer).unusable
        left_out = [_PARAMETER_OF[field] for field in unusable if field in _PARAMETER_OF]
        left_out += left_out_of_items("order_items", order_items)
        return self._recorded(event_id_of(order.id), [*left_out, *left_out_of(session_fields)])

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
        policy = self.tracker.planner.policy
        visit = visit_of(session_fields, url, policy)
        currency = currency_of(currency)
        minor = minor_units("value", value, currency)
        page = page_of(url)
        conversion = Conversion(
            event_id=f"{EVENT_NAMES[stage]}-{uuid.uuid4().hex}",
            event_name=EVENT_NAMES[stage],
            action_source="web",
            event_time=int(self._service.clock()),
            # Whoever refuses marketing is counted, and known by nothing but the visitor id.
            identity=Identity() if visit.consent.marketing is False else visit.identity,
            event_source_url=page or shop_page("", policy),
            partner_name=policy.partner_name,
            opt_out=visit.is_limited,
            limited=visit.is_limited,
            click_id=visit.session.click_id,
            ip=client_ip_in(session_fields),
            user_agent=str(session_fields.get("client_user_agent") or ""),
            currency=currency,
            value=to_major(minor, currency),
            contents=tuple(contents),
            num_items=sum(content.quantity for content in contents),
        )
        event = pixel_event_of(stage, conversion, visit, minor, policy.pinterest_media)
        self.tracker.record_pixel_events([event])
        left_out = [*unusable, *(["email"] if visit.identity.unusable else [])]
        left_out += ["product_url"] if url and not page else []
        return self._recorded(event.event_id, [*left_out, *left_out_of(session_fields)])

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
    price = amount_of("product_price", product_price)
    content = Content(
        product_id_of("product_id", product_id),
        product_name_of(product_name),
        price=format(price, "f"),
    )
    unusable = unusable_in(product_id=product_id, product_name=product_name)
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
    price, pieces = amount_of("product_price", product_price), quantity_of("quantity", quantity)
    content = Content(
        product_id_of("product_id", product_id),
        product_name_of(product_name),
        price=format(price, "f"),
        quantity=pieces,
    )
    unusable = unusable_in(product_id=product_id, product_name=product_name)
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
    value = amount_of("cart_value", cart_value)
    contents = [content_of(f"cart_items/{n}/", item) for n, item in enumerate(cart_items)]
    unusable = left_out_of_items("cart_items", cart_items)
    return PinterestConversionTracker().track_stage(
        "checkout_initiation", contents, value, session_data, "", currency, unusable
    )


def _default_service() -> Service:
    global _default
    with _default_lock:
        if _default is None:
            _default = open_service(Settings.load(), time.time)
        return _default
