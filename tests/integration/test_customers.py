"""Whether an order is of a new or of a returning customer, whatever is told of it and when."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from typing import Any

import msgspec
import pytest

from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    DAY,
    NOW,
    TODAY,
    BuildWorld,
    Clock,
    Shop,
    Storefront,
    World,
    instant,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.reading import until
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tests.watched_store import WatchedStore
from tracking.clients.shopify_orders import OrderNode
from tracking.domain.shopify_order import order_of
from tracking.receive.customers import Watch
from tracking.store import Store, StoreUnavailable
from tracking.store.engine.statement import Connection

ADA = {"email": "ada@example.com", "customer": {"id": 9_001, "email": "ada@example.com"}}
BOB = {
    "email": "bob@example.com",
    "contact_email": "bob@example.com",
    "customer": {"id": 9_002, "email": "bob@example.com"},
    "billing_address": None,
}


def placed(days_ago: float, **changes: Any) -> dict[str, Any]:
    """An order of so many days ago, told in time."""
    told = dict.fromkeys(
        ("created_at", "processed_at", "updated_at"), instant(NOW - days_ago * DAY)
    )
    return order(**{**told, **changes})


def type_of(shop: Shop, order_id: int = 5_001) -> str:
    return str(shop.reads(f"/orders/{order_id}/journey")["customer_type"])


def watched(world: World, clock: Clock, days: float = 100) -> None:
    """Lets the shop be watched for so long before NOW."""
    clock.tick(days=-days)
    world.sells(**placed(days, id=1, **BOB))
    clock.tick(days=days)


def test_a_buyer_of_whom_no_earlier_order_is_known_is_new_once_the_shop_was_watched(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere(PINTEREST_SEND="all")
    watched(world, clock, days=89)
    world.sells()
    assert type_of(world.shop) == ""

    clock.tick(days=2)
    later = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(clock()))
    world.sells(**later, id=7, email="c@example.com", contact_email=None, customer={"id": 7})

    assert type_of(world.shop, 7) == "new"
    assert world.told()["7"]["user_data"]["customer_type"] == "new"
    assert "customer_type" not in world.told()["5001"]["user_data"]


def test_an_order_that_was_told_late_does_not_make_a_shop_watched(
    everywhere: BuildWorld,
) -> None:
    world = everywhere()
    world.sells(**placed(400, id=1, **BOB))
    world.sells()
    assert type_of(world.shop) == ""


def test_a_file_of_older_orders_makes_a_shop_watched(everywhere: BuildWorld) -> None:
    world = everywhere()
    old = order_of(json.dumps(placed(400, id=1, **BOB)).encode())
    world.service.tracker.record(msgspec.structs.replace(old, is_exported=True), "import")
    world.sells()
    assert type_of(world.shop) == "new"


EARLIER = placed(30, id=4_000)
TEST = placed(20, id=4_001, test=True)
LATER = order()
OTHERS = order(id=5_002, **BOB)
# Another order by the same e-mail alone, without a customer.
GUEST = placed(-1, id=6_000, customer=None, billing_address=None)


@pytest.mark.parametrize("arrival", list(permutations(range(3))))
@pytest.mark.parametrize(
    ("some", "expected"),
    [
        ((EARLIER, LATER, OTHERS), {4_000: "", 5_001: "returning", 5_002: ""}),
        # What is only a test is no earlier order.
        ((TEST, LATER, GUEST), {4_001: "", 5_001: "", 6_000: "returning"}),
    ],
)
def test_the_type_does_not_depend_on_the_order_in_which_orders_arrive(
    everywhere: BuildWorld,
    some: Sequence[dict[str, Any]],
    expected: dict[int, str],
    arrival: Sequence[int],
) -> None:
    world = everywhere()
    for n in arrival:
        world.shop.sends("orders/create", some[n])
    assert {order_id: type_of(world.shop, order_id) for order_id in expected} == expected


@pytest.mark.parametrize("arrival", list(permutations(range(3))))
def test_a_deleted_order_is_no_earlier_one(everywhere: BuildWorld, arrival: Sequence[int]) -> None:
    world = everywhere()
    steps = (("create", EARLIER), ("create", LATER), ("delete", {"id": 4_000}))
    for n in arrival:
        topic, body = steps[n]
        world.shop.sends(f"orders/{topic}", body)
    assert type_of(world.shop) == ""


def test_an_event_in_line_is_told_of_the_earlier_order_that_comes_after_it(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere(PINTEREST_SEND="all")
    watched(world, clock)
    world.sells()
    (waiting,) = (row for row in rows(world.service.store, "outbox") if "5001" in row["event_id"])
    assert json.loads(waiting["payload"])["user_data"]["customer_type"] == "new"

    world.sells(**placed(30, id=4_000))

    assert world.told()["5001"]["user_data"]["customer_type"] == "returning"


def test_who_shares_a_browser_is_another_customer(everywhere: BuildWorld) -> None:
    world = everywhere()
    shared = [{"name": "__pin_vid", "value": "library-browser-1"}]
    world.sells(**placed(3, id=1, note_attributes=shared, **BOB))
    world.sells(note_attributes=shared)
    assert type_of(world.shop) == ""


@pytest.fixture
def front(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    service = build_service(
        database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY, PINTEREST_SEND="all"
    )
    return Storefront(service, pinterest, clock)


@pytest.mark.parametrize("pixel_first", [True, False])
@pytest.mark.parametrize(("told", "expected"), [(True, "new"), (False, "returning")])
def test_the_pixel_tells_what_nothing_signed_tells(
    front: Storefront, pixel_first: bool, told: bool, expected: str
) -> None:
    front.sees(
        "checkout_started", "visitor-1234", 120, data={"checkout": {"token": CHECKOUT_TOKEN}}
    )
    customer = {"customer": {"id": "9001", "isFirstOrder": told}}
    steps: list[Callable[[], object]] = [
        lambda: front.checks_out("visitor-1234", order=customer),
        lambda: front.sells(checkout_token=CHECKOUT_TOKEN),
    ]
    for step in steps if pixel_first else reversed(steps):
        step()

    assert front.journey()["customer_type"] == expected
    assert front.sent()["checkout-5001"]["user_data"]["customer_type"] == expected


def test_an_earlier_order_stands_before_the_pixels_word(front: Storefront) -> None:
    front.sells(**placed(10, id=1))
    front.sells(checkout_token=CHECKOUT_TOKEN)
    front.checks_out("visitor-1234", order={"customer": {"isFirstOrder": True}})
    assert front.journey()["customer_type"] == "returning"


@pytest.mark.parametrize(
    ("index", "number", "expected"),
    [
        (0, "7", True),
        (1, "1", True),
        (1, "7", None),
        (2, "7", False),
        (None, "1", True),
        (None, "7", None),
    ],
)
def test_shopify_counts_the_orders_of_a_customer_from_a_number_that_it_does_not_tell(
    index: int | None, number: str, expected: bool | None
) -> None:
    told = {"customerOrderIndex": index}
    customer = {"legacyResourceId": "9001", "numberOfOrders": number}
    node = dict.fromkeys(("customerJourneySummary", "customer"))
    node |= {"customerJourneySummary": told, "customer": customer}
    money = {"shopMoney": {"amount": "1.0"}}
    page = {"nodes": [], "pageInfo": {"hasNextPage": False}}
    whole: dict[str, Any] = {
        **dict.fromkeys(("legacyResourceId", "name", "currencyCode"), "1"),
        **dict.fromkeys(("createdAt", "processedAt", "updatedAt"), instant(NOW)),
        "test": False,
        "taxesIncluded": False,
        "totalPriceSet": money,
        "lineItems": page,
        "shippingLines": page,
        "refunds": [],
        "customAttributes": [],
        **node,
    }
    assert msgspec.convert(whole, OrderNode, strict=False).is_first is expected


@pytest.mark.parametrize("first", ["webhook", "reconcile"])
def test_shopifys_word_stands_whether_it_comes_before_the_webhook_or_after_it(
    everywhere: BuildWorld, first: str
) -> None:
    world = everywhere()
    world.sells(**placed(10, id=1))
    body = json.dumps(order()).encode()
    signed = msgspec.structs.replace(order_of(body), digest="0" * 64, is_first=True)
    steps: list[Callable[[], object]] = [
        lambda: world.shop.sends("orders/create", body),
        lambda: world.service.tracker.record(signed, "reconcile"),
    ]
    for step in steps if first == "webhook" else reversed(steps):
        step()
    assert type_of(world.shop) == "new"


def test_a_campaign_is_told_what_a_new_customer_costs(everywhere: BuildWorld, clock: Clock) -> None:
    world = everywhere()
    watched(world, clock)
    spend = {"date": "2026-11-20", "campaign_id": "11", "spend": "30.00", "currency": "USD"}
    world.shop.spends(spend)
    world.sells(**placed(10, id=2))
    land = {"landing_site": pinned("11"), "billing_address": None}
    world.sells(**land)
    for number in (6, 7):
        who = {"email": f"{number}@example.com", "customer": {"id": number}, "contact_email": None}
        world.sells(id=number, **land, **who)
    # Nothing is known of whoever leaves nothing.
    world.sells(id=8, email=None, contact_email=None, customer=None, **land)
    for _ in range(2):
        found = world.shop.reads("/roi-analysis", **TODAY)
        (line,) = found["campaigns"]
        expected = {"new_orders": 3, "new_revenue": "120.00", "new_customer_cpa": "10.00"}
        assert {name: line[name] for name in (*expected, "unknown")} == {**expected, "unknown": 0}
        assert {name: found[name] for name in expected} == expected
        world.service.figures.finish()


def test_figures_of_the_last_release_are_made_anew(everywhere: BuildWorld) -> None:
    world = everywhere()
    world.sells(**placed(10, id=1))
    world.sells()
    world.service.figures.finish()
    before = world.shop.reads("/roi-analysis")

    # It knows no types, and tells with each step that it has written some.
    def write(conn: Any) -> None:
        conn.cursor.execute(
            "UPDATE credit_days SET new_share = 0, new_net = 0, returning_share = 0"
        )
        conn.cursor.execute("UPDATE report_progress SET version = version + 1")

    world.service.store.commit(write)
    world.service.figures.finish()

    assert world.shop.reads("/roi-analysis") == before
    assert before["unknown"] == 1


class SlowStore(WatchedStore):
    """A store of which a read waits, as it does while another program holds a table."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_free = threading.Event()
        self.reads = 0

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self.reads += 1
        assert self.is_free.wait(20)
        if self.is_away:
            raise StoreUnavailable("the table is locked")
        with super().read() as conn:
            yield conn


def test_an_order_does_not_wait_for_whether_the_shop_was_watched(
    world: BuildWorld, clock: Clock
) -> None:
    shop = world()
    watched(shop, clock)
    store = SlowStore(shop.service.store)
    watch = Watch(store, clock, patience=0)

    assert [watch.is_watched(int(NOW)) for _ in range(3)] == [False] * 3
    assert store.reads == 1

    store.is_free.set()
    until(lambda: watch.is_watched(int(NOW)))
    assert store.reads == 1


def test_a_store_that_does_not_answer_is_asked_once_a_minute(
    world: BuildWorld, clock: Clock
) -> None:
    shop = world()
    watched(shop, clock)
    store = SlowStore(shop.service.store)
    store.is_away = True
    store.is_free.set()
    watch = Watch(store, clock)

    assert [watch.is_watched(int(NOW)) for _ in range(3)] == [False] * 3
    assert store.reads == 1

    store.is_away = False
    clock.tick(seconds=61)
    assert watch.is_watched(int(NOW))
