"""Webhooks that are refused: what the operator is told of them, and what a flood of them costs."""

import logging
import threading

import pytest
from flask.testing import FlaskClient

from app import assemble
from tests.actors import Clock, Operator, Shop, bearer, order
from tests.conftest import BuildService
from tests.store_contents import rows
from tests.watched_store import WatchedStore
from tracking.operate.refused_webhooks import WRITE_SECONDS, WRITES_AT_ONCE, RefusedWebhooks
from tracking.service import Service

HINT = "is the secret that of Settings › Notifications or of the app?"
OTHER_SECRET = "shpss_the-secret-of-another-app"


@pytest.fixture
def service(build_service: BuildService, database_url: str) -> Service:
    return build_service(database_url, SHOPIFY_STORE_URL="my-shop.myshopify.com")


@pytest.fixture
def operator(service: Service) -> Operator:
    return Operator(assemble(service))


def said_of_webhooks(operator: Operator) -> list[str]:
    """The doctor's lines about webhooks, each as one text."""
    lines = [" ".join(line.split()) for line in operator.types("doctor").stdout.splitlines()]
    return [line for line in lines if " webhooks " in f"{line} "[:16]]


def refused_in(client: FlaskClient) -> dict[str, str]:
    """The count of each reason in the metrics."""
    text = client.get("/metrics", headers=bearer()).get_data(as_text=True)
    name = 'tracking_webhooks_refused_total{reason="'
    found = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name)]
    return dict(line.split('"} ') for line in found)


def test_the_doctor_asks_for_the_secret_after_webhooks_with_a_wrong_signature(
    shop: Shop, operator: Operator
) -> None:
    for number in (1, 2, 3):
        assert shop.sends("orders/create", order(id=number), secret=OTHER_SECRET).status_code == 401

    assert operator.types("doctor").exit_code == 1
    (line,) = said_of_webhooks(operator)
    assert line == f"FAIL webhooks 3 webhooks with a wrong signature in the last hour; {HINT}"


def test_a_signature_that_is_no_base64_is_a_wrong_one(shop: Shop, operator: Operator) -> None:
    shop.sends("orders/create", order(), headers={"X-Shopify-Hmac-Sha256": "wrong"})

    (line,) = said_of_webhooks(operator)
    assert line == f"FAIL webhooks 1 webhook with a wrong signature in the last hour; {HINT}"


def test_the_doctor_asks_for_the_shop_after_webhooks_of_another_one(
    shop: Shop, operator: Operator
) -> None:
    other = {"X-Shopify-Shop-Domain": "other-shop.myshopify.com"}
    assert shop.sends("orders/create", order(), headers=other).status_code == 403
    assert shop.sends("shop/redact", {"shop_domain": "third.myshopify.com"}).status_code == 403

    (line,) = said_of_webhooks(operator)
    assert line.startswith("FAIL webhooks 2 webhooks of another shop in the last hour; ")
    assert "SHOPIFY_STORE_URL" in line


def test_calls_without_a_signature_are_noted(shop: Shop, operator: Operator) -> None:
    shop.client.post("/webhooks/orders/create", data=b"{}")

    (line,) = said_of_webhooks(operator)
    assert line.startswith("note webhooks 1 webhook without a signature in the last hour; ")


def test_the_doctor_forgets_refused_webhooks_after_an_hour(
    shop: Shop, operator: Operator, clock: Clock
) -> None:
    shop.sends("orders/create", order(), secret=OTHER_SECRET)
    clock.tick(seconds=3_661)

    assert operator.types("doctor").exit_code == 0
    assert said_of_webhooks(operator) == ["ok webhooks none refused in the last hour"]


def test_once_the_secret_is_right_the_refused_webhooks_are_a_note(
    shop: Shop, operator: Operator, clock: Clock
) -> None:
    shop.sends("orders/create", order(), secret=OTHER_SECRET)
    clock.tick(seconds=60)
    shop.sends("orders/create", order())

    assert operator.types("doctor").exit_code == 0
    (line,) = said_of_webhooks(operator)
    assert line.startswith("note webhooks 1 webhook with a wrong signature")


def test_an_accepted_webhook_says_nothing_of_another_topic(
    shop: Shop, operator: Operator, clock: Clock
) -> None:
    shop.sends("orders/paid", order(), secret=OTHER_SECRET)
    clock.tick(seconds=60)
    shop.sends("orders/create", order())

    assert operator.types("doctor").exit_code == 1


def test_the_metrics_count_refused_webhooks_on_for_ever(shop: Shop, clock: Clock) -> None:
    nothing = {"wrong_signature": "0", "no_signature": "0", "other_shop": "0"}
    assert refused_in(shop.client) == nothing
    for _ in range(3):
        shop.sends("orders/create", order(), secret=OTHER_SECRET)
        shop.sends("orders/paid", order(), secret=OTHER_SECRET)
        clock.tick(days=1)

    assert refused_in(shop.client) == {**nothing, "wrong_signature": "6"}


def test_old_counts_are_one_row_for_each_reason_and_topic(
    shop: Shop, service: Service, clock: Clock
) -> None:
    for _ in range(5):
        shop.sends("orders/create", order(), secret=OTHER_SECRET)
        clock.tick(days=1)
    shop.sends("orders/create", order(), secret=OTHER_SECRET)

    older, newest = rows(service.store, "refused_webhooks")
    assert (older["minute"], older["webhooks"]) == (0, 5)
    assert (newest["webhooks"], newest["last_at"]) == (1, clock())


def test_processes_count_together_and_across_restarts(
    build_service: BuildService, database_url: str
) -> None:
    for _ in range(2):
        started = build_service(database_url)
        Shop(assemble(started).test_client()).sends("orders/paid", order(), secret=OTHER_SECRET)

    (line,) = said_of_webhooks(Operator(assemble(build_service(database_url))))
    assert line.startswith("FAIL webhooks 2 webhooks")


@pytest.fixture
def watched(service: Service) -> WatchedStore:
    return WatchedStore(service.store)


@pytest.fixture
def monotonic() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
def refused(watched: WatchedStore, clock: Clock, monotonic: Clock) -> RefusedWebhooks:
    return RefusedWebhooks(watched, clock, monotonic)


def test_a_flood_of_wrong_signatures_costs_few_writes_and_few_lines(
    refused: RefusedWebhooks,
    watched: WatchedStore,
    monotonic: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(60_000):
            refused.count("wrong_signature", "orders/create")
            monotonic.tick(seconds=0.01)

    assert watched.commits <= WRITES_AT_ONCE + 600 / WRITE_SECONDS + 1
    assert len(caplog.messages) <= 2
    refused.write()
    assert sum(row["webhooks"] for row in rows(watched, "refused_webhooks")) == 60_000


def test_the_log_tells_of_the_first_refused_webhook_and_of_nobodys_data(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        shop.sends("orders/create", order(), secret=OTHER_SECRET)

    (line,) = [message for message in caplog.messages if "refused" in message]
    assert line == f"refused: 1 webhook with a wrong signature (orders/create); {HINT}"


@pytest.mark.parametrize("may_wait", [True, False])
def test_a_refused_webhook_is_answered_and_counted_later_while_the_store_is_away(
    refused: RefusedWebhooks, watched: WatchedStore, may_wait: bool
) -> None:
    watched.is_away = True
    for _ in range(50):
        refused.count("other_shop", "orders/paid", may_wait=may_wait)
    assert watched.commits == 1

    watched.is_away = False
    stopped = threading.Event()
    stopped.set()
    refused.run(stopped)

    assert [row["webhooks"] for row in rows(watched, "refused_webhooks")] == [50]


def test_who_may_not_wait_is_counted_without_waiting_for_the_disk(
    refused: RefusedWebhooks, watched: WatchedStore, service: Service
) -> None:
    is_held, is_open = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        is_held.set()
        assert is_open.wait(20)

    held = service.store.commit_later(hold)
    assert is_held.wait(20)
    refused.count("no_signature", "orders/create", may_wait=False)
    assert not held.done()
    is_open.set()
    # Where writers commit beside one another, another commit says nothing of this one.
    for written in watched.later:
        written.result(20)

    assert [row["webhooks"] for row in rows(service.store, "refused_webhooks")] == [1]


def test_counts_of_the_future_are_left_out_after_the_clock_was_set_back(
    shop: Shop, operator: Operator, clock: Clock
) -> None:
    shop.sends("orders/create", order(), secret=OTHER_SECRET)
    clock.tick(days=-1)

    assert said_of_webhooks(operator) == ["ok webhooks none refused in the last hour"]
