"""Beside Pinterest's own Shopify app a purchase is sent under the id that the app sends."""

import itertools
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    COLLECTOR_KEY,
    NOW,
    Clock,
    Operator,
    Storefront,
    bearer,
    deliver,
    instant,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.clients.outcome import Accepted, Answered, Outcome
from tracking.deliver.deliverer import LEASE_SECONDS, Deliverer
from tracking.destinations.track_ai import TrackAI
from tracking.receive.pixel import token_key
from tracking.store import conversions
from tracking.store.engine import advisory_locks

TOKEN = "checkout-token-0123456789"
OTHER_TOKEN = "checkout-token-9876543210"
TOLD = "sh-7f3a2b10-1C2D-4E5F-6A7B-8C9D0E1F2A3B"
VISITOR = "laptop-browser-1"
OWN = "checkout-5001"
MUG = {"productVariant": {"id": "222", "product": {"id": "111"}}}


@pytest.fixture
def front(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    """A shop beside Pinterest's own app, on each database."""
    return beside(build_service, database_url, pinterest, clock)


def beside(
    build_service: BuildService, url: str, pinterest: FakePinterest, clock: Clock, **env: str
) -> Storefront:
    chosen = {
        "PINTEREST_APP": "beside",
        "COLLECTOR_KEY": COLLECTOR_KEY,
        "PINTEREST_SEND": "all",
        **env,
    }
    return Storefront(build_service(url, pinterest=pinterest, **chosen), pinterest, clock)


def completes(
    front: Storefront, told: str = TOLD, token: str = TOKEN, visitor: str = VISITOR, **more: Any
) -> None:
    """Let the pixel tell that a checkout was completed, by the storefront's own id of it."""
    event = {
        "id": told,
        "name": "checkout_completed",
        "timestamp": instant(front.clock() - more.pop("ago", 0)),
        "context": {"document": {"location": {"href": "https://shop.example/checkouts/x"}}},
        "data": {"checkout": {"token": token}},
    }
    answer = front.posts({"key": COLLECTOR_KEY, "visitor": visitor, "events": [event], **more})
    assert answer.status_code == 202, answer.get_data(as_text=True)


def hands_in(front: Storefront, **changes: Any) -> Any:
    """Another system hands in a checkout."""
    event = {
        "event_name": "checkout",
        "action_source": "web",
        "event_time": int(front.clock()),
        "event_id": "another-system-1",
        "user_data": {"em": ["ada@example.com"]},
        **changes,
    }
    return front.client.post("/track-event", json={"event_data": event}, headers=bearer())


def ids(front: Storefront, event_id: str = OWN) -> tuple[str, str]:
    """The id that an event was sent under, and the storefront's, as they are stored."""
    (row,) = [r for r in rows(front.service.store, "conversions") if r["event_id"] == event_id]
    return row["sent_as"], row["storefront_id"]


def is_refused(front: Storefront) -> None:
    """Let Pinterest refuse whatever is due."""
    front.pinterest.mode = "reject"
    stored = rows(front.service.store, "conversions")
    front.pinterest.poisoned = frozenset(
        row[name] for row in stored for name in ("event_id", "storefront_id")
    )
    deliver(front.service)
    front.pinterest.mode = "ok"


def doctor(front: Storefront) -> str:
    said = Operator(assemble(front.service)).types("doctor").stdout
    return " ".join(said.split())


# --- which id


@pytest.mark.parametrize("is_reversed", [False, True], ids=["order first", "storefront first"])
def test_a_purchase_is_sent_under_the_storefronts_id_at_once(
    front: Storefront, is_reversed: bool
) -> None:
    steps = [partial(front.sells, checkout_token=TOKEN), partial(completes, front)]
    for step in reversed(steps) if is_reversed else steps:
        step()

    assert list(front.sent()) == [TOLD]
    journey = front.journey()
    assert (journey["event_id"], journey["sent_as"]) == (OWN, TOLD)
    assert journey["event"]["event_id"] == TOLD
    assert journey["missed_storefront_id"] is None
    assert ids(front) == (TOLD, TOLD)


def test_an_order_that_is_ahead_of_our_clock_takes_the_storefronts_id(
    front: Storefront, clock: Clock
) -> None:
    front.sells(checkout_token=TOKEN, created_at=instant(clock() + 3))
    completes(front)
    clock.tick(seconds=3)

    assert list(front.sent()) == [TOLD]


def test_an_order_that_was_handed_in_first_waits_for_the_storefronts_id(front: Storefront) -> None:
    assert hands_in(front, event_id=OWN).status_code == 202
    front.sells(checkout_token=TOKEN)

    assert front.sent() == {}
    completes(front)
    assert list(front.sent()) == [TOLD]


def test_without_the_storefronts_id_it_waits_two_minutes_and_goes_under_its_own(
    front: Storefront, clock: Clock
) -> None:
    front.sells(checkout_token=TOKEN)
    journey = front.journey()
    assert journey["sent_as"] is None
    assert "until 2026-11-20T12:02:00Z at most, for the storefront's id of it" in journey["why"]
    clock.tick(seconds=119)
    assert front.sent() == {}

    clock.tick(seconds=1)
    assert list(front.sent()) == [OWN]
    assert front.journey()["sent_as"] == OWN


def test_a_newer_state_does_not_make_it_wait_longer(front: Storefront, clock: Clock) -> None:
    front.sells(checkout_token=TOKEN)
    clock.tick(seconds=100)
    paid = order(checkout_token=TOKEN, updated_at=instant(NOW + 100), financial_status="paid")
    front.shop.sends("orders/paid", paid)
    clock.tick(seconds=20)

    assert list(front.sent()) == [OWN]


def test_an_id_told_during_the_wait_ends_it(front: Storefront, clock: Clock) -> None:
    front.sells(checkout_token=TOKEN)
    clock.tick(seconds=60)
    completes(front)

    assert list(front.sent()) == [TOLD]


@pytest.mark.parametrize(
    "changes",
    [
        {"source_name": "pos", "landing_site": None},
        {"source_name": "shopify_draft_order"},
        {"source_name": "1234", "app_id": 1354745},
        {"source_name": "subscription_contract"},
        {"checkout_token": None},
        {"checkout_token": "short"},
        {"created_at": instant(NOW - 121), "processed_at": instant(NOW - 121)},
    ],
    ids=["pos", "draft", "draft of an app", "renewal", "no token", "no real token", "late"],
)
def test_what_the_storefront_does_not_tell_of_waits_for_nothing(
    front: Storefront, changes: dict[str, Any]
) -> None:
    front.sells(**{"checkout_token": TOKEN, **changes})

    assert list(front.sent()) == [OWN]


def test_an_order_two_minutes_old_when_it_was_recorded_still_waits(front: Storefront) -> None:
    placed = instant(NOW - 120)
    front.sells(checkout_token=TOKEN, created_at=placed, processed_at=placed)

    assert front.sent() == {}


def test_an_order_read_later_takes_the_id_that_was_kept(front: Storefront, clock: Clock) -> None:
    completes(front)
    clock.tick(hours=2)
    front.sells(checkout_token=TOKEN, created_at=instant(NOW), processed_at=instant(NOW))

    assert list(front.sent()) == [TOLD]


def test_without_a_pixel_nothing_waits_and_the_doctor_fails(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = beside(build_service, sqlite_url, pinterest, clock, COLLECTOR_KEY="")
    front.sells(checkout_token=TOKEN)

    assert list(front.sent()) == [OWN]
    result = Operator(assemble(front.service)).types("doctor")
    assert result.exit_code == 1
    assert "PINTEREST_APP: beside, but without COLLECTOR_KEY" in result.stdout


def test_alone_a_purchase_keeps_its_own_id_and_no_storefront_id_is_kept(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = beside(build_service, database_url, pinterest, clock, PINTEREST_APP="none")
    completes(front)
    front.sells(checkout_token=TOKEN)

    assert list(front.sent()) == [OWN]
    assert ids(front) == ("", "")
    assert front.journey()["sent_as"] == OWN
    assert {row["completed_as"] for row in rows(front.service.store, "checkouts")} == {""}


def test_a_refusal_of_analytics_keeps_no_id(front: Storefront, clock: Clock) -> None:
    completes(front, consent={"analytics": False})
    front.sells(checkout_token=TOKEN)
    clock.tick(seconds=120)

    assert list(front.sent()) == [OWN]


def test_of_two_ids_of_one_checkout_the_first_in_time_counts(front: Storefront) -> None:
    for arrival in itertools.permutations([("sh-the-later", 5), ("sh-the-first", 9)]):
        token = f"{TOKEN}-{arrival[0][1]}"
        for told, ago in arrival:
            completes(front, told, token, ago=ago)
        key = token_key("ck", token)
        kept = {r["link"]: r["completed_as"] for r in rows(front.service.store, "checkouts")}
        assert kept[key] == "sh-the-first"


def test_another_browser_may_tell_that_a_checkout_was_completed(front: Storefront) -> None:
    """Safari may have made a new visitor of the one who opened the checkout."""
    front.sees("checkout_started", "first-cookie-1", 60, data={"checkout": {"token": TOKEN}})
    completes(front, visitor="second-cookie-1")
    front.sells(checkout_token=TOKEN)

    assert TOLD in front.sent()
    assert front.journey()["sent_as"] == TOLD


# --- an id is chosen once


def test_an_id_that_comes_after_the_choice_is_noted_and_counted(
    front: Storefront, clock: Clock
) -> None:
    front.sells(checkout_token=TOKEN)
    clock.tick(seconds=120)
    front.sent()
    completes(front)
    clock.tick(hours=1)

    assert list(front.sent()) == [OWN]
    journey = front.journey()
    assert (journey["sent_as"], journey["missed_storefront_id"]) == (OWN, TOLD)
    assert "the storefront told its id of it too late" in journey["why"]
    assert "0 purchases of 7 days sent under the storefront's id, 1 under their own" in doctor(
        front
    )
    assert "1 ids came too late" in doctor(front)


def test_a_claim_that_dies_before_it_sends_is_repeated_under_the_same_id(
    front: Storefront, clock: Clock, pinterest: FakePinterest
) -> None:
    front.sells(checkout_token=TOKEN)
    clock.tick(seconds=120)
    destination = front.service.destinations["pinterest"]
    dying = Deliverer(front.service.store, destination, clock)
    assert front.service.store.commit(dying._claim) is not None
    completes(front)
    clock.tick(seconds=LEASE_SECONDS)

    assert list(front.sent()) == [OWN]


def test_an_attempt_that_fails_is_repeated_under_the_same_id(
    front: Storefront, clock: Clock, pinterest: FakePinterest
) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    pinterest.mode = "down"
    deliver(front.service)
    completes(front, "sh-an-earlier-id", ago=30)
    assert front.journey()["event"]["event_id"] == TOLD
    pinterest.mode = "ok"
    clock.tick(hours=0.5)

    assert list(front.sent()) == [TOLD]
    assert front.journey()["missed_storefront_id"] == "sh-an-earlier-id"


def test_what_was_tried_before_the_app_came_beside_keeps_its_id(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    clock: Clock,
) -> None:
    alone = beside(build_service, database_url, pinterest, clock, PINTEREST_APP="none")
    alone.sells(checkout_token=TOKEN)
    pinterest.mode = "down"
    deliver(alone.service)
    front = beside(build_service, database_url, pinterest, clock)
    pinterest.mode = "ok"
    completes(front)
    front.shop.sends("orders/updated", order(checkout_token=TOKEN, updated_at=instant(NOW + 9)))
    clock.tick(hours=0.5)

    assert list(front.sent()) == [OWN]


def test_a_chosen_id_stays_when_the_app_is_gone(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    clock: Clock,
) -> None:
    front = beside(build_service, database_url, pinterest, clock)
    completes(front)
    front.sells(checkout_token=TOKEN)
    pinterest.mode = "down"
    deliver(front.service)
    alone = beside(build_service, database_url, pinterest, clock, PINTEREST_APP="none")
    pinterest.mode = "ok"
    clock.tick(hours=0.5)

    assert list(alone.sent()) == [TOLD]


def test_a_dead_letter_is_replayed_under_its_id_by_either_id(
    front: Storefront, pinterest: FakePinterest
) -> None:
    for number, (token, told) in enumerate(((TOKEN, TOLD), (OTHER_TOKEN, "sh-other-id")), 1):
        completes(front, told, token)
        front.sells(id=number, checkout_token=token)
    is_refused(front)
    operator = Operator(assemble(front.service))

    assert "1 dead letter put back" in operator.reads("replay", "--event-id", TOLD)
    assert "1 dead letter put back" in operator.reads("replay", "--event-id", "checkout-2")
    assert set(front.sent()) == {TOLD, "sh-other-id"}


class Notebook(TrackAI):
    """A Track AI that takes down what it is told."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9/events", "shop", "pixel")
        self.told: list[Any] = []

    def send(self, events: Sequence[bytes]) -> Outcome:
        self.told += map(json.loads, events)
        return Answered((Accepted(),) * len(events))


@pytest.mark.parametrize("is_told_first", [False, True])
def test_both_destinations_get_a_purchase_under_one_id(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    clock: Clock,
    is_told_first: bool,
) -> None:
    endpoint = {"TRACK_AI_ENDPOINT": "http://127.0.0.1:9/events"}
    front = beside(build_service, database_url, pinterest, clock, **endpoint)
    if is_told_first:
        completes(front)
    front.sells(checkout_token=TOKEN)
    clock.tick(seconds=120)
    (first,) = front.sent()
    completes(front)
    with closing(Notebook()) as other:
        Deliverer(front.service.store, other, clock).deliver()

    assert [event["event_id"] for event in other.told] == [first]
    assert first == (TOLD if is_told_first else OWN)


# --- an id is one event's


def test_an_id_that_another_event_has_is_not_taken(front: Storefront) -> None:
    front.sees("product_viewed", VISITOR, 60, data=MUG)
    (viewed,) = [row["event_id"] for row in rows(front.service.store, "conversions")]
    completes(front, viewed)
    front.sells(checkout_token=TOKEN)

    front.sent()
    assert ids(front) == (OWN, viewed)
    assert "the storefront told an id of it that another event has" in front.journey()["why"]
    assert "0 ids came too late, 1 are another event's" in doctor(front)


def test_two_orders_told_by_one_id_do_not_share_it(front: Storefront) -> None:
    for number, token in ((1, TOKEN), (2, OTHER_TOKEN)):
        completes(front, TOLD, token)
        front.sells(id=number, checkout_token=token)
    completes(front, TOLD, f"{TOKEN}-later")

    assert set(front.sent()) == {TOLD, "checkout-2"}
    front.sells(id=3, checkout_token=f"{TOKEN}-later")
    assert set(front.sent()) == {TOLD, "checkout-2", "checkout-3"}


def test_no_event_id_of_an_order_is_taken_from_the_storefront(front: Storefront) -> None:
    front.sells(id=1)
    event = {"id": "checkout-7777", "name": "checkout_completed", "timestamp": instant(NOW)}
    data = {"data": {"checkout": {"token": TOKEN}}}
    call = {"key": COLLECTOR_KEY, "visitor": VISITOR, "events": [event | data]}
    front.posts(call)
    front.sells(id=2, checkout_token=TOKEN)

    front.clock.tick(seconds=120)
    assert set(front.sent()) == {"checkout-1", "checkout-2"}


def test_two_deliverers_at_once_send_two_orders_of_one_id_under_two(
    front: Storefront, pinterest: FakePinterest
) -> None:
    for number in range(1, 21):
        token = f"{TOKEN}-{number:03}"
        completes(front, f"sh-shared-id-{number // 2}", token)
        front.sells(id=number, checkout_token=token)
    destination = front.service.destinations["pinterest"]
    start = threading.Barrier(4)

    def send() -> None:
        deliverer = Deliverer(front.service.store, destination, front.clock, lambda: 0.0)
        deliverer._batch_limit = 3
        start.wait()
        for _ in range(15):
            deliverer.deliver()
            deliverer._batch_limit = 3

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: send(), range(4)))
    deliver(front.service)

    assert len(pinterest.accepted) == 20
    assert set(pinterest.accepted.values()) == {1}
    assert sum(name.startswith("sh-") for name in pinterest.accepted) == 11


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_purchase_that_somebody_writes_about_is_claimed_the_next_time(
    front: Storefront,
) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    store = front.service.store
    held, go_on = threading.Event(), threading.Event()

    def tell(name: str, conn: Any) -> None:
        advisory_locks.hold(conn, [name])
        if name == "row":
            conversions.set_storefront_id(conn, OWN, TOLD)
        held.set()
        assert go_on.wait(20)

    for name in (TOLD, "row"):
        held.clear()
        go_on.clear()
        with ThreadPoolExecutor(1) as threads:
            threads.submit(store.commit, partial(tell, name))
            assert held.wait(20)
            assert front.sent() == {}
            go_on.set()

    assert list(front.sent()) == [TOLD]


# --- either id is the purchase


@pytest.mark.parametrize("is_sent", [False, True], ids=["waiting", "sent"])
@pytest.mark.parametrize(
    "handed_in",
    [
        {"event_id": OWN},
        {"event_id": TOLD},
        {"event_id": "gtm-1", "custom_data": {"order_id": "5001"}},
        {"event_id": TOLD, "custom_data": {"order_id": "5001"}},
    ],
    ids=["own id", "storefront's id", "order id", "both"],
)
def test_a_checkout_handed_in_under_either_id_is_a_duplicate(
    front: Storefront, handed_in: dict[str, Any], is_sent: bool
) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    if is_sent:
        front.sent()

    assert hands_in(front, **handed_in).get_json()["status"] == "duplicate"
    assert list(front.sent()) == [TOLD]


def test_another_kind_of_event_under_the_sent_id_is_a_conflict(front: Storefront) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    front.sent()

    answer = hands_in(front, event_id=TOLD, event_name="add_to_cart")
    assert answer.status_code == 409
    assert list(front.sent()) == [TOLD]


def test_another_kind_of_event_that_a_page_tells_under_the_sent_id_gets_one_of_its_own(
    front: Storefront,
) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    front.sent()

    event = {"id": TOLD, "name": "product_viewed", "timestamp": instant(NOW), "data": MUG}
    front.posts({"key": COLLECTOR_KEY, "visitor": VISITOR, "events": [event]})

    sent = front.sent()
    assert [event["event_name"] for event in sent.values()] == ["checkout", "page_visit"]
    assert next(iter(sent)) == TOLD


def test_a_file_of_events_knows_either_id(front: Storefront, tmp_path: Any) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    path = tmp_path / "events.jsonl"
    lines = [
        {
            "event_name": "checkout",
            "action_source": "web",
            "event_time": int(NOW),
            "event_id": event_id,
            "user_data": {"em": [f"{event_id}@example.com"]},
        }
        for event_id in (TOLD, OWN, "new-one-1")
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    operator = Operator(assemble(front.service))

    for _ in range(2):
        operator.reads("import-events", str(path))
        assert set(front.sent()) == {TOLD, "new-one-1"}


def test_the_log_is_searched_by_either_id_and_shows_both(front: Storefront) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    front.sells(id=2)
    front.sent()

    for asked in (OWN, TOLD):
        (event,) = front.shop.reads("/events", event_id=asked)["events"]
        assert (event["event_id"], event["sent_as"]) == (OWN, TOLD)
    assert front.shop.reads("/events", event_id="unknown-id")["events"] == []
    assert len(front.shop.reads("/events")["events"]) == 2


# --- late events


def test_what_nothing_earned_is_settled_fifty_minutes_after_the_order(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = beside(build_service, database_url, pinterest, clock, PINTEREST_SEND="attributed")
    front.sells(id=1, checkout_token=TOKEN, note_attributes=[], landing_site="/")
    assert front.journey(1)["held_until"] == instant(NOW + 50 * 60).replace("+00:00", "Z")

    clock.tick(seconds=49 * 60)
    completes(front)
    front.sees("page_viewed", VISITOR, 50 * 60, page=pinned())
    assert list(front.sent()) == [TOLD]


def test_a_click_told_after_fifty_minutes_sends_nothing(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = beside(build_service, database_url, pinterest, clock, PINTEREST_SEND="attributed")
    front.sells(checkout_token=TOKEN, landing_site="/")
    clock.tick(seconds=51 * 60)
    completes(front, ago=50 * 60)
    front.sees("page_viewed", VISITOR, 52 * 60, page=pinned())

    assert front.sent() == {}
    assert front.journey()["reason"] == "credited_late"


def test_a_late_credit_still_waits_for_the_storefronts_id(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = beside(build_service, database_url, pinterest, clock, PINTEREST_SEND="attributed")
    front.sells(checkout_token=TOKEN, landing_site="/")
    clock.tick(seconds=300)
    front.sees("checkout_started", VISITOR, 320, data={"checkout": {"token": TOKEN}})
    front.sees("page_viewed", VISITOR, 400, page=pinned())
    assert front.journey()["reason"] == ""
    assert front.sent() == {}
    completes(front)

    assert list(front.sent()) == [TOLD]


def test_what_is_sent_after_an_hour_is_counted_as_late(
    front: Storefront, clock: Clock, pinterest: FakePinterest
) -> None:
    completes(front)
    front.sells(id=1, checkout_token=TOKEN)
    front.sells(id=2)
    clock.tick(seconds=3601)
    front.sells(id=3)
    front.sent()

    outcomes = [
        front.journey(number)["deliveries"][0]["attempts"][0]["outcome"] for number in (1, 2, 3)
    ]
    assert outcomes == ["late", "late", "sent"]
    assert "2 events went out late" in doctor(front)
    told = front.client.get("/metrics", headers=bearer()).get_data(as_text=True)
    assert 'tracking_delivery_attempts_total{destination="pinterest",outcome="late"} 2' in told


def test_a_late_dead_letter_is_replayed_only_if_it_is_asked_for(
    front: Storefront, clock: Clock, pinterest: FakePinterest
) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    is_refused(front)
    operator = Operator(assemble(front.service))
    clock.tick(hours=2)

    assert "1 left: Pinterest would count it beside its app's own" in operator.reads("replay")
    assert "--late sends it all the same" in operator.is_told("replay", "--event-id", TOLD)
    assert front.sent() == {}
    assert "1 dead letter put back" in operator.reads("replay", "--late")
    assert list(front.sent()) == [TOLD]


def test_a_late_dead_letter_of_a_shop_without_the_app_is_replayed_as_ever(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = beside(build_service, sqlite_url, pinterest, clock, PINTEREST_APP="none")
    front.sells()
    is_refused(front)
    clock.tick(hours=2)

    assert "1 dead letter put back" in Operator(assemble(front.service)).reads("replay")


def test_the_end_of_an_outage_does_not_cut_the_wait_short(
    front: Storefront, clock: Clock, pinterest: FakePinterest
) -> None:
    front.sells(id=1)
    pinterest.mode = "down"
    for _ in range(6):
        deliver(front.service)
        clock.tick(seconds=60)
    now = instant(clock())
    front.sells(id=2, checkout_token=TOKEN, created_at=now, processed_at=now, updated_at=now)
    deliver(front.service)
    pinterest.mode = "ok"
    clock.tick(seconds=50)
    assert list(front.sent()) == ["checkout-1"]
    completes(front)

    assert set(front.sent()) == {"checkout-1", TOLD}


# --- what the operator is told


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"PINTEREST_APP": "none"},
            "If so, each purchase counts twice until PINTEREST_APP is beside",
        ),
        ({}, "If not, set PINTEREST_APP to none"),
        ({"COLLECTOR_KEY": ""}, "If so, set COLLECTOR_KEY"),
    ],
)
def test_the_doctor_asks_for_the_sales_channel_and_says_what_follows(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    clock: Clock,
    env: dict[str, str],
    said: str,
) -> None:
    found = doctor(beside(build_service, sqlite_url, pinterest, clock, **env))

    assert f"is Pinterest's sales channel installed in the shop? {said}" in found


# --- erasure and retention


def redact(front: Storefront, **changes: Any) -> None:
    body = {
        "shop_id": 1,
        "shop_domain": "my-shop.myshopify.com",
        "customer": {"id": 9_001, "email": "ada@example.com", "phone": None},
        "orders_to_redact": [5001],
        **changes,
    }
    assert front.shop.sends("customers/redact", body).status_code == 200


def test_an_erased_persons_storefront_id_is_kept_nowhere(front: Storefront, clock: Clock) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    redact(front)

    told = [rows(front.service.store, name) for name in ("checkouts", "conversions", "outbox")]
    assert TOLD not in str(told)
    completes(front)
    clock.tick(seconds=120)
    assert front.sent() == {}


def test_the_id_that_an_erased_persons_event_was_sent_under_stays_taken(
    front: Storefront,
) -> None:
    completes(front)
    front.sells(checkout_token=TOKEN)
    front.sent()
    redact(front)

    assert ids(front) == (TOLD, "")
    answer = hands_in(front, event_id=TOLD, user_data={"em": ["else@example.com"]})
    assert answer.get_json()["status"] == "duplicate"


def test_the_storefronts_id_is_purged_with_its_checkout(front: Storefront, clock: Clock) -> None:
    front.sells(checkout_token=TOKEN)
    clock.tick(seconds=120)
    front.sent()
    completes(front)
    assert ids(front) == (OWN, TOLD)
    completes(front, "sh-of-no-order", OTHER_TOKEN)
    clock.tick(days=401)
    Operator(assemble(front.service)).reads("purge")

    assert rows(front.service.store, "checkouts") == []
    assert ids(front) == (OWN, "")
