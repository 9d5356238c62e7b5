"""A Python program that imports the library, in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from config import Settings
from tests.actors import API_TOKEN, SECRET, deliver
from tests.servers import ROOT
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything
from tracking.destinations import connect_all
from tracking.service import Service, service_of
from tracking.store import open_store

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
