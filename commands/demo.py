"""A made-up shop's day through the real service, with a local stand-in for Pinterest.

Nothing needs to be configured and nothing leaves this machine. The service runs as it does in
earnest, under gunicorn, and hears of orders by signed webhooks; only Pinterest is played.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import requests

from config import VARIABLES, ConfigurationError, Settings
from tests.standins.pinterest import FakePinterest
from tracking.domain.conversion import REASONS, Content, Stage
from tracking.service import open_service
from tracking.store import outbox
from webhooks.signature import sign

HERE = Path(__file__).resolve().parent
DAY, HOUR = 86_400, 3_600
PATIENCE = 60.0
SPEND_DAYS = 7
FIRST_ID = 5_900_000_000_000
PIXEL_KEY = "the-pixel-of-the-demo"
_SHOP = "https://kiln.example"
_PIXEL_NAMES: Mapping[Stage, str] = {
    "product_view": "product_viewed",
    "add_to_cart": "product_added_to_cart",
    "checkout_initiation": "checkout_started",
}
_POLL = 0.05

Body = dict[str, Any]


class NoDemo(Exception):
    """The demo cannot run, or the service did not do its part; the message says what happened."""


# --- The shop


@dataclass(frozen=True, slots=True)
class Source:
    """Where visitors come from, and how many of them reach each stage of the funnel."""

    name: str
    query: str
    referrer: str
    visitors: int
    carts: int
    checkouts: int
    orders: int
    campaign_id: str = ""
    spend_a_day: str = ""

    def visitor(self, number: int) -> str:
        """The id that the storefront knows a visitor by."""
        return f"demo-{self.name}-{number:03d}"

    def stages_of(self, number: int) -> list[Stage]:
        """How far a visitor gets before the purchase: the first ones get furthest."""
        reached: tuple[tuple[Stage, int], ...] = (
            ("product_view", self.visitors),
            ("add_to_cart", self.carts),
            ("checkout_initiation", self.checkouts),
        )
        return [stage for stage, count in reached if number < count]


_PINTEREST = "https://www.pinterest.com/"
_PAID = "utm_source=pinterest&utm_medium=cpc"
AUTUMN = Source(
    name="autumn",
    query=f"{_PAID}&utm_campaign=autumn+mugs&utm_campaign_id=626735565838&epik=dj0yJnU9YXV0dW1u",
    referrer=_PINTEREST,
    visitors=42,
    carts=19,
    checkouts=14,
    orders=9,
    campaign_id="626735565838",
    spend_a_day="8.50",
)
GIFTS = Source(
    name="gifts",
    query=f"{_PAID}&utm_campaign=gift+guide&utm_campaign_id=626735565901",
    referrer=_PINTEREST,
    visitors=30,
    carts=12,
    checkouts=9,
    orders=5,
    campaign_id="626735565901",
    spend_a_day="11.25",
)
REMINDERS = Source(
    name="reminders",
    query=f"{_PAID}&utm_campaign=reminders&utm_campaign_id=626735565977",
    referrer="",
    visitors=16,
    carts=10,
    checkouts=8,
    orders=3,
    campaign_id="626735565977",
    spend_a_day="20.00",
)
ORGANIC = Source(
    name="organic",
    query="epik=dj0yJnU9b3JnYW5pYy1waW4",
    referrer="",
    visitors=9,
    carts=4,
    checkouts=3,
    orders=2,
)
GOOGLE = Source(
    name="google",
    query="utm_source=google&utm_medium=cpc&utm_campaign=brand",
    referrer="https://www.google.com/",
    visitors=18,
    carts=7,
    checkouts=5,
    orders=4,
)
DIRECT = Source(name="direct", query="", referrer="", visitors=12, carts=4, checkouts=3, orders=3)
SOURCES = (AUTUMN, GIFTS, REMINDERS, ORGANIC, GOOGLE, DIRECT)
PRODUCTS = (
    Content(id="7001", name="Stoneware mug", brand="Kiln", price="24.00"),
    Content(id="7002", name="Linen napkin", brand="Loom", price="9.50"),
    Content(id="7003", name="Serving bowl", brand="Kiln", price="58.00"),
)
_BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15"


def order(number: int, source: Source, visitor: int, at: int, **changes: object) -> Body:
    """An order as Shopify describes it, placed at this instant; only what matters here."""
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
        "client_details": {"browser_ip": f"203.0.113.{number}", "user_agent": _BROWSER},
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
    """A refund of one `share`th of an order's goods."""
    amount = str((Decimal(body["subtotal_price"]) / share).quantize(Decimal("0.01")))
    paid = {"kind": "refund", "status": "success", "amount": amount, "currency": "USD"}
    return {
        "id": body["id"] + 1_000,
        "order_id": body["id"],
        "created_at": instant(now),
        "refund_line_items": [{"quantity": 1, "subtotal": amount, "total_tax": "0.00"}],
        "transactions": [paid],
    }


def cancelled(body: Body, now: int, **changes: object) -> Body:
    """The later state of an order that was cancelled."""
    return body | {"cancelled_at": instant(now), "updated_at": instant(now), **changes}


def instant(seconds: float) -> str:
    """Seconds UTC as Shopify writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


# --- What happens there

# The order of a buyer who clicked a pin three days before, and came back directly.
LATER = 52
LATER_ID = FIRST_ID + LATER


@dataclass(frozen=True, slots=True)
class Scene:
    """Some webhooks, and what they show."""

    title: str
    webhooks: tuple[tuple[str, Body | bytes], ...]


def orders_of(sources: Sequence[Source], now: int) -> list[Body]:
    """What people bought in the last days, each as one of the visitors of a source."""
    buyers = [(source, visitor) for source in sources for visitor in range(source.orders)]
    return [
        order(number, source, visitor, now - number * 5 % 90 * HOUR - 600)
        for number, (source, visitor) in enumerate(buyers, 1)
    ]


def before_delivery(orders: Sequence[Body], now: int) -> list[Scene]:
    """What Shopify tells until the events are sent."""
    others = GOOGLE.orders + DIRECT.orders
    click = order(LATER - 1, AUTUMN, 9, now - 3 * DAY - HOUR)
    later = order(LATER, DIRECT, 0, now - 300, note_attributes=[], email=click["email"])
    repeated = order(53, GIFTS, 5, now - HOUR)
    hasty = order(54, GIFTS, 6, now - HOUR)
    regretted = order(55, REMINDERS, 3, now - HOUR)
    refusing = order(57, AUTUMN, 11, now - HOUR)
    refusing["note_attributes"].append({"name": "__pin_consent", "value": "marketing=no"})
    return [
        _created("orders of people who clicked a pin", *orders[:-others]),
        _created("orders of people who did not", *orders[-others:]),
        _created("a click's order, and a direct one 3 days later", click, later),
        _created("one order, delivered three times", repeated, repeated, repeated),
        Scene(
            "an order's update, ahead of the order",
            (
                ("orders/updated", hasty | {"updated_at": instant(now)}),
                ("orders/create", hasty),
            ),
        ),
        Scene(
            "an order's cancellation, ahead of the order",
            (("orders/cancelled", cancelled(regretted, now)), ("orders/create", regretted)),
        ),
        _created("a test order", order(56, AUTUMN, 10, now - HOUR, test=True)),
        _created("an order without marketing consent", refusing),
        Scene("a signed body that is no order", (("orders/create", b'{"hello": "there"}'),)),
    ]


def after_delivery(orders: Sequence[Body], now: int) -> list[Scene]:
    """What Shopify tells once Pinterest has the events."""
    unpaid, returned, halved = orders[1], orders[2], orders[AUTUMN.orders]
    back = refund(halved, 2, now)
    return [
        Scene(
            "an order cancelled once its event was sent",
            (("orders/cancelled", cancelled(unpaid, now)),),
        ),
        Scene("an order sent back", (("refunds/create", refund(returned, 1, now)),)),
        Scene(
            "half of an order refunded, told twice",
            (("refunds/create", back), ("refunds/create", back)),
        ),
    ]


def _created(title: str, *bodies: Body) -> Scene:
    return Scene(title, tuple(("orders/create", body) for body in bodies))


def spend_rows(today: datetime) -> list[dict[str, str]]:
    """What the campaigns cost in the last days."""
    days = [(today - timedelta(days=n)).date().isoformat() for n in range(SPEND_DAYS)]
    return [
        {
            "date": day,
            "campaign_id": source.campaign_id,
            "campaign": dict(parse_qsl(source.query))["utm_campaign"],
            "spend": source.spend_a_day,
            "currency": "USD",
        }
        for source in SOURCES
        if source.spend_a_day
        for day in days
    ]


def visits(now: int) -> Iterator[Body]:
    """Everybody's way through the storefront, as the pixel tells of it: one call for each visit."""
    for source in SOURCES:
        for number in range(source.visitors):
            visitor, product = source.visitor(number), PRODUCTS[number % len(PRODUCTS)]
            landed = {"landed_at": now - 300, "referrer": source.referrer}
            yield {
                "key": PIXEL_KEY,
                "visitor": visitor,
                "session": {**dict(parse_qsl(source.query)), **landed},
                "events": [
                    {
                        "id": f"{visitor}-{stage}",
                        "name": _PIXEL_NAMES[stage],
                        "timestamp": (now - 200 + place) * 1000,
                        "context": {"document": {"location": {"href": f"{_SHOP}/products/mug"}}},
                        "data": _told_of(product, f"checkout-of-{visitor}"),
                    }
                    for place, stage in enumerate(source.stages_of(number))
                ],
            }


def _told_of(product: Content, token: str) -> Body:
    """What Shopify's events hold, whichever of them it is."""
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


# --- The service, run as in earnest


@dataclass(frozen=True, slots=True)
class Running:
    """The service seen from outside, as Shopify and the shop's owner see it."""

    address: str
    secret: str
    token: str
    pinterest: FakePinterest
    http: requests.Session

    def sends(self, topic: str, body: Body | bytes, key: str = "") -> str:
        """Post a signed webhook; the status it was answered with."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = sign(raw, (key or self.secret).encode())
        answer = self.http.post(
            f"{self.address}/webhooks/{topic}",
            data=raw,
            headers={"Content-Type": "application/json", "X-Shopify-Hmac-Sha256": signature},
            timeout=PATIENCE,
        )
        return str(answer.json()["status"])

    def reads(self, path: str, **parameters: str) -> Any:
        """A report, as the shop's owner gets it."""
        answer = self.http.get(
            f"{self.address}{path}", params=parameters, headers=self._bearer, timeout=PATIENCE
        )
        answer.raise_for_status()
        return answer.json()

    def spends(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Hand in ad spend."""
        answer = self.http.post(
            f"{self.address}/spend", json={"rows": rows}, headers=self._bearer, timeout=PATIENCE
        )
        answer.raise_for_status()

    def wait_for_delivery(self) -> None:
        """Until no event waits any longer.

        Raises:
            NoDemo: one still did after a minute.
        """
        deadline = time.monotonic() + PATIENCE
        while self.reads("/events", state="waiting", limit="1")["events"]:
            if time.monotonic() > deadline:
                raise NoDemo(f"events still wait after {PATIENCE:.0f} s")
            time.sleep(_POLL)

    def sees(self, call: Body, address: str) -> int:
        """Let the pixel in somebody's browser tell of a visit; how many events were taken."""
        answer = self.http.post(
            f"{self.address}/collect",
            data=json.dumps(call),
            headers={
                "Content-Type": "text/plain",
                "User-Agent": _BROWSER,
                "X-Forwarded-For": address,
            },
            timeout=PATIENCE,
        )
        answer.raise_for_status()
        return int(answer.json()["accepted"])

    @property
    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def running(port: int | None, database_url: str | None) -> Iterator[Running]:
    """Everything up, with a folder of its own; everything down and removed at the end.

    Raises:
        NoDemo: the port is taken, or the database cannot be used or is not empty.
    """
    with (
        tempfile.TemporaryDirectory(prefix="demo-") as folder,
        FakePinterest() as pinterest,
        requests.Session() as http,
    ):
        # A proxy of the environment has no business on this machine's own addresses.
        http.trust_env = False
        env = {
            "SHOPIFY_WEBHOOK_SECRET": secrets.token_hex(16),
            "API_TOKEN": secrets.token_hex(16),
            "DATABASE_URL": database_url or f"sqlite:///{folder}/demo.db",
            "PINTEREST_ACCESS_TOKEN": pinterest.token,
            "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
            "PINTEREST_API_BASE": pinterest.url,
            "PINTEREST_SEND": "attributed",
            "COLLECTOR_KEY": PIXEL_KEY,
            "TRUSTED_PROXIES": "1",
            "PORT": str(_free_port(port)),
        }
        address = f"http://127.0.0.1:{env['PORT']}"
        _check_database(env)
        with _gunicorn(env, Path(folder), address, http):
            yield Running(address, env["SHOPIFY_WEBHOOK_SECRET"], env["API_TOKEN"], pinterest, http)


def _free_port(wanted: int | None) -> int:
    # Asked for without SO_REUSEPORT: the service would else share a port that is in use.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            raise NoDemo(f"port {wanted}: {error.strerror}") from error
        port: int = probe.getsockname()[1]
        return port


def _check_database(env: Mapping[str, str]) -> None:
    """Bring the database up, and make sure that nobody's events are in it."""
    try:
        service = open_service(Settings.from_env(env), time.time)
    except ConfigurationError as error:
        raise NoDemo("; ".join(error.problems)) from error
    except Exception as error:
        # Whatever the driver of the given database raises.
        reason = str(error).partition("\n")[0]
        raise NoDemo(f"the database cannot be used: {reason}") from error
    with ExitStack() as closed:
        closed.enter_context(closing(service.store))
        for destination in service.destinations.values():
            closed.enter_context(closing(destination))
        with service.store.read() as conn:
            if outbox.last_recorded(conn) is not None:
                raise NoDemo("the database holds events already; the demo wants an empty one")


@contextmanager
def _gunicorn(
    env: Mapping[str, str], folder: Path, address: str, http: requests.Session
) -> Iterator[None]:
    """The service under gunicorn, on a loopback address only."""
    log = folder / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "--config", str(HERE / "gunicorn.conf.py")]
    with log.open("wb") as out:
        server = subprocess.Popen(  # noqa: S603 - nothing of it comes from outside
            [*command, "--bind", address.removeprefix("http://"), "app:create_app()"],
            env={**_clean_environment(), **env},
            # Away from any .env file, and from Ctrl-C, which is ours to handle.
            cwd=folder,
            process_group=0,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(server, address, http, log)
        yield
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _clean_environment() -> dict[str, str]:
    """This process's environment, with our modules and without our settings."""
    ours = {name for v in VARIABLES for name in (v.name, f"{v.name}_FILE")} | {"GUNICORN_CMD_ARGS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    path = os.pathsep.join(filter(None, (str(HERE), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path}


def _wait_for(
    server: subprocess.Popen[bytes], address: str, http: requests.Session, log: Path
) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            if http.get(f"{address}/health", timeout=PATIENCE).ok:
                return
        time.sleep(_POLL)
    last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
    raise NoDemo(f"the service did not start: {''.join(last)}")


# --- What there is to tell


class Section(NamedTuple):
    """A title, a table with titles and sides ("<" or ">") of its columns, and a remark."""

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[object]]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Day:
    """What came of it, and where to look while the service is still up."""

    sections: tuple[Section, ...]
    addresses: tuple[str, ...]


@contextmanager
def played(port: int | None, database_url: str | None) -> Iterator[Day]:
    """Play the day; what came of it, with the service still up until the end.

    Raises:
        NoDemo: it cannot run, or the service did not do its part.
    """
    with running(port, database_url) as service:
        now = int(time.time())
        orders = orders_of(SOURCES, now)
        seen = sum(
            service.sees(call, f"198.51.100.{number}") for number, call in enumerate(visits(now), 1)
        )
        service.spends(spend_rows(datetime.now(UTC)))
        answers = [_answers(service, scene) for scene in before_delivery(orders, now)]
        service.wait_for_delivery()
        answers += [_answers(service, scene) for scene in after_delivery(orders, int(time.time()))]
        answers += [_forged(service, orders[0])]
        service.wait_for_delivery()
        webhooks = {"what": "<", "webhooks": ">", "answered": "<"}
        yield Day(
            sections=(
                Section("What Shopify told, and what it was answered", webhooks, answers),
                _events(service, seen),
                _funnel(service.reads("/conversion-funnel")),
                _roi(service.reads("/roi-analysis")),
                _journey(service),
            ),
            addresses=_addresses(service),
        )


def _answers(service: Running, scene: Scene) -> tuple[str, int, str]:
    answers = Counter(service.sends(topic, body) for topic, body in scene.webhooks)
    words = ", ".join(f"{count} {answer}" for answer, count in answers.items())
    return scene.title, len(scene.webhooks), words


def _forged(service: Running, body: Body) -> tuple[str, int, str]:
    answer = service.sends("orders/create", body, key="somebody else's")
    return "an order with a wrong signature", 1, f"1 refused ({answer})"


def _events(service: Running, seen: int) -> Section:
    events = service.reads("/events", limit="1000")["events"]
    fates = Counter(_fate(event) for event in events)
    told = service.pinterest.summary()
    return Section(
        f"What became of them, and of {seen} storefront events that the pixel told of",
        {"events": ">", "fate": "<"},
        [(count, fate) for fate, count in fates.most_common()],
        f"The stand-in for Pinterest took {told['accepted']} events, "
        f"{told['accepted_twice'] or 'none'} of them twice.",
    )


def _fate(event: Mapping[str, Any]) -> str:
    reason = event["reason"]
    return f"not sent: {REASONS[reason]}" if reason else str(event["state"])


def _funnel(found: Mapping[str, Any]) -> Section:
    return Section(
        "From the first look to the purchase, of those whom Pinterest brought",
        {"stage": "<", "events": ">", "visitors": ">", "of those before": ">"},
        [
            (s["stage"], s["events"], s["visitors"], s["rate_from_previous"] or "")
            for s in found["stages"]
        ],
        f"Conversion rate: {found['conversion_rate']}",
    )


def _roi(found: Mapping[str, Any]) -> Section:
    totals = {
        "campaign": "all orders",
        "revenue": found["total_revenue"],
        "spend": found["total_spend"],
    }
    names = ("campaign", "orders", "revenue", "spend", "roas", "roi", "cpa")
    return Section(
        f"What it brought, in {found['currency']}, by {found['model']}",
        {"campaign": "<"}
        | dict.fromkeys(("orders", "revenue", "spend", "ROAS", "ROI", "CPA"), ">"),
        [
            ["" if line[name] is None else line[name] for name in names]
            for line in (*found["campaigns"], {**found, **totals})
        ],
        f"Revenue is {found['gross_revenue']} gross, less {found['refunds']} refunded and "
        f"{found['cancellations']} cancelled.\nROAS, ROI and CPA weigh the spend against what "
        "Pinterest earned, not against orders that came by themselves.",
    )


def _journey(service: Running) -> Section:
    found = service.reads(f"/orders/{LATER_ID}/journey")
    return Section(
        f"Why, for example order {found['name']}, placed directly?", {}, (), found["why"]
    )


def _addresses(service: Running) -> tuple[str, ...]:
    paths = (
        "roi-analysis",
        "conversion-funnel?traffic=all",
        f"orders/{LATER_ID}/journey",
        "events?limit=5",
    )
    return (
        *(
            f"curl -H 'Authorization: Bearer {service.token}' '{service.address}/{path}'"
            for path in paths
        ),
        f"{service.address}/openapi.json (every endpoint)",
        f"{service.pinterest.url.removesuffix('/v5')}/_control (the stand-in's side)",
    )
