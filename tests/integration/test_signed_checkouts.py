"""Checkouts that Shopify signed: they say who is in a browser, and nothing else."""

import json
from typing import Any

import pytest

from tests.actors import CHECKOUT_TOKEN, COLLECTOR_KEY, HOUR, Clock, Storefront, notes, pinned
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, rows

LAPTOP, PHONE = "laptop-browser-1", "phone-browser-1"
TOPICS = ("checkouts/create", "checkouts/update")
LANDING = pinned("11", utm_campaign="summer")
DOMAIN = {"shop_id": 1, "shop_domain": "mug.myshopify.com"}


def checkout(**changes: Any) -> dict[str, Any]:
    """A checkout that was begun and not finished."""
    body = {
        "id": 981_820,
        "token": CHECKOUT_TOKEN,
        "cart_token": "cart-token-0123456789",
        "email": "ada@example.com",
        "phone": None,
        "created_at": "2026-11-20T11:50:00+00:00",
        "updated_at": "2026-11-20T11:55:00+00:00",
        "completed_at": None,
        "currency": "USD",
        "total_price": "50.00",
        "subtotal_price": "40.00",
        "note_attributes": [],
        "line_items": [{"product_id": 111, "quantity": 2, "price": "20.00"}],
        "customer": {"id": 9_001, "email": "ada@example.com"},
        "abandoned_checkout_url": "https://shop.example/1/checkouts/ac/x/recover?key=secret",
    }
    return body | changes


@pytest.fixture
def front(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY)
    return Storefront(service, pinterest, clock)


@pytest.fixture
def quick(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    service = build_service(sqlite_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY)
    return Storefront(service, pinterest, clock)


def signs(front: Storefront, topic: str = "checkouts/update", **changes: Any) -> str:
    answer = front.shop.sends(topic, checkout(**changes))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return str(answer.get_json()["status"])


@pytest.mark.parametrize("topic", TOPICS)
def test_a_signed_checkout_joins_its_buyer_with_the_browser_that_opened_it(
    front: Storefront, topic: str
) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.checks_out(LAPTOP, HOUR / 2)
    assert signs(front, topic) == "accepted"
    front.sees("page_viewed", PHONE, 60)
    front.sells(note_attributes=notes(__pin_vid=PHONE))

    assert front.journey()["why"].startswith("Credited to Pinterest: a click of campaign summer")
    assert {*front.sent()} == {"checkout-5001"}


def test_a_checkout_with_the_visitor_id_in_its_notes_needs_no_token_of_the_pixel(
    front: Storefront,
) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    signs(front, note_attributes=notes(__pin_vid=LAPTOP))
    front.sells()
    journey = front.journey()
    assert (journey["visitor"], journey["evidence"]) == (LAPTOP, "signed")
    assert journey["why"].startswith("Credited")


@pytest.mark.parametrize("signed_first", [True, False])
def test_it_has_an_earlier_order_credited_again_whatever_came_first(
    front: Storefront, signed_first: bool
) -> None:
    front.sees("page_viewed", LAPTOP, HOUR, LANDING)
    front.sells()
    assert front.sent() == {}
    if signed_first:
        signs(front)
    front.checks_out(LAPTOP, 0)
    if not signed_first:
        signs(front)
    assert {*front.sent()} == {"checkout-5001"}


def test_it_is_no_conversion_and_no_money(front: Storefront) -> None:
    signs(front)
    assert rows(front.service.store, "conversions") == []
    assert rows(front.service.store, "orders") == []
    assert front.sent() == {}


def test_the_same_checkout_again_is_a_duplicate(front: Storefront) -> None:
    assert [signs(front), signs(front), signs(front, TOPICS[0])] == [
        "accepted",
        "duplicate",
        "duplicate",
    ]
    assert signs(front, updated_at="2026-11-20T11:56:00+00:00") == "accepted"


@pytest.mark.parametrize(
    "changes",
    [
        {"email": None, "customer": None},
        {"email": "\\N", "customer": {"id": 0}},
        {"token": "short", "cart_token": None},
        {"note_attributes": notes(__pin_consent="marketing=no")},
    ],
)
def test_what_joins_nobody_is_taken_and_not_stored(
    quick: Storefront, changes: dict[str, Any]
) -> None:
    assert signs(quick, **changes) == "accepted"
    assert rows(quick.service.store, "links") == []


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[]",
        json.dumps(checkout(token=None)).encode(),
        json.dumps(checkout(token=["a"])).encode(),
        json.dumps(checkout(abandoned_checkout_url=None)).encode(),
        json.dumps({"id": "cart", "token": "cart-token-0123456789", "line_items": []}).encode(),
        json.dumps({"id": 1, "order_id": 2, "line_items": []}).encode(),
    ],
)
def test_a_signed_body_that_is_no_checkout_is_kept_and_answered(
    quick: Storefront, body: bytes
) -> None:
    answer = quick.shop.sends("checkouts/create", body)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "quarantined")
    (kept,) = rows(quick.service.store, "quarantine")
    assert bytes(kept["body"]) == body


@pytest.mark.parametrize("topic", TOPICS)
def test_what_shopify_did_not_sign_is_refused(quick: Storefront, topic: str) -> None:
    answer = quick.shop.sends(topic, checkout(), secret="another secret")
    assert answer.status_code == 401
    assert rows(quick.service.store, "links") == []


def test_no_clear_text_of_it_is_stored(quick: Storefront) -> None:
    quick.checks_out(LAPTOP)
    signs(quick, phone="+12125550142")
    found = str(everything(quick.service.store))
    for clear in ("ada@example.com", "2125550142", "9001", CHECKOUT_TOKEN, "secret"):
        assert clear not in found, clear


def test_an_erased_person_stays_erased(front: Storefront) -> None:
    signs(front)
    customer = {"id": 9001, "email": "ada@example.com", "phone": None}
    front.shop.sends("customers/redact", {**DOMAIN, "customer": customer, "orders_to_redact": []})
    assert rows(front.service.store, "links") == []

    assert signs(front) == "duplicate"
    assert signs(front, updated_at="2026-11-20T11:58:00+00:00") == "accepted"
    assert rows(front.service.store, "links") == []


def test_a_shop_without_a_pixel_stores_nothing_of_it(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = Storefront(build_service(sqlite_url, pinterest=pinterest), pinterest, clock)
    assert signs(front) == "accepted"
    assert rows(front.service.store, "links") == []
