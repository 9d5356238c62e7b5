"""The figures an operator watches: read from the store, in the form Prometheus reads."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import assemble
from tests.actors import COLLECTOR_KEY, HOUR, Clock, Shop, Storefront, bearer, deliver, order
from tests.conftest import BuildService
from tests.pixel_events import DATA
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tests.watched_store import WatchedStore
from tracking.operate.monitoring import WEBHOOKS_COUNTED_EVERY, Monitor
from tracking.service import Service

Figures = dict[str, float]


def figures_of(text: str) -> Figures:
    """Every line that is a figure, by its name and labels as they stand there."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@pytest.fixture
def figures(client: FlaskClient) -> Callable[[], Figures]:
    """Asks for the figures as the owner."""

    def ask() -> Figures:
        answer = client.get("/metrics", headers=bearer())
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return figures_of(answer.get_data(as_text=True))

    return ask


# --- The text


# --- What they tell


def test_an_empty_store_has_figures_too(figures: Callable[[], Figures]) -> None:
    found = figures()

    assert found['tracking_outbox_events{destination="pinterest",state="waiting"}'] == 0
    assert found['tracking_oldest_waiting_seconds{destination="pinterest"}'] == 0
    assert found["tracking_database_bytes"] > 0


def test_what_waits_is_told_with_the_age_of_the_oldest(
    shop: Shop, clock: Clock, figures: Callable[[], Figures]
) -> None:
    shop.sends("orders/create", order(id=1))
    clock.tick(seconds=90)
    shop.sends("orders/create", order(id=2))
    found = figures()

    assert found['tracking_outbox_events{destination="pinterest",state="waiting"}'] == 2
    assert found['tracking_oldest_waiting_seconds{destination="pinterest"}'] == 90


def test_what_was_delivered_is_counted_on(
    shop: Shop, service: Service, figures: Callable[[], Figures]
) -> None:
    delivered = 'tracking_delivery_attempts_total{destination="pinterest",outcome="sent"}'
    for number in (1, 2):
        shop.sends("orders/create", order(id=number))
    deliver(service)
    first = figures()[delivered]
    shop.sends("orders/create", order(id=3))
    deliver(service)

    assert (first, figures()[delivered]) == (2, 3)


def test_dead_letters_are_told(
    shop: Shop, service: Service, pinterest: FakePinterest, figures: Callable[[], Figures]
) -> None:
    pinterest.poisoned = frozenset({"checkout-1"})
    pinterest.mode = "partial"
    shop.sends("orders/create", order(id=1))
    deliver(service)

    assert figures()['tracking_outbox_events{destination="pinterest",state="dead"}'] == 1


def test_webhooks_are_told_by_topic_and_status(shop: Shop, figures: Callable[[], Figures]) -> None:
    shop.sends("orders/create", order(id=1))
    shop.sends("orders/create", order(id=1))
    shop.sends("orders/paid", order(id=2))
    shop.sends("orders/paid", b"no order")
    found = figures()

    stored = 'tracking_webhooks_stored{topic="orders/%s",status="%s"}'
    assert found[stored % ("create", "accepted")] == 1
    assert found[stored % ("paid", "accepted")] == 1
    assert found[stored % ("paid", "quarantined")] == 1


def test_why_events_are_not_sent_is_told(shop: Shop, figures: Callable[[], Figures]) -> None:
    shop.sends("orders/create", order(id=1))
    shop.sends("orders/create", order(id=2, test=True))
    found = figures()

    assert found['tracking_events_last_day{stage="purchase",reason=""}'] == 1
    assert found['tracking_events_last_day{stage="purchase",reason="test"}'] == 1


def test_an_account_that_is_paused_shows(
    shop: Shop,
    service: Service,
    pinterest: FakePinterest,
    clock: Clock,
    figures: Callable[[], Figures],
) -> None:
    pinterest.mode = "unauthorized"
    shop.sends("orders/create", order(id=1))
    deliver(service)
    during = figures()['tracking_account_paused{destination="pinterest"}']
    clock.tick(seconds=2 * HOUR)

    assert during == 1
    assert figures()['tracking_account_paused{destination="pinterest"}'] == 0


def test_modes_that_must_not_be_forgotten_show(
    build_service: BuildService, sqlite_url: str
) -> None:
    client = assemble(build_service(sqlite_url, PINTEREST_TEST_MODE="true")).test_client()
    found = figures_of(client.get("/metrics", headers=bearer()).get_data(as_text=True))

    assert found["tracking_test_mode"] == found["tracking_report_only"] == 1


def test_no_person_is_in_the_figures(shop: Shop, client: FlaskClient) -> None:
    shop.sends("orders/create", order(id=5_309))
    shop.sends("orders/create", b'{"email": "ada@example.com"')
    text = client.get("/metrics", headers=bearer()).get_data(as_text=True)

    for canary in ("ada", "example", "5309", "203.0.113.7"):
        assert canary not in text


def test_the_figures_are_plain_text_that_nobody_keeps(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers=bearer())

    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


def test_figures_want_a_token(client: FlaskClient) -> None:
    assert client.get("/metrics").status_code == 401


def test_while_the_store_is_away_there_are_no_figures(
    build_service: BuildService, sqlite_url: str, tmp_path: Any
) -> None:
    client = assemble(build_service(f"sqlite:///{tmp_path}/gone/tracking.db")).test_client()

    assert client.get("/metrics", headers=bearer()).status_code == 503


# --- What they cost, and that every process tells the same


@pytest.fixture
def monitors(service: Service) -> Iterator[Callable[[], Monitor]]:
    """Makes monitors, as each process has its own."""
    yield lambda: Monitor(
        service.store, service.destinations, service.clock, service.modes, unsettled=2
    )


def test_two_processes_tell_the_same_whenever_they_began(
    shop: Shop, service: Service, monitors: Callable[[], Monitor]
) -> None:
    old = monitors()
    for number in range(1, 8):
        shop.sends("orders/create", order(id=number))
        deliver(service)
        old.text()

    assert old.text().split("tracking_outbox")[1] == monitors().text().split("tracking_outbox")[1]


def test_bodies_taken_in_are_counted_seldom(
    shop: Shop, monitors: Callable[[], Monitor], clock: Clock
) -> None:
    accepted = 'tracking_webhooks_stored{topic="orders/create",status="accepted"}'
    monitor = monitors()
    told = []
    for number, seconds in ((1, 0), (2, WEBHOOKS_COUNTED_EVERY - 1), (3, 2)):
        clock.tick(seconds=seconds)
        shop.sends("orders/create", order(id=number))
        told.append(figures_of(monitor.text())[accepted])

    assert told == [1, 1, 3]


def test_figures_are_read_and_nothing_is_written(service: Service) -> None:
    store = WatchedStore(service.store)
    Monitor(store, service.destinations, service.clock, service.modes).text()

    assert store.commits == 0


def test_attempts_that_are_not_kept_are_counted_all_the_same(
    shop: Shop, service: Service, monitors: Callable[[], Monitor], clock: Clock
) -> None:
    delivered = 'tracking_delivery_attempts_total{destination="pinterest",outcome="sent"}'
    for number in range(1, 6):
        shop.sends("orders/create", order(id=number))
    deliver(service)
    old = monitors()
    assert figures_of(old.text())[delivered] == 5

    for _ in range(2):
        clock.tick(days=2)
        list(service.retention.purge())

        assert figures_of(old.text())[delivered] == 5
        assert figures_of(monitors().text())[delivered] == 5


def test_attempts_that_go_with_their_event_are_counted_all_the_same(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    kept = {"EVENT_RETENTION_DAYS": "30", "RETENTION_DAYS": "400", "PINTEREST_SEND": "all"}
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY, **kept)
    shop = Storefront(service, pinterest, clock)
    shop.sees("product_viewed", "browser-000001", 1, "/products/mug", DATA["product_viewed"])
    pinterest.mode = "down"
    deliver(service)
    pinterest.mode = "ok"
    clock.tick(hours=2)
    shop.sells(id=1)
    shop.sent()

    def attempts() -> dict[str, float]:
        told = figures_of(Monitor(service.store, service.destinations, clock, service.modes).text())
        return {name: n for name, n in told.items() if "delivery_attempts" in name}

    before = attempts()
    for days in (31, 400):
        clock.tick(days=days)
        service.figures.finish()
        list(service.retention.purge())
        assert attempts() == before
    assert rows(service.store, "attempts") == []
