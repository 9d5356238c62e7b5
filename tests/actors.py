"""Who acts in the tests: Shopify, the storefront, the shop's owner, an operator, and the clock."""

import copy
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import assemble
from tests.standins.pinterest import FakePinterest
from tracking.deliver.deliverer import Deliverer
from tracking.service import Service
from tracking.store import Store
from webhooks.signature import sign

SECRET = "shpss_a-secret-of-the-tests-only"
API_TOKEN = "a-token-of-the-tests-only"
COLLECTOR_KEY = "pk_of-the-tests-only"
CHECKOUT_TOKEN = "checkout-token-0123456789"
# 2026-11-20T12:00:00Z, a Friday.
NOW = 1_795_176_000
DAY, HOUR = 86_400, 3_600
TODAY = {"start_date": "2026-11-20", "end_date": "2026-11-20"}

T = TypeVar("T")


class Clock:
    """The time in seconds UTC. It moves only when it is told to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def tick(self, *, days: float = 0, hours: float = 0, seconds: float = 0) -> None:
        """Move on (or back)."""
        self.now += days * DAY + hours * HOUR + seconds


def instant(seconds: float) -> str:
    """Seconds UTC as Shopify writes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def order(**changes: Any) -> dict[str, Any]:
    """An order body of one line worth 40.00 USD, plus 3.00 tax and 7.00 shipping, placed NOW.

    The buyer is known by e-mail and browser and came directly. Give only what matters.
    """
    body: dict[str, Any] = {
        "id": 5_001,
        "name": "#1001",
        "created_at": instant(NOW),
        "processed_at": instant(NOW),
        "updated_at": instant(NOW),
        "cancelled_at": None,
        "test": False,
        "currency": "USD",
        "subtotal_price": "40.00",
        "total_tax": "3.00",
        "total_price": "50.00",
        "taxes_included": False,
        "financial_status": "paid",
        "source_name": "web",
        "customer_locale": "en-US",
        "order_status_url": "https://shop.example/1/orders/abc/authenticate?key=x",
        "landing_site": "/products/mug",
        "referring_site": "",
        "email": "ada@example.com",
        "contact_email": "ada@example.com",
        "phone": None,
        "note_attributes": [],
        "client_details": {"browser_ip": "203.0.113.7", "user_agent": "Mozilla/5.0 (Macintosh)"},
        "customer": {"id": 9_001, "email": "ada@example.com", "first_name": "Ada"},
        "billing_address": {
            "first_name": "Ada",
            "last_name": "Love",
            "city": "New York",
            "province_code": "NY",
            "zip": "10001",
            "country_code": "US",
            "phone": "212-555-0142",
        },
        "line_items": [
            {
                "id": 1,
                "product_id": 111,
                "variant_id": 222,
                "sku": "MUG-1",
                "title": "Mug",
                "vendor": "Kiln",
                "price": "20.00",
                "quantity": 2,
                "discount_allocations": [],
                "tax_lines": [{"price": "3.00"}],
            }
        ],
        "refunds": [],
    }
    return copy.deepcopy(body | changes)


def refund(**changes: Any) -> dict[str, Any]:
    """A refund body that gives 10.00 USD of the goods of `order()` back."""
    body: dict[str, Any] = {
        "id": 7_001,
        "order_id": 5_001,
        "created_at": instant(NOW + HOUR),
        "processed_at": instant(NOW + HOUR),
        "refund_line_items": [{"id": 1, "quantity": 1, "subtotal": 10.0, "total_tax": 0}],
        "order_adjustments": [],
        "transactions": [
            {"kind": "refund", "status": "success", "amount": "10.00", "currency": "USD"}
        ],
    }
    return copy.deepcopy(body | changes)


def pinned(campaign_id: str = "626735565838", **more: str) -> str:
    """The landing page of a click on a paid pin."""
    told = {"utm_source": "pinterest", "utm_medium": "cpc", "utm_campaign_id": campaign_id, **more}
    return "/products/mug?" + "&".join(f"{name}={value}" for name, value in told.items())


class Shop:
    """Shopify on one side of the service, the shop's owner on the other."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def sends(
        self,
        topic: str,
        body: Mapping[str, Any] | bytes,
        *,
        secret: str = SECRET,
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        """Post a signed webhook."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = sign(raw, secret.encode())
        return self.client.post(
            f"/webhooks/{topic}",
            data=raw,
            content_type="application/json",
            headers={"X-Shopify-Hmac-Sha256": signature, **(headers or {})},
        )

    def sends_until_taken(self, topic: str, body: Mapping[str, Any]) -> TestResponse:
        """Post a signed webhook as Shopify does, which comes again where others were in the way."""
        for _ in range(4):
            if (answer := self.sends(topic, body)).status_code != 503:
                return answer
        return self.sends(topic, body)

    def reads(self, path: str, **parameters: str) -> Any:
        """Get a report as the owner, as JSON."""
        response = self.client.get(path, query_string=parameters, headers=bearer())
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.get_json()

    def spends(self, *rows: Mapping[str, Any]) -> TestResponse:
        """Hand in ad spend as the owner."""
        return self.client.post("/spend", json={"rows": list(rows)}, headers=bearer())


def bearer(token: str = API_TOKEN) -> dict[str, str]:
    """The header that opens the reports."""
    return {"Authorization": f"Bearer {token}"}


def notes(**said: str) -> list[dict[str, str]]:
    """Note attributes in Shopify's form: `notes(pin_consent="marketing=no")`."""
    return [{"name": name, "value": value} for name, value in said.items()]


def deliver(service: Service, name: str = "pinterest") -> int:
    """Send all that may be sent now, with the shortest waits; how many events were tried."""
    deliverer = Deliverer(service.store, service.destinations[name], service.clock, lambda: 0.0)
    return sum(iter(deliverer.deliver, 0))


class NoPause(threading.Event):
    """Tells whoever waits on it to go on at once."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


def ask_to_erase(service: Service) -> None:
    """Ask Pinterest for the erasures that are due now."""
    while service.privacy.at_pinterest.go_on(NoPause()):
        pass


def at_once(store: Store, works: Sequence[Callable[[], T]]) -> list[Future[T]]:
    """What came of works that write to the store together.

    A writer is under way while they arrive, so that on SQLite they share the next commit.
    """
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        begun.set()
        assert go_on.wait(20)

    with ThreadPoolExecutor(len(works) + 1) as threads:
        threads.submit(store.commit, hold)
        assert begun.wait(20)
        found = [threads.submit(work) for work in works]
        threading.Timer(0.1, go_on.set).start()
    return found


class Operator:
    """Types commands at an app."""

    def __init__(self, app: Flask) -> None:
        self._runner = app.test_cli_runner()

    def types(self, *words: str) -> Result:
        """What the command said, whatever its exit code."""
        result = self._runner.invoke(args=words)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    def reads(self, *words: str) -> str:
        """What a command that succeeds says."""
        result = self.types(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def is_told(self, *words: str) -> str:
        """The one line of a command that fails."""
        result = self.types(*words)
        assert result.exit_code == 1, result.output
        (line,) = result.stderr.splitlines()
        return line.removeprefix("Error: ")


class Storefront:
    """A shop with a pixel, the Pinterest it advertises on, and its owner."""

    def __init__(self, service: Service, pinterest: FakePinterest, clock: Clock) -> None:
        self.service = service
        self.pinterest = pinterest
        self.clock = clock
        self.client: FlaskClient = assemble(service).test_client()
        self.shop = Shop(self.client)

    def posts(self, call: Any, **headers: str) -> TestResponse:
        agent = {"User-Agent": "Mozilla/5.0 (Macintosh)", **headers}
        return self.client.post(
            "/collect",
            data=json.dumps(call),
            content_type="text/plain",
            headers=agent,
            environ_overrides={"REMOTE_ADDR": "203.0.113.7"},
        )

    def sees(
        self,
        name: str,
        visitor: str,
        ago: float = 0,
        page: str = "/",
        data: Any = None,
        agent: str = "Mozilla/5.0 (Macintosh)",
        **more: Any,
    ) -> str:
        """Let the pixel tell of an event so many seconds ago; its id."""
        at = self.clock() - ago
        event = {
            "id": f"shu-{name}-{visitor}-{int(at)}",
            "name": name,
            "timestamp": instant(at),
            "context": {"document": {"location": {"href": f"https://shop.example{page}"}}},
            "data": data or {},
        }
        call = {"key": COLLECTOR_KEY, "visitor": visitor, "events": [event], **more}
        answer = self.posts(call, **{"User-Agent": agent})
        assert answer.status_code == 202, answer.get_data(as_text=True)
        assert answer.get_json()["refused"] == []
        return str(event["id"])

    def checks_out(
        self, visitor: str, ago: float = 60, token: str = CHECKOUT_TOKEN, **who: Any
    ) -> None:
        self.sees("checkout_completed", visitor, ago, data={"checkout": {"token": token, **who}})

    def sells(self, **changes: Any) -> None:
        at = instant(self.clock())
        placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
        answer = self.shop.sends("orders/create", order(**{**placed, **changes}))
        assert answer.get_json()["status"] == "accepted"

    def journey(self, order_id: int = 5001) -> Any:
        return self.shop.reads(f"/orders/{order_id}/journey")

    def sent(self) -> dict[str, Any]:
        """What Pinterest has taken by now, by event id."""
        deliver(self.service)
        return dict(self.pinterest.events)

    def stages(self, **query: str) -> dict[str, tuple[int, int]]:
        found = self.shop.reads("/conversion-funnel", **query)
        return {s["stage"]: (s["events"], s["visitors"]) for s in found["stages"]}


class World:
    """A shop with settings of its own, and Pinterest."""

    def __init__(self, service: Service, pinterest: FakePinterest) -> None:
        self.service = service
        self.pinterest = pinterest
        self.shop = Shop(assemble(service).test_client())

    def sells(self, **changes: Any) -> None:
        """Take in an order; orders of one number are one order."""
        answer = self.shop.sends("orders/create", order(**changes))
        assert answer.json == {"status": "accepted", "order_id": str(changes.get("id", 5001))}

    def told(self) -> dict[str, Any]:
        """The events Pinterest has after everything was delivered, by order."""
        deliver(self.service)
        events = self.pinterest.events
        return {event["custom_data"]["order_id"]: event for event in events.values()}

    def event(self) -> Any:
        """What Pinterest was told of the one order."""
        (event,) = self.told().values()
        return event

    def reason(self, order_id: int = 5001) -> str:
        """Why an order is not sent, in the log's word; "" if it is."""
        events = self.shop.reads("/events")["events"]
        return str(next(e["reason"] for e in events if e["order_id"] == str(order_id)))

    def credits(self, model: str, **more: str) -> dict[str, str]:
        """Today's revenue by campaign, leaving out what earned nothing."""
        found = self.shop.reads("/roi-analysis", **{**TODAY, "model": model, **more})
        return {
            line["campaign_id"] or line["campaign"]: line["revenue"]
            for line in found["campaigns"]
            if line["revenue"] != "0.00"
        }


BuildWorld = Callable[..., World]
