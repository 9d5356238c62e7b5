"""Shopify waits five seconds for the answer to a privacy webhook, whomever it is about."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, TypeVar

import pytest

from app import assemble
from tests.actors import DAY, NOW, Clock, Shop, deliver, instant, notes, order, pinned
from tests.conftest import BuildService
from tests.servers import PATIENCE
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, rows
from tests.watched_store import MeasuredStore, WatchedStore
from tracking.receive.privacy.footprint import exclusive_of, is_exclusive
from tracking.receive.privacy.pending import IN_WEBHOOK_SECONDS, PendingErasures
from tracking.receive.privacy.pinterest_erasures import PinterestErasures
from tracking.receive.privacy.requests import PrivacyRequests
from tracking.receive.privacy.subjects import redaction_of
from tracking.receive.tracker import Tracker
from tracking.service import Service
from tracking.store import Store, orders, pending_erasures
from tracking.store.engine.statement import SHORT_TRANSACTION, Connection
from tracking.store.pending_erasures import ERASING, PLANNING

T = TypeVar("T")

SHOP: dict[str, Any] = {"shop_id": 1, "shop_domain": "mug.myshopify.com"}
EMAIL = "ada@example.com"
# What a webhook does for anybody, a person with a single order included.
FEW_STATEMENTS = 40
# A statement for each order or browser would be too many.
MANY = 60


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


class PausedStore(WatchedStore):
    """A store whose transactions have done their work and end only when they are told to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_written, self.ends = threading.Event(), threading.Event()

    def commit(self, work: Callable[[Connection], T]) -> T:
        """As the store does it, later."""

        def paused(conn: Connection) -> T:
            result = work(conn)
            self.is_written.set()
            assert self.ends.wait(PATIENCE)
            return result

        return super().commit(paused)


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
    numbers = sells(service, shop, MANY)
    body = {
        "customer": {"id": 9_001, "email": EMAIL},
        "orders_to_redact": numbers if are_named else [],
    }

    assert measured(service, "customers/redact", body) < FEW_STATEMENTS


def test_a_redact_of_one_order_takes_no_more_statements_if_its_buyer_had_many_browsers(
    service: Service, shop: Shop
) -> None:
    sells(service, shop, MANY)
    body = {"customer": None, "orders_to_redact": [1]}

    assert measured(service, "customers/redact", body) < FEW_STATEMENTS
    assert [row["body_id"] for row in rows(service.store, "pending_erasures")] == [PLANNING]


def test_a_data_request_takes_no_more_statements_for_a_person_of_many_orders(
    service: Service, shop: Shop
) -> None:
    numbers = sells(service, shop, MANY)
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
                found = exclusive_of(conn, browsers, known, known, placed)
                each = [b for b in browsers if is_exclusive(conn, b, known, known, placed)]
                assert found == each
        assert exclusive_of(conn, browsers, keys, keys, ["1", "2", "3", "4", "6"]) == [
            b for b in browsers if b != browsers[1]
        ]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_redact_waits_for_nobody_who_writes_about_the_person_and_erases_that_as_well(
    service: Service, shop: Shop
) -> None:
    sells(service, shop, 2)
    late = PausedStore(service.store)
    tracker = Tracker(late, service.tracker.planner, service.clock, service.store)
    person = {"id": 9_001, "email": EMAIL}
    body = {**SHOP, "customer": person, "orders_to_redact": [1, 2, 3]}
    with ThreadPoolExecutor(1) as pool:
        raw = json.dumps(hers(3)).encode()
        written = pool.submit(tracker.receive_order, raw, "orders/create")
        try:
            assert late.is_written.wait(PATIENCE)
            answer = shop.sends("customers/redact", body)
            assert not written.done()
        finally:
            late.ends.set()
        assert answer.get_json()["status"] == written.result().status == "accepted"

    assert not service.pending_erasures.go_on(seconds=60)
    assert len(rows(service.store, "orders")) == 3
    held = repr(everything(service.store))
    assert sha256(EMAIL.encode()).hexdigest() not in held
    assert "her-browser" not in held
    # The next state of the order brings nothing back either.
    assert shop.sends("orders/updated", hers(3, updated_at=instant(NOW + 60))).status_code == 200
    assert "her-browser" not in repr(everything(service.store))


def test_a_redact_leaves_the_erasure_of_others_to_the_background(
    service: Service, shop: Shop
) -> None:
    sells(service, shop, 40)
    body: dict[str, Any] = {"customer": {"id": 9_001, "email": EMAIL}}
    assert shop.sends("customers/redact", SHOP | body).status_code == 200
    service.pending_erasures.go_on(seconds=0)
    (left,) = rows(service.store, "pending_erasures")
    assert left["body_id"] == ERASING

    bobs: dict[str, Any] = {"email": "bob@example.com", "customer": {"id": 3}}
    bobs |= {"contact_email": "bob@example.com"}
    bobs |= {"billing_address": None, "shipping_address": None, "phone": None}
    at_bobs = notes(pin_vid="bobs-browser")
    assert shop.sends("orders/create", hers(99, **bobs, note_attributes=at_bobs)).status_code == 200
    body = {"customer": {"id": 3, "email": "bob@example.com"}, "orders_to_redact": [99]}
    assert shop.sends("customers/redact", SHOP | body).status_code == 200

    assert rows(service.store, "pending_erasures") == [left]
    assert "bobs-browser" not in repr(everything(service.store))


def test_a_webhook_plans_no_erasure_that_takes_longer_than_a_piece(
    service: Service, shop: Shop
) -> None:
    numbers = sells(service, shop, 16)
    person = {"id": 9_001, "email": EMAIL}
    body = json.dumps({**SHOP, "customer": person, "orders_to_redact": numbers})
    subject = redaction_of(body.encode())
    eraser, now = service.tracker.eraser, int(service.clock())
    id = service.store.commit(lambda c: eraser.begin(c, subject.keys, subject.orders, now))
    assert id is not None
    with service.store.read() as conn:
        pending = pending_erasures.of_id(conn, id)
        assert pending is not None
        eraser.plan(conn, pending)
        assert conn.executed < SHORT_TRANSACTION

    assert not service.pending_erasures.go_on_in_webhook(id, service.clock())
    assert rows(service.store, "pending_erasures") == []


def test_a_webhook_that_took_long_to_be_stored_leaves_all_to_the_background(
    service: Service, shop: Shop, clock: Clock
) -> None:
    sells(service, shop, 1)
    eraser, begun = service.tracker.eraser, service.clock()
    keys = redaction_of(json.dumps(SHOP | {"customer": {"email": EMAIL}}).encode()).keys
    id = service.store.commit(lambda conn: eraser.begin(conn, keys, (), int(begun)))
    assert id is not None
    clock.tick(seconds=IN_WEBHOOK_SECONDS)

    assert service.pending_erasures.go_on_in_webhook(id, begun)
    assert [row["body_id"] for row in rows(service.store, "pending_erasures")] == [PLANNING]
    clock.tick(seconds=-DAY)
    assert service.pending_erasures.go_on_in_webhook(id, begun)
    assert [row["body_id"] for row in rows(service.store, "pending_erasures")] == [PLANNING]
