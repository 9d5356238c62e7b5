"""Erasures that take long or wait: no webhook waits for them, and no restart forgets them."""

import json
import threading
import time
from typing import Any

import pytest

from app import assemble
from tests.actors import Clock, Operator, Shop, order, pinned
from tests.body_searches import mentions
from tests.conftest import BuildService
from tests.store_contents import everything, rows
from tests.watched_store import WatchedStore
from tracking.receive.privacy.body_search import SLICE
from tracking.receive.privacy.pending import PendingErasures
from tracking.receive.privacy.requests import HELD_DAYS, PrivacyRequests
from tracking.receive.privacy.shop_erasure import STAGES
from tracking.service import Service
from tracking.store.pending_erasures import SEARCHING

EMAIL = "ada@example.com"
SHOP = {"shop_id": 1, "shop_domain": "mug.myshopify.com"}
REDACT = {**SHOP, "customer": {"id": 9_001, "email": EMAIL, "phone": "+12125550142"}}


@pytest.fixture
def service(build_service: BuildService, database_url: str) -> Service:
    """A service on each database, without a destination."""
    return build_service(database_url)


@pytest.fixture
def lite(build_service: BuildService, sqlite_url: str) -> Service:
    return build_service(sqlite_url)


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def odd(number: int, **told: Any) -> dict[str, Any]:
    """A body that nobody understands."""
    return {"number": f"x{number}", **told}


def quarantined(service: Service, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        answer = shop_of(service).sends("orders/create", body)
        assert answer.get_json()["status"] == "quarantined"


def left(service: Service) -> list[Any]:
    """The bodies that are still in quarantine."""
    return [json.loads(row["body"]) for row in rows(service.store, "quarantine") if row["body"]]


class Unwilling(PendingErasures):
    """Erasures that never come to anything."""

    def go_on_in_webhook(self, id: int, begun: float) -> bool:
        """Fails, as where the process is killed."""
        raise RuntimeError


def unwilling(service: Service) -> PrivacyRequests:
    """What takes requests and is killed before the first piece of each."""
    tracker, at_pinterest = service.tracker, service.privacy.at_pinterest
    pending = Unwilling(service.store, tracker.eraser, service.clock)
    return PrivacyRequests(service.store, tracker, pending, at_pinterest, service.clock)


def accept(service: Service, body: dict[str, Any] = REDACT) -> None:
    """Take an erasure, and be killed before its first piece."""
    receipt = unwilling(service).redact(json.dumps(body).encode(), "customers/redact")
    assert receipt.status == "accepted"


# --- the search of quarantined bodies


def test_a_search_goes_on_where_it_was_after_a_restart(
    build_service: BuildService, database_url: str
) -> None:
    before = build_service(database_url)
    long = odd(1, text=" x" * 2 * SLICE, email=EMAIL)
    quarantined(before, odd(0), long, odd(2, email="bob@example.com"), odd(3, email=EMAIL))
    accept(before)
    assert before.pending_erasures.go_on(seconds=0)
    (progress,) = rows(before.store, "pending_erasures")

    after = build_service(database_url)
    pieces = 1
    while after.pending_erasures.go_on(seconds=0):
        (further,) = rows(after.store, "pending_erasures")
        assert (further["body_id"], further["position"]) > (
            progress["body_id"],
            progress["position"],
        )
        progress = further
        pieces += 1

    assert pieces > 5
    assert left(after) == [odd(0), odd(2, email="bob@example.com")]
    assert rows(after.store, "pending_erasures") == []


def test_a_search_leaves_no_digest_of_the_person(service: Service) -> None:
    quarantined(service, odd(1, email=EMAIL))

    answer = shop_of(service).sends("customers/redact", REDACT)

    assert answer.get_json()["status"] == "accepted"
    assert left(service) == rows(service.store, "pending_erasures") == []


def test_an_erasure_is_taken_though_its_first_piece_fails(service: Service) -> None:
    quarantined(service, odd(1, email=EMAIL))
    shop_of(service).sends("orders/create", order())

    accept(service)

    assert len(left(service)) == 1
    assert not service.pending_erasures.go_on(seconds=60)
    assert left(service) == []
    assert [row["links"] for row in rows(service.store, "orders")] == [""]


def test_a_background_worker_completes_what_a_killed_process_left(service: Service) -> None:
    quarantined(service, odd(1, email=EMAIL))
    accept(service)
    stop = threading.Event()
    worker = threading.Thread(target=service.pending_erasures.run, args=(stop, 0.01))

    worker.start()
    deadline = time.monotonic() + 20
    while left(service) and time.monotonic() < deadline:
        stop.wait(0.01)
    stop.set()
    worker.join()

    assert left(service) == []


def test_a_search_waits_for_a_store_that_is_away(service: Service) -> None:
    quarantined(service, odd(1, email=EMAIL))
    accept(service)
    store = WatchedStore(service.store)
    store.is_away = True
    pending = PendingErasures(store, service.tracker.eraser, service.clock)

    assert not pending._go_on_safely()

    store.is_away = False
    while pending._go_on_safely():
        """On a busy machine it takes several turns."""
    assert left(service) == []


def test_while_bodies_are_searched_no_writer_waits(service: Service) -> None:
    quarantined(service, odd(1, text="a" * 200_000, email=EMAIL), odd(2, email=EMAIL))
    store = WatchedStore(service.store)
    accept(service)
    while rows(service.store, "pending_erasures")[0]["body_id"] < SEARCHING:
        service.pending_erasures.go_on(seconds=0)

    assert not PendingErasures(store, service.tracker.eraser, service.clock).go_on(seconds=60)

    # One short transaction at the end, whatever is searched.
    assert store.commits == 1
    assert left(service) == []


def test_a_person_is_found_on_the_border_of_two_slices() -> None:
    keys = {"em:b2JzZXNzZWQ"}
    assert not mentions(b"x" * 3 * SLICE, keys, ())
    for at in range(SLICE - 12, SLICE + 3):
        body = b" " * at + b"44444444 " + b"x" * SLICE
        assert mentions(body, keys, {"44444444"}), at
        assert not mentions(body, keys, {"4444", "444", "4444444"}), at


def test_a_phone_is_tried_in_a_bounded_number_of_countries(service: Service) -> None:
    many = [{"country_code": f"X{letter}"} for letter in "ABCDEFGHIJLMNOPQRSTUVWXYZ"]
    quarantined(service, odd(1, addresses=[*many, {"country_code": "US"}], phone="212-555-0142"))
    quarantined(service, odd(2, addresses=[{"country_code": "US"}, *many], phone="212-555-0142"))

    shop_of(service).sends("customers/redact", REDACT)

    assert [body["number"] for body in left(service)] == ["x1"]


# --- a shop that seems to sell on


def operator_of(service: Service) -> Operator:
    return Operator(assemble(service))


def test_the_erasure_of_a_shop_that_still_sells_is_held(service: Service, clock: Clock) -> None:
    shop = shop_of(service)
    shop.sends("orders/create", order(landing_site=pinned("11")))
    clock.tick(hours=47)
    before = everything(service.store)

    assert shop.sends("shop/redact", SHOP).get_json()["status"] == "accepted"
    assert shop.sends("shop/redact", SHOP).get_json()["status"] == "duplicate"

    after = everything(service.store)
    assert len(after.pop("pending_erasures")) == len(after.pop("privacy_requests")) == 1
    assert after == {name: before[name] for name in after}


def test_the_operator_learns_of_it_and_confirms_it(service: Service, clock: Clock) -> None:
    shop = shop_of(service)
    shop.sends("orders/create", order(landing_site=pinned("11")))
    shop.sends("shop/redact", SHOP)
    before, operator = shop.reads("/roi-analysis"), operator_of(service)
    assert "`flask --app app privacy --confirm 1` erases every" in operator.types("doctor").output
    assert "2026-12-15T12:00:00Z" in operator.types("privacy").output
    assert "no erasure 2 is held" in operator.types("privacy", "--confirm", "2").output
    assert [row["links"] for row in rows(service.store, "orders")] != [""]

    assert "every person was erased" in operator.types("privacy", "--confirm", "1").output

    assert [row["links"] for row in rows(service.store, "orders")] == [""]
    assert rows(service.store, "touches") == rows(service.store, "links") == []
    assert shop.reads("/roi-analysis") == before
    assert "no erasure is left to do" in operator.types("privacy").output
    assert "shop/redact" not in operator.types("doctor").output


def test_a_mistaken_erasure_can_be_dropped(lite: Service, clock: Clock) -> None:
    shop_of(lite).sends("orders/create", order())
    shop_of(lite).sends("shop/redact", SHOP)

    assert "no erasure is left to do" in operator_of(lite).types("privacy", "--drop", "1").output

    clock.tick(days=HELD_DAYS)
    lite.pending_erasures.carry_out_due()
    assert [row["links"] for row in rows(lite.store, "orders")] != [""]


def test_what_was_dropped_at_the_last_moment_is_not_carried_out(lite: Service) -> None:
    shop_of(lite).sends("orders/create", order())
    shop_of(lite).sends("shop/redact", SHOP)
    pending = lite.pending_erasures
    (held,) = pending.held()

    assert pending.drop(held.id)

    assert not pending.confirm(held.id)
    assert [row["links"] for row in rows(lite.store, "orders")] != [""]


def test_without_a_word_it_is_carried_out_before_shopifys_time_is_over(
    service: Service, clock: Clock
) -> None:
    shop_of(service).sends("orders/create", order())
    shop_of(service).sends("shop/redact", SHOP)

    clock.tick(days=HELD_DAYS, seconds=-1)
    [*service.retention.purge()]
    service.pending_erasures.carry_out_due()
    assert [row["links"] for row in rows(service.store, "orders")] != [""]

    clock.tick(seconds=1)
    service.pending_erasures.carry_out_due()
    assert not service.pending_erasures.go_on(seconds=60)
    assert [row["links"] for row in rows(service.store, "orders")] == [""]
    assert rows(service.store, "pending_erasures") == []


def test_a_clock_that_jumped_ahead_erases_nobody(service: Service, clock: Clock) -> None:
    shop_of(service).sends("orders/create", order())
    shop_of(service).sends("shop/redact", SHOP)

    clock.tick(days=HELD_DAYS + 1)
    service.pending_erasures.carry_out_due()

    assert not service.pending_erasures.go_on(seconds=60)
    assert [row["links"] for row in rows(service.store, "orders")] != [""]
    assert "is the clock right?" in operator_of(service).types("doctor").output


def test_a_shop_without_orders_for_two_days_is_erased_at_once(
    service: Service, clock: Clock
) -> None:
    shop = shop_of(service)
    shop.sends("orders/create", order())
    shop.sends("shop/redact", SHOP)
    clock.tick(hours=48, seconds=1)

    shop.sends("shop/redact", SHOP)

    assert [row["links"] for row in rows(service.store, "orders")] == [""]
    assert rows(service.store, "pending_erasures") == []


def test_who_buys_while_a_shop_is_erased_is_erased_if_the_shop_is_to_be_again(
    service: Service, clock: Clock
) -> None:
    shop = shop_of(service)
    shop.sends("orders/create", order())
    clock.tick(days=3)
    requests = unwilling(service)
    body = json.dumps(SHOP).encode()
    requests.shop_redact(body, "shop/redact")
    while rows(service.store, "pending_erasures")[0]["body_id"] < len(STAGES):
        service.pending_erasures.go_on(seconds=0)
    shop.sends("orders/create", order(id=2, email="eve@example.com"))
    clock.tick(days=3)

    for _ in range(3):
        requests.shop_redact(body, "shop/redact")

    assert len(rows(service.store, "pending_erasures")) == 2
    assert not service.pending_erasures.go_on(seconds=60)
    assert [row["links"] for row in rows(service.store, "orders")] == ["", ""]
    assert rows(service.store, "links") == rows(service.store, "touches") == []
