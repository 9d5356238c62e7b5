"""How many of the shop's orders Pinterest was told of, and what became of the others."""

import json
from collections.abc import Callable
from datetime import date
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from app import assemble
from tests.actors import (
    DAY,
    NOW,
    TODAY,
    BuildWorld,
    Clock,
    Operator,
    Shop,
    bearer,
    deliver,
    instant,
    notes,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.random_shop import messages_of
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.domain.shop_days import ShopDays
from tracking.domain.shopify_order import order_of
from tracking.report.accuracy import Accuracy, accuracy_between, accuracy_by_day
from tracking.report.accuracy_writer import AccuracyWriter
from tracking.service import Service
from tracking.store import Store
from tracking.store.engine.statement import Connection

TRACK_AI = {
    "TRACK_AI_ENDPOINT": "http://127.0.0.1:9/events",
    "TRACK_AI_STORE_ID": "s",
    "TRACK_AI_PINTEREST_PIXEL_ID": "p",
}
NOTHING = {"orders": 0, "sent": 0, "left_out": {}, "waiting": 0, "lost": 0, "accuracy": None}
FRIDAY = date(2026, 11, 20).toordinal()


def counted(service: Service) -> None:
    service.figures.finish()


def not_counted(service: Service) -> None:
    """The report counts the rows by itself."""


FIGURES = pytest.mark.parametrize("figures", [counted, not_counted])


@FIGURES
def test_every_order_was_sent_left_out_waiting_or_lost(
    everywhere: BuildWorld, pinterest: FakePinterest, figures: Callable[[Service], None]
) -> None:
    world = everywhere()
    figures(world.service)
    pinterest.mode = "partial"
    pinterest.poisoned = frozenset({"checkout-2", "checkout-3"})
    for number in (1, 2, 3):
        world.sells(id=number, landing_site=pinned(), email=f"{number}@example.com")
    world.sells(id=4, test=True, email="4@example.com")
    world.sells(id=5, note_attributes=notes(pin_consent="marketing=no"), landing_site=pinned())
    deliver(world.service)
    Operator(assemble(world.service)).reads("dead-letters", "--discard", "checkout-3")
    world.sells(id=6, landing_site=pinned(), email="6@example.com")
    figures(world.service)

    found = world.shop.reads("/accuracy", **TODAY)

    line = {
        "orders": 6,
        "sent": 1,
        "left_out": {"consent_refused": 1, "test": 1},
        "waiting": 1,
        "lost": 2,
        "accuracy": 0.6,
    }
    span = {"start_date": "2026-11-20", "end_date": "2026-11-20", "timezone": "UTC"}
    day = {"date": "2026-11-20", **line}
    assert found == {**span, "totals": line, "days": [day]}


def test_a_leap_year_of_days_is_told_and_no_more(world: BuildWorld) -> None:
    made = world()
    told = made.shop.reads("/accuracy", start_date="2024-01-01", end_date="2024-12-31")
    assert len(told["days"]) == 366
    too_many = {"start_date": "2023-12-31", "end_date": "2024-12-31"}
    refused = made.shop.client.get("/accuracy", query_string=too_many, headers=bearer())
    assert refused.status_code == 400
    assert [error["field"] for error in refused.get_json()["errors"]] == ["start_date"]


def test_the_csv_has_a_line_for_each_day_and_a_column_for_each_reason(world: BuildWorld) -> None:
    made = world()
    made.sells(id=1, test=True)
    made.sells(id=2, landing_site=pinned(), email="2@example.com")
    deliver(made.service)
    query = {"start_date": "2026-11-19", "end_date": "2026-11-20", "format": "csv"}

    found = made.shop.client.get("/accuracy", query_string=query, headers=bearer())

    assert found.get_data(as_text=True).splitlines() == [
        "date,orders,sent,left_out,waiting,lost,accuracy,left_out_test",
        "2026-11-19,0,0,0,0,0,,0",
        "2026-11-20,2,1,1,0,0,1.0,1",
    ]


@pytest.mark.parametrize("name", ["start_date", "end_date", "day", "format"])
def test_a_parameter_that_is_not_accepted_is_named(world: BuildWorld, name: str) -> None:
    answer = world().shop.client.get("/accuracy", query_string={name: "soon"}, headers=bearer())
    assert answer.status_code == 400
    assert [error["field"] for error in answer.get_json()["errors"]] == [name]


def test_an_order_that_a_file_told_counts_once_shopify_tells_it(everywhere: BuildWorld) -> None:
    world = everywhere(PINTEREST_SEND="all")
    counted(world.service)
    body = json.dumps(order(name="#1")).encode()
    exported = msgspec.structs.replace(order_of(body), is_exported=True)
    world.service.tracker.record(exported, "import")
    counted(world.service)
    assert world.shop.reads("/accuracy", **TODAY)["totals"] == NOTHING

    world.sells()
    counted(world.service)

    assert world.shop.reads("/accuracy", **TODAY)["totals"]["orders"] == 1


def test_an_order_of_a_shop_without_pinterest_is_left_out(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url, **TRACK_AI)
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order(landing_site=pinned()))

    found = shop.reads("/accuracy", **TODAY)["totals"]

    assert found["left_out"] == {"report_only": 1}


@pytest.mark.parametrize("seed", [2, 3])
def test_the_stored_figures_are_those_of_the_rows_after_whatever_happened(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, seed: int
) -> None:
    random = Random(seed)
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY="shop-front-key")
    shop = Shop(assemble(service).test_client())
    writer = AccuracyWriter(service.store, 400, service.clock)
    pinterest.poisoned = frozenset(f"checkout-{seed * 10_000 + n * 100 + 1}" for n in range(3))
    messages = messages_of(seed)
    random.shuffle(messages)
    for n, message in enumerate(messages):
        message.tell(service, shop)
        if random.random() < 0.1:
            pinterest.mode = random.choice(("ok", "partial", "down"))
            deliver(service)
        for _ in range(random.randrange(3)):
            writer.step()
        if n % 7 == 0 or n == len(messages) - 1:
            assert_as_counted(service)
    assert not rows(service.store, "accuracy_marks") or writer.step()


def assert_as_counted(service: Service) -> None:
    days = ShopDays(ZoneInfo("Asia/Kathmandu"))
    known = service.reports.basis.known_rows
    for first, last in ((FRIDAY - 3, FRIDAY + 1), (FRIDAY - 30, FRIDAY + 33)):
        with service.store.read() as conn:
            found = accuracy_by_day(conn, first, last, days, 0, known)
            told = {
                day: accuracy_between(conn, days.begin(day), days.begin(day + 1)) for day in found
            }
        assert found == told


def test_days_begin_at_the_shops_midnight_when_the_clocks_change(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url, SHOP_TIMEZONE="America/New_York")
    shop = Shop(assemble(service).test_client())
    # Summer time ends on 1 November, which has 25 hours.
    placed = ("10-31T23:59", "11-01T00:00", "11-01T23:59", "11-02T00:00", "11-02T23:59")
    for number, at in enumerate(placed):
        offset = "-04:00" if at < "11-01T02" else "-05:00"
        told = dict.fromkeys(("created_at", "processed_at"), f"2026-{at}:00{offset}")
        shop.sends("orders/create", order(id=number, email=f"{number}@example.com", **told))
    span = {"start_date": "2026-10-30", "end_date": "2026-11-03"}
    for _ in range(2):
        found = shop.reads("/accuracy", **span)["days"]
        assert [day["orders"] for day in found] == [0, 1, 2, 2, 0]
        service.figures.finish()


def test_old_figures_stay_when_their_deliveries_are_deleted(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(
        database_url, pinterest=pinterest, PINTEREST_SEND="all", RETENTION_DAYS="40"
    )
    app = assemble(service)
    shop = Shop(app.test_client())
    pinterest.mode, pinterest.poisoned = "partial", frozenset({"checkout-2"})
    for number in (1, 2):
        shop.sends("orders/create", order(id=number, email=f"{number}@example.com"))
    deliver(service)
    counted(service)
    before = shop.reads("/accuracy", **TODAY)
    assert (before["totals"]["sent"], before["totals"]["lost"]) == (1, 1)

    clock.tick(days=41)
    list(service.retention.purge())
    assert rows(service.store, "outbox") == []
    Operator(app).reads("rebuild-reports")

    assert shop.reads("/accuracy", **TODAY) == before


class OvertakenStore:
    """A store in which another process is faster, once."""

    def __init__(self, store: Store, overtake: Callable[[], object]) -> None:
        self.read = store.read
        self._store = store
        self._overtake = [overtake]

    def commit(self, work: Callable[[Connection], Any]) -> Any:
        if self._overtake:
            self._overtake.pop()()
        return self._store.commit(work)


def test_what_another_process_has_counted_meanwhile_is_not_overwritten(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    shop = Shop(assemble(service).test_client())
    counted(service)
    shop.sends("orders/create", order(id=1))

    def overtake() -> None:
        shop.sends("orders/create", order(id=2, email="2@example.com"))
        counted(service)

    store: Any = OvertakenStore(service.store, overtake)
    AccuracyWriter(store, 400, service.clock).step()

    assert shop.reads("/accuracy", **TODAY)["totals"]["orders"] == 2


def test_the_accuracy_of_two_hours_is_that_of_their_orders(world: BuildWorld) -> None:
    made = world(PINTEREST_SEND="all")
    made.pinterest.mode, made.pinterest.poisoned = "partial", frozenset({"checkout-1"})
    for number, ago in enumerate((DAY, 3_600, 1_800, 60)):
        told = dict.fromkeys(("created_at", "processed_at"), instant(NOW - ago))
        made.sells(id=number, email=f"{number}@example.com", **told)
    deliver(made.service)

    with made.service.store.read() as conn:
        found = accuracy_between(conn, NOW - 7_200, NOW)

    assert found == Accuracy(sent=2, left_out={}, waiting=0, lost=1)
    assert found.share == 0.666666
