"""Delivery and health in the dashboard: what waits, was refused or not understood, and replays."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from app import assemble
from tests.actors import Clock, Shop, deliver, order
from tests.conftest import BuildService
from tests.dashboard import Owner, cells_in
from tests.reading import until
from tests.standins.pinterest import FakePinterest
from tests.watched_store import WatchedStore
from tracking.service import Service
from tracking.store import Store, quarantine
from tracking.store.engine.statement import Connection
from webhooks.quarantine_replay import replay_in_background
from webhooks.shopify import Receivers


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    shop = "my-shop.myshopify.com"
    return build_service(sqlite_url, pinterest, PINTEREST_SEND="all", SHOPIFY_STORE_URL=shop)


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


@pytest.fixture
def owner(shop: Shop) -> Owner:
    return Owner(shop.client)


def refuse(service: Service, shop: Shop, pinterest: FakePinterest, *ids: int) -> None:
    """Have Pinterest refuse the events of these orders."""
    pinterest.mode, pinterest.poisoned = "partial", frozenset(f"checkout-{id}" for id in ids)
    for id in ids:
        shop.sends("orders/create", order(id=id))
    deliver(service)


def test_what_waits_is_counted(shop: Shop, owner: Owner) -> None:
    shop.sends("orders/create", order())

    page = owner.page("/dashboard/delivery")
    (row,) = cells_in(page, "destinations")
    assert row[:3] == ["Pinterest", "sends", "1"]


def test_what_is_held_is_counted_and_the_page_says_why(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    shop = Shop(assemble(build_service(sqlite_url, pinterest)).test_client())
    shop.sends("orders/create", order())

    page = Owner(shop.client).page("/dashboard/delivery")
    (row,) = cells_in(page, "destinations")
    assert (row[2], row[4]) == ("0", "1")
    assert "Held for now: purchases without a click so far" in page


def test_what_was_refused_stands_there_in_pinterests_words(
    service: Service, shop: Shop, owner: Owner, pinterest: FakePinterest
) -> None:
    refuse(service, shop, pinterest, 5001)

    page = owner.page("/dashboard/delivery")
    (row,) = cells_in(page, "dead-letters")
    assert "Invalid event_id: checkout-5001 is poisoned" in row[2]
    assert '<a href="/dashboard/orders/5001"><code>checkout-5001</code></a>' in page
    (line,) = owner.table("/dashboard/delivery", "dead-letters")
    assert line["reason"] == row[2]


def test_one_dead_letter_or_all_are_sent_again(
    service: Service, shop: Shop, owner: Owner, pinterest: FakePinterest
) -> None:
    refuse(service, shop, pinterest, 5001, 5002, 5003)
    pinterest.mode = "ok"

    answer = owner.posts("/dashboard/delivery/replay", event_id="checkout-5002")
    assert "1 put back in line" in answer.get_data(as_text=True)
    assert deliver(service) == 1
    assert "Send again" not in owner.page("/dashboard/orders/5002")
    refused = owner.page("/dashboard/orders/5001")
    assert 'action="/dashboard/orders/5001/replay"' in refused
    assert "1 put back" in owner.posts("/dashboard/orders/5001/replay").get_data(as_text=True)
    assert deliver(service) == 1
    answer = owner.posts("/dashboard/delivery/replay")
    assert "1 put back in line" in answer.get_data(as_text=True)
    assert deliver(service) == 1
    assert len(pinterest.events) == 3


def test_an_event_that_pinterest_would_not_take_any_more_is_told(
    service: Service, shop: Shop, owner: Owner, pinterest: FakePinterest, clock: Clock
) -> None:
    refuse(service, shop, pinterest, 5001)
    clock.tick(days=8)

    answer = Owner(owner.client).posts("/dashboard/delivery/replay", event_id="checkout-5001")
    assert "None was put back in line" in answer.get_data(as_text=True)


def test_a_replay_without_the_token_of_the_page_changes_nothing(
    service: Service, shop: Shop, owner: Owner, pinterest: FakePinterest
) -> None:
    refuse(service, shop, pinterest, 5001)

    for path in ("/dashboard/delivery/replay", "/dashboard/delivery/replay-quarantine"):
        assert owner.client.post(path, data={"event_id": "checkout-5001"}).status_code == 403
    assert len(cells_in(owner.page("/dashboard/delivery"), "dead-letters")) == 1


def test_what_was_not_understood_is_shown_without_what_it_holds(shop: Shop, owner: Owner) -> None:
    body = json.dumps({"id": 1, "email": "ada@example.com"}).encode()[:-1]
    shop.sends("orders/create", body)

    page = owner.page("/dashboard/delivery")
    (row,) = cells_in(page, "quarantine")
    assert row[2] == "orders/create"
    assert "ada@example.com" not in page

    answer = owner.posts("/dashboard/delivery/replay-quarantine")
    assert "0 understood and taken in, 1 still not understood" in answer.get_data(as_text=True)


def test_what_can_never_be_tried_again_is_counted_apart(shop: Shop, owner: Owner) -> None:
    shop.sends("orders/create", b"")
    shop.sends("orders/create", b"{")

    answer = owner.posts("/dashboard/delivery/replay-quarantine").get_data(as_text=True)

    assert "1 still not understood; of 1 only the reason was kept." in answer


def _bodies(service: Service) -> int:
    with service.store.read() as conn:
        return quarantine.count(conn)


class BusyStore(WatchedStore):
    """A store that is not read before `is_free` is set."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_free = threading.Event()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        assert self.is_free.wait(20)
        with super().read() as conn:
            yield conn


def test_a_replay_of_more_bodies_than_a_request_may_wait_for_goes_on_without_it(
    service: Service, shop: Shop, owner: Owner
) -> None:
    body = json.dumps(order(id=7)).encode()
    service.store.commit(
        lambda conn: quarantine.add(conn, "digest", "orders/create", "a defect", body, 1)
    )
    store = BusyStore(service.store)
    receivers = Receivers(service.tracker, service.privacy)

    assert replay_in_background(store, receivers, service.clock, patience=0) is None
    answer = owner.posts("/dashboard/delivery/replay-quarantine")
    assert "this page counts what is left" in answer.get_data(as_text=True)

    store.is_free.set()
    until(lambda: _bodies(service) == 0)
    assert shop.reads("/orders/7/journey")["order_id"] == "7"


def test_of_replays_asked_for_at_once_one_begins(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BusyStore(service.store)
    receivers = Receivers(service.tracker, service.privacy)
    askers = 3
    together = threading.Barrier(askers)
    enumerate_threads = threading.enumerate

    def enumerate_and_wait() -> list[threading.Thread]:
        found = enumerate_threads()
        # Long enough for another one to look as well.
        threading.Event().wait(0.05)
        return found

    monkeypatch.setattr(threading, "enumerate", enumerate_and_wait)

    def ask(_: int) -> None:
        together.wait()
        replay_in_background(store, receivers, service.clock, patience=0)

    with ThreadPoolExecutor(askers) as threads:
        list(threads.map(ask, range(askers)))

    begun = [each for each in enumerate_threads() if each.name == "quarantine replay"]
    store.is_free.set()
    for each in begun:
        each.join()
    assert len(begun) == 1


def test_the_orders_by_day_are_those_of_the_report(
    service: Service, shop: Shop, owner: Owner
) -> None:
    for id in (1, 2):
        shop.sends("orders/create", order(id=id))
    shop.sends("orders/create", order(id=3, test=True))
    deliver(service)

    report = shop.reads("/accuracy")
    rows = owner.table("/dashboard/delivery", "orders-by-day")
    assert [(row["date"], row["sent"]) for row in rows] == [
        (day["date"], str(day["sent"])) for day in report["days"]
    ]
    (left_out,) = owner.table("/dashboard/delivery", "left-out")
    assert left_out == {"reason": "It is a test order.", "orders": "1"}
    assert '<li class="line-bad">Lost</li>' in owner.page("/dashboard/delivery")


# --- Health


def test_health_is_what_doctor_says(
    service: Service, shop: Shop, owner: Owner, pinterest: FakePinterest
) -> None:
    refuse(service, shop, pinterest, 5001)

    page = owner.page("/dashboard/health")
    found = {row[0]: row[1] for row in cells_in(page, "findings")}
    assert found["settings"] == "Good"
    assert found["dead letters"] == "To fix"
    assert "token" not in found
    marks = [row[1] for row in cells_in(page, "findings")]
    assert marks == sorted(marks, key=["To fix", "Note", "Good"].index)


def test_pinterest_is_asked_only_if_the_owner_wants_it(
    owner: Owner, pinterest: FakePinterest
) -> None:
    before = len(pinterest.calls)
    owner.page("/dashboard/health")
    assert len(pinterest.calls) == before

    page = owner.page("/dashboard/health", ask="yes")
    assert len(pinterest.calls) == before + 1
    assert "token" in {row[0] for row in cells_in(page, "findings")}


def test_it_is_asked_in_one_way_only(owner: Owner) -> None:
    assert owner.gets("/dashboard/health", ask="perhaps").status_code == 400


def test_health_tells_no_secret(service: Service, owner: Owner, pinterest: FakePinterest) -> None:
    page = owner.page("/dashboard/health", ask="yes")

    assert pinterest.token not in page
    for secret in service.settings.shopify_webhook_secrets + service.settings.api_tokens:
        assert secret.decode() not in page
