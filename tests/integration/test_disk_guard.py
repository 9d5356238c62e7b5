"""A disk that fills up costs no order: what is acknowledged is kept, the rest comes again."""

import logging
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import assemble
from commands.doctor import findings
from tests.actors import COLLECTOR_KEY, Shop, bearer, deliver, order
from tests.conftest import BuildService
from tests.pixel_events import call
from tests.standins.pinterest import FakePinterest
from tests.store_contents import is_empty, rows
from tracking.service import Service
from tracking.store import open_store, quarantine
from tracking.store.engine.disk_guard import (
    MEGABYTE,
    DiskFull,
    DiskGuard,
    GuardedStore,
    free_bytes,
)


class Disk:
    """A disk whose free bytes are told, and how often they were asked for."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.asked = 0

    def __call__(self, folder: Path) -> int:
        self.asked += 1
        return self.free


class Stopwatch:
    """Seconds that pass only when they are told to."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


# --- whether there is room


@pytest.mark.parametrize(("free", "is_enough"), [(999, False), (1000, True), (10**12, True)])
def test_there_is_room_down_to_the_floor(free: int, is_enough: bool) -> None:
    assert DiskGuard(Path(), 1000, Disk(free)).has_space is is_enough


def test_without_a_floor_nobody_looks() -> None:
    disk = Disk(0)

    assert DiskGuard(Path(), 0, disk).has_space
    assert disk.asked == 0


def test_the_disk_is_looked_at_once_a_second_and_not_for_each_webhook() -> None:
    disk, watch = Disk(2000), Stopwatch()
    room = DiskGuard(Path(), 1000, disk, watch)

    assert all(room.has_space for _ in range(500))
    disk.free = 0
    assert room.has_space
    assert disk.asked == 1
    watch.seconds += 1
    assert not room.has_space
    disk.free = 2000
    watch.seconds += 1
    assert room.has_space


def test_that_room_ran_out_and_came_back_is_logged_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk, watch = Disk(2000), Stopwatch()
    room = DiskGuard(Path("/data"), 1000, disk, watch)
    with caplog.at_level(logging.INFO):
        for free in (2000, 10, 10, 10, 3000, 3000):
            disk.free = free
            watch.seconds += 1
            assert room.has_space is (free > 1000)

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "webhooks are refused",
        "room again in /data (floor",
    ]


def test_a_disk_that_cannot_be_asked_is_left_to_the_store(tmp_path: Path) -> None:
    assert DiskGuard(tmp_path / "gone", 10**18).has_space


def test_free_is_what_an_ordinary_process_may_write(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path) < 10**18


# --- what is refused meanwhile, and what goes on


@pytest.fixture
def full(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service with an order that waits, whose disk then has less left than it wants."""
    roomy = build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")
    Shop(assemble(roomy).test_client()).sends("orders/create", order(id=1))
    return build_service(
        sqlite_url,
        pinterest=pinterest,
        PINTEREST_SEND="all",
        COLLECTOR_KEY=COLLECTOR_KEY,
        FREE_SPACE_FLOOR_MB="1000000",
    )


@pytest.fixture
def app(full: Service) -> Flask:
    return assemble(full)


def test_webhooks_are_refused_so_that_shopify_sends_them_again(shop: Shop, full: Service) -> None:
    for body in (order(id=2), b"odd"):
        answer = shop.sends("orders/create", body)

        assert answer.status_code == 503
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Retry-After"] == "10"
    assert [row["id"] for row in rows(full.store, "orders")] == ["1"]


def test_the_pixel_and_other_systems_are_refused_too(client: FlaskClient, full: Service) -> None:
    event = {"event_name": "checkout", "action_source": "offline", "event_time": 1_795_176_000}
    event |= {"user_data": {"em": "ada@example.com"}}

    seen = client.post("/collect", json=call())
    told = client.post("/track-event", json={"event_data": event}, headers=bearer())

    assert (seen.status_code, told.status_code) == (503, 503)
    assert len(rows(full.store, "conversions")) == 1


def test_the_pixel_is_refused_first_while_webhooks_still_have_as_much_room_again(
    build_service: BuildService, sqlite_url: str, tmp_path: Path
) -> None:
    floor = free_bytes(tmp_path) * 3 // 4 // MEGABYTE
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, FREE_SPACE_FLOOR_MB=str(floor))
    client = assemble(service).test_client()

    assert client.post("/collect", json=call()).status_code == 503
    assert Shop(client).sends("orders/create", order()).status_code == 200
    assert client.get("/ready").status_code == 200


def test_what_was_taken_in_is_delivered_and_reported_all_the_same(
    shop: Shop, full: Service, pinterest: FakePinterest
) -> None:
    assert deliver(full) == 1

    assert set(pinterest.accepted) == {"checkout-1"}
    assert shop.reads("/roi-analysis")["orders"] == 1
    assert shop.reads("/orders/1/journey")["deliveries"][0]["state"] == "sent"


def test_what_is_old_is_forgotten_all_the_same(app: Flask, full: Service) -> None:
    said = app.test_cli_runner().invoke(args=["purge"])

    assert said.exit_code == 0


def test_it_is_not_ready_and_says_why(client: FlaskClient) -> None:
    answer = client.get("/ready", headers=bearer())

    assert answer.status_code == 503
    assert answer.get_json()["has_room"] is False
    assert answer.get_json()["store_writable"] is True


def test_the_doctor_says_that_webhooks_are_refused(full: Service) -> None:
    (disk,) = (found for found in findings(full) if found.subject == "disk")

    assert disk.is_failure
    assert "webhooks are refused until there is more" in disk.text


def test_a_flood_of_refusals_writes_no_line_for_each(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            shop.sends("orders/create", order())

    assert len([r for r in caplog.records if "refused" in r.getMessage()]) == 1
    assert not [r for r in caplog.records if "store unavailable" in r.getMessage()]


def test_on_postgresql_this_machines_disk_does_not_matter(
    build_service: BuildService, postgres_url: str
) -> None:
    service = build_service(postgres_url, FREE_SPACE_FLOOR_MB="1000000")
    found = assemble(service).test_client().get("/ready", headers=bearer())

    assert found.get_json()["has_room"] is True


def test_nothing_is_written_by_what_is_refused(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    closed = GuardedStore(store, DiskGuard(Path(), 1, Disk(0)))

    with pytest.raises(DiskFull):
        closed.commit(lambda conn: quarantine.add(conn, "d", "orders/create", "odd", b"", 0))

    assert is_empty(store)
    closed.close()


# --- a real disk
