"""Waiting events reach Pinterest once each, whatever its day is like: over real HTTP."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import assemble
from tests.actors import DAY, HOUR, NOW, Clock, Shop, deliver, instant, order
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest, Mode
from tests.store_contents import rows
from tracking.clients.outcome import Accepted, Answered, BatchRefused, Outcome, Paused, TryLater
from tracking.deliver.deliverer import LEASE_SECONDS, Deliverer
from tracking.deliver.retry import GIVE_UP_AFTER
from tracking.destinations import Destination
from tracking.destinations.pinterest import Pinterest
from tracking.domain.conversion import Content, Conversion, Evidence
from tracking.domain.identity import Digest, Identity
from tracking.domain.instants import instant as instant_of
from tracking.operate.background import BackgroundWorkers
from tracking.service import Service, service_of
from tracking.store import accounts, dead_letter_queue, open_store, outbox
from tracking.store.engine.statement import Connection

PATIENCE = 20.0
IP, BROWSER = "203.0.113.7", "Mozilla/5.0 (Macintosh)"


def sale(event_id: str, event_time: int = NOW) -> Conversion:
    return Conversion(
        event_id=event_id,
        event_name="checkout",
        action_source="web",
        event_time=event_time,
        identity=Identity(em=(Digest("ab" * 32),)),
        ip=IP,
        user_agent=BROWSER,
        currency="USD",
        value="40.00",
        order_id="0",
        contents=(Content("111", "Mug", "Kiln", "20.00", 2),),
        num_items=2,
    )


@pytest.fixture
def pinterest(clock: Clock) -> Iterator[FakePinterest]:
    """Pinterest, in whose house it is as late as in ours."""
    with FakePinterest("pina_test_token", "549755885175", clock=clock) as server:
        yield server


@pytest.fixture
def single(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service on SQLite alone, where the database makes no difference."""
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


class Told:
    """A destination in this process. `does` is what it does with the events of each call."""

    name = "told"
    max_batch = 1000
    calls_per_minute = 5000

    def __init__(self, does: Callable[[Sequence[bytes]], Outcome]) -> None:
        self.does = does
        self.calls: list[list[str]] = []

    def encode(self, conversion: Conversion) -> bytes:
        return json.dumps({"event_id": conversion.event_id, "ip": conversion.ip}).encode()

    def send(self, events: Sequence[bytes]) -> Outcome:
        self.calls.append([json.loads(event)["event_id"] for event in events])
        return self.does(events)

    def amend(self, event: bytes, evidence: Evidence, limited: bool) -> bytes:
        return event

    def strip(self, event: bytes) -> bytes:
        return event.replace(IP.encode(), b"")

    def evidence_of(self, event: bytes) -> Evidence:
        return Evidence(ip=IP if IP.encode() in event else "")

    def close(self) -> None:
        """Nothing is open."""


def takes(events: Sequence[bytes]) -> Outcome:
    return Answered((Accepted(),) * len(events))


Tell = Callable[..., Service]


@pytest.fixture
def telling(build_service: BuildService, clock: Clock) -> Iterator[Tell]:
    """Makes services that tell other destinations: `telling(url, destination, …)`."""
    opened: list[Service] = []

    def build(url: str, *destinations: Destination) -> Service:
        settings = build_service(url, PINTEREST_SEND="all").settings
        known = {destination.name: destination for destination in destinations}
        opened.append(service_of(settings, open_store(url), known, clock))
        return opened[-1]

    yield build
    for service in opened:
        service.store.close()


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def deliverer_of(service: Service, name: str = "pinterest", jitter: float = 0.0) -> Deliverer:
    return Deliverer(service.store, service.destinations[name], service.clock, lambda: jitter)


def queue(service: Service, count: int = 1, first: int = 0, name: str = "pinterest") -> None:
    """Put finished events in line, "checkout-<n>" from `first` on."""
    destination = service.destinations[name]
    names = [f"checkout-{n}" for n in range(first, first + count)]
    payloads = {event_id: destination.encode(sale(event_id)) for event_id in names}
    now = int(service.clock())

    def write(conn: Any) -> None:
        for event_id, payload in payloads.items():
            outbox.queue(conn, event_id, name, payload, event_time=NOW, now=now)

    service.store.commit(write)


def rows_of(service: Service, event_id: str = "checkout-0") -> dict[str, Any]:
    with service.store.read() as conn:
        return {row.destination: row for row in outbox.of_event(conn, event_id)}


def row_of(service: Service, event_id: str = "checkout-0") -> Any:
    return next(iter(rows_of(service, event_id).values()))


def states(service: Service) -> dict[str, int]:
    return dict(Counter(row["state"] for row in rows(service.store, "outbox")))


def dead_letters(service: Service) -> dict[str, str]:
    with service.store.read() as conn:
        return {row.event_id: row.reason for row in dead_letter_queue.dead(conn, most=1000)}


def once(count: int) -> dict[str, int]:
    return {f"checkout-{n}": 1 for n in range(count)}


# --- On a good day


def test_an_order_reaches_pinterest_once(
    shop: Shop, service: Service, pinterest: FakePinterest
) -> None:
    shop.sends("orders/create", order())
    assert deliver(service) == 1
    assert pinterest.accepted == {"checkout-5001": 1}
    shop.sends("orders/paid", order(updated_at=instant(NOW + 5)))
    assert deliver(service) == 0
    assert pinterest.accepted == {"checkout-5001": 1}


def test_a_call_carries_at_most_a_thousand_events(
    single: Service, pinterest: FakePinterest
) -> None:
    queue(single, 2300)
    assert deliver(single) == 2300
    assert [call.events for call in pinterest.calls] == [1000, 1000, 300]
    assert pinterest.accepted == once(2300)


def test_nothing_waiting_is_no_call(single: Service, pinterest: FakePinterest) -> None:
    assert deliver(single) == 0
    assert pinterest.calls == []


def test_address_and_browser_stay_with_an_event_until_it_is_settled(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(service)
    pinterest.mode = "down"
    deliver(service)
    assert IP in bytes(row_of(service).payload).decode()

    pinterest.mode = "ok"
    clock.tick(seconds=1)
    deliver(service)
    assert pinterest.events["checkout-0"]["user_data"]["client_ip_address"] == IP
    kept = bytes(row_of(service).payload).decode()
    assert "checkout-0" in kept
    assert IP not in kept
    assert BROWSER not in kept


def test_a_refused_event_loses_address_and_browser_too(
    single: Service, pinterest: FakePinterest
) -> None:
    queue(single)
    pinterest.mode, pinterest.poisoned = "partial", frozenset({"checkout-0"})
    deliver(single)
    assert row_of(single).state == "dead"
    assert IP not in bytes(row_of(single).payload).decode()


def test_without_credentials_nothing_is_queued_and_the_log_says_why(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url, PINTEREST_SEND="all")
    shop = shop_of(service)
    shop.sends("orders/create", order())
    assert states(service) == {}
    (event,) = shop.reads("/events")["events"]
    assert (event["state"], event["reason"]) == ("not_sent", "report_only")


def test_in_test_mode_pinterest_counts_nothing(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(
        sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", PINTEREST_TEST_MODE="true"
    )
    queue(service, 50)
    deliver(service)
    assert [(call.events, call.is_test) for call in pinterest.calls] == [
        (20, True),
        (20, True),
        (10, True),
    ]
    assert pinterest.accepted == {}


# --- When Pinterest refuses events


@pytest.mark.parametrize("mode", ["partial", "unprocessable"])
def test_of_a_call_taken_in_part_each_event_has_its_own_fate(
    service: Service, pinterest: FakePinterest, mode: str
) -> None:
    queue(service, 10)
    pinterest.mode, pinterest.poisoned = mode, frozenset({"checkout-3", "checkout-7"})
    deliver(service)
    assert states(service) == {"sent": 8, "dead": 2}
    assert dead_letters(service) == {
        name: f"Invalid event_id: {name} is poisoned" for name in pinterest.poisoned
    }
    assert pinterest.accepted == {n: 1 for n in once(10) if n not in pinterest.poisoned}
    assert len(pinterest.calls) == 1


def test_three_poisoned_events_of_a_thousand_are_found_and_cost_no_other(
    service: Service, pinterest: FakePinterest
) -> None:
    queue(service, 1000)
    pinterest.mode = "reject"
    pinterest.poisoned = frozenset({"checkout-0", "checkout-499", "checkout-998"})
    deliver(service)
    letters = dead_letters(service)
    assert set(letters) == pinterest.poisoned
    assert all("Additional properties are not allowed" in words for words in letters.values())
    assert states(service) == {"sent": 997, "dead": 3}
    assert pinterest.accepted == {n: 1 for n in once(1000) if n not in pinterest.poisoned}
    assert len(pinterest.calls) <= 70


def test_dead_letters_are_sent_after_a_fix_and_only_once(
    service: Service, pinterest: FakePinterest
) -> None:
    queue(service, 10)
    pinterest.mode, pinterest.poisoned = "reject", frozenset({"checkout-1", "checkout-2"})
    deliver(service)
    pinterest.poisoned = frozenset()

    def replay(conn: Any) -> int:
        return dead_letter_queue.replay(conn, NOW, NOW - GIVE_UP_AFTER)

    assert service.store.commit(replay) == 2
    assert deliver(service) == 2
    assert pinterest.accepted == once(10)
    assert service.store.commit(replay) == 0
    assert deliver(service) == 0


def test_the_search_for_the_culprits_goes_on_where_the_rate_limit_interrupts_it(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(
        sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", PINTEREST_TEST_MODE="true"
    )
    queue(service, 20)
    pinterest.mode = "reject"
    pinterest.poisoned = frozenset({"checkout-0", "checkout-9", "checkout-19"})
    deliverer = deliverer_of(service)
    for _ in range(60):
        deliverer.deliver()
        clock.tick(seconds=1)
    assert states(service) == {"sent": 17, "dead": 3}
    assert set(dead_letters(service)) == pinterest.poisoned


# --- When the account may not send


@pytest.mark.parametrize("mode", ["unauthorized", "forbidden"])
def test_wrong_credentials_pause_the_account_and_blame_no_event(
    service: Service,
    pinterest: FakePinterest,
    clock: Clock,
    mode: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue(service, 1001)
    pinterest.mode = mode
    with caplog.at_level(logging.ERROR):
        deliver(service)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    clock.tick(seconds=299)
    assert deliver(service) == 0
    assert len(pinterest.calls) == 1
    assert states(service) == {"waiting": 1001}
    assert row_of(service).attempts == 0

    pinterest.mode = "ok"
    clock.tick(seconds=1)
    deliver(service)
    assert pinterest.accepted == once(1001)


@pytest.mark.parametrize(("asked", "kept"), [(0, 60), (30, 60), (120, 120), (86_400, 900)])
def test_a_throttled_account_waits_as_long_as_it_is_asked_to_within_reason(
    single: Service, pinterest: FakePinterest, clock: Clock, asked: int, kept: int
) -> None:
    pinterest.mode = Mode("throttle", limit=1, window=5.0, retry_after=asked)
    queue(single, 1500)
    deliver(single)
    assert [call.status for call in pinterest.calls] == [200, 429]
    assert row_of(single, "checkout-1499").attempts == 0
    clock.tick(seconds=kept - 1)
    assert deliver(single) == 0
    clock.tick(seconds=1)
    assert deliver(single) == 500
    assert pinterest.accepted == once(1500)


@pytest.mark.parametrize("trouble", [Paused("slow down"), TryLater("no answer")])
def test_trouble_in_the_middle_of_a_search_ends_it(
    telling: Tell, sqlite_url: str, trouble: Outcome
) -> None:
    told = Told(lambda events: BatchRefused("wrong") if len(events) > 1 else trouble)
    service = telling(sqlite_url, told)
    queue(service, 4, name="told")
    deliverer_of(service, "told").deliver()
    assert [len(call) for call in told.calls] == [4, 2, 1]
    assert states(service) == {"waiting": 4}
    assert row_of(service, "checkout-3").attempts == 0


# --- When Pinterest is silent or talks nonsense

BAD_DAYS = ["down", "html", "empty", "short", "no_content", "redirect", "garbage", "reset"]


@pytest.mark.parametrize("mode", BAD_DAYS)
def test_an_answer_that_says_nothing_settles_nothing(
    single: Service, pinterest: FakePinterest, clock: Clock, mode: str
) -> None:
    queue(single, 2)
    pinterest.mode = mode
    deliver(single)
    assert states(single) == {"waiting": 2}
    for row in (row_of(single, "checkout-0"), row_of(single, "checkout-1")):
        assert row.attempts == 1
        assert row.due_at > NOW, "it must back off"
        assert row.reason

    pinterest.mode = "ok"
    clock.tick(seconds=10)
    deliver(single)
    assert states(single) == {"sent": 2}
    assert set(pinterest.accepted) == {"checkout-0", "checkout-1"}
    assert pinterest.strays == []


def test_an_answer_that_never_comes_ends_and_the_event_is_sent_again(
    single: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(single)
    hasty = Pinterest(pinterest.token, pinterest.account_id, pinterest.url, deadline=0.2)
    deliverer = Deliverer(single.store, hasty, clock, lambda: 0.0)
    pinterest.mode = "hang"
    deliverer.deliver()
    assert row_of(single).state == "waiting"

    pinterest.mode = "ok"
    clock.tick(seconds=1)
    deliverer.deliver()
    hasty.close()
    assert pinterest.accepted == once(1)


def test_an_event_that_may_have_arrived_is_sent_again_under_the_same_id(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(service)
    pinterest.mode = "reset"
    deliver(service)
    clock.tick(seconds=10)
    deliver(service)
    pinterest.mode = "ok"
    clock.tick(seconds=20)
    deliver(service)
    assert pinterest.accepted == {"checkout-0": 3}
    assert pinterest.events["checkout-0"]["event_time"] == NOW
    assert row_of(service).attempts == 3


def test_after_five_failures_one_event_asks_whether_pinterest_is_back(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(service, 100)
    pinterest.mode = "down"
    for _ in range(5):
        assert deliver(service) == 100
        clock.tick(seconds=1)
    clock.tick(seconds=28)
    assert deliver(service) == 0, "the breaker is open for thirty seconds"
    clock.tick(seconds=1)
    deliver(service)
    assert [call.events for call in pinterest.calls] == [100] * 5 + [1]

    clock.tick(seconds=44)
    assert deliver(service) == 0, "and then for forty-five"
    pinterest.mode = "ok"
    clock.tick(seconds=1)
    deliver(service)
    assert [call.events for call in pinterest.calls][6:] == [1, 99]
    assert pinterest.accepted == once(100)


def test_what_waits_long_for_its_next_attempt_goes_as_soon_as_pinterest_answers(
    single: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(single, 100)
    pinterest.mode = "down"
    patient = deliverer_of(single, jitter=0.999)
    patient.deliver()
    pinterest.mode = "ok"
    queue(single, 1, first=100)
    assert deliver(single) == 101
    assert pinterest.accepted == once(101)


def test_an_outage_of_an_hour_costs_few_calls_and_no_event(
    single: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(single, 50)
    pinterest.mode = "down"
    for _ in range(360):
        clock.tick(seconds=10)
        deliver(single)
    assert len(pinterest.calls) < 90
    pinterest.mode = "ok"
    clock.tick(seconds=45)
    deliver(single)
    assert pinterest.accepted == once(50)
    assert pinterest.events["checkout-49"]["event_time"] == NOW


@pytest.mark.parametrize("failures", [1, 4, 30])
def test_a_minute_after_an_outage_even_a_single_event_has_arrived(
    service: Service, pinterest: FakePinterest, clock: Clock, failures: int
) -> None:
    queue(service)
    pinterest.mode = "down"
    patient = deliverer_of(service, jitter=0.999)
    while len(pinterest.calls) < failures:
        clock.tick(seconds=5)
        patient.deliver()
    pinterest.mode = "ok"
    clock.tick(seconds=59)
    patient.deliver()
    assert pinterest.accepted == once(1)


# --- Too late


def test_an_event_too_old_for_pinterest_is_a_dead_letter_and_never_sent(
    service: Service, pinterest: FakePinterest, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    queue(service, 3)
    clock.tick(days=7)
    with caplog.at_level(logging.WARNING):
        deliver(service)
    assert pinterest.calls == []
    assert states(service) == {"dead": 3}
    assert set(dead_letters(service).values()) == {"expired: never sent in time"}
    assert len(caplog.records) == 3


def test_an_event_goes_until_the_last_second(
    single: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(single)
    clock.tick(days=7, seconds=-1)
    deliver(single)
    assert pinterest.accepted == once(1)


def test_an_event_of_the_last_hours_is_tried_once(
    single: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(single)
    clock.tick(seconds=GIVE_UP_AFTER)
    pinterest.mode = "down"
    deliver(single)
    assert len(pinterest.calls) == 1
    assert states(single) == {"dead": 1}


def test_a_call_carries_no_more_than_a_process_can_hold(
    service: Service, pinterest: FakePinterest
) -> None:
    destination = service.destinations["pinterest"]
    products = tuple(Content(id=f"{n}-{'x' * 900}") for n in range(1000))

    def write(conn: Any) -> None:
        for n in range(20):
            event_id = f"checkout-{n}"
            large = msgspec.structs.replace(sale(event_id), contents=products)
            payload = destination.encode(large)
            outbox.queue(conn, event_id, "pinterest", payload, event_time=NOW, now=NOW)

    service.store.commit(write)
    deliver(service)

    assert [call.events for call in pinterest.calls] == [5, 5, 5, 5]
    assert pinterest.accepted == once(20)


def test_a_dead_letter_says_what_kept_the_event_until_it_expired(
    single: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(single)
    pinterest.mode = "down"
    deliver(single)
    clock.tick(days=8)
    deliver(single)
    assert dead_letters(single)["checkout-0"].startswith("expired: HTTP 503")
    assert len(pinterest.calls) == 1


def test_expired_events_do_not_hold_up_the_fresh_ones_behind_them(
    single: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    queue(single, 2)
    clock.tick(days=8)
    fresh = sale("checkout-fresh", event_time=int(clock()))
    payload = single.destinations["pinterest"].encode(fresh)
    single.store.commit(
        lambda c: outbox.queue(
            c, fresh.event_id, "pinterest", payload, event_time=fresh.event_time, now=NOW
        )
    )
    deliver(single)
    assert pinterest.accepted == {"checkout-fresh": 1}


# --- A clock that is behind


@pytest.mark.parametrize("ahead", [1, 240, 301, HOUR, 8 * DAY])
def test_an_event_ahead_of_our_clock_waits_until_it_is_due(
    shop: Shop, service: Service, pinterest: FakePinterest, clock: Clock, ahead: int
) -> None:
    at = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(NOW + ahead))
    shop.sends("orders/create", order(**at))

    for seconds in (0, ahead - 1):
        assert deliver(service) == 0
        assert states(service) == {"waiting": 1}
        why = shop.reads("/orders/5001/journey")["why"]
        assert why.endswith(
            f"waiting to be sent to Pinterest (not before its own time, {instant_of(NOW + ahead)})."
        )
        clock.tick(seconds=seconds)
    clock.tick(seconds=1)
    deliver(service)

    assert pinterest.accepted == {"checkout-5001": 1}
    assert pinterest.events["checkout-5001"]["event_time"] == NOW + ahead


def test_nothing_brings_an_event_forward_before_its_time(
    shop: Shop, service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    ahead = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(NOW + HOUR))
    shop.sends("orders/create", order(**ahead))
    shop.sends("orders/create", order(id=5002))
    pinterest.mode = "down"
    deliver(service)
    pinterest.mode = "ok"
    clock.tick(seconds=60)
    deliver(service)

    assert pinterest.accepted == {"checkout-5002": 1}
    assert states(service) == {"waiting": 1, "sent": 1}
    assert service.readiness()["oldest_waiting_seconds"] == 0


# --- Changes of mind


def test_an_order_cancelled_before_it_was_sent_is_never_sent(
    shop: Shop, service: Service, pinterest: FakePinterest
) -> None:
    shop.sends("orders/create", order())
    cancelled = order(cancelled_at=instant(NOW + 60), updated_at=instant(NOW + 60))
    shop.sends("orders/cancelled", cancelled)
    assert deliver(service) == 0
    found = row_of(service, "checkout-5001")
    assert (found.state, found.reason) == ("withdrawn", "cancelled")


@pytest.mark.parametrize(("arrives", "state"), [(True, "sent"), (False, "withdrawn")])
def test_an_order_cancelled_while_its_event_is_under_way_is_not_tried_again(
    telling: Tell, database_url: str, clock: Clock, arrives: bool, state: str
) -> None:
    def cancels(events: Sequence[bytes]) -> Outcome:
        body = order(cancelled_at=instant(NOW + 1), updated_at=instant(NOW + 1))
        assert shop.sends("orders/cancelled", body).status_code == 200
        return takes(events) if arrives else TryLater("no answer")

    told = Told(cancels)
    service = telling(database_url, told)
    shop = shop_of(service)
    shop.sends("orders/create", order())
    deliver(service, "told")
    clock.tick(hours=1)
    deliver(service, "told")
    assert told.calls == [["checkout-5001"]]
    assert row_of(service, "checkout-5001").state == state


def test_an_order_cancelled_while_its_deliverer_dies_is_not_sent_by_the_next(
    telling: Tell, database_url: str, clock: Clock
) -> None:
    def cancels_and_dies(events: Sequence[bytes]) -> Outcome:
        body = order(cancelled_at=instant(NOW + 1), updated_at=instant(NOW + 1))
        assert shop.sends("orders/cancelled", body).status_code == 200
        raise SystemExit

    told = Told(cancels_and_dies)
    service = telling(database_url, told)
    shop = shop_of(service)
    shop.sends("orders/create", order())
    with pytest.raises(SystemExit):
        deliver(service, "told")
    clock.tick(seconds=LEASE_SECONDS + 1)
    deliver(service, "told")
    assert len(told.calls) == 1
    found = row_of(service, "checkout-5001")
    assert (found.state, found.reason, bytes(found.payload)) == ("withdrawn", "cancelled", b"")


# --- Several deliverers, and the end of one


def test_deliverers_at_once_send_nothing_twice(telling: Tell, database_url: str) -> None:
    told = Told(takes)
    told.max_batch = 20
    service = telling(database_url, told)
    queue(service, 600, name="told")
    with ThreadPoolExecutor(4) as threads:
        tried = list(threads.map(lambda _: deliver(service, "told"), range(4)))
    assert sum(tried) == 600
    assert Counter(name for names in told.calls for name in names) == once(600)
    assert states(service) == {"sent": 600}


def test_a_deliverer_that_dies_after_sending_leaves_its_events_to_the_next(
    telling: Tell, database_url: str, clock: Clock
) -> None:
    def dies(events: Sequence[bytes]) -> Outcome:
        told.does = takes
        raise SystemExit

    told = Told(dies)
    service = telling(database_url, told)
    queue(service, 2, name="told")
    with pytest.raises(SystemExit):
        deliver(service, "told")
    clock.tick(seconds=LEASE_SECONDS - 1)
    assert deliver(service, "told") == 0
    clock.tick(seconds=1)
    assert deliver(service, "told") == 2
    assert told.calls == [["checkout-0", "checkout-1"]] * 2


def test_no_call_is_begun_that_might_outlive_the_lease(
    telling: Tell, sqlite_url: str, clock: Clock
) -> None:
    def refuses_slowly(events: Sequence[bytes]) -> Outcome:
        clock.tick(seconds=30)
        return BatchRefused("one of them is wrong") if len(events) > 1 else takes(events)

    told = Told(refuses_slowly)
    service = telling(sqlite_url, told)
    queue(service, 8, name="told")
    deliverer_of(service, "told").deliver()
    assert int(service.clock()) <= NOW + LEASE_SECONDS
    assert sum(states(service).values()) == 8
    deliver(service, "told")
    assert states(service) == {"sent": 8}
    assert Counter(name for names in told.calls if len(names) == 1 for name in names) == once(8)


def test_two_deliverers_keep_the_rate_limit_together(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(
        sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", PINTEREST_TEST_MODE="true"
    )
    queue(service, 1300)
    pair = [deliverer_of(service), deliverer_of(service)]
    for _ in range(180):
        for deliverer in pair:
            deliverer.deliver()
        clock.tick(seconds=0.5)
    assert states(service) == {"sent": 1300}
    assert {call.status for call in pinterest.calls} == {200}
    assert 50 <= pinterest.busiest(60.0) <= 60


# --- Several destinations


def test_one_destinations_outage_does_not_hold_up_the_other(
    telling: Tell, database_url: str
) -> None:
    good, bad = Told(takes), Told(lambda events: TryLater("no answer"))
    good.name, bad.name = "good", "bad"
    service = telling(database_url, bad, good)
    shop_of(service).sends("orders/create", order())
    deliver(service, "bad")
    deliver(service, "good")
    found = rows_of(service, "checkout-5001")
    assert (found["good"].state, found["good"].attempts) == ("sent", 1)
    assert (found["bad"].state, found["bad"].attempts) == ("waiting", 1)
    assert "203.0.113.7" in bytes(found["bad"].payload).decode()


def test_track_ai_has_a_row_of_its_own_beside_pinterests(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(
        sqlite_url,
        pinterest=pinterest,
        PINTEREST_SEND="all",
        TRACK_AI_ENDPOINT="http://127.0.0.1:9/events",
    )
    shop_of(service).sends("orders/create", order())
    deliver(service, "pinterest")
    deliver(service, "track_ai")
    found = {name: row.state for name, row in rows_of(service, "checkout-5001").items()}
    assert found == {"pinterest": "sent", "track_ai": "waiting"}


# --- The thread


def test_a_deliverer_goes_on_after_whatever_went_wrong(
    telling: Tell, sqlite_url: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    arrived = threading.Event()

    def stumbles(events: Sequence[bytes]) -> Outcome:
        if len(told.calls) == 1:
            clock.tick(seconds=LEASE_SECONDS)
            raise RuntimeError("a bug about ada@example.com")
        arrived.set()
        return takes(events)

    told = Told(stumbles)
    service = telling(sqlite_url, told)
    queue(service, name="told")
    stop = threading.Event()
    run = threading.Thread(target=deliverer_of(service, "told").run, args=(stop, 0.01))
    run.start()
    assert arrived.wait(PATIENCE)
    stop.set()
    run.join(PATIENCE)
    assert not run.is_alive()
    assert row_of(service).state == "sent"
    assert "delivery to told failed: RuntimeError at " in caplog.text
    assert "ada@" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_deliverer_waits_for_a_store_that_is_away(
    telling: Tell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(takes)
    service = telling(f"sqlite:///{tmp_path}/missing/tracking.db", told)
    stop = threading.Event()

    class Witness(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            stop.set()

    logger = logging.getLogger("tracking.deliver.deliverer")
    witness = Witness()
    logger.addHandler(witness)
    deliverer_of(service, "told").run(stop, 0.01)
    logger.removeHandler(witness)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_the_deliverers_of_a_process_start_and_stop_with_it(
    single: Service, pinterest: FakePinterest
) -> None:
    queue(single, 5)
    threads: BackgroundWorkers = single.deliverers()
    threads.start()
    pinterest.wait_until(lambda fake: fake.accepted == once(5))
    threads.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("deliver-")]


def test_a_day_of_orders_in_any_mood_ends_with_each_accepted(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    moods = ["ok", "down", "reset", "flaky", "html", "throttle", "unauthorized", "partial"]
    for number, mood in enumerate(moods * 3):
        queue(service, 10, first=10 * number)
        pinterest.mode = mood
        deliver(service)
        clock.tick(seconds=HOUR / 4)
    pinterest.mode = "ok"
    clock.tick(seconds=DAY / 24)
    deliver(service)
    assert states(service) == {"sent": 240}
    assert set(pinterest.accepted) == set(once(240))


def test_a_call_is_settled_while_the_next_one_is_made(telling: Tell, sqlite_url: str) -> None:
    calls = [threading.Event(), threading.Event()]
    stop, was_called = threading.Event(), list[bool]()

    def takes_in_turn(events: Sequence[bytes]) -> Outcome:
        next(call for call in calls if not call.is_set()).set()
        return takes(events)

    class Settled(Told):
        max_batch = 1

        def strip(self, event: bytes) -> bytes:
            # Only the call after it ends the settling of the first.
            was_called.append(calls[1].wait(PATIENCE))
            if len(was_called) == 2:
                stop.set()
            return event

    service = telling(sqlite_url, Settled(takes_in_turn))
    queue(service, 2, name="told")
    deliverer_of(service, "told").run(stop, 0.01)

    assert was_called == [True, True]
    assert row_of(service, "checkout-0").state == row_of(service, "checkout-1").state == "sent"


class OneByOne(Told):
    """Calls of one event each. `meanwhile` happens in the first one, once the next is claimed."""

    max_batch = 1

    def __init__(self, meanwhile: Callable[[], Outcome | None]) -> None:
        super().__init__(self._does)
        self.meanwhile = meanwhile
        self.stop = threading.Event()

    def _does(self, events: Sequence[bytes]) -> Outcome:
        if len(self.calls) == 1:
            return self.meanwhile() or takes(events)
        self.stop.set()
        return takes(events)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_the_events_of_the_next_call_are_claimed_while_a_call_is_out(
    telling: Tell, database_url: str
) -> None:
    told = OneByOne(lambda: wait_until(lambda: bool(row_of(service, "checkout-1").claim)))
    service = telling(database_url, told)
    queue(service, 2, name="told")
    deliverer_of(service, "told").run(told.stop, 0.01)
    assert told.calls == [["checkout-0"], ["checkout-1"]]
    assert states(service) == {"sent": 2}


def test_a_deliverer_that_is_stopped_gives_back_what_it_has_claimed_ahead(
    telling: Tell, sqlite_url: str
) -> None:
    def stops() -> None:
        wait_until(lambda: bool(row_of(service, "checkout-1").claim))
        told.stop.set()

    told = OneByOne(stops)
    service = telling(sqlite_url, told)
    queue(service, 2, name="told")
    deliverer_of(service, "told").run(told.stop, 0.01)
    waiting = row_of(service, "checkout-1")
    assert (told.calls, waiting.state) == ([["checkout-0"]], "waiting")
    assert (waiting.claim, waiting.leased_until, waiting.attempts) == ("", 0, 0)
    assert deliver(service, "told") == 1


def test_a_deliverer_that_is_stopped_in_a_search_gives_back_what_it_did_not_send(
    telling: Tell, database_url: str
) -> None:
    stop = threading.Event()

    def refuses(events: Sequence[bytes]) -> Outcome:
        stop.set()
        return BatchRefused("one of them is wrong")

    told = Told(refuses)
    service = telling(database_url, told)
    queue(service, 4, name="told")
    deliverer_of(service, "told").run(stop, 0.01)
    assert len(told.calls) == 1
    found = [(row["state"], row["claim"], row["attempts"]) for row in rows(service.store, "outbox")]
    assert found == [("waiting", "", 0)] * 4


def test_what_is_withdrawn_after_it_was_claimed_ahead_is_not_sent(
    telling: Tell, database_url: str
) -> None:
    def withdraws() -> None:
        wait_until(lambda: bool(row_of(service, "checkout-1").claim))
        for name in ("checkout-1", "checkout-2"):
            withdraw = partial(outbox.withdraw, event_id=name, reason="cancelled", now=NOW)
            service.store.commit(withdraw)

    told = OneByOne(withdraws)
    service = telling(database_url, told)
    queue(service, 4, name="told")
    deliverer_of(service, "told").run(told.stop, 0.01)
    assert told.calls == [["checkout-0"], ["checkout-3"]]
    assert states(service) == {"sent": 2, "withdrawn": 2}


def test_what_is_amended_after_it_was_claimed_ahead_is_sent_as_it_is_now(
    telling: Tell, database_url: str
) -> None:
    def amends() -> None:
        wait_until(lambda: bool(row_of(service, "checkout-1").claim))
        limited = json.dumps({"event_id": "limited"}).encode()
        amend = partial(outbox.amend, id=row_of(service, "checkout-1").id, payload=limited)
        service.store.commit(amend)

    told = OneByOne(amends)
    service = telling(database_url, told)
    queue(service, 2, name="told")
    deliverer_of(service, "told").run(told.stop, 0.01)
    assert told.calls == [["checkout-0"], ["limited"]]


@pytest.mark.parametrize("is_own", [True, False])
def test_what_was_claimed_ahead_is_not_sent_once_the_account_is_paused(
    telling: Tell, database_url: str, is_own: bool
) -> None:
    def pauses(conn: Connection) -> None:
        account = accounts.of_destination(conn, "told")
        accounts.put(conn, account._replace(paused_until=NOW + 60))

    def fails() -> Outcome | None:
        wait_until(lambda: bool(row_of(service, "checkout-1").claim))
        if is_own:
            return Paused("HTTP 429", seconds=60)
        service.store.commit(pauses)
        return None

    told = OneByOne(fails)
    service = telling(database_url, told)
    queue(service, 2, name="told")
    run = threading.Thread(target=deliverer_of(service, "told").run, args=(told.stop, PATIENCE))
    run.start()
    wait_until(lambda: bool(told.calls) and not row_of(service).claim)
    wait_until(lambda: not row_of(service, "checkout-1").claim)
    told.stop.set()
    run.join(PATIENCE)
    assert told.calls == [["checkout-0"]]
    assert row_of(service, "checkout-1").state == "waiting"
