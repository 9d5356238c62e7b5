"""Whatever is stored, one call of the pixel is little work, and what is left of it is not lost."""

import json
import threading
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import assemble
from tests.actors import CHECKOUT_TOKEN, COLLECTOR_KEY, HOUR, NOW, Clock, Shop, instant, order
from tests.conftest import BuildService
from tests.pixel_events import CHROME, event
from tests.store_contents import rows
from tracking.operate.retention import UNRECORDABLE_DAYS
from tracking.receive import pixel_recorder
from tracking.receive.browser_events import Unrecorded, record_events
from tracking.receive.pixel import ClientInfo, PixelEvent, pixel_batch_of
from tracking.service import Service
from tracking.store import StoreUnavailable, pixel_backlog
from tracking.store.engine.postgres import YIELDING_POOL_SIZE
from tracking.store.engine.statement import SHORT_TRANSACTION, Connection
from tracking.store.pixel_backlog import POSTPONED_SECONDS

PATIENCE = 20.0
SHOP = "mugs.myshopify.com"
EVENTS = 20
# What is begun when the budget is used up comes to its end.
MOST_STATEMENTS = 2 * SHORT_TRANSACTION


@pytest.fixture
def service(build_service: BuildService, database_url: str) -> Service:
    """A service with a pixel, on each database, without background threads."""
    return build_service(database_url, COLLECTOR_KEY=COLLECTOR_KEY)


def call(n: int = 0, *more: dict[str, Any]) -> dict[str, Any]:
    """Twenty checkouts in as many browsers of one client id, of other visitors in each call."""
    told = [
        event(
            "checkout_started",
            id=f"sh-{n:04}-{k:04}",
            visitor=f"flooding-{n:03}-{k:03}",
            timestamp=instant(NOW),
            checkout={"token": f"{n:016x}{k:016x}", "email": f"buyer{k}@example.com"},
            href="https://mugs.example/?utm_source=pinterest&utm_campaign=c",
        )
        for k in range(EVENTS - len(more))
    ]
    return {"key": COLLECTOR_KEY, "events": [*told, *more]}


def events_of(service: Service, told: dict[str, Any]) -> tuple[PixelEvent, ...]:
    client = ClientInfo("203.0.113.7", CHROME)
    policy = service.tracker.planner.policy
    return pixel_batch_of(json.dumps(told).encode(), client, policy, NOW).events


def recorded(service: Service) -> int:
    return len(rows(service.store, "conversions"))


def waiting(service: Service) -> int:
    return len(rows(service.store, "pixel_backlog"))


def fill_backlog(service: Service, body: bytes) -> None:
    """Leave as many rows as have room, in one transaction."""

    def add(conn: Connection) -> None:
        for _ in range(pixel_recorder.LONGEST_BACKLOG):
            pixel_backlog.add(conn, body, NOW)

    service.store.commit(add)


def drain(service: Service) -> None:
    while service.tracker.pixel.record_waiting():
        pass


def test_the_work_of_one_transaction_is_bounded_whatever_was_stored_before(
    service: Service,
) -> None:
    counts: list[int] = []

    def step(conn: Connection) -> Unrecorded:
        begun = conn.executed
        rest = record_events(conn, service.tracker.attributor, told, NOW)
        counts.append(conn.executed - begun)
        return rest

    for n in range(4):
        told = Unrecorded(events_of(service, call(n)))
        while told:
            told = service.store.commit(step)

    assert max(counts) <= MOST_STATEMENTS
    assert recorded(service) == 4 * EVENTS


def test_what_a_call_leaves_is_recorded_in_the_background(service: Service) -> None:
    for n in range(3):
        service.tracker.record_pixel_events(events_of(service, call(n)))
    before = recorded(service)
    assert 3 <= before < 3 * EVENTS
    assert waiting(service) == 3

    drain(service)

    assert recorded(service) == 3 * EVENTS
    assert waiting(service) == 0


def test_an_order_is_credited_by_a_click_that_was_recorded_in_the_background(
    service: Service,
) -> None:
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order(checkout_token=CHECKOUT_TOKEN, landing_site="/"))
    # A click of the order's own browser, the last of a call that is too much work for one time.
    clicked = event(
        "checkout_started",
        id="sh-the-click",
        visitor="the-buyers-browser",
        clientId="a-client-of-its-own",
        timestamp=instant(NOW),
        checkout={"token": CHECKOUT_TOKEN},
        session={
            "utm_source": "pinterest",
            "utm_campaign": "late",
            "landed_at": instant(NOW - HOUR),
        },
    )
    service.tracker.record_pixel_events(events_of(service, call(0, clicked)))
    assert campaigns(shop) == ["(not attributed)"]

    drain(service)

    assert campaigns(shop) == ["late"]


def campaigns(shop: Shop) -> list[str]:
    return [row["campaign"] for row in shop.reads("/roi-analysis")["campaigns"]]


def test_the_erased_are_not_recorded_out_of_the_backlog(service: Service) -> None:
    shop = Shop(assemble(service).test_client())
    service.tracker.record_pixel_events(events_of(service, call()))
    assert waiting(service) == 1

    for k in range(EVENTS):
        customer = {"email": f"buyer{k}@example.com"}
        shop.sends("customers/redact", {"shop_id": 1, "shop_domain": SHOP, "customer": customer})
    drain(service)

    kinds = {str(row["link"]).partition(":")[0] for row in rows(service.store, "told_links")}
    assert "em" not in kinds
    assert recorded(service) == EVENTS


def test_a_row_that_cannot_be_recorded_keeps_no_other_from_it(
    service: Service, clock: Clock
) -> None:
    service.store.commit(lambda conn: pixel_backlog.add(conn, b"no JSON", NOW))
    service.tracker.record_pixel_events(events_of(service, call()))

    drain(service)

    assert recorded(service) == EVENTS
    assert waiting(service) == 1
    clock.tick(seconds=POSTPONED_SECONDS + 1)
    assert service.tracker.pixel.record_waiting(), "it is tried again"


def test_a_row_that_stays_takes_no_room_from_the_calls_after_it(service: Service) -> None:
    service.store.commit(lambda conn: pixel_backlog.add(conn, b"no JSON", NOW))
    fill_backlog(service, b"{}")
    drain(service)
    assert waiting(service) == 1

    service.tracker.record_pixel_events(events_of(service, call(0)))
    service.tracker.record_pixel_events(events_of(service, call(1)))

    assert waiting(service) == 3


def test_a_row_that_stays_is_forgotten_after_a_week_and_one_that_waits_is_not(
    service: Service, clock: Clock
) -> None:
    service.store.commit(lambda conn: pixel_backlog.add(conn, b"no JSON", NOW))
    assert service.tracker.pixel.record_waiting()
    service.store.commit(lambda conn: pixel_backlog.add(conn, b"{}", NOW))

    clock.tick(days=UNRECORDABLE_DAYS)
    list(service.retention.purge())
    assert waiting(service) == 2

    clock.tick(seconds=1)
    list(service.retention.purge())
    assert [row["body"] for row in rows(service.store, "pixel_backlog")] == [b"{}"]


def test_a_postponed_row_is_due_once_the_clock_was_set_back(service: Service, clock: Clock) -> None:
    service.store.commit(lambda conn: pixel_backlog.add(conn, b"no JSON", NOW))
    clock.tick(days=30)
    assert service.tracker.pixel.record_waiting()
    clock.tick(days=-30)

    assert service.tracker.pixel.record_waiting()


def test_a_call_whose_rest_has_no_room_is_refused_and_not_stored(service: Service) -> None:
    client = assemble(service).test_client()
    fill_backlog(service, b"")

    assert posts(client, call()) == 503
    assert recorded(service) == 0
    small = event(
        "product_viewed", id="sh-small", visitor="a-single-visitor", timestamp=instant(NOW)
    )
    assert posts(client, {"key": COLLECTOR_KEY, "events": [small]}) == 202
    assert recorded(service) == 1


def posts(client: FlaskClient, told: dict[str, Any]) -> int:
    answer = client.post("/collect", data=json.dumps(told), headers={"User-Agent": CHROME})
    return answer.status_code


def test_webhooks_do_not_wait_for_the_connections_of_the_pixel(
    build_service: BuildService, postgres_url: str
) -> None:
    store = build_service(postgres_url, COLLECTOR_KEY=COLLECTOR_KEY).store
    is_open, held = threading.Event(), threading.Semaphore(0)

    def hold(conn: Connection) -> bool:
        held.release()
        return is_open.wait(PATIENCE)

    holders = [
        threading.Thread(target=store.yielding().commit, args=(hold,))
        for _ in range(YIELDING_POOL_SIZE)
    ]
    for holder in holders:
        holder.start()
    for _ in holders:
        assert held.acquire(timeout=PATIENCE)

    try:
        with pytest.raises(StoreUnavailable):
            store.yielding().commit(lambda _: None)
        assert store.commit(lambda _: "at once") == "at once"
    finally:
        is_open.set()
        for holder in holders:
            holder.join(PATIENCE)
