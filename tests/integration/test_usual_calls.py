"""Calls of the pixel that are recorded together leave what they leave one by one."""

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.actors import COLLECTOR_KEY, DAY, HOUR, NOW, Clock, instant
from tests.conftest import BuildService
from tests.pixel_events import CHROME, VARIANT
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.operate.rate_limiter import Rate, RateLimiter, Turn
from tracking.receive.browser_events import Unrecorded
from tracking.receive.pixel import ClientInfo, PixelEvent, pixel_batch_of
from tracking.receive.usual_calls import may_be_usual
from tracking.service import Service

TABLES = ("touches", "visitors", "clients", "links", "told_links", "checkouts", "conversions")


@pytest.fixture
def service(build_service: BuildService, database_url: str, pinterest: FakePinterest) -> Service:
    return build_service(database_url, pinterest, COLLECTOR_KEY=COLLECTOR_KEY)


@pytest.fixture
def one_by_one(
    build_service: BuildService, sqlite_template: Path, tmp_path: Path, pinterest: FakePinterest
) -> Service:
    """A service that records each call alone."""
    path = tmp_path / "one-by-one.db"
    shutil.copy(sqlite_template, path)
    return build_service(f"sqlite:///{path}", pinterest, COLLECTOR_KEY=COLLECTOR_KEY)


def call(
    n: int, visitor: str = "visitor-0001", name: str = "product_viewed", **more: Any
) -> dict[str, Any]:
    told = {
        "id": f"sh-event-{n:04}",
        "name": name,
        "timestamp": instant(more.pop("at", NOW)),
        "data": {"productVariant": VARIANT} if name == "product_viewed" else {},
        "context": {"document": {"location": {"href": more.pop("href", "https://mugs.example/")}}},
        **more,
    }
    return {"key": COLLECTOR_KEY, "visitor": visitor, "events": [told]}


def events_of(
    service: Service, told: dict[str, Any], agent: str = CHROME
) -> tuple[PixelEvent, ...]:
    policy = service.tracker.planner.policy
    body = json.dumps(told).encode()
    return pixel_batch_of(body, ClientInfo("203.0.113.7", agent), policy, NOW).events


def random_calls(service: Service, chance: random.Random, ids: range) -> Iterator[list[PixelEvent]]:
    """Calls of a few browsers, most of which are usual."""
    visitors = [f"visitor-{n:04}" for n in range(2 * len(ids))]
    pinned = "https://mugs.example/?utm_source=pinterest&epik=dj0yJnU9abcdefgh"
    for n in ids:
        visitor = chance.choice(visitors)
        events: list[PixelEvent] = []
        for k in range(chance.choice((1, 1, 2))):
            told = call(
                n * 10 + k if chance.random() < 0.95 else 0,
                visitor,
                chance.choice(("page_viewed", "product_viewed", "product_viewed")),
                at=NOW - chance.choice((0, 60, HOUR, 2 * DAY)),
                href=chance.choice(("https://mugs.example/", pinned, f"{pinned}&utm_campaign=c")),
                consent=chance.choice((None, {"marketing": True}, {"marketing": False})),
            )
            if chance.random() < 0.7:
                told["clientId"] = f"shopifys-browser-{visitor if chance.random() < 0.97 else 'x'}"
            agent = CHROME if chance.random() < 0.95 else "Googlebot/2.1"
            events += events_of(service, told, agent)
        if chance.random() < 0.05:
            checkout = call(n * 10 + 9, visitor, "checkout_started")
            checkout["events"][0]["data"] = {"checkout": {"token": f"{n:032x}"}}
            events += events_of(service, checkout)
        yield events


def free_turn(service: Service) -> Turn:
    """A turn that takes nothing of any limit."""
    return RateLimiter(service.store, service.clock, b"key", Rate(1, 1), None).turn("")


def record_together(service: Service, calls: Sequence[Sequence[PixelEvent]]) -> list[int]:
    """Records calls in one transaction and then those that are not usual; returns which ones the
    latter are."""
    told = [(Unrecorded(tuple(events)), free_turn(service)) for events in calls]
    pixel = service.tracker.pixel
    results = service.store.commit(lambda conn: pixel.record_calls(conn, told))
    rest = [n for n, result in enumerate(results) if result is None]
    for n in rest:
        record_alone(service, calls[n])
    return rest


def record_alone(service: Service, events: Sequence[PixelEvent]) -> None:
    told = Unrecorded(tuple(events))
    pixel = service.tracker.pixel
    service.store.commit(lambda conn: pixel.record_call(conn, told, free_turn(service)))


def state_of(service: Service) -> dict[str, list[dict[str, Any]]]:
    found = {table: rows(service.store, table) for table in (*TABLES, "outbox")}
    for row in (*found["conversions"], *found["outbox"]):
        del row["id"]
    for row in found["outbox"]:
        row["payload"] = bytes(row["payload"])
    return {table: sorted(each, key=str) for table, each in found.items()}


@pytest.mark.parametrize("seed", range(3))
def test_calls_recorded_together_leave_what_they_leave_one_by_one(
    service: Service, one_by_one: Service, seed: int
) -> None:
    chance = random.Random(seed)
    usual = 0
    for first in (0, 16, 32):
        calls = [
            events
            for events in random_calls(service, chance, range(first, first + 16))
            if may_be_usual(events)
        ]
        rest = record_together(service, calls)
        for n in (*(n for n in range(len(calls)) if n not in rest), *rest):
            record_alone(one_by_one, calls[n])
        usual += len(calls) - len(rest)

        assert state_of(service) == state_of(one_by_one)
    assert usual > 16


def test_a_checkout_and_a_call_of_several_browsers_are_never_usual(service: Service) -> None:
    events = events_of(service, call(1))
    other = events_of(service, call(2, "visitor-0002"))
    checkout = call(3, name="checkout_started")
    checkout["events"][0]["data"] = {"checkout": {"token": "dd84dba9362eab31f3513ebd3bd82b6c"}}
    assert may_be_usual(events)
    assert not may_be_usual([*events, *other])
    assert not may_be_usual([*events, *events])
    assert not may_be_usual(events_of(service, checkout))


def test_of_calls_recorded_together_only_those_whose_turn_is_granted_are_stored(
    service: Service, clock: Clock
) -> None:
    limiter = RateLimiter(service.store, clock, b"key", Rate(1, 1), Rate(100, 100))
    told = []
    for n in (1, 2):
        turn = limiter.turn("203.0.113.7")
        turn.spend(1)
        told.append((Unrecorded(events_of(service, call(n))), turn))
    pixel = service.tracker.pixel

    granted, refused = service.store.commit(lambda conn: pixel.record_calls(conn, told))

    assert granted == 0.0
    assert refused is not None and refused > 0
    assert [row["event_id"] for row in rows(service.store, "conversions")] == ["sh-event-0001"]
