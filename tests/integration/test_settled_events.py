"""What is settled takes less room, and every reader is told the same as before."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import pytest

from tests.actors import COLLECTOR_KEY, BuildWorld, Clock, Storefront, World, pinned, refund
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.receive.privacy.data_export import data_export_of

CAMPAIGN = {"landing_site": pinned()}
VIEWED = {"productVariant": {"id": "222", "product": {"id": "111"}}}


@pytest.fixture
def front(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    service = build_service(
        database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY, PINTEREST_SEND="all"
    )
    return Storefront(service, pinterest, clock)


def purge(world: World | Storefront) -> dict[str, int]:
    """Purges and packs; returns how many rows of each kind were found."""
    found = {kind: count for kind, count, _ in world.service.retention.purge()}
    return {**found, "packed": world.service.retention.settled.pack_payloads()}


def data_of_order(world: World) -> Mapping[str, Any]:
    with world.service.store.read() as conn:
        return data_export_of(conn, (), ["5001"])


def payloads(world: World | Storefront) -> dict[str, bytes]:
    stored = rows(world.service.store, "outbox")
    return {row["event_id"]: bytes(row["payload"]) for row in stored}


def test_a_day_after_it_was_sent_the_event_of_an_order_is_packed_and_read_as_before(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere()
    world.sells(**CAMPAIGN)
    world.told()
    before = world.shop.reads("/orders/5001/journey")
    (plain,) = payloads(world).values()

    clock.tick(days=1)
    assert purge(world)["packed"] == 0, "it was sent a day ago, and not before"
    clock.tick(seconds=1)
    assert purge(world)["packed"] == 1

    (kept,) = payloads(world).values()
    assert not kept.startswith(b"{")
    assert len(kept) < 0.6 * len(plain)
    assert world.shop.reads("/orders/5001/journey") == before
    assert purge(world)["packed"] == 0, "once"


def test_while_a_release_may_be_rolled_out_nothing_is_packed(
    everywhere: BuildWorld, build_service: BuildService, clock: Clock
) -> None:
    world = everywhere()
    world.sells(**CAMPAIGN)
    world.told()
    clock.tick(days=2)
    newer = build_service(world.service.settings.database_url, pinterest=world.pinterest)

    clock.tick(seconds=3_599)
    assert newer.retention.settled.pack_payloads() == 0
    clock.tick(seconds=1)
    assert newer.retention.settled.pack_payloads() == 1


def test_who_asks_for_their_data_is_told_a_packed_event_too(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere()
    world.sells(**CAMPAIGN)
    world.told()
    before = data_of_order(world)
    clock.tick(days=2)
    assert purge(world)["packed"] == 1

    assert data_of_order(world) == before


def test_who_is_erased_leaves_no_packed_event(everywhere: BuildWorld, clock: Clock) -> None:
    world = everywhere()
    world.sells(**CAMPAIGN)
    world.told()
    clock.tick(days=2)
    assert purge(world)["packed"] == 1

    body = {
        "shop_id": 1,
        "shop_domain": "mugs.myshopify.com",
        "customer": {"id": 9001, "email": "ada@example.com"},
        "orders_to_redact": [5001],
    }
    answer = world.shop.sends("customers/redact", body)
    assert answer.get_json()["status"] == "accepted"

    assert payloads(world) == {"checkout-5001": b""}


def test_a_storefront_event_keeps_its_payload_for_seven_days_and_its_fate_for_longer(
    front: Storefront, clock: Clock
) -> None:
    id = front.sees("product_viewed", "visitor-0001", data=VIEWED, page=pinned())
    front.sent()
    told_before = front.shop.reads("/events")

    clock.tick(days=7)
    assert purge(front)["payloads of storefront events"] == 0
    assert payloads(front)[id]
    clock.tick(seconds=1)
    assert purge(front)["payloads of storefront events"] == 1

    assert payloads(front) == {id: b""}
    assert front.shop.reads("/events") == told_before


def test_a_dead_letter_of_the_storefront_is_listed_without_its_event(
    front: Storefront, clock: Clock
) -> None:
    id = front.sees("product_viewed", "visitor-0001", data=VIEWED, page=pinned())
    front.pinterest.poisoned = frozenset({id})
    front.pinterest.mode = "reject"
    front.sent()
    clock.tick(days=7, seconds=1)

    assert purge(front)["payloads of storefront events"] == 1
    (event,) = front.shop.reads("/events", state="dead")["events"]
    assert event["event_id"] == id


def test_an_attempt_that_succeeded_at_once_is_told_by_its_event_alone(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere()
    for number in (1, 2, 3):
        world.sells(id=number, **CAMPAIGN)
        world.pinterest.mode = "down" if number == 2 else "ok"
        world.told()
        world.pinterest.mode = "ok"
        clock.tick(hours=1)
        world.told()
    before = [world.shop.reads(f"/orders/{number}/journey") for number in (1, 2, 3)]
    tries = [len(told["deliveries"][0]["attempts"]) for told in before]
    assert tries == [1, 2, 1]

    clock.tick(days=2)
    assert purge(world)["attempts that succeeded at once"] == 1

    kept = {row["event_id"] for row in rows(world.service.store, "attempts")}
    assert kept == {"checkout-2", "checkout-3"}, "the newest keeps the count of ids"
    assert [world.shop.reads(f"/orders/{number}/journey") for number in (1, 2, 3)] == before


def test_a_refund_of_an_order_whose_lines_were_emptied_is_counted(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere()
    world.sells(**CAMPAIGN)
    world.told()
    clock.tick(days=8)
    assert purge(world)["lines of orders"] == 0
    clock.tick(seconds=1)
    assert purge(world)["lines of orders"] == 1

    assert [row["lines"] for row in rows(world.service.store, "orders")] == [""]
    assert world.shop.sends("refunds/create", refund()).status_code == 200
    assert world.shop.reads("/orders/5001/journey")["refunds"] == "10.00"


def test_rows_are_written_anew_with_the_columns_of_a_newer_release(
    world: BuildWorld, sqlite_url: str, clock: Clock
) -> None:
    shop = world()
    shop.sells(**CAMPAIGN)
    shop.told()
    path = sqlite_url.removeprefix("sqlite:///")
    for table in ("outbox", "orders"):
        execute(path, f"ALTER TABLE {table} ADD COLUMN newer TEXT NOT NULL DEFAULT ''")
        execute(path, f"UPDATE {table} SET newer = 'known'")  # noqa: S608
    before = everything_but(shop, "payload", "lines")

    clock.tick(days=9)
    purge(shop)

    assert everything_but(shop, "payload", "lines") == before
    for table in ("outbox", "orders"):
        assert execute(path, f"SELECT newer FROM {table}") == [("known",)]  # noqa: S608


def test_in_sqlite_the_room_of_what_became_smaller_is_free_again(
    world: BuildWorld, sqlite_url: str, clock: Clock
) -> None:
    shop = world()
    for number in range(60):
        shop.sells(id=number + 1, **CAMPAIGN)
    shop.told()
    before = free_pages(sqlite_url)

    clock.tick(days=2)
    assert purge(shop)["packed"] == 60

    assert free_pages(sqlite_url) >= before + 12


def free_pages(sqlite_url: str) -> int:
    ((count,),) = execute(sqlite_url.removeprefix("sqlite:///"), "PRAGMA freelist_count")
    return int(count)


def everything_but(world: World, *left_out: str) -> list[dict[str, Any]]:
    found = rows(world.service.store, "outbox") + rows(world.service.store, "orders")
    return [{name: row[name] for name in row if name not in left_out} for row in found]


def execute(path: str, text: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        return raw.execute(text).fetchall()
