"""Shopify waits five seconds for the answer to a privacy webhook, whomever it is about."""

import json
from typing import Any

import pytest

from app import assemble
from tests.actors import Shop, deliver, notes, order, pinned
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.watched_store import MeasuredStore
from tracking.receive.privacy.footprint import exclusive_of, is_exclusive
from tracking.receive.privacy.pending import PendingErasures
from tracking.receive.privacy.pinterest_erasures import PinterestErasures
from tracking.receive.privacy.requests import PrivacyRequests
from tracking.service import Service
from tracking.store import orders

SHOP = {"shop_id": 1, "shop_domain": "mug.myshopify.com"}
EMAIL = "ada@example.com"
# What a webhook does for anybody, a person with a single order included.
FEW_STATEMENTS = 40


@pytest.fixture
def service(build_service: BuildService, database_url: str, pinterest: FakePinterest) -> Service:
    return build_service(database_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def hers(number: int, **changes: Any) -> dict[str, Any]:
    """An order of a person, from a browser of its own that a click brought."""
    body = order(
        id=number,
        email=EMAIL,
        contact_email=EMAIL,
        customer={"id": 9_001},
        landing_site=pinned(epik=f"dj0yJnU9b2JwcTV2cjl5VjN1{number:04}"),
        note_attributes=notes(pin_vid=f"her-browser-{number:04}"),
    )
    return body | changes


def sells(service: Service, shop: Shop, orders: int) -> list[int]:
    """Sells to one person, from as many browsers, and tells Pinterest; the orders' ids."""
    numbers = [*range(1, orders + 1)]
    for number in numbers:
        assert shop.sends("orders/create", hers(number)).status_code == 200
    deliver(service)
    return numbers


def measured(service: Service, topic: str, body: dict[str, Any]) -> int:
    """Receive a webhook; how many statements that took."""
    store, parts = MeasuredStore(service.store), service.privacy.at_pinterest
    at_pinterest = PinterestErasures(store, service.destinations, parts._deletions, service.clock)
    pending = PendingErasures(store, service.tracker.eraser, service.clock)
    requests = PrivacyRequests(store, service.tracker, pending, at_pinterest, service.clock)
    receive = {
        "customers/redact": requests.redact,
        "customers/data_request": requests.data_request,
    }[topic]
    assert receive(json.dumps(SHOP | body).encode(), topic).status == "accepted"
    return store.total


@pytest.mark.parametrize("are_named", [True, False])
def test_a_redact_takes_no_more_statements_for_a_person_of_many_orders_and_browsers(
    service: Service, shop: Shop, pinterest: FakePinterest, are_named: bool
) -> None:
    numbers = sells(service, shop, 120)
    body = {
        "customer": {"id": 9_001, "email": EMAIL},
        "orders_to_redact": numbers if are_named else [],
    }

    assert measured(service, "customers/redact", body) < FEW_STATEMENTS


def test_a_data_request_takes_no_more_statements_for_a_person_of_many_orders(
    service: Service, shop: Shop
) -> None:
    numbers = sells(service, shop, 120)
    body = {
        "customer": {"id": 9_001, "email": EMAIL},
        "orders_requested": numbers,
        "data_request": {"id": 9},
    }

    assert measured(service, "customers/data_request", body) < FEW_STATEMENTS


def test_of_many_browsers_those_are_the_persons_own_that_are_one_by_one(
    service: Service, shop: Shop
) -> None:
    sells(service, shop, 4)
    at_hers = notes(pin_vid="her-browser-0002")
    bobs = {"email": "bob@example.com", "contact_email": "bob@example.com", "customer": {"id": 3}}
    assert shop.sends("orders/create", hers(5, **bobs, note_attributes=at_hers)).status_code == 200
    at_hers = notes(pin_vid="her-browser-0003")
    assert shop.sends("orders/create", hers(6, note_attributes=at_hers)).status_code == 200
    browsers = [f"her-browser-{number:04}" for number in range(1, 7)]
    with service.store.read() as conn:
        keys = {*orders.keys_by_id(conn, ["1"])["1"]}
        for placed in (["1", "2", "3", "4", "6"], ["1", "2", "3", "4"], ["2", "5"]):
            for known in (keys, set[str](), {browsers[1]}):
                found = exclusive_of(conn, browsers, known, placed)
                each = [b for b in browsers if is_exclusive(conn, b, known, known, placed)]
                assert found == each
        assert exclusive_of(conn, browsers, keys, ["1", "2", "3", "4", "6"]) == [
            b for b in browsers if b != browsers[1]
        ]
