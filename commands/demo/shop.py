"""A made-up shop: the request bodies of its visitors, its orders and its spend."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from tracking.domain.conversion import Content, Stage

DAY, HOUR = 86_400, 3_600
FIRST_ID = 5_900_000_000_000
PIXEL_KEY = "the-pixel-of-the-demo"
_SHOP = "https://kiln.example"
_PIXEL_NAMES: Mapping[Stage, str] = {
    "product_view": "product_viewed",
    "add_to_cart": "product_added_to_cart",
    "checkout_initiation": "checkout_started",
}
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrafficSource:
    """A source of visitors, and the number of them that reach each stage of the funnel."""

    name: str
    query: str
    referrer: str
    visitors: int
    carts: int
    checkouts: int
    orders: int
    campaign_id: str = ""
    spend_a_day: str = ""

    @property
    def campaign(self) -> str:
        """Returns the name of the campaign, as its links tell it."""
        return dict(parse_qsl(self.query)).get("utm_campaign", "")

    def visitor(self, number: int) -> str:
        """Returns the id of a visitor in the storefront."""
        return f"demo-{self.name}-{number:03d}"

    def stages_of(self, number: int) -> list[Stage]:
        """Returns the stages that a visitor reaches before the purchase: the first ones most."""
        reached: tuple[tuple[Stage, int], ...] = (
            ("product_view", self.visitors),
            ("add_to_cart", self.carts),
            ("checkout_initiation", self.checkouts),
        )
        return [stage for stage, count in reached if number < count]


_PINTEREST = "https://www.pinterest.com/"
_PAID = "utm_source=pinterest&utm_medium=cpc"
AUTUMN = TrafficSource(
    name="autumn",
    query=f"{_PAID}&utm_campaign=autumn+mugs&utm_campaign_id=626735565838&epik=dj0yJnU9YXV0dW1u",
    referrer=_PINTEREST,
    visitors=42,
    carts=19,
    checkouts=14,
    orders=9,
    campaign_id="626735565838",
    spend_a_day="58.50",
)
GIFTS = TrafficSource(
    name="gifts",
    query=f"{_PAID}&utm_campaign=gift+guide&utm_campaign_id=626735565901",
    referrer=_PINTEREST,
    visitors=30,
    carts=12,
    checkouts=9,
    orders=5,
    campaign_id="626735565901",
    spend_a_day="61.25",
)
REMINDERS = TrafficSource(
    name="reminders",
    query=f"{_PAID}&utm_campaign=reminders&utm_campaign_id=626735565977",
    referrer="",
    visitors=16,
    carts=10,
    checkouts=8,
    orders=3,
    campaign_id="626735565977",
    spend_a_day="38.00",
)
GOOGLE = TrafficSource(
    name="google",
    query="utm_source=google&utm_medium=cpc&utm_campaign=brand",
    referrer="https://www.google.com/",
    visitors=18,
    carts=7,
    checkouts=5,
    orders=4,
)
DIRECT = TrafficSource(
    name="direct", query="", referrer="", visitors=12, carts=4, checkouts=3, orders=3
)
CAMPAIGNS = (AUTUMN, GIFTS, REMINDERS)
SOURCES = (*CAMPAIGNS, GOOGLE, DIRECT)
PRODUCTS = (
    Content(id="7001", name="Stoneware mug", brand="Kiln", price="24.00"),
    Content(id="7002", name="Linen napkin", brand="Loom", price="9.50"),
    Content(id="7003", name="Serving bowl", brand="Kiln", price="58.00"),
)
BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15"


def order(number: int, source: TrafficSource, visitor: int, at: int, **changes: object) -> Body:
    """Returns an order in Shopify's form, placed at this instant, with the fields used here."""
    placed = instant(at)
    product, quantity = PRODUCTS[number % len(PRODUCTS)], 1 + number % 2
    goods = Decimal(product.price) * quantity
    tax = (goods * 8 / 100).quantize(Decimal("0.01"))
    email = f"buyer-{number}@example.com"
    body: Body = {
        "id": FIRST_ID + number,
        "name": f"#{1000 + number}",
        "created_at": placed,
        "processed_at": placed,
        "updated_at": placed,
        "cancelled_at": None,
        "test": False,
        "currency": "USD",
        "subtotal_price": str(goods),
        "total_tax": str(tax),
        "total_price": str(goods + tax + 6),
        "financial_status": "paid",
        "source_name": "web",
        "customer_locale": "en-US",
        "order_status_url": "https://kiln.example/1/orders/a/authenticate?key=k",
        "landing_site": f"/products/{product.id}" + (f"?{source.query}" if source.query else ""),
        "referring_site": source.referrer,
        "email": email,
        "note_attributes": [{"name": "__pin_vid", "value": source.visitor(visitor)}],
        "client_details": {"browser_ip": f"203.0.113.{number}", "user_agent": BROWSER},
        "customer": {"id": 8_100_000 + number, "email": email},
        "billing_address": {"last_name": "Buyer", "city": "Oslo", "country_code": "NO"},
        "line_items": [
            {
                "product_id": int(product.id),
                "title": product.name,
                "vendor": product.brand,
                "price": product.price,
                "quantity": quantity,
            }
        ],
        "refunds": [],
    }
    return body | changes


def refund(body: Body, share: int, now: int) -> Body:
    """Returns a refund of one `share`th of an order's goods."""
    amount = str((Decimal(body["subtotal_price"]) / share).quantize(Decimal("0.01")))
    paid = {"kind": "refund", "status": "success", "amount": amount, "currency": "USD"}
    return {
        "id": body["id"] + 1_000,
        "order_id": body["id"],
        "created_at": instant(now),
        "refund_line_items": [{"quantity": 1, "subtotal": amount, "total_tax": "0.00"}],
        "transactions": [paid],
    }


def refunded(body: Body, share: int, now: int) -> Body:
    """Returns the state of an order after a refund of one `share`th of its goods."""
    status = "refunded" if share == 1 else "partially_refunded"
    given = [refund(body, share, now)]
    return body | {"financial_status": status, "updated_at": instant(now), "refunds": given}


def cancelled(body: Body, now: int, **changes: object) -> Body:
    """Returns the state of an order after its cancellation."""
    return body | {"cancelled_at": instant(now), "updated_at": instant(now), **changes}


def instant(seconds: float) -> str:
    """Returns seconds UTC in Shopify's notation."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


# The order of a buyer who clicked a pin three days before, and came back directly.
LATER = 52
LATER_ID = FIRST_ID + LATER


@dataclass(frozen=True, slots=True)
class Scene:
    """A series of webhooks, and a title that says what it shows."""

    title: str
    webhooks: tuple[tuple[str, Body | bytes], ...]


def orders_of(sources: Sequence[TrafficSource], now: int) -> list[Body]:
    """Returns the orders of the last hour, each by one of the visitors of a source."""
    buyers = [(source, visitor) for source in sources for visitor in range(source.orders)]
    return [
        order(number, source, visitor, now - 2_700 + 60 * number)
        for number, (source, visitor) in enumerate(buyers, 1)
    ]


def before_delivery(orders: Sequence[Body], now: int) -> list[Scene]:
    """Returns the webhooks that Shopify sends before the events are delivered."""
    others = GOOGLE.orders + DIRECT.orders
    click = order(LATER - 1, AUTUMN, 9, now - 3 * DAY - HOUR)
    later = order(LATER, DIRECT, 0, now - 300, note_attributes=[], email=click["email"])
    repeated = order(53, GIFTS, 5, now - HOUR // 2)
    updated_first = order(54, GIFTS, 6, now - HOUR // 2)
    cancelled_first = order(55, REMINDERS, 3, now - HOUR // 2)
    without_consent = order(57, AUTUMN, 11, now - HOUR // 2)
    without_consent["note_attributes"].append({"name": "__pin_consent", "value": "marketing=no"})
    return [
        _created("orders of people who clicked a pin", *orders[:-others]),
        _created("orders of people who did not", *orders[-others:]),
        _created("a click's order, and a direct one 3 days later", click, later),
        _created("one order, delivered three times", repeated, repeated, repeated),
        Scene(
            "an order's update, ahead of the order",
            (
                ("orders/updated", updated_first | {"updated_at": instant(now)}),
                ("orders/create", updated_first),
            ),
        ),
        Scene(
            "an order's cancellation, ahead of the order",
            (
                ("orders/cancelled", cancelled(cancelled_first, now)),
                ("orders/create", cancelled_first),
            ),
        ),
        _created("a test order", order(56, AUTUMN, 10, now - HOUR // 2, test=True)),
        _created("an order without marketing consent", without_consent),
        Scene("a signed body that is no order", (("orders/create", b'{"hello": "there"}'),)),
    ]


def orders_in(scenes: Iterable[Scene]) -> list[Body]:
    """Returns the bodies of new orders that scenes have."""
    return [
        body
        for scene in scenes
        for topic, body in scene.webhooks
        if topic == "orders/create" and isinstance(body, dict)
    ]


def after_delivery(orders: Sequence[Body], now: int) -> list[Scene]:
    """Returns the webhooks that Shopify sends after the events were delivered."""
    cancelled_order, returned, halved = orders[1], orders[2], orders[AUTUMN.orders]
    half_refund = refund(halved, 2, now)
    return [
        Scene(
            "an order cancelled once its event was sent",
            (("orders/cancelled", cancelled(cancelled_order, now)),),
        ),
        Scene(
            "an order sent back",
            (
                ("refunds/create", refund(returned, 1, now)),
                ("orders/updated", refunded(returned, 1, now)),
            ),
        ),
        Scene(
            "half of an order refunded, told twice",
            (
                ("refunds/create", half_refund),
                ("refunds/create", half_refund),
                ("orders/updated", refunded(halved, 2, now)),
            ),
        ),
    ]


def _created(title: str, *bodies: Body) -> Scene:
    return Scene(title, tuple(("orders/create", body) for body in bodies))


def pixel_calls(now: int) -> Iterator[Body]:
    """Yields the pixel's calls: one for each visitor's way through the storefront."""
    for source in SOURCES:
        for number in range(source.visitors):
            visitor, product = source.visitor(number), PRODUCTS[number % len(PRODUCTS)]
            events = [
                pixel_event(visitor, stage, product, now - 3_200 + place)
                for place, stage in enumerate(source.stages_of(number))
            ]
            yield pixel_call(visitor, landing(source.query, source.referrer, now - 3_300), events)


def pixel_call(visitor: str, session: Body, events: Sequence[Body]) -> Body:
    """Returns a call of the pixel."""
    return {"key": PIXEL_KEY, "visitor": visitor, "session": session, "events": events}


def landing(query: str, referrer: str, at: int) -> Body:
    """Returns the session of a visitor who landed with this query at an instant (seconds UTC)."""
    return {**dict(parse_qsl(query)), "landed_at": at, "referrer": referrer}


def pixel_event(visitor: str, stage: Stage, product: Content, at: int) -> Body:
    """Returns the pixel's event of a visitor who reaches a stage (seconds UTC)."""
    return {
        "id": f"{visitor}-{stage}",
        "name": _PIXEL_NAMES[stage],
        "timestamp": at * 1000,
        "context": {"document": {"location": {"href": f"{_SHOP}/products/mug"}}},
        "data": _event_of(product, f"checkout-of-{visitor}"),
    }


def _event_of(product: Content, token: str) -> Body:
    """Returns the data of a Shopify customer event; each event reads its own part."""
    price = {"amount": float(product.price), "currencyCode": "USD"}
    variant = {"product": {"id": product.id, "title": product.name}, "price": price}
    return {
        "productVariant": variant,
        "cartLine": {"merchandise": variant, "quantity": 1, "cost": {"totalAmount": price}},
        "checkout": {
            "token": token,
            "currencyCode": "USD",
            "subtotalPrice": price,
            "lineItems": [{"quantity": 1, "variant": variant}],
        },
    }
