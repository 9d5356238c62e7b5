"""Who is erased here is erased at Pinterest, too, without their e-mail being kept anywhere."""

import logging
import threading
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    DAY,
    HOUR,
    Clock,
    Operator,
    Shop,
    ask_to_erase,
    deliver,
    instant,
    order,
    pinned,
)
from tests.canaries import EMAIL
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything
from tracking.receive.privacy.pinterest_erasures import HANDED_OVER_SECONDS, PAUSES
from tracking.service import Service

EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
REDACT = {
    "shop_id": 1,
    "shop_domain": "shop.myshopify.com",
    "customer": {"id": 9_001, "email": EMAIL},
    "orders_to_redact": [5_001],
}


@pytest.fixture
def service(build_service: BuildService, database_url: str, pinterest: FakePinterest) -> Service:
    return build_service(database_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def shop(service: Service) -> Shop:
    """A shop that has sold something to the person, of which Pinterest has the event."""
    shop = sells(service)
    deliver(service)
    return shop


def sells(service: Service) -> Shop:
    shop = Shop(assemble(service).test_client())
    body = order(email=EMAIL, contact_email=EMAIL, landing_site=pinned(epik=EPIK))
    assert shop.sends("orders/create", body).status_code == 200
    return shop


def redacts(shop: Shop, **changes: Any) -> None:
    answer = shop.sends("customers/redact", REDACT | changes)
    assert answer.get_json()["status"] in ("accepted", "duplicate")


def doctor(service: Service) -> str:
    said = Operator(assemble(service)).types("doctor", "--offline").output
    return " ".join(line for line in said.splitlines() if "erasures at pinterest" in line)


def test_pinterest_is_asked_by_the_email_and_the_click_id_once_it_is_erased_here(
    service: Service, shop: Shop, pinterest: FakePinterest
) -> None:
    redacts(shop)
    assert pinterest.deletions == []
    ask_to_erase(service)

    assert pinterest.deletions == [{"user_emails": [EMAIL], "epiks": [EPIK]}]
    assert EPIK not in str(everything(service.store)["pinterest_erasures"])
    assert "1 asked" in doctor(service)


def test_the_email_is_neither_stored_nor_logged(
    service: Service, pinterest: FakePinterest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop = sells(service)
    deliver(service)
    pinterest.refuses_deletions = True

    redacts(shop)
    before = str(everything(service.store))
    ask_to_erase(service)

    for text in (before, str(everything(service.store)), caplog.text, doctor(service)):
        assert EMAIL not in text
    assert EMAIL not in repr(service.privacy.at_pinterest.__dict__)


@pytest.mark.parametrize("was_sent", [True, False])
def test_pinterest_is_asked_only_if_it_has_an_event_of_the_person(
    service: Service, pinterest: FakePinterest, was_sent: bool
) -> None:
    shop = sells(service)
    if was_sent:
        deliver(service)
    # Of a person who is not named by an order, the order is found.
    redacts(shop, orders_to_redact=[])
    ask_to_erase(service)
    assert len(pinterest.deletions) == was_sent


@pytest.mark.parametrize(
    "settings", [{"PINTEREST_ERASE": "false"}, {"PINTEREST_TEST_MODE": "true"}]
)
def test_pinterest_is_not_asked_where_it_is_switched_off_or_counts_nothing(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    settings: dict[str, str],
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", **settings)
    shop = sells(service)
    deliver(service)
    redacts(shop)
    ask_to_erase(service)
    assert pinterest.deletions == []
    assert everything(service.store)["pinterest_erasures"] == []


def test_a_refusal_is_told_by_doctor_and_fails_no_redact(
    service: Service, shop: Shop, pinterest: FakePinterest, clock: Clock
) -> None:
    pinterest.refuses_deletions = True
    redacts(shop)
    ask_to_erase(service)
    assert "refused 1 (403 (code 29))" in doctor(service)

    # The click ids are asked about again; the e-mail is gone.
    pinterest.refuses_deletions = False
    clock.tick(hours=1.1)
    ask_to_erase(service)

    assert pinterest.deletions == [{"user_emails": [], "epiks": [EPIK]}]


def test_a_pinterest_that_is_down_is_asked_three_times(
    service: Service, shop: Shop, pinterest: FakePinterest
) -> None:
    pinterest.stop()
    redacts(shop)
    ask_to_erase(service)
    assert "no complete answer" in doctor(service)
    assert len(PAUSES) == 2


def test_an_email_that_a_crash_lost_is_told_as_not_asked(
    build_service: BuildService,
    database_url: str,
    service: Service,
    shop: Shop,
    pinterest: FakePinterest,
    clock: Clock,
) -> None:
    redacts(shop)
    other = build_service(database_url, pinterest=pinterest, PINTEREST_SEND="all")
    ask_to_erase(other)
    # Its process may still be there.
    assert pinterest.deletions == []

    clock.tick(seconds=HANDED_OVER_SECONDS + 1)
    ask_to_erase(other)

    assert pinterest.deletions == [{"user_emails": [], "epiks": [EPIK]}]
    assert "not asked" in doctor(other)


def test_click_ids_are_kept_for_thirty_days_at_most(
    service: Service, shop: Shop, pinterest: FakePinterest, clock: Clock
) -> None:
    pinterest.refuses_deletions = True
    redacts(shop)
    ask_to_erase(service)
    clock.tick(days=31)
    ask_to_erase(service)
    assert EPIK not in str(everything(service.store)["pinterest_erasures"])


def test_a_person_who_asks_again_is_counted_from_then_on(
    service: Service, shop: Shop, pinterest: FakePinterest, clock: Clock
) -> None:
    redacts(shop)
    ask_to_erase(service)
    clock.tick(days=40)
    assert doctor(service) == ""

    late = order(email=EMAIL, contact_email=EMAIL, created_at=instant(clock()), id=5_001)
    assert shop.sends("orders/create", late).status_code == 200
    deliver(service)
    redacts(shop)
    ask_to_erase(service)

    assert len(pinterest.deletions) == 2
    assert "1 asked" in doctor(service)


def test_the_erasure_of_the_shop_forgets_what_pinterest_was_not_asked_yet(
    service: Service, shop: Shop, pinterest: FakePinterest, clock: Clock
) -> None:
    pinterest.refuses_deletions = True
    redacts(shop)
    ask_to_erase(service)
    clock.tick(days=3, seconds=HOUR)
    shop.sends("shop/redact", {"shop_id": 1, "shop_domain": "shop.myshopify.com"})
    while service.pending_erasures.go_on(30):
        pass
    assert EPIK not in str(everything(service.store))
    assert clock.now > DAY


def test_who_waits_is_asked_about_in_the_background_until_a_stop(
    service: Service, shop: Shop, pinterest: FakePinterest
) -> None:
    stop = threading.Event()
    worker = threading.Thread(target=service.privacy.at_pinterest.run, args=(stop,))
    worker.start()
    try:
        redacts(shop)
        pinterest.wait_until(lambda fake: bool(fake.deletions))
    finally:
        stop.set()
        # Sooner than it looks for what is due.
        worker.join(10)
    assert not worker.is_alive()


def test_an_email_that_waits_at_a_stop_is_asked_about_before_it_is_lost(
    service: Service, shop: Shop, pinterest: FakePinterest
) -> None:
    stop = threading.Event()
    stop.set()
    redacts(shop)

    service.privacy.at_pinterest.run(stop)

    assert len(pinterest.deletions) == 1
    assert "lost" not in doctor(service)
