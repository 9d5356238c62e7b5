"""A checkout that another system hands in, and its order's own event, are one purchase."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    COLLECTOR_KEY,
    NOW,
    BuildWorld,
    Clock,
    Operator,
    Storefront,
    deliver,
    instant,
    order,
    pinned,
    refund,
)
from tests.conftest import ArrivalsOf, BuildService
from tests.handed_in import (
    BESIDE,
    BOTH_APPS,
    CREATED,
    OWN,
    PAID,
    PAID_ONLY,
    PENDING,
    TOKEN,
    TOLD,
    Body,
    Message,
    begin_to_send,
    checkout,
    hand_in,
    placed,
    purchases,
    purchases_at,
    reasons,
    refuse_theirs,
    send,
    tell,
    try_in_vain,
    wait,
)
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, rows
from tracking.deliver.deliverer import LEASE_SECONDS
from tracking.service import Service

# --- the order's own event and a checkout handed in before it


@BOTH_APPS
def test_a_checkout_that_waits_is_replaced_by_the_orders_own_event(
    everywhere: BuildWorld, clock: Clock, app: dict[str, str]
) -> None:
    found = everywhere(PINTEREST_SEND="all", **app)
    assert hand_in(found, checkout())["reason"] == ""
    tell(found, CREATED)

    assert reasons(found) == {"theirs-1": "told_by_order", OWN: ""}
    assert purchases(found, clock) == [OWN]
    payloads = {row["event_id"]: row["payload"] for row in rows(found.service.store, "outbox")}
    assert not bytes(payloads["theirs-1"])


@BOTH_APPS
def test_an_order_whose_checkout_pinterest_has_is_not_sent_again(
    everywhere: BuildWorld, clock: Clock, app: dict[str, str]
) -> None:
    found = everywhere(PINTEREST_SEND="all", **app)
    hand_in(found, checkout())
    deliver(found.service)
    tell(found, CREATED, PAID)

    assert purchases(found, clock) == ["theirs-1"]
    assert found.reason() == "told_before"
    why = found.shop.reads("/orders/5001/journey")["why"]
    assert "another system's event had told Pinterest of the purchase" in why


@pytest.mark.parametrize("mode", ["down", "throttle"])
def test_an_order_whose_checkout_may_have_arrived_is_not_sent_beside_it(
    everywhere: BuildWorld, clock: Clock, mode: str
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    hand_in(found, checkout())
    found.pinterest.mode = mode
    deliver(found.service)
    tell(found, CREATED)
    found.pinterest.mode = "ok"

    assert purchases(found, clock) == ["theirs-1"]


def test_a_checkout_that_pinterest_refused_leaves_the_order_alone(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    hand_in(found, checkout())
    found.pinterest.mode, found.pinterest.poisoned = "reject", frozenset({"theirs-1"})
    deliver(found.service)
    found.pinterest.mode = "ok"
    tell(found, CREATED)

    assert Operator(assemble(found.service)).reads("replay").startswith("0 dead letters")
    assert purchases(found, clock) == [OWN]


def test_only_pinterests_copy_of_the_order_is_held_back(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="all", TRACK_AI_ENDPOINT="http://127.0.0.1:9/events")
    hand_in(found, checkout())
    deliver(found.service)
    tell(found, CREATED)

    states = {
        row["destination"]: row["state"]
        for row in rows(found.service.store, "outbox")
        if row["event_id"] == OWN
    }
    assert states == {"pinterest": "withdrawn", "track_ai": "waiting"}
    assert found.reason() == ""
    assert hand_in(found, checkout("theirs-2"))["reason"] == "told_before"
    assert purchases(found, clock) == ["theirs-1"]


@BOTH_APPS
def test_a_credit_that_comes_late_sends_no_second_purchase(
    everywhere: BuildWorld, clock: Clock, app: dict[str, str]
) -> None:
    env = {"COLLECTOR_KEY": COLLECTOR_KEY, "PINTEREST_SEND": "attributed"} | app
    found = everywhere(**env)
    front = Storefront(found.service, found.pinterest, clock)
    tell(found, ("orders/create", order(checkout_token=TOKEN)))
    assert found.reason() == "not_attributed"
    hand_in(found, checkout())
    deliver(found.service)
    front.checks_out("laptop-browser-1", token=TOKEN)
    front.sees("page_viewed", "laptop-browser-1", 300, page=pinned())

    assert purchases(found, clock) == ["theirs-1"]
    assert found.reason() == "told_before"


def test_two_checkouts_of_one_order_are_one_purchase(everywhere: BuildWorld, clock: Clock) -> None:
    found = everywhere(PINTEREST_SEND="all")
    told = [hand_in(found, checkout(f"theirs-{n}"))["reason"] for n in (1, 2)]

    assert told == ["", "told_before"]
    assert hand_in(found, checkout(OWN))["reason"] == ""
    assert purchases(found, clock) == [OWN]
    assert reasons(found) == {**dict.fromkeys(("theirs-1", "theirs-2"), "told_by_order"), OWN: ""}


def test_checkouts_of_one_order_in_a_file_are_one_purchase(
    everywhere: BuildWorld, clock: Clock, tmp_path: Path
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    path = tmp_path / "events.jsonl"
    lines = [checkout(f"theirs-{n}", user_data={"em": f"buyer-{n}@example.com"}) for n in range(3)]
    path.write_text("\n".join(map(json.dumps, lines)))
    operator = Operator(assemble(found.service))

    operator.reads("import-events", str(path))
    assert sorted(reasons(found).values()) == ["", "told_before", "told_before"]
    path.write_text(json.dumps(checkout("theirs-9", user_data={"em": "else@example.com"})))
    operator.reads("import-events", str(path))

    assert len(purchases(found, clock)) == 1


def test_another_kind_of_event_that_names_the_order_is_sent_beside_it(
    everywhere: BuildWorld,
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    hand_in(found, checkout("lead-1", event_name="lead"))
    tell(found, CREATED)
    found.told()

    assert set(found.pinterest.accepted) == {"lead-1", OWN}


@pytest.mark.parametrize("is_sent", [False, True], ids=["waiting", "sent"])
@pytest.mark.parametrize("names_order", [False, True], ids=["alone", "with order id"])
def test_a_checkout_under_the_storefronts_id_is_the_purchase_that_goes_under_it(
    everywhere: BuildWorld, clock: Clock, is_sent: bool, names_order: bool
) -> None:
    found = everywhere(PINTEREST_SEND="all", **BESIDE)
    front = Storefront(found.service, found.pinterest, clock)
    custom = {"order_id": "5001"} if names_order else {}
    hand_in(found, checkout(TOLD, custom_data=custom))
    if is_sent:
        deliver(found.service)
    tell(found, CREATED)
    event = {"id": TOLD, "name": "checkout_completed", "timestamp": instant(NOW)}
    data = {"data": {"checkout": {"token": TOKEN}}}
    front.posts({"key": COLLECTOR_KEY, "visitor": "laptop-browser-1", "events": [event | data]})

    assert purchases(found, clock) == [TOLD]
    assert hand_in(found, checkout(TOLD, custom_data=custom))["status"] == "duplicate"


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_checkout_under_the_storefronts_id_is_no_side_door(
    everywhere: BuildWorld, clock: Clock, first: int
) -> None:
    found = everywhere(PINTEREST_SEND="all", **BESIDE)
    front = Storefront(found.service, found.pinterest, clock)
    event = {"id": TOLD, "name": "checkout_completed", "timestamp": instant(NOW)}
    call = {"key": COLLECTOR_KEY, "visitor": "laptop-browser-1"}
    completed = {**event, "data": {"checkout": {"token": TOKEN}}}
    steps: list[Callable[[], object]] = [
        lambda: tell(found, ("orders/create", placed(test=True))),
        lambda: front.posts({**call, "events": [completed]}),
        lambda: hand_in(found, checkout(TOLD, custom_data={})),
    ]
    for step in steps[first:] + steps[:first]:
        step()

    assert (reasons(found)[TOLD], purchases(found, clock)) == ("test", [])


# --- reasons of the order that end


ANYONES = placed(landing_site="/")


def pending(**changes: Any) -> Message:
    return ("orders/create", {**ANYONES, "financial_status": "pending", **changes})


def paid(**changes: Any) -> Message:
    return ("orders/paid", {**ANYONES, "updated_at": instant(NOW + 5), **changes})


def given_back(status: str) -> Message:
    item = {"line_item_id": 1, "quantity": 2, "subtotal": "40.00", "total_tax": "3.00"}
    payment = {"kind": "refund", "status": status, "amount": "43.00", "currency": "USD"}
    at = instant(NOW + (10 if status == "success" else 20))
    body = refund(refund_line_items=[item], transactions=[payment], created_at=at, processed_at=at)
    return ("orders/updated", {**ANYONES, "updated_at": at, "refunds": [body]})


@pytest.mark.parametrize("first", [0, 1], ids=["handed in first", "order first"])
def test_a_checkout_of_an_unpaid_order_is_held_until_it_is_paid(
    everywhere: BuildWorld, clock: Clock, first: int
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **PAID_ONLY)
    steps: list[Callable[[], object]] = [
        lambda: hand_in(found, checkout()),
        lambda: tell(found, pending()),
    ]
    for step in (steps[first], steps[1 - first]):
        step()

    deliver(found.service)
    assert (found.pinterest.accepted, reasons(found)["theirs-1"]) == ({}, "unpaid")
    tell(found, paid())

    assert reasons(found) == {"theirs-1": "", OWN: "not_attributed"}
    assert purchases(found, clock) == ["theirs-1"]


def test_the_own_event_of_an_order_that_is_paid_replaces_the_checkout_that_was_held(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **PAID_ONLY)
    hand_in(found, checkout())
    tell(found, PENDING, PAID)

    assert reasons(found) == {"theirs-1": "told_by_order", OWN: ""}
    assert purchases(found, clock) == [OWN]


def test_a_checkout_is_held_for_as_long_as_an_order_may_settle(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **PAID_ONLY)
    hand_in(found, checkout())
    tell(found, pending())
    clock.tick(seconds=3600)
    tell(found, paid())

    assert purchases(found, clock) == []
    assert rows(found.service.store, "outbox") == []


@pytest.mark.parametrize("first", [0, 1], ids=["handed in first", "order first"])
def test_a_checkout_of_an_order_given_back_whole_is_held_until_the_refund_fails(
    everywhere: BuildWorld, clock: Clock, first: int
) -> None:
    found = everywhere(PINTEREST_SEND="attributed")
    (gone,) = given_back("success")[1]["refunds"]
    refunded = [("orders/create", ANYONES), ("refunds/create", gone)]
    steps: list[Callable[[], object]] = [
        lambda: hand_in(found, checkout()),
        lambda: tell(found, *refunded),
    ]
    for step in (steps[first], steps[1 - first]):
        step()

    deliver(found.service)
    assert (found.pinterest.accepted, reasons(found)["theirs-1"]) == ({}, "refunded")
    tell(found, given_back("failure"))

    assert purchases(found, clock) == ["theirs-1"]


def test_a_checkout_that_was_being_sent_when_its_order_was_unpaid_is_tried_again_once_paid(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="all", **PAID_ONLY)
    hand_in(found, checkout())
    begin_to_send(found.service, found.pinterest)
    tell(found, PENDING)
    clock.tick(seconds=LEASE_SECONDS)
    deliver(found.service)
    assert found.pinterest.accepted == {}
    tell(found, PAID)

    assert purchases(found, clock) == ["theirs-1"]


@pytest.mark.parametrize("reason", ["free", "no_identity"])
def test_a_refusal_and_a_refund_count_whatever_else_keeps_the_order_back(
    everywhere: BuildWorld, clock: Clock, reason: str
) -> None:
    lacks: dict[str, Body] = {
        "free": {"subtotal_price": "0.00", "total_price": "0.00", "total_tax": "0.00"},
        "no_identity": dict.fromkeys(("email", "contact_email", "customer", "client_details")),
    }
    refused = [{"name": "__pin_consent", "value": "marketing=no"}]
    found = everywhere(PINTEREST_SEND="all")
    hand_in(found, checkout())
    tell(found, ("orders/create", placed(note_attributes=refused, **lacks[reason])))

    assert (reasons(found)["theirs-1"], purchases(found, clock)) == ("consent_refused", [])


# --- every order of arrival


CLAIMS = (wait, send, begin_to_send, try_in_vain, refuse_theirs)
HANDED_IN: Message = ("", checkout())
UPDATED: Message = (
    "orders/updated",
    {**PAID[1], "subtotal_price": "45.00", "total_price": "55.00", "updated_at": instant(NOW + 60)},
)
LIFE = (HANDED_IN, PENDING, PAID, UPDATED, ("refunds/create", refund()))
SETTINGS = [
    {"PINTEREST_SEND": send, **on, **app}
    for send in ("all", "attributed")
    for on in ({}, PAID_ONLY)
    for app in ({}, BESIDE)
]


@pytest.fixture
def fresh(
    build_service: BuildService, sqlite_template: Path, pinterest: FakePinterest
) -> Iterator[Callable[..., Service]]:
    """Makes services, each on an empty SQLite file of its own."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build(**env: str) -> Service:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return build_service(f"sqlite:///{path}", pinterest=pinterest, **env)

        yield build


def record(service: Service, message: Message) -> None:
    topic, body = message
    raw = json.dumps(body).encode()
    if not topic:
        service.events.record(raw)
    elif topic == "refunds/create":
        service.tracker.receive_refund(raw, topic)
    else:
        service.tracker.receive_order(raw, topic)


@pytest.mark.parametrize("is_attributed", [True, False])
def test_every_order_of_arrival_with_claims_in_between_ends_in_one_purchase(
    fresh: Callable[..., Service],
    arrivals_of: ArrivalsOf,
    pinterest: FakePinterest,
    clock: Clock,
    is_attributed: bool,
) -> None:
    for seed, arrival in enumerate(arrivals_of(LIFE)):
        luck, env = Random(seed), SETTINGS[seed % len(SETTINGS)]
        service = fresh(**env)
        pinterest.forget()
        clock.now = NOW
        story: list[str] = [str(env)]
        for topic, body in arrival:
            seen = body if is_attributed or not topic else {**body, "landing_site": "/"}
            record(service, (topic, seen))
            claim = luck.choice(CLAIMS)
            claim(service, pinterest)
            story += [topic or "handed in", claim.__name__]
        told = purchases_at(pinterest, service, clock)
        is_sendable = is_attributed or env["PINTEREST_SEND"] == "all"
        if is_sendable or refuse_theirs.__name__ not in story:
            assert len(told) == 1, story
        assert len(told) <= 1, story
