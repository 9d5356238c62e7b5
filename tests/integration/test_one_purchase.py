"""One purchase for each order: whatever arrives, in whatever order, however often, at once."""

import itertools
import json
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import assemble
from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    Clock,
    Shop,
    deliver,
    instant,
    order,
    pinned,
    refund,
)
from tests.conftest import ArrivalsOf, BuildService
from tests.orders import PIN, of_buyer
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, rows, state
from tracking.service import Service

Message = tuple[str, dict[str, Any]]

EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
# Create and paid of one second, as Shopify often sends them.
CREATE: Message = ("orders/create", order(landing_site=PIN, financial_status="pending"))
PAID: Message = ("orders/paid", order(landing_site=PIN))
UPDATED: Message = (
    "orders/updated",
    order(
        landing_site=PIN, subtotal_price="45.00", total_price="55.00", updated_at=instant(NOW + 60)
    ),
)
REFUNDED: Message = ("refunds/create", refund())
CANCELLED: Message = (
    "orders/cancelled",
    {**UPDATED[1], "cancelled_at": instant(NOW + 120), "updated_at": instant(NOW + 120)},
)
# How often Shopify would send at least what was refused.
TRIES = 10
LIFE = (CREATE, PAID, UPDATED, CANCELLED, REFUNDED)

Fresh = Callable[..., Service]


@pytest.fixture
def fresh(
    build_service: BuildService, sqlite_template: Path, pinterest: FakePinterest
) -> Iterator[Fresh]:
    """Makes services, each on an empty SQLite file of its own."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build(**env: str) -> Service:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return build_service(f"sqlite:///{path}", pinterest=pinterest, **env)

        yield build


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def sent_to(service: Service, messages: Iterable[Message]) -> Shop:
    """Send the webhooks one after the other; each of them is taken."""
    shop = shop_of(service)
    for topic, body in messages:
        answer = shop.sends(topic, body)
        assert answer.status_code == 200
        assert answer.get_json()["status"] != "quarantined"
    return shop


def some_twice(messages: Sequence[Message], seed: int) -> list[Message]:
    """The messages in their order, some of them once more later on."""
    luck = random.Random(seed)
    found = list(messages)
    for again in luck.sample(messages, 2):
        found.insert(luck.randint(found.index(again) + 1, len(found)), again)
    return found


def reports_of(shop: Shop) -> dict[str, Any]:
    """All that the shop's owner reads of the last sixty days."""
    span = {"start_date": "2026-09-01", "end_date": "2026-11-30"}
    found = {
        f"funnel {t}": shop.reads("/conversion-funnel", traffic=t, **span)
        for t in ("all", "pinterest")
    }
    for scope, by, model in itertools.product(
        ("pinterest", "all"), ("order_date", "click_date"), ("last_touch", "linear")
    ):
        asked = {"scope": scope, "report_by": by, "model": model, **span}
        found[f"roi {scope} {by} {model}"] = shop.reads("/roi-analysis", **asked)
    return found


def event_ids(service: Service) -> set[str]:
    return {row["event_id"] for row in rows(service.store, "conversions")}


def placed_at(moment: int) -> dict[str, str]:
    """The instants of an order that was placed then."""
    return dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(moment))


def in_parallel(app: Flask, messages: Sequence[Message]) -> Counter[str]:
    """Post all webhooks at the same moment, each by a caller of its own; the statuses.

    What a busy machine refuses is sent again, as Shopify does.
    """
    start = threading.Barrier(len(messages))

    def post(message: Message) -> str:
        shop = Shop(app.test_client())
        start.wait()
        answers = (shop.sends(*message) for _ in range(TRIES))
        taken = next((answer for answer in answers if answer.status_code != 503), None)
        return "503" if taken is None else str(taken.get_json()["status"])

    with ThreadPoolExecutor(len(messages)) as callers:
        return Counter(callers.map(post, messages))


def created(bodies: Iterable[dict[str, Any]]) -> list[Message]:
    return [("orders/create", body) for body in bodies]


def test_five_webhooks_end_in_one_state_in_every_order_of_arrival(
    fresh: Fresh, arrivals_of: ArrivalsOf
) -> None:
    usual = fresh()
    expected = reports_of(sent_to(usual, LIFE))
    (known,) = rows(usual.store, "orders")
    assert (known["gross"], known["refunds"], known["cancellations"]) == (4500, 1000, 3500)

    for seed, arrival in enumerate(arrivals_of(LIFE)):
        service = fresh()
        shop = sent_to(service, some_twice(arrival, seed))
        names = [topic for topic, _ in arrival]
        assert state(service.store) == state(usual.store), names
        assert event_ids(service) == {"checkout-5001"}
        if seed % 5 == 0:
            assert reports_of(shop) == expected, names


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("number", range(7, 120, 38))
def test_postgresql_ends_in_the_very_state_sqlite_ends_in(
    service: Service, shop: Shop, fresh: Fresh, number: int
) -> None:
    usual = fresh(PINTEREST_SEND="all")
    expected = reports_of(sent_to(usual, LIFE))

    sent_to(service, some_twice(list(itertools.permutations(LIFE))[number], number))

    assert state(service.store) == state(usual.store)
    assert reports_of(shop) == expected


def test_the_event_that_waits_is_the_newest_states_in_every_order_of_arrival(
    fresh: Fresh, arrivals_of: ArrivalsOf
) -> None:
    life = (CREATE, PAID, UPDATED, REFUNDED)
    usual = fresh()
    sent_to(usual, life)
    (waiting,) = state(usual.store)["waiting"]
    event = json.loads(waiting["payload"])
    assert (event["event_id"], event["custom_data"]["value"]) == ("checkout-5001", "35.00")
    assert event["user_data"]["click_id"] == EPIK

    for seed, arrival in enumerate(arrivals_of(life)):
        service = fresh()
        shop = sent_to(service, some_twice(arrival, seed))
        assert state(service.store) == state(usual.store), [topic for topic, _ in arrival]
        journey = shop.reads("/orders/5001/journey")
        assert (journey["gross_revenue"], journey["refunds"]) == ("45.00", "10.00")


def test_of_two_states_of_one_second_the_same_one_wins_in_both_orders(fresh: Fresh) -> None:
    stays: Message = ("orders/updated", {**PAID[1], "email": "first@example.com"})
    other: Message = ("orders/updated", {**PAID[1], "email": "second@example.com"})
    for pair in ((CREATE, PAID), (stays, other)):
        one, two = fresh(), fresh()
        sent_to(one, pair)
        sent_to(two, reversed(pair))
        assert rows(one.store, "orders") == rows(two.store, "orders")
        assert state(one.store)["waiting"] == state(two.store)["waiting"]


def visited(moment: int) -> list[dict[str, str]]:
    """The pixel's note of when the visit began that led to the order."""
    return [{"name": "__pin_touch", "value": str(moment)}]


PLACED = st.integers(-40 * DAY, 0)


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """Two or three orders of one buyer, each with some of what may follow, oldest first."""
    found: list[Message] = []
    for number in range(1, draw(st.integers(2, 3)) + 1):
        placed = NOW + draw(PLACED)
        base = order(
            id=number,
            **placed_at(placed),
            note_attributes=draw(st.sampled_from([[], visited(placed - 20 * DAY)])),
            landing_site=draw(
                st.sampled_from(["", "/", PIN, pinned("2"), "/?utm_source=newsletter"])
            ),
        )
        found.append(("orders/create", base))
        followers: list[Message] = [
            (
                "orders/updated",
                {**base, "subtotal_price": "30.00", "updated_at": instant(placed + 60)},
            ),
            ("refunds/create", refund(id=number, order_id=number)),
            (
                "orders/cancelled",
                {**base, "cancelled_at": instant(placed + 90), "updated_at": instant(placed + 90)},
            ),
        ]
        found += draw(st.lists(st.sampled_from(followers), unique_by=lambda m: m[0]))
    return found


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(history=histories(), data=st.data())
def test_a_buyers_orders_end_in_the_same_reports_in_every_order_of_arrival(
    fresh: Fresh, history: list[Message], data: st.DataObject
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(history), max_size=3))
    arrival = data.draw(st.permutations([*history, *repeated]))

    usual, shuffled = (fresh(PINTEREST_SEND="all") for _ in range(2))
    expected = reports_of(sent_to(usual, history))

    assert reports_of(sent_to(shuffled, arrival)) == expected
    assert event_ids(shuffled) == event_ids(usual)


def test_one_webhook_fifty_times_at_once_is_one_order_and_one_event(
    app: Flask, service: Service
) -> None:
    statuses = in_parallel(app, created([order()] * 50))

    assert statuses == {"accepted": 1, "duplicate": 49}
    assert len(rows(service.store, "orders")) == 1
    assert event_ids(service) == {"checkout-5001"}
    assert [row["event_id"] for row in rows(service.store, "outbox")] == ["checkout-5001"]


def test_fifty_states_of_one_order_at_once_leave_the_newest(
    app: Flask, service: Service, shop: Shop
) -> None:
    bodies = [order(updated_at=instant(NOW + n), subtotal_price=f"{n}.00") for n in range(50)]

    statuses = in_parallel(app, created(random.Random(5).sample(bodies, 50)))

    assert set(statuses) <= {"accepted", "stale"}
    assert shop.reads("/orders/5001/journey")["gross_revenue"] == "49.00"
    (waiting,) = state(service.store)["waiting"]
    assert json.loads(waiting["payload"])["custom_data"]["value"] == "49.00"


def test_fifty_orders_at_once_are_fifty_orders(app: Flask, service: Service) -> None:
    assert in_parallel(app, created(map(of_buyer, range(1, 51)))) == {"accepted": 50}
    assert len(rows(service.store, "orders")) == len(event_ids(service)) == 50


def of_visitor(number: int, visitor: str, **changes: Any) -> dict[str, Any]:
    """An order of this number by somebody whose browser is all that is known of him."""
    notes = [{"name": "__pin_vid", "value": visitor}]
    return {**of_buyer(number), "note_attributes": notes, **changes}


def test_two_orders_of_one_visitor_at_once_know_of_each_other(app: Flask, shop: Shop) -> None:
    for number in range(10):
        visitor = f"visitor-{number:03}"
        clicked = of_visitor(100 + number, visitor, **placed_at(NOW - DAY))
        later = of_visitor(200 + number, visitor, landing_site="/")
        assert in_parallel(app, created([clicked, later])) == {"accepted": 2}
        assert shop.reads(f"/orders/{200 + number}/journey")["why"].startswith("Credited")


def test_a_refund_and_a_late_click_at_once_both_count(app: Flask, shop: Shop) -> None:
    for number in range(1, 21):
        later = of_buyer(number) | {"landing_site": "/"}
        clicked = of_buyer(number) | {"id": 100 + number, **placed_at(NOW - DAY)}
        back = refund(id=number, order_id=number)
        shop.sends("orders/create", later)

        in_parallel(app, [("orders/create", clicked), ("refunds/create", back)])

        journey = shop.reads(f"/orders/{number}/journey")
        assert (journey["refunds"], journey["why"][:8]) == ("10.00", "Credited")


@pytest.mark.parametrize("arrival", list(itertools.permutations((CREATE, PAID))))
def test_where_a_purchase_is_a_paid_order_it_counts_once_it_is_paid(
    fresh: Fresh, arrival: Sequence[Message]
) -> None:
    service = fresh(PURCHASE_ON="paid")
    shop = sent_to(service, [CREATE])
    assert shop.reads("/roi-analysis")["orders"] == 0
    assert shop.reads("/orders/5001/journey")["reason"] == "unpaid"
    assert not rows(service.store, "outbox")

    sent_to(service, arrival)

    assert shop.reads("/roi-analysis")["orders"] == 1
    assert [row["event_id"] for row in state(service.store)["waiting"]] == ["checkout-5001"]


@pytest.mark.parametrize("arrival", list(itertools.permutations((PAID, CANCELLED))))
def test_an_order_cancelled_before_it_was_sent_is_held_back(
    fresh: Fresh, pinterest: FakePinterest, arrival: Sequence[Message]
) -> None:
    service = fresh()
    shop = sent_to(service, arrival)

    deliver(service)

    assert pinterest.calls == []
    assert shop.reads("/orders/5001/journey")["reason"] == "cancelled"
    assert shop.reads("/roi-analysis")["total_revenue"] == "0.00"


def test_an_order_cancelled_after_it_was_sent_changes_the_reports_only(
    fresh: Fresh, pinterest: FakePinterest
) -> None:
    service = fresh()
    shop = sent_to(service, [PAID])
    deliver(service)

    sent_to(service, [CANCELLED])
    deliver(service)

    assert pinterest.accepted == {"checkout-5001": 1}
    assert pinterest.events["checkout-5001"]["custom_data"]["value"] == "40.00"
    found = shop.reads("/roi-analysis")
    assert (found["gross_revenue"], found["cancellations"], found["total_revenue"]) == (
        *("45.00", "45.00", "0.00"),
    )
    journey = shop.reads("/orders/5001/journey")
    assert (journey["reason"], "sent: Pinterest accepted" in journey["why"]) == ("", True)


def test_whatever_comes_after_the_event_was_sent_it_is_sent_once(
    fresh: Fresh, pinterest: FakePinterest, clock: Clock
) -> None:
    service = fresh()
    for message in (CREATE, PAID, UPDATED, REFUNDED, CREATE, CANCELLED, UPDATED):
        sent_to(service, [message])
        deliver(service)
        clock.tick(hours=1)

    assert pinterest.accepted == {"checkout-5001": 1}


def test_a_refund_that_comes_before_its_order_is_not_forgotten(shop: Shop) -> None:
    shop.sends("refunds/create", refund())
    shop.sends("orders/create", PAID[1])

    found = shop.reads("/roi-analysis")
    assert (found["gross_revenue"], found["refunds"], found["total_revenue"]) == (
        *("40.00", "10.00", "30.00"),
    )


def test_a_refund_told_by_its_own_webhook_and_by_its_order_counts_once(shop: Shop) -> None:
    shop.sends("orders/create", PAID[1])
    shop.sends("refunds/create", refund())
    shop.sends("orders/updated", {**UPDATED[1], "refunds": [refund()]})

    assert shop.reads("/roi-analysis")["refunds"] == "10.00"


def test_a_refund_that_was_pending_counts_once_it_is_paid(shop: Shop) -> None:
    pending = refund(transactions=[{**refund()["transactions"][0], "status": "pending"}])
    shop.sends("orders/create", PAID[1])
    shop.sends("refunds/create", pending)
    assert shop.reads("/roi-analysis")["refunds"] == "0.00"

    shop.sends("refunds/create", refund())
    assert shop.reads("/roi-analysis")["refunds"] == "10.00"


TOLD = "sh-7f3a2b10-1C2D-4E5F-6A7B-8C9D0E1F2A3B"
COMPLETED: Message = (
    "collect",
    {
        "key": COLLECTOR_KEY,
        "visitor": "laptop-browser-1",
        "events": [
            {
                "id": TOLD,
                "name": "checkout_completed",
                "timestamp": instant(NOW),
                "data": {"checkout": {"token": CHECKOUT_TOKEN}},
            }
        ],
    },
)
OF_CHECKOUT = tuple(
    (topic, {**body, "checkout_token": CHECKOUT_TOKEN}) for topic, body in (CREATE, PAID, UPDATED)
)


@pytest.mark.parametrize("is_sent_between", [False, True])
def test_beside_pinterests_app_it_is_sent_once_under_the_apps_id_in_every_order_of_arrival(
    fresh: Fresh, arrivals_of: ArrivalsOf, pinterest: FakePinterest, is_sent_between: bool
) -> None:
    expected = None
    for seed, arrival in enumerate(arrivals_of((*OF_CHECKOUT, COMPLETED))):
        pinterest.forget()
        service = fresh(PINTEREST_APP="beside", COLLECTOR_KEY=COLLECTOR_KEY)
        client = assemble(service).test_client()
        for topic, body in some_twice(arrival, seed):
            if topic == "collect":
                agent = {"User-Agent": "Mozilla/5.0 (Macintosh)"}
                client.post("/collect", json=body, headers=agent)
            else:
                sent_to(service, [(topic, body)])
            if is_sent_between:
                deliver(service)
        deliver(service)

        names = [topic for topic, _ in arrival]
        assert pinterest.accepted == {TOLD: 1}, names
        if not is_sent_between:
            expected = expected or state(service.store)
            assert state(service.store) == expected, names


FIRST: Message = ("orders/create", order(id=1, landing_site=PIN, **placed_at(NOW - 29 * DAY)))
SECOND: Message = ("orders/create", order(id=2, landing_site=None, **placed_at(NOW - HOUR)))
# The same order, whose own visit is said to be older than the click that earns it.
STAMPED: Message = (
    "orders/create",
    {**SECOND[1], "landing_site": "/", "note_attributes": visited(NOW - 30 * DAY)},
)


@pytest.mark.parametrize("second", [SECOND, STAMPED], ids=["no visit", "an older visit"])
@pytest.mark.parametrize("is_reversed", [False, True], ids=["in turn", "reversed"])
def test_a_click_earns_the_buyers_next_order_whichever_is_told_first(
    fresh: Fresh, second: Message, is_reversed: bool
) -> None:
    service = fresh()
    shop = sent_to(service, reversed((FIRST, second)) if is_reversed else (FIRST, second))
    span = {"start_date": "2026-10-01", "end_date": "2026-11-30"}

    roi = shop.reads("/roi-analysis", **span)
    journey = shop.reads("/orders/2/journey")
    funnel = shop.reads("/conversion-funnel", **span)

    assert [(c["campaign_id"], c["orders"], c["revenue"]) for c in roi["campaigns"]] == [
        ("626735565838", 2, "80.00")
    ]
    assert journey["why"].startswith("Credited to Pinterest: a click of campaign 626735565838")
    purchases = next(stage for stage in funnel["stages"] if stage["stage"] == "purchase")
    assert (purchases["events"], purchases["visitors"]) == (2, 1)


def test_a_click_told_late_earns_an_order_whose_own_visit_is_two_windows_old(fresh: Fresh) -> None:
    early, late = NOW - 35 * DAY, NOW - 20 * DAY
    direct = order(id=2, note_attributes=visited(early), **placed_at(NOW - 15 * DAY))
    clicked = order(id=1, landing_site=PIN, note_attributes=visited(late), **placed_at(NOW))

    shop = sent_to(fresh(), created([direct, clicked]))

    assert shop.reads("/orders/2/journey")["why"].startswith("Credited to Pinterest")
