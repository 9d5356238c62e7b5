"""A shop's messages, in whatever order and how often they come, end in the same figures."""

import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app import assemble
from tests.actors import Shop, deliver
from tests.conftest import BuildService, EmptyDatabase
from tests.messages import Fact
from tests.random_shop import is_beside, messages_of
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, rows
from tracking.service import Service

CALLERS = 8
# One without Pinterest's own app and one beside it.
EVERYDAY_SHOPS = 2
YEAR = {"start_date": "2026-01-01", "end_date": "2026-12-31"}

Arrival = Callable[[Sequence[Fact], Random], list[Fact]]
ARRIVALS: dict[str, Arrival] = {
    "backwards": lambda facts, _: list(reversed(facts)),
    "shuffled": lambda facts, random: random.sample(list(facts), len(facts)),
    "doubled": lambda facts, random: random.sample([*facts, *facts], 2 * len(facts)),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With `--shops` each shop is told of in each order of arrival on both databases; every day
    each on one of the two, by turns."""
    shops = metafunc.config.getoption("--shops")
    seeds = range(1, 1 + (shops or EVERYDAY_SHOPS))
    if "arrival" in metafunc.fixturenames:
        told = [
            (seed, arrival, database)
            for seed in seeds
            for n, arrival in enumerate(ARRIVALS, seed)
            for m, database in enumerate(("sqlite", "postgresql"), n)
            if shops or m % 2 == 0
        ]
        metafunc.parametrize(("seed", "arrival", "database"), told)
    elif "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", seeds)


@pytest.fixture(scope="module")
def told_in_a_row() -> dict[int, dict[str, Any]]:
    """What is told of each shop when its messages come one by one, as far as it is known."""
    return {}


@pytest.fixture
def in_a_row(
    seed: int,
    told_in_a_row: dict[int, dict[str, Any]],
    build_service: BuildService,
    sqlite_template: Path,
    pinterest: FakePinterest,
) -> dict[str, Any]:
    """What is told of the shop when its messages come one by one, in their order."""
    if seed not in told_in_a_row:
        with folder_in_memory() as folder:
            path = folder / "in-a-row.db"
            shutil.copy(sqlite_template, path)
            service = in_business(build_service, f"sqlite:///{path}", pinterest, seed)
            told_in_a_row[seed] = story(service, messages_of(seed))
    return told_in_a_row[seed]


def in_business(
    build_service: BuildService, url: str, pinterest: FakePinterest, seed: int
) -> Service:
    app = "beside" if is_beside(seed) else "none"
    return build_service(
        url, pinterest=pinterest, COLLECTOR_KEY="shop-front-key", PINTEREST_APP=app
    )


def story(
    service: Service, facts: Sequence[Fact], *, counts_by_day: bool = False
) -> dict[str, Any]:
    shop = Shop(assemble(service).test_client())
    for n, fact in enumerate(facts):
        fact.tell(service, shop)
        if counts_by_day and n % 5 == 0:
            service.figures.finish()
    return told_of(service, shop, facts)


def told_of(service: Service, shop: Shop, facts: Sequence[Fact]) -> dict[str, Any]:
    """Every report, the journey of every order, and which of them Pinterest is told of."""
    while service.tracker.pixel.record_waiting():
        pass  # What takes long is recorded in the background.
    found = {
        f"funnel of {traffic}": shop.reads("/conversion-funnel", traffic=traffic, **YEAR)
        for traffic in ("all", "pinterest")
    }
    for model, scope, by in itertools.product(
        ("last_touch", "first_touch", "linear", "time_decay", "last_non_direct"),
        ("all", "pinterest"),
        ("order_date", "click_date"),
    ):
        parameters = {"model": model, "scope": scope, "report_by": by, **YEAR}
        found[f"{model}, {scope}, {by}"] = shop.reads("/roi-analysis", **parameters)
    orders = {fact.body["id"] for fact in facts if fact.topic.startswith("orders/")}
    for order_id in sorted(orders):
        found[f"journey of {order_id}"] = shop.reads(f"/orders/{order_id}/journey")
    found["purchases"] = purchases_at_pinterest(service)
    return found


def purchases_at_pinterest(service: Service) -> dict[str, int]:
    """How many purchases Pinterest is told of each order, when everything is sent."""
    deliver(service)
    known = {row["event_id"]: row for row in rows(service.store, "conversions")}
    sent = (row for row in rows(service.store, "outbox") if row["state"] == "sent")
    told = Counter(
        row["order_id"] or known[row["event_id"]]["order_id"]
        for row in sent
        if known[row["event_id"]]["stage"] == "purchase"
    )
    assert set(told.values()) <= {1}, told
    return told


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, report in expected.items():
        assert found[name] == report, name


def test_whatever_the_order_of_arrival_the_figures_are_the_same(
    seed: int,
    arrival: str,
    database: str,
    in_a_row: dict[str, Any],
    build_service: BuildService,
    empty_database: EmptyDatabase,
    pinterest: FakePinterest,
) -> None:
    facts = ARRIVALS[arrival](messages_of(seed), Random(seed))
    service = in_business(build_service, empty_database(database), pinterest, seed)

    assert_same(story(service, facts, counts_by_day=True), in_a_row)


def test_eight_callers_at_once_end_in_the_same_figures(
    seed: int,
    in_a_row: dict[str, Any],
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
) -> None:
    facts = messages_of(seed)
    service = in_business(build_service, database_url, pinterest, seed)
    app = assemble(service)

    with ThreadPoolExecutor(CALLERS) as threads:
        for done in [
            threads.submit(f.tell_until_taken, service, Shop(app.test_client())) for f in facts
        ]:
            done.result()

    assert_same(told_of(service, Shop(app.test_client()), facts), in_a_row)
