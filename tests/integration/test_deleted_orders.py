"""An order that was deleted in Shopify counts no more, is not sent, and stays deleted."""

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.actors import (
    NOW,
    TODAY,
    BuildWorld,
    World,
    at_once,
    bearer,
    deliver,
    instant,
    order,
    pinned,
    refund,
)
from tests.conftest import ArrivalsOf, BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, rows, state
from tracking import PinterestConversionTracker
from tracking.clients.outcome import BatchRefused
from tracking.store import dead_letter_queue

Message = tuple[str, dict[str, Any]]

DELETED: Message = ("orders/delete", {"id": 5001})
CREATED: Message = ("orders/create", order(landing_site=pinned("11")))
UPDATED: Message = (
    "orders/updated",
    order(landing_site=pinned("11"), updated_at=instant(NOW + 60), subtotal_price="45.00"),
)
REFUNDED: Message = ("refunds/create", refund())


def tell(found: World, *messages: Message) -> list[str]:
    """Send webhooks, and return what was answered to each."""
    statuses = []
    for topic, body in messages:
        answer = found.shop.sends(topic, body)
        assert answer.status_code == 200
        statuses.append(str(answer.get_json()["status"]))
    return statuses


def counted(found: World) -> tuple[int, str, int]:
    """Orders, gross revenue and purchases by today's reports."""
    money = found.shop.reads("/roi-analysis", **TODAY)
    funnel = found.shop.reads("/conversion-funnel", traffic="all", **TODAY)
    gross = sum(float(line["gross_revenue"]) for line in money["currencies"])
    return money["orders"], f"{gross:.2f}", funnel["stages"][-1]["events"]


NOTHING = (0, "0.00", 0)


def test_a_deleted_order_leaves_the_counts_and_is_not_sent(everywhere: BuildWorld) -> None:
    found = everywhere()
    tell(found, CREATED)
    assert counted(found) == (1, "40.00", 1)

    assert tell(found, DELETED, DELETED) == ["accepted", "duplicate"]

    assert (counted(found), found.told(), found.reason()) == (NOTHING, {}, "deleted")
    journey = found.shop.reads("/orders/5001/journey")
    assert journey["is_deleted"] is True
    assert journey["why"] == (
        "Not counted: it was deleted in Shopify; not sent: the order was deleted in Shopify."
    )


def test_an_order_deleted_after_it_was_sent_leaves_the_counts_only(everywhere: BuildWorld) -> None:
    found = everywhere()
    tell(found, CREATED)
    assert set(found.told()) == {"5001"}

    tell(found, DELETED, UPDATED)

    assert (counted(found), found.reason()) == (NOTHING, "")
    assert found.pinterest.accepted == {"checkout-5001": 1}
    assert found.shop.reads("/orders/5001/journey")["why"] == (
        "Not counted: it was deleted in Shopify;"
        " sent: Pinterest accepted the event after 1 attempt."
    )


def test_a_deletion_that_comes_before_its_order_is_not_forgotten(everywhere: BuildWorld) -> None:
    found = everywhere()
    assert tell(found, DELETED) == ["accepted"]
    assert counted(found) == NOTHING
    why = found.shop.reads("/orders/5001/journey")["why"]
    assert why.startswith("Not counted: it was deleted in Shopify; not sent: ")

    tell(found, REFUNDED, CREATED, UPDATED)

    assert (counted(found), found.told(), found.reason()) == (NOTHING, {}, "deleted")


Fresh = Callable[[], World]


@pytest.fixture
def fresh(
    build_service: BuildService, sqlite_template: Path, pinterest: FakePinterest
) -> Iterator[Fresh]:
    """Makes worlds, each on an empty SQLite file of its own."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build() -> World:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return World(build_service(f"sqlite:///{path}", pinterest=pinterest), pinterest)

        yield build


def test_a_deletion_ends_in_one_state_in_every_order_of_arrival(
    fresh: Fresh, arrivals_of: ArrivalsOf
) -> None:
    life: Sequence[Message] = (CREATED, UPDATED, REFUNDED, DELETED)
    usual = fresh()
    tell(usual, *life)
    expected = state(usual.service.store)

    for arrival in arrivals_of(life):
        found = fresh()
        tell(found, *arrival, *arrival[:2])
        assert state(found.service.store) == expected, [topic for topic, _ in arrival]
        assert counted(found) == NOTHING


def test_a_deleted_order_does_not_come_back_by_the_library(world: BuildWorld) -> None:
    found = world()
    tell(found, DELETED)
    library = PinterestConversionTracker(found.service)
    library.track_purchase("5001", "40.00", customer_email="ada@example.com")

    assert (counted(found), found.told()) == (NOTHING, {})


def test_a_deleted_order_does_not_come_back_by_its_event(everywhere: BuildWorld) -> None:
    found = everywhere()
    tell(found, DELETED)
    event = {
        "event_name": "checkout",
        "action_source": "web",
        "event_id": "checkout-5001",
        "user_data": {"em": "ada@example.com"},
    }
    answer = found.shop.client.post("/track-event", json=event, headers=bearer())

    assert answer.get_json()["status"] == "duplicate"
    assert (counted(found), found.told()) == (NOTHING, {})


def test_a_checkout_handed_in_before_the_deletion_is_withdrawn(everywhere: BuildWorld) -> None:
    found = everywhere()
    event = {
        "event_name": "checkout",
        "action_source": "web",
        "event_id": "checkout-5001",
        "user_data": {"em": "ada@example.com"},
    }
    found.shop.client.post("/track-event", json=event, headers=bearer())
    tell(found, DELETED)

    assert (counted(found), found.told()) == (NOTHING, {})


def test_a_dead_letter_of_a_deleted_order_is_not_replayed(
    world: BuildWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = world()
    tell(found, CREATED)
    with monkeypatch.context() as patched:
        destination = found.service.destinations["pinterest"]
        patched.setattr(destination, "send", lambda events: BatchRefused("no such thing"))
        deliver(found.service)
    tell(found, DELETED)
    found.service.store.commit(lambda conn: dead_letter_queue.replay(conn, NOW, NOW - 86_400))

    assert found.told() == {}


def test_an_erased_order_stays_deleted(everywhere: BuildWorld) -> None:
    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": [5001]}
    erased: Message = ("customers/redact", {**asked, "customer": {"email": "ada@example.com"}})
    found = everywhere()
    tell(found, CREATED, DELETED, erased, UPDATED)
    assert (counted(found), found.told()) == (NOTHING, {})

    tell(found, ("orders/delete", {"id": 5002}), ("shop/redact", {k: asked[k] for k in SHOP}))
    tell(found, ("orders/create", order(id=5002)))
    assert (counted(found), found.told()) == (NOTHING, {})


SHOP = ("shop_id", "shop_domain")


def test_a_deletion_and_its_order_at_once_end_in_the_deletion(everywhere: BuildWorld) -> None:
    found = everywhere()
    for number in range(1, 11):
        works = [
            partial(found.shop.sends, "orders/create", order(id=number)),
            partial(found.shop.sends, "orders/delete", {"id": number}),
        ]
        at_once(found.service.store, works)

    assert (counted(found), found.told()) == (NOTHING, {})


@pytest.mark.parametrize("id", [5001, "5001", "gid://shopify/Order/5001"])
def test_a_deletion_may_write_the_id_in_any_way(world: BuildWorld, id: Any) -> None:
    found = world()
    tell(found, CREATED, ("orders/delete", {"id": id}))
    assert counted(found) == NOTHING


def test_a_deletion_may_tell_more_than_the_id(world: BuildWorld) -> None:
    found = world()
    more = {"admin_graphql_api_id": "gid://shopify/Order/5001", "deleted_at": instant(NOW)}
    tell(found, CREATED, ("orders/delete", {"id": 5001, "name": "#1001", "reason": None, **more}))
    assert counted(found) == NOTHING


@pytest.mark.parametrize(
    "body",
    [
        {"id": 5001, "title": "Mug"},
        {"id": None},
        {"id": [5001]},
        {},
        [],
        b"not JSON",
    ],
)
def test_what_tells_of_no_deletion_deletes_nothing(world: BuildWorld, body: Any) -> None:
    # Orders and refunds are recorded here as such (test_misplaced_bodies.py).
    found = world()
    tell(found, CREATED)
    assert tell(found, ("orders/delete", body)) == ["quarantined"]
    assert counted(found) == (1, "40.00", 1)
    assert len(rows(found.service.store, "quarantine")) == 1
