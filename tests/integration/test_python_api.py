"""Another Python program tells of sales and visits: by the words of the contract, as they stand."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app import assemble
from config import Settings
from tests.actors import API_TOKEN, NOW, SECRET, Clock, Shop, deliver, instant, order
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.stored import everything, rows
from tracking import (
    PinterestConversionTracker,
    track_pinterest_add_to_cart,
    track_pinterest_checkout,
    track_pinterest_product_view,
)
from tracking.destinations import connect_all
from tracking.domain.conversion import Content
from tracking.domain.validation import ValidationError
from tracking.service import Service, service_of
from tracking.store import open_store

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json
from tracking import (
    PinterestConversionTracker,
    track_pinterest_add_to_cart,
    track_pinterest_checkout,
    track_pinterest_product_view,
    track_pinterest_purchase,
)

session = {"utm_source": "pinterest", "utm_medium": "cpc", "utm_campaign_id": "123456789"}
visitor = session | {"visitor_id": "visitor-1"}

answers = [
    track_pinterest_product_view(
        product_id="12345", product_name="Test Product", product_price=29.99,
        product_url="https://shop.example/products/12345", session_data=visitor),
    track_pinterest_add_to_cart(
        product_id="12345", product_name="Test Product", product_price=29.99, quantity=2,
        session_data=visitor),
    track_pinterest_checkout(
        cart_value=59.98,
        cart_items=[
            {"product_id": "12345", "title": "Test Product", "quantity": 2, "price": 29.99}],
        session_data=visitor),
]
for _ in range(2):
    answers.append(track_pinterest_purchase(order_id="ORDER_12345", order_value=59.98,
        order_items=[
            {"product_id": "12345", "title": "Test Product", "quantity": 2, "price": 29.99}],
        session_data={"utm_source": "pinterest", "utm_medium": "cpc",
            "utm_campaign_id": "123456789"},
        customer_email="test@example.com", customer_phone="+1234567890", currency="USD"))

tracker = PinterestConversionTracker()
print(json.dumps({
    "answers": answers,
    "funnel": PinterestConversionTracker().get_conversion_funnel_analysis(
        start_date=None, end_date=None),
    "roi": tracker.get_roi_analysis(start_date=None, end_date=None),
    "long_ago": tracker.get_roi_analysis("2020-01-01", "2020-01-31"),
}))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What the program printed, and what it left behind."""

    told: Mapping[str, Any]
    service: Service
    pinterest: FakePinterest


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The program above, run once by itself, with nothing but its environment."""
    place = tmp_path_factory.mktemp("program")
    with FakePinterest("pina_test_token", "549755885175") as pinterest:
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": f"sqlite:///{place}/data/tracking.db",
            "PINTEREST_ACCESS_TOKEN": pinterest.token,
            "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
            "PINTEREST_API_BASE": pinterest.url,
        }
        (place / ".env").write_text("".join(f"{name}={value}\n" for name, value in env.items()))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            cwd=place,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        settings = Settings.from_env(env)
        store = open_store(settings.database_url)
        service = service_of(settings, store, connect_all(settings), time.time)
        yield Ran(json.loads(done.stdout), service, pinterest)
        store.close()
        for destination in service.destinations.values():
            destination.close()


def test_every_call_answers_true_once_it_is_recorded(ran: Ran) -> None:
    assert ran.told["answers"] == [True] * 5


def test_what_was_told_is_in_the_funnel(ran: Ran) -> None:
    funnel = ran.told["funnel"]
    counts = {stage["stage"]: stage["events"] for stage in funnel["stages"]}
    assert counts == {
        "product_view": 1,
        "add_to_cart": 1,
        "checkout_initiation": 1,
        "purchase": 1,
    }
    assert (funnel["total_events"], funnel["conversion_rate"]) == (4, "100.00%")


def test_the_purchase_is_credited_to_its_campaign_and_counted_once(ran: Ran) -> None:
    roi = ran.told["roi"]
    assert (roi["orders"], roi["total_revenue"], roi["currency"]) == (1, "59.98", "USD")
    (line,) = roi["campaigns"]
    assert (line["campaign_id"], line["revenue"]) == ("123456789", "59.98")
    assert ran.told["long_ago"]["orders"] == 0


def test_everything_goes_through_the_same_store_to_pinterest(ran: Ran) -> None:
    deliver(ran.service)
    sold = ran.pinterest.events["checkout-ORDER_12345"]
    assert ran.pinterest.accepted["checkout-ORDER_12345"] == 1
    assert sold["custom_data"]["value"] == "59.98"
    assert sold["custom_data"]["order_id"] == "ORDER_12345"
    assert sold["custom_data"]["contents"] == [
        {"id": "12345", "item_name": "Test Product", "item_price": "29.99", "quantity": 2}
    ]
    assert len(sold["user_data"]["em"][0]) == 64


def test_nobody_is_kept_in_clear(ran: Ran) -> None:
    assert "test@example.com" not in str(everything(ran.service.store))


# --- With a service of its own


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def tracker(service: Service) -> PinterestConversionTracker:
    return PinterestConversionTracker(service)


def test_a_purchase_told_again_changes_nothing(
    service: Service, tracker: PinterestConversionTracker, clock: Clock
) -> None:
    tracker.track_purchase("A-1", "59.98", customer_email="test@example.com")
    before = everything(service.store)
    clock.tick(hours=1)
    assert tracker.track_purchase("A-1", "59.98", customer_email="test@example.com") is True
    assert everything(service.store) == before


def test_whatever_shopify_says_of_the_same_order_is_newer(
    service: Service, tracker: PinterestConversionTracker
) -> None:
    tracker.track_purchase("5001", "1.00", customer_email="test@example.com")
    shop = Shop(assemble(service).test_client())
    body = order(updated_at=instant(NOW - 86_400))
    assert shop.sends("orders/create", body).json == {"status": "accepted", "order_id": "5001"}
    assert tracker.track_purchase("5001", "2.00") is True
    assert tracker.get_roi_analysis()["total_revenue"] == "40.00"


@pytest.mark.parametrize(
    ("value", "revenue"),
    [
        (59.98, "59.98"),
        ("59.98", "59.98"),
        (60, "60.00"),
        (Decimal("59.98"), "59.98"),
        (Decimal("1E+2"), "100.00"),
        (1.1 * 3, "3.30"),
        (0, "0.00"),
    ],
)
def test_an_amount_may_be_any_number(
    tracker: PinterestConversionTracker, value: Any, revenue: str
) -> None:
    tracker.track_purchase("A-1", value, [{"product_id": "1", "price": value, "quantity": 2.0}])
    assert tracker.get_roi_analysis()["total_revenue"] == revenue


def test_a_session_that_is_another_visitors_name_joins_the_stages(
    tracker: PinterestConversionTracker,
) -> None:
    session = {"utm_source": "pinterest", "session_id": "session-1"}
    for _ in range(3):
        tracker.track_stage("product_view", (Content("1"),), 5, session)
    tracker.track_purchase("A-1", 5, session_data=session)
    stages = tracker.get_conversion_funnel_analysis()["stages"]
    assert [(s["events"], s["visitors"]) for s in (stages[0], stages[3])] == [(3, 1), (1, 1)]


@pytest.mark.parametrize(
    ("unknown", "opt_out"), [("send", None), ("limit", True)], ids=["send", "limit"]
)
def test_visits_of_unknown_consent_are_told_as_the_shop_decided(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    unknown: str,
    opt_out: bool | None,
) -> None:
    service = build_service(
        sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", CONSENT_UNKNOWN=unknown
    )
    session = {"email": "test@example.com"}
    PinterestConversionTracker(service).track_stage("product_view", (Content("1"),), 5, session)
    (row,) = rows(service.store, "outbox")
    event = json.loads(row["payload"])
    assert event.get("opt_out") is opt_out
    assert event["custom_data"].get("opt_out_type") == ("LDP" if opt_out else None)


# --- What cannot be used

WRONG: dict[str, Mapping[str, Any]] = {
    "order_id": {"order_id": "  "},
    "order_value": {"order_value": "much"},
    "currency": {"currency": "dollars"},
    "order_items/0/price": {"order_items": [{"price": "free"}]},
    "order_items/1/quantity": {"order_items": [{"price": 1}, {"quantity": "two"}]},
}


@pytest.mark.parametrize("field", WRONG)
def test_a_purchase_that_cannot_be_used_names_the_field_and_stores_nothing(
    service: Service, tracker: PinterestConversionTracker, field: str
) -> None:
    told = {"order_id": "A-1", "order_value": 5, **WRONG[field]}
    with pytest.raises(ValidationError) as refused:
        tracker.track_purchase(**told)
    assert [fault.field for fault in refused.value.errors] == [field]
    assert rows(service.store, "orders") == []


@pytest.mark.parametrize(
    "value", [-1, "-0.01", "", "1,50", float("nan"), float("inf"), 1e300, None]
)
def test_a_value_that_is_no_amount_is_refused(
    tracker: PinterestConversionTracker, value: Any
) -> None:
    with pytest.raises(ValidationError, match="order_value"):
        tracker.track_purchase("A-1", value)
    with pytest.raises(ValidationError, match="value"):
        tracker.track_stage("product_view", (), value)


Call = Callable[[], bool]


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("product_price", lambda: track_pinterest_product_view("1", product_price="cheap")),
        ("product_price", lambda: track_pinterest_add_to_cart("1", product_price=-1)),
        ("quantity", lambda: track_pinterest_add_to_cart("1", quantity="two")),  # type: ignore[arg-type]
        ("quantity", lambda: track_pinterest_add_to_cart("1", quantity=-2)),
        ("cart_value", lambda: track_pinterest_checkout("much")),
        ("cart_items/0/price", lambda: track_pinterest_checkout(1, [{"price": "x"}])),
        ("cart_items/0/quantity", lambda: track_pinterest_checkout(1, [{"quantity": "x"}])),
    ],
)
def test_a_visit_that_cannot_be_used_names_the_field(field: str, call: Call) -> None:
    with pytest.raises(ValidationError) as refused:
        call()
    assert [fault.field for fault in refused.value.errors] == [field]
