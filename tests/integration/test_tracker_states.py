"""What one state of an order told, no other takes back by being silent, whichever comes first.

Apps that write an order's note attributes replace the whole list, so that a newer state may have
lost the visit and the consent that an older one told.
"""

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    TODAY,
    BuildWorld,
    Clock,
    Storefront,
    World,
    at_once,
    bearer,
    deliver,
    instant,
    notes,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, rows, state
from tracking import PinterestConversionTracker
from tracking.clients.outcome import BatchRefused, TryLater
from tracking.store import dead_letter_queue

LAPTOP = "laptop-browser-1"
EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
CLICK = notes(__pin_vid=LAPTOP, __pin_epik=EPIK, __pin_touch=str(NOW - DAY))
BOTH_WAYS = pytest.mark.parametrize("is_reversed", [False, True], ids=["in turn", "reversed"])

State = dict[str, Any]


def states(*told: State) -> list[State]:
    """States of one order, a minute apart, oldest first."""
    return [order(updated_at=instant(NOW + 60 * n), **changes) for n, changes in enumerate(told)]


def tell(found: World, bodies: Sequence[State], *, is_reversed: bool = False) -> None:
    for body in reversed(bodies) if is_reversed else bodies:
        answer = found.shop.sends_until_taken("orders/updated", body)
        assert answer.get_json()["status"] in ("accepted", "stale")


def refusing(consent: str, **changes: Any) -> list[State]:
    """An order with a word of consent, and its newer state that has lost it."""
    return states(
        {"note_attributes": notes(__pin_consent=consent), "landing_site": pinned(), **changes},
        {"landing_site": pinned()},
    )


# --- Consent


@BOTH_WAYS
def test_a_refusal_stands_though_a_newer_state_has_lost_it(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    tell(found, refusing("marketing=no"), is_reversed=is_reversed)

    assert (found.reason(), found.told()) == ("consent_refused", {})
    assert found.shop.reads("/orders/5001/journey")["consent"]["marketing"] is False


@BOTH_WAYS
@pytest.mark.parametrize("consent", ["gpc=yes", "sale=no"])
def test_a_refused_sale_of_data_stands_though_a_newer_state_has_lost_it(
    everywhere: BuildWorld, consent: str, is_reversed: bool
) -> None:
    found = everywhere()
    tell(found, refusing(consent), is_reversed=is_reversed)

    event = found.event()
    assert (event["opt_out"], event["custom_data"]["opt_out_type"]) == (True, "LDP")


@BOTH_WAYS
def test_a_newer_yes_does_not_undo_a_refusal(world: BuildWorld, is_reversed: bool) -> None:
    found = world()
    yes = {"note_attributes": notes(__pin_consent="marketing=yes"), "landing_site": pinned()}
    no = {"note_attributes": notes(__pin_consent="marketing=no"), "landing_site": pinned()}
    tell(found, states(no, yes, {"landing_site": pinned()}), is_reversed=is_reversed)

    assert (found.reason(), found.told()) == ("consent_refused", {})


@BOTH_WAYS
def test_an_order_held_for_its_consent_is_sent_once_an_older_state_tells_it(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere(CONSENT_UNKNOWN="hold")
    tell(found, refusing("marketing=yes"), is_reversed=is_reversed)

    assert set(found.told()) == {"5001"}


def test_a_refusal_told_late_takes_back_what_was_held_for_a_click(world: BuildWorld) -> None:
    found = world()
    refused, silent = states(
        {"note_attributes": notes(__pin_consent="marketing=no")}, {"landing_site": "/"}
    )
    tell(found, [silent])
    assert [row["state"] for row in rows(found.service.store, "outbox")] == ["held"]

    tell(found, [refused])

    assert found.reason() == "consent_refused"
    assert rows(found.service.store, "outbox") == []


@pytest.mark.parametrize("is_newer", [False, True])
def test_a_dead_letter_is_not_replayed_against_a_refusal(
    everywhere: BuildWorld,
    pinterest: FakePinterest,
    monkeypatch: pytest.MonkeyPatch,
    is_newer: bool,
) -> None:
    found = everywhere()
    refused, silent = refusing("marketing=no")
    if is_newer:
        refused["updated_at"] = instant(NOW + 120)
    tell(found, [silent])
    with monkeypatch.context() as patched:
        send = found.service.destinations["pinterest"]
        patched.setattr(send, "send", lambda events: BatchRefused("no such thing"))
        deliver(found.service)
    assert [row["state"] for row in rows(found.service.store, "outbox")] == ["dead"]

    tell(found, [refused])
    found.service.store.commit(lambda conn: dead_letter_queue.replay(conn, NOW, NOW - DAY))
    deliver(found.service)

    assert pinterest.accepted == {}
    (row,) = rows(found.service.store, "outbox")
    assert (row["state"], bytes(row["payload"])) == ("withdrawn", b"")


@pytest.mark.parametrize("is_newer", [False, True])
def test_a_limit_told_while_the_event_is_under_way_holds_for_its_next_attempt(
    everywhere: BuildWorld,
    pinterest: FakePinterest,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    is_newer: bool,
) -> None:
    found = everywhere()
    limited, silent = refusing("gpc=1")
    if is_newer:
        limited["updated_at"] = instant(NOW + 120)

    def limits(events: Sequence[bytes]) -> TryLater:
        tell(found, [limited])
        return TryLater("no answer")

    tell(found, [silent])
    with monkeypatch.context() as patched:
        patched.setattr(found.service.destinations["pinterest"], "send", limits)
        deliver(found.service)
    clock.tick(hours=1)
    deliver(found.service)

    event = pinterest.events["checkout-5001"]
    assert event["opt_out"] is True
    assert event["custom_data"]["opt_out_type"] == "LDP"


def test_an_order_that_stops_to_be_sent_and_begins_again_while_under_way_is_tried_again(
    everywhere: BuildWorld,
    pinterest: FakePinterest,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = everywhere()
    real, trial, again = states(*({"landing_site": pinned(), "test": n == 1} for n in range(3)))

    def changes(events: Sequence[bytes]) -> TryLater:
        tell(found, [trial, again])
        return TryLater("no answer")

    tell(found, [real])
    with monkeypatch.context() as patched:
        patched.setattr(found.service.destinations["pinterest"], "send", changes)
        deliver(found.service)
    clock.tick(hours=1)
    deliver(found.service)

    assert pinterest.accepted == {"checkout-5001": 1}


def test_a_refusal_told_while_the_event_is_under_way_keeps_it_from_being_tried_again(
    everywhere: BuildWorld, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = everywhere()
    refused, silent = refusing("marketing=no")

    def refuses(events: Sequence[bytes]) -> TryLater:
        tell(found, [refused])
        return TryLater("no answer")

    tell(found, [silent])
    with monkeypatch.context() as patched:
        patched.setattr(found.service.destinations["pinterest"], "send", refuses)
        deliver(found.service)
    clock.tick(hours=1)

    assert found.told() == {}
    assert [row["state"] for row in rows(found.service.store, "outbox")] == ["withdrawn"]


def test_what_the_browser_refuses_counts_though_the_order_has_lost_its_name(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY)
    front = Storefront(service, pinterest, clock)
    front.sees("page_viewed", LAPTOP, HOUR, consent={"marketing": False})
    for body in states({"note_attributes": CLICK}, {"landing_site": pinned()}):
        front.shop.sends("orders/updated", body)

    assert front.sent() == {}
    assert front.journey()["reason"] == "consent_refused"


def test_a_refusal_and_a_newer_state_without_it_at_once_end_in_the_refusal(
    everywhere: BuildWorld,
) -> None:
    found = everywhere()
    for number in range(1, 11):
        bodies = [{**body, "id": number} for body in refusing("marketing=no")]
        works = [partial(found.shop.sends, "orders/updated", body) for body in bodies]
        at_once(found.service.store, works)

    assert {found.reason(number) for number in range(1, 11)} == {"consent_refused"}
    assert found.told() == {}


# --- The visit


@BOTH_WAYS
def test_a_click_stands_though_a_newer_state_has_lost_it(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    tell(found, states({"note_attributes": CLICK}, {}), is_reversed=is_reversed)

    journey = found.shop.reads("/orders/5001/journey")
    assert journey["why"].startswith("Credited to Pinterest: a click")
    assert (journey["visitor"], journey["match_method"]) == (LAPTOP, "note_attribute")
    assert found.event()["user_data"]["click_id"] == EPIK
    (touch,) = rows(found.service.store, "touches")
    assert (touch["visitor"], touch["at"]) == (LAPTOP, NOW - DAY)


@BOTH_WAYS
def test_what_a_newer_state_says_of_the_visit_counts_more(
    world: BuildWorld, is_reversed: bool
) -> None:
    found = world()
    first, second = notes(__pin_campaign_id="11"), notes(__pin_campaign_id="22")
    bodies = states({"note_attributes": first}, {"note_attributes": second}, {})
    tell(found, bodies, is_reversed=is_reversed)

    (known,) = rows(found.service.store, "orders")
    assert '"campaign_id":"22"' in known["session"]


@BOTH_WAYS
def test_a_visit_that_only_an_older_state_told_earns_the_buyers_other_orders(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    at = instant(NOW - HOUR)
    found.sells(id=2, created_at=at, processed_at=at, updated_at=at, landing_site=None)
    tell(found, states({"note_attributes": CLICK}, {}), is_reversed=is_reversed)

    why = found.shop.reads("/orders/2/journey")["why"]
    assert why.startswith("Credited to Pinterest: a click")


# --- The buyer

WHO: State = {"email": None, "contact_email": None, "customer": None}
POORER: dict[str, State] = {
    "e-mail and customer": WHO,
    "address": {"billing_address": None},
    "status page": {"order_status_url": None},
    "browser": {"client_details": None},
    "language": {"customer_locale": None},
}
ALL_LOST: State = {name: value for lost in POORER.values() for name, value in lost.items()}


def about_buyer(event: dict[str, Any]) -> dict[str, Any]:
    """What an event tells of the buyer and the visit, but for the buyer's other orders."""
    event["user_data"].pop("customer_type", None)
    return {name: event.get(name) for name in ("user_data", "event_source_url", "language")}


@BOTH_WAYS
@pytest.mark.parametrize("lost", [*POORER, "all of it"])
def test_an_event_keeps_what_a_newer_state_leaves_out(
    everywhere: BuildWorld, is_reversed: bool, lost: str
) -> None:
    found = everywhere()
    rich: State = {"landing_site": pinned()}
    poor = {**rich, **POORER.get(lost, ALL_LOST), "subtotal_price": "30.00"}
    tell(found, states(rich, poor), is_reversed=is_reversed)
    tell(found, states({**rich, "id": 5002}))

    told = found.told()
    assert about_buyer(told["5001"]) == about_buyer(told["5002"])
    assert (told["5001"]["custom_data"]["value"], found.reason()) == ("30.00", "")


@BOTH_WAYS
def test_an_order_that_was_given_to_another_customer_mixes_no_two_people(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    other = {"id": 9002, "email": "bob@example.com"}
    given = {**ALL_LOST, "email": "bob@example.com", "customer": other}
    rich: State = {"landing_site": pinned()}
    tell(found, states(rich, {**rich, **given}), is_reversed=is_reversed)

    person = found.event()["user_data"]
    assert person.keys() & {"em", "external_id", "ph", "ln", "ct"} == {"em", "external_id"}
    assert [len(person["em"]), len(person["external_id"])] == [1, 1]


@BOTH_WAYS
def test_a_buyer_whom_only_an_older_state_names_earns_by_an_earlier_click(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    clicked = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(NOW - DAY))
    found.sells(id=2, landing_site=pinned(), **clicked)
    bodies = states({"landing_site": "/"}, {"landing_site": "/", **ALL_LOST})
    tell(found, bodies, is_reversed=is_reversed)

    why = found.shop.reads("/orders/5001/journey")["why"]
    assert why.startswith("Credited to Pinterest: a click")
    assert set(found.told()) == {"2", "5001"}


def test_what_a_checkout_handed_in_tells_stays_when_its_order_tells_less(
    everywhere: BuildWorld,
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    told = {"em": "ada@example.com", "client_user_agent": "Mozilla/5.0", "click_id": EPIK}
    event = {
        "event_name": "checkout",
        "action_source": "web",
        "event_id": "checkout-5001",
        "event_source_url": "https://shop.example/thanks",
        "user_data": told,
    }
    answer = found.shop.client.post("/track-event", json=event, headers=bearer())
    assert answer.status_code == 202
    tell(found, states({**ALL_LOST, "landing_site": None}))

    sent = found.event()
    assert sent["user_data"].keys() == told.keys()
    assert sent["event_source_url"] == "https://shop.example/thanks"
    assert sent["custom_data"]["value"] == "40.00"


def test_what_was_erased_does_not_come_back_with_a_poorer_state(everywhere: BuildWorld) -> None:
    found = everywhere()
    rich, poor = states({"landing_site": pinned()}, {"landing_site": pinned(), **ALL_LOST})
    tell(found, [rich])
    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": []}
    found.shop.sends("customers/redact", {**asked, "customer": {"email": "ada@example.com"}})
    tell(found, [poor])

    assert found.told() == {}
    (row,) = rows(found.service.store, "outbox")
    assert (row["state"], bytes(row["payload"])) == ("withdrawn", b"")
    (known,) = rows(found.service.store, "orders")
    assert (known["links"], known["visitor"]) == ("", "")


def test_a_phone_that_was_erased_with_another_person_is_not_filled_in_again(
    everywhere: BuildWorld,
) -> None:
    found = everywhere()
    rich, poor = states({"landing_site": pinned()}, {"landing_site": pinned(), **ALL_LOST})
    tell(found, [rich])
    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": []}
    other = {"email": "bob@example.com", "phone": "+12125550142"}
    found.shop.sends("customers/redact", {**asked, "customer": other})
    tell(found, [poor])

    user_data = found.event()["user_data"]
    assert "em" in user_data
    assert "ph" not in user_data


# --- The payment


@BOTH_WAYS
@pytest.mark.parametrize("status", ["partially_paid", "pending", "voided"])
def test_an_order_that_was_paid_once_is_a_purchase(
    everywhere: BuildWorld, is_reversed: bool, status: str
) -> None:
    found = everywhere(PURCHASE_ON="paid")
    edited = {"financial_status": status, "subtotal_price": "60.00", "total_price": "70.00"}
    bodies = states({"landing_site": pinned("11")}, {"landing_site": pinned("11"), **edited})
    tell(found, bodies, is_reversed=is_reversed)

    assert (found.reason(), found.credits("last_touch")) == ("", {"11": "60.00"})
    assert found.shop.reads("/roi-analysis", **TODAY)["orders"] == 1
    assert found.shop.reads("/conversion-funnel", **TODAY)["stages"][-1]["events"] == 1
    assert found.event()["custom_data"]["value"] == "60.00"


@BOTH_WAYS
def test_a_payment_that_only_the_library_tells_of_is_none(
    world: BuildWorld, is_reversed: bool
) -> None:
    found = world(PURCHASE_ON="paid")
    library = PinterestConversionTracker(found.service)
    calls: list[Callable[[], object]] = [
        lambda: library.track_purchase("5001", "40.00", customer_email="ada@example.com"),
        lambda: tell(found, states({"financial_status": "pending"})),
    ]
    for call in reversed(calls) if is_reversed else calls:
        call()

    assert (found.reason(), found.told()) == ("unpaid", {})
    assert found.shop.reads("/roi-analysis", **TODAY)["orders"] == 0


@BOTH_WAYS
@pytest.mark.parametrize("status", ["voided", "expired"])
def test_an_order_that_is_never_paid_leaves_the_revenue(
    everywhere: BuildWorld, is_reversed: bool, status: str
) -> None:
    found = everywhere()
    first: State = {"landing_site": pinned(), "financial_status": "authorized"}
    tell(found, states(first, {**first, "financial_status": status}), is_reversed=is_reversed)

    assert (found.reason(), found.told()) == ("never_paid", {})
    money = found.shop.reads("/roi-analysis", **TODAY)
    figures = (money["gross_revenue"], money["cancellations"], money["total_revenue"])
    assert figures == ("40.00", "40.00", "0.00")
    why = found.shop.reads("/orders/5001/journey")["why"]
    assert why.endswith(": the order was never paid: its payment was voided or expired.")


def test_a_payment_that_fails_after_the_event_was_sent_is_told_in_the_story(
    world: BuildWorld,
) -> None:
    found = world()
    first: State = {"landing_site": pinned(), "financial_status": "authorized"}
    sent, voided = states(first, {**first, "financial_status": "voided"})
    tell(found, [sent])
    assert set(found.told()) == {"5001"}
    tell(found, [voided])

    journey = found.shop.reads("/orders/5001/journey")
    assert (journey["cancellations"], journey["revenue"]) == ("40.00", "0.00")
    assert journey["why"].endswith("after 1 attempt, before its payment was voided or expired.")


@BOTH_WAYS
def test_an_erased_order_that_was_paid_once_stays_a_purchase(
    world: BuildWorld, is_reversed: bool
) -> None:
    found = world(PURCHASE_ON="paid")
    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": [5001]}
    found.shop.sends("customers/redact", {**asked, "customer": {"email": "ada@example.com"}})
    bodies = states({}, {"financial_status": "partially_paid"})
    tell(found, bodies, is_reversed=is_reversed)

    assert found.shop.reads("/roi-analysis", **TODAY)["orders"] == 1
    stages = found.shop.reads("/conversion-funnel", traffic="all", **TODAY)["stages"]
    assert stages[-1]["events"] == 1


# --- The order of arrival

NOTES = {
    "__pin_vid": ["laptop-browser-1", "phone-browser-1"],
    "__pin_epik": [EPIK],
    "__pin_campaign_id": ["11", "22"],
    "__pin_source": ["pinterest", "newsletter"],
    "__pin_touch": [str(NOW - DAY), str(NOW - 2 * DAY)],
    "__pin_consent": ["marketing=no", "marketing=yes", "gpc=1"],
}
told_notes = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in NOTES.items()}
)
lives = st.lists(
    st.fixed_dictionaries(
        {
            "note_attributes": told_notes.map(lambda told: notes(**told)),
            "landing_site": st.sampled_from(["/", pinned("33"), "/?utm_source=newsletter"]),
        }
    ),
    min_size=2,
    max_size=4,
)

Fresh = Callable[[], World]


@pytest.fixture
def fresh(
    build_service: BuildService, sqlite_template: Path, pinterest: FakePinterest
) -> Iterator[Fresh]:
    """Makes worlds, each on an empty SQLite file of its own."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build() -> World:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return World(build_service(f"sqlite:///{path}", pinterest=pinterest), pinterest)

        yield build


def known(found: World) -> dict[str, Any]:
    """What is known in the end, and of which orders an event waits."""
    stored: dict[str, Any] = state(found.service.store)
    stored["waiting"] = [row["event_id"] for row in stored["waiting"]]
    return stored


@given(life=lives, data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whichever_state_comes_first_the_same_is_known_in_the_end(
    fresh: Fresh, life: list[State], data: st.DataObject
) -> None:
    bodies = states(*life)
    usual, shuffled = fresh(), fresh()
    tell(usual, bodies)
    tell(shuffled, data.draw(st.permutations(bodies)))

    assert known(shuffled) == known(usual)
