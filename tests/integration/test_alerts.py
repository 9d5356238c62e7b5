"""Alerts over time: one message when one begins, one when it ends, whatever happens in between."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from app import assemble
from tests.actors import HOUR, Clock, Operator, Shop, bearer, deliver, order
from tests.conftest import BuildService
from tests.reading import until
from tests.standins.alert_receiver import AlertReceiver
from tests.standins.pinterest import FakePinterest
from tracking.operate.alerts.states import BEGINS_AFTER, ENDS_AFTER
from tracking.operate.alerts.watch import INTERVAL_SECONDS, LEASE_SECONDS, MOST_TRIES
from tracking.service import Service
from tracking.store import alerts, dead_letter_queue

BEGINS = "kiln.myshopify.com: Dead letters"
ENDS = "kiln.myshopify.com: over: Dead letters"
SHOP = "kiln.myshopify.com"


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as server:
        yield server


@pytest.fixture
def other() -> Iterator[AlertReceiver]:
    """A second receiver."""
    with AlertReceiver() as server:
        yield server


class Day:
    """A service whose minutes pass, and whose event Pinterest may refuse."""

    def __init__(self, service: Service, pinterest: FakePinterest, clock: Clock) -> None:
        self.service = service
        self.pinterest = pinterest
        self.clock = clock

    def passes(self, seconds: float) -> None:
        """Let time pass, with a check every minute, or every ten of them if it is long."""
        end, step = self.clock() + seconds, 1 if seconds <= ENDS_AFTER else 10
        while self.clock() <= end:
            self.looks()
            self.clock.tick(seconds=step * INTERVAL_SECONDS)

    def looks(self) -> None:
        """What the background worker does in one turn."""
        self.service.alerts.check()
        self.service.alerts.tell()

    def has_told(self, receiver: AlertReceiver) -> bool:
        """Let a minute pass; returns True once the receiver was told of the beginning."""
        self.clock.tick(seconds=INTERVAL_SECONDS)
        return receiver.titles == [BEGINS]

    def breaks(self) -> None:
        """Have Pinterest refuse an order's event for good."""
        shop = Shop(assemble(self.service).test_client())
        self.pinterest.mode, self.pinterest.poisoned = "partial", frozenset({"checkout-5001"})
        shop.sends("orders/create", order())
        deliver(self.service)

    def mends(self) -> None:
        """Give the event up."""
        self.service.store.commit(partial(dead_letter_queue.discard, now=int(self.clock())))

    def begins(self) -> None:
        """Have the alert begin, and told."""
        self.breaks()
        self.passes(BEGINS_AFTER)


BuildDay = Callable[..., Day]


@pytest.fixture
def build_day(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> BuildDay:
    """Makes services on one database, which tell these receivers."""

    def build(*receivers: AlertReceiver, url: str = "") -> Day:
        urls = url or ",".join(receiver.url for receiver in receivers)
        more = {"SHOPIFY_STORE_URL": SHOP, "PINTEREST_SEND": "all", "ALERT_URLS": urls}
        return Day(build_service(database_url, pinterest=pinterest, **more), pinterest, clock)

    return build


@pytest.fixture
def day(build_day: BuildDay, receiver: AlertReceiver) -> Day:
    return build_day(receiver)


def test_an_alert_is_told_of_once_when_it_begins_and_once_when_it_ends(
    day: Day, receiver: AlertReceiver
) -> None:
    day.passes(BEGINS_AFTER)
    day.breaks()
    day.passes(BEGINS_AFTER - 2 * INTERVAL_SECONDS)
    assert receiver.titles == []

    day.passes(3 * HOUR)
    assert receiver.titles == [BEGINS]
    (message,) = receiver.told
    assert message["message"].startswith("1 event was refused, or expired.")
    assert "`flask --app app dead-letters` tells why" in message["message"]

    day.mends()
    day.passes(ENDS_AFTER - 2 * INTERVAL_SECONDS)
    assert receiver.titles == [BEGINS]
    day.passes(3 * HOUR)
    assert receiver.titles == [BEGINS, ENDS]
    assert "for 3 hours" in receiver.told[1]["message"]
    assert [alert.title for alert in day.service.alerts.ended()] == ["Dead letters"]


def test_what_flaps_is_not_told_of(day: Day, receiver: AlertReceiver) -> None:
    for _ in range(5):
        day.breaks()
        day.passes(BEGINS_AFTER - 2 * INTERVAL_SECONDS)
        day.mends()
        day.passes(INTERVAL_SECONDS)
    assert receiver.titles == []

    day.service.store.commit(lambda conn: conn.cursor.execute("UPDATE outbox SET state = 'dead'"))
    day.passes(BEGINS_AFTER)
    day.mends()
    day.passes(ENDS_AFTER - 3 * INTERVAL_SECONDS)
    day.service.store.commit(lambda conn: conn.cursor.execute("UPDATE outbox SET state = 'dead'"))
    day.passes(HOUR)
    assert receiver.titles == [BEGINS]


def test_a_process_that_dies_before_it_sends_loses_no_message(
    day: Day, receiver: AlertReceiver
) -> None:
    day.breaks()
    for _ in range(BEGINS_AFTER // INTERVAL_SECONDS + 1):
        day.service.alerts.check()
        day.clock.tick(seconds=INTERVAL_SECONDS)
    now = int(day.clock())
    claimed = partial(
        alerts.claim, name="dead_letters", claim="dead", now=now, until=now + LEASE_SECONDS
    )
    assert day.service.store.commit(claimed) is not None

    day.passes(LEASE_SECONDS - 2 * INTERVAL_SECONDS)
    assert receiver.titles == []
    day.passes(HOUR)
    assert receiver.titles == [BEGINS]


def test_a_process_that_dies_after_it_sent_repeats_one_message(
    day: Day, receiver: AlertReceiver, other: AlertReceiver, build_day: BuildDay
) -> None:
    # Of two addresses the first was told, and that is stored; the second was told as well.
    both = build_day(receiver, other)
    both.breaks()
    for _ in range(BEGINS_AFTER // INTERVAL_SECONDS + 1):
        both.service.alerts.check()
        both.clock.tick(seconds=INTERVAL_SECONDS)
    other.hold()
    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(both.service.alerts.tell)
        assert other.asked.wait(20)
        # As the death of the process would leave it: nobody settles under this claim any more.
        day.service.store.commit(
            lambda conn: conn.cursor.execute(
                "UPDATE alerts SET claim = 'of the dead' WHERE name = 'dead_letters'"
            )
        )
        other.go_on()
        told.result(20)
    assert (receiver.titles, other.titles) == ([BEGINS], [BEGINS])

    both.passes(HOUR)
    assert (receiver.titles, other.titles) == ([BEGINS], [BEGINS, BEGINS])


def test_two_processes_at_once_check_once_and_tell_once(
    build_day: BuildDay, receiver: AlertReceiver
) -> None:
    days = [build_day(receiver), build_day(receiver)]
    days[0].breaks()
    with ThreadPoolExecutor(2) as threads:
        for _ in range(BEGINS_AFTER // INTERVAL_SECONDS + 2):
            checked = list(threads.map(lambda day: day.service.alerts.check(), days))
            assert sum(checked) == 1
            list(threads.map(lambda day: day.service.alerts.tell(), days))
            days[0].clock.tick(seconds=INTERVAL_SECONDS)

    assert receiver.titles == [BEGINS]


def test_a_process_that_hangs_over_a_message_changes_nothing_once_another_has_told(
    build_day: BuildDay, receiver: AlertReceiver, other: AlertReceiver
) -> None:
    slow, quick = build_day(receiver), build_day(other)
    slow.breaks()
    for _ in range(BEGINS_AFTER // INTERVAL_SECONDS + 1):
        slow.service.alerts.check()
        slow.clock.tick(seconds=INTERVAL_SECONDS)
    receiver.hold()
    receiver.status = 500
    with ThreadPoolExecutor(1) as threads:
        told = threads.submit(slow.service.alerts.tell)
        assert receiver.asked.wait(20)
        slow.clock.tick(seconds=LEASE_SECONDS + 1)
        quick.service.alerts.tell()
        receiver.go_on()
        told.result(20)

    assert other.titles == [BEGINS]
    assert quick.service.alerts.failures() == []
    receiver.status = 200
    slow.passes(HOUR)
    assert (receiver.titles, other.titles) == ([], [BEGINS])


def test_an_address_that_refuses_is_tried_again_and_keeps_nothing_from_the_others(
    build_day: BuildDay, receiver: AlertReceiver, other: AlertReceiver
) -> None:
    day = build_day(receiver, other)
    receiver.status = 403
    day.begins()
    assert (receiver.titles, other.titles) == ([], [BEGINS])
    assert day.service.alerts.failures() == [
        "dead_letters: address 1 (json): refused with status 403"
    ]

    receiver.status = 200
    day.passes(HOUR)
    assert (receiver.titles, other.titles) == ([BEGINS], [BEGINS])
    assert day.service.alerts.failures() == []


def test_who_was_told_of_the_beginning_is_told_of_the_end(
    build_day: BuildDay, receiver: AlertReceiver, other: AlertReceiver
) -> None:
    day = build_day(receiver, other)
    receiver.status = 500
    day.begins()
    day.mends()
    day.passes(ENDS_AFTER)
    receiver.status = 200
    day.passes(HOUR)

    assert other.titles == [BEGINS, ENDS]


def test_an_address_that_stays_down_is_given_up(day: Day, receiver: AlertReceiver) -> None:
    receiver.status = 500
    day.begins()
    for _ in range(MOST_TRIES):
        day.clock.tick(hours=1)
        day.service.alerts.tell()
    assert "status 500" in day.service.alerts.failures()[0]

    receiver.status = 200
    day.passes(HOUR)
    assert receiver.titles == []
    day.mends()
    day.passes(ENDS_AFTER)
    assert receiver.titles == [ENDS]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_secret_of_an_address_is_logged_or_stored(
    build_day: BuildDay, receiver: AlertReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = ("json://ada:secret-of-ada@127.0.0.1:1/x", "secretscheme://secret-of-nobody")
    day = build_day(url=",".join((receiver.url, *addresses)))
    with caplog.at_level(logging.DEBUG):
        day.begins()
        tried = Operator(assemble(day.service)).types("alerts", "--test")

    assert tried.exit_code == 1
    assert tried.output.splitlines() == [
        "address 1 (json): sent",
        "address 2 (json): it did not answer, or refused",
        "address 3 (secretscheme): apprise knows no such address",
    ]
    assert receiver.titles == [BEGINS, f"{SHOP}: test of the alerts"]
    with day.service.store.read() as conn:
        stored = repr(alerts.list_all(conn))
    for text in (caplog.text, stored, repr(day.service.alerts.addresses), tried.output):
        assert "secret-of" not in text
    assert "address 2 (json)" in caplog.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_stands_is_shown_to_whoever_has_the_token(day: Day, receiver: AlertReceiver) -> None:
    client = assemble(day.service).test_client()
    operator = Operator(assemble(day.service))
    assert client.get("/ready", headers=bearer()).json["alerts"] == []  # type: ignore[index]
    assert operator.reads("alerts") == "no alert stands\n"
    day.begins()

    found = client.get("/ready", headers=bearer())
    assert found.status_code == 200
    (shown,) = found.json["alerts"]  # type: ignore[index]
    assert (shown["name"], shown["since"]) == ("dead_letters", "2026-11-20T12:00:00Z")
    assert client.get("/ready").json == {"status": "ok"}
    metrics = client.get("/metrics", headers=bearer()).get_data(as_text=True)
    assert 'tracking_alert{alert="dead_letters"} 1' in metrics
    assert 'tracking_alert{alert="no_webhooks"} 0' in metrics
    assert operator.reads("alerts").startswith("Dead letters, since 2026-11-20T12:00:00Z\n  1 ev")
    doctor = operator.types("doctor", "--offline").stdout
    assert "Dead letters: `flask --app app alerts` says what to do" in doctor


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_an_address_alerts_stand_untold_until_there_is_one(
    build_day: BuildDay, receiver: AlertReceiver
) -> None:
    day = build_day()
    day.begins()
    assert [alert.name for alert in day.service.alerts.standing()] == ["dead_letters"]
    answer = Operator(assemble(day.service)).types("alerts", "--test")
    assert (answer.exit_code, "set ALERT_URLS" in answer.stderr) == (2, True)

    build_day(receiver).looks()

    assert receiver.titles == [BEGINS]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_background_worker_checks_and_tells_and_outlives_a_store_that_fails(
    day: Day, receiver: AlertReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    day.breaks()
    store, stop = day.service.store, threading.Event()
    store.commit(lambda conn: conn.cursor.execute("ALTER TABLE alerts RENAME TO away"))
    worker = threading.Thread(target=day.service.alerts.run, args=(stop, 0.02))
    worker.start()
    try:
        until(lambda: "alerts wait for the store" in caplog.text)
        store.commit(lambda conn: conn.cursor.execute("ALTER TABLE away RENAME TO alerts"))
        until(partial(day.has_told, receiver))
    finally:
        stop.set()
        worker.join(20)
    assert not worker.is_alive()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_figures_that_cannot_be_read_keep_no_other_rule_from_its_verdict(
    day: Day, receiver: AlertReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    day.service.store.commit(lambda conn: conn.cursor.execute("DROP TABLE arrivals"))
    day.begins()

    assert receiver.titles == [BEGINS]
    assert "alert no_webhooks was not checked" in caplog.text
