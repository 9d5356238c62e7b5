"""What a dead process held, and what a wrong clock wrote, is in nobody's way for long."""

import os
import subprocess
import sys

import pytest
from flask.testing import FlaskClient

from app import assemble
from tests.actors import COLLECTOR_KEY, DAY, NOW, Clock, Shop, order
from tests.conftest import BuildService
from tests.pixel_events import call
from tests.standins.pinterest import FakePinterest, Mode
from tests.store_contents import rows
from tracking.deliver import processes
from tracking.deliver.deliverer import LEASE_SECONDS, Deliverer
from tracking.service import Service
from tracking.store import accounts, claims, deliverers, outbox
from tracking.store.deliverers import DelivererRow


def deliverer_of(service: Service) -> Deliverer:
    return Deliverer(service.store, service.destinations["pinterest"], service.clock)


def sells(service: Service, **changes: object) -> None:
    Shop(assemble(service).test_client()).sends("orders/create", order(**changes))


def holds(service: Service, owner: str) -> None:
    """A process claims all that waits, and is not heard of again."""
    now = int(service.clock())
    until = now + LEASE_SECONDS
    service.store.commit(
        lambda conn: claims.claim(conn, "pinterest", f"{owner}/x", now, until, 1000)
    )
    row = DelivererRow(owner, "pinterest", until)
    service.store.commit(lambda conn: deliverers.put(conn, row))


def dead_process() -> int:
    """The id of a process that has come and gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


# --- Leases


def test_what_a_dead_process_held_is_taken_over_at_once(
    service: Service, pinterest: FakePinterest
) -> None:
    sells(service)
    holds(service, processes.owner_of(dead_process(), "1"))

    assert deliverer_of(service).deliver() == 1
    assert set(pinterest.accepted) == {"checkout-5001"}
    owners = [row["owner"] for row in rows(service.store, "deliverers")]
    assert owners == [processes.this_process()]


def test_a_process_id_that_is_used_again_is_another_process(
    service: Service, pinterest: FakePinterest
) -> None:
    sells(service)
    holds(service, processes.owner_of(os.getpid(), "1"))

    assert deliverer_of(service).deliver() == 1


def test_what_a_living_process_holds_stays_its_own(service: Service, clock: Clock) -> None:
    sells(service)
    holds(service, processes.owner_of(os.getppid(), processes.started_at(os.getppid())))

    assert deliverer_of(service).deliver() == 0
    clock.tick(seconds=LEASE_SECONDS + 1)
    assert deliverer_of(service).deliver() == 1


@pytest.mark.parametrize("owner", ["elsewhere/0123456789ab/{dead}/1", "{dead}", "", "a/b/c/d/e"])
def test_what_a_process_of_another_machine_held_waits_for_the_end_of_its_lease(
    service: Service, clock: Clock, owner: str
) -> None:
    sells(service)
    holds(service, owner.format(dead=dead_process()))

    assert deliverer_of(service).deliver() == 0
    clock.tick(seconds=LEASE_SECONDS + 1)
    assert deliverer_of(service).deliver() == 1


@pytest.mark.parametrize("behind", [1, 30])
def test_what_a_machine_holds_whose_clock_is_a_little_ahead_stays_its_own(
    service: Service, clock: Clock, behind: int
) -> None:
    sells(service)
    clock.tick(seconds=60)
    holds(service, "elsewhere/0123456789ab/1/1")
    clock.tick(seconds=-behind)

    assert [deliverer_of(service).deliver() for _ in range(2)] == [0, 0]
    clock.tick(seconds=behind + LEASE_SECONDS + 1)
    assert deliverer_of(service).deliver() == 1


def test_two_containers_of_one_host_name_are_two_machines(service: Service) -> None:
    host, _, *process = processes.owner_of(dead_process(), "1").split("/")

    assert not processes.is_gone("/".join((host, "another-one", *process)))


def test_the_processes_of_a_machine_that_is_gone_are_forgotten(
    service: Service, clock: Clock
) -> None:
    holds(service, "elsewhere/0123456789ab/1/1")
    clock.tick(days=1)

    deliverer_of(service).deliver()

    assert rows(service.store, "deliverers") == []


# --- The clock


@pytest.mark.parametrize("mode", ["down", "throttle", "unauthorized"])
@pytest.mark.parametrize("same_process", [True, False])
def test_waiting_events_go_out_after_the_clock_was_ahead_for_a_while(
    service: Service, pinterest: FakePinterest, clock: Clock, mode: str, same_process: bool
) -> None:
    sells(service)
    deliverer = deliverer_of(service)
    pinterest.mode = Mode(mode, limit=0) if mode == "throttle" else Mode(mode)
    clock.tick(days=3)
    for _ in range(10):
        deliverer.deliver()
        clock.tick(seconds=200)
    clock.tick(days=-3)
    pinterest.mode = Mode()

    deliverer = deliverer if same_process else deliverer_of(service)
    for _ in range(3):
        deliverer.deliver()

    assert set(pinterest.accepted) == {"checkout-5001"}


def test_a_lease_that_ends_too_far_ahead_is_none(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    sells(service)
    deliverer = deliverer_of(service)
    clock.tick(days=3)
    holds(service, "elsewhere/0123456789ab/1/1")
    clock.tick(days=-3)

    assert deliverer.deliver() == 1
    assert set(pinterest.accepted) == {"checkout-5001"}


def test_a_pause_that_ends_too_far_ahead_is_none(
    service: Service, pinterest: FakePinterest
) -> None:
    sells(service)

    def pause(conn: object) -> None:
        account = accounts.of_destination(conn, "pinterest")  # type: ignore[arg-type]
        accounts.put(conn, account._replace(paused_until=NOW + 3 * DAY))  # type: ignore[arg-type]

    service.store.commit(pause)

    assert deliverer_of(service).deliver() == 1


def test_an_event_that_expired_by_a_wrong_clock_is_sent_after_all(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    sells(service)
    clock.tick(days=8)
    deliverer_of(service).deliver()
    assert [row["state"] for row in rows(service.store, "outbox")] == ["dead"]
    clock.tick(days=-8)

    assert deliverer_of(service).deliver() == 1
    assert set(pinterest.accepted) == {"checkout-5001"}


# --- Pinterest's limit


def tells_of_a_view(client: FlaskClient) -> None:
    visitor = {"User-Agent": "Mozilla/5.0 (Macintosh)"}
    at = {"REMOTE_ADDR": "203.0.113.7"}
    answer = client.post("/collect", json=call(), headers=visitor, environ_overrides=at)
    assert answer.status_code == 202


def test_the_pixel_uses_at_most_half_of_pinterests_limit_and_comes_after_the_orders(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(
        database_url, pinterest=pinterest, PINTEREST_SEND="all", COLLECTOR_KEY=COLLECTOR_KEY
    )
    client = assemble(service).test_client()
    tells_of_a_view(client)
    sells(service)
    waiting = {row["event_id"]: row["is_browser"] for row in rows(service.store, "outbox")}
    assert waiting == {"sh-0001-0001": 1, "checkout-5001": 0}

    deliverer = deliverer_of(service)
    assert deliverer.deliver() == 1
    assert set(pinterest.accepted) == {"checkout-5001"}

    (account,) = (
        row for row in rows(service.store, "accounts") if row["destination"] == "pinterest"
    )
    assert account["next_browser_call_at"] == 0
    before = account["next_call_at"]
    assert deliverer.deliver() == 1
    (account,) = (
        row for row in rows(service.store, "accounts") if row["destination"] == "pinterest"
    )
    used = int(account["next_browser_call_at"]) - NOW * 1_000_000
    assert used >= 2 * (int(account["next_call_at"]) - int(before)) > 0


def test_an_event_that_is_queued_again_counts_for_who_told_it_last(service: Service) -> None:
    for is_browser in (True, False):
        service.store.commit(
            lambda conn, is_browser=is_browser: outbox.queue(  # type: ignore[misc]
                conn, "told", "pinterest", b"{}", event_time=NOW, now=NOW, is_browser=is_browser
            )
        )
        (row,) = rows(service.store, "outbox")
        assert row["is_browser"] == int(is_browser)


def test_while_the_pixel_has_used_its_half_orders_still_go_out(
    build_service: BuildService, database_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(
        database_url, pinterest=pinterest, PINTEREST_SEND="all", COLLECTOR_KEY=COLLECTOR_KEY
    )
    client = assemble(service).test_client()
    tells_of_a_view(client)

    def use_up(conn: object) -> None:
        account = accounts.of_destination(conn, "pinterest")  # type: ignore[arg-type]
        ahead = (NOW + 30) * 1_000_000
        accounts.put(conn, account._replace(next_browser_call_at=ahead))  # type: ignore[arg-type]

    service.store.commit(use_up)
    deliverer = deliverer_of(service)

    assert len(rows(service.store, "outbox")) == 1
    assert deliverer.deliver() == 0
    sells(service)
    assert deliverer.deliver() == 1
    assert set(pinterest.accepted) == {"checkout-5001"}
