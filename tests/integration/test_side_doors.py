"""An order that must not be sent is not sent by a side door either, whichever comes first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    COLLECTOR_KEY,
    HOUR,
    NOW,
    BuildWorld,
    Clock,
    Operator,
    Storefront,
    World,
    bearer,
    instant,
    notes,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.domain.conversion import MAY_END

Body = dict[str, Any]

ASKED: Body = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": [5001]}
REDACT: Body = {**ASKED, "customer": {"email": "ada@example.com"}}
REFUSED = notes(__pin_consent="marketing=no")
BOTH_WAYS = pytest.mark.parametrize("is_reversed", [False, True], ids=["in turn", "reversed"])

# The settings, and the webhooks by which the order must not be sent.
Case = tuple[dict[str, str], tuple[tuple[str, Body], ...]]
CASES: dict[str, Case] = {
    "consent_refused": ({}, (("orders/create", order(note_attributes=REFUSED)),)),
    "test": ({}, (("orders/create", order(test=True)),)),
    "cancelled": ({}, (("orders/cancelled", order(cancelled_at=instant(NOW))),)),
    "never_paid": ({}, (("orders/updated", order(financial_status="voided")),)),
    "unpaid": ({"PURCHASE_ON": "paid"}, (("orders/create", order(financial_status="pending")),)),
    "deleted": ({}, (("orders/create", order()), ("orders/delete", {"id": 5001}))),
    "erased": ({}, (("orders/create", order()), ("customers/redact", REDACT))),
}
UNKNOWN: dict[str, tuple[tuple[str, Body], ...]] = {
    "deleted": (("orders/delete", {"id": 5001}),),
    "erased": (("customers/redact", REDACT),),
}


def checkout(**changes: Any) -> Body:
    """A checkout of the order by another system, by somebody whose e-mail the order has not."""
    event: Body = {
        "event_name": "checkout",
        "action_source": "web",
        "event_id": "session-1",
        "event_time": NOW - 60,
        "user_data": {"em": "ada.at.work@example.com"},
        "custom_data": {"order_id": "5001", "value": "40.00", "currency": "USD"},
    }
    return event | changes


def hand_in(found: World, event: Body) -> Body:
    answer = found.shop.client.post("/track-event", json=event, headers=bearer())
    assert answer.status_code == 202
    told: Body = answer.get_json()
    return told


def tell(found: World, messages: tuple[tuple[str, Body], ...]) -> None:
    for topic, body in messages:
        assert found.shop.sends(topic, body).status_code == 200


def reason_of(found: World, event_id: str = "session-1") -> str:
    events = found.shop.reads("/events")["events"]
    return str(next(event["reason"] for event in events if event["event_id"] == event_id))


@BOTH_WAYS
@pytest.mark.parametrize("reason", CASES)
def test_a_checkout_of_an_order_that_must_not_be_sent_is_held_back(
    everywhere: BuildWorld, reason: str, is_reversed: bool
) -> None:
    env, messages = CASES[reason]
    found = everywhere(PINTEREST_SEND="all", **env)
    if is_reversed:
        assert hand_in(found, checkout())["reason"] == ""
        tell(found, messages)
    else:
        tell(found, messages)
        answer = hand_in(found, checkout())
        assert (answer["status"], answer["reason"]) == ("accepted", reason)

    assert found.told() == {}
    assert (reason_of(found), found.pinterest.accepted) == (reason, {})
    if reason not in MAY_END:
        assert not any(bytes(row["payload"]) for row in rows(found.service.store, "outbox"))


@BOTH_WAYS
@pytest.mark.parametrize("reason", UNKNOWN)
def test_the_order_itself_need_not_be_known(
    everywhere: BuildWorld, reason: str, is_reversed: bool
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    steps: list[Callable[[], object]] = [
        lambda: tell(found, UNKNOWN[reason]),
        lambda: hand_in(found, checkout()),
    ]
    for step in reversed(steps) if is_reversed else steps:
        step()

    assert (found.told(), reason_of(found)) == ({}, reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_data": {"order_id": "gid://shopify/OrderIdentity/5001"}},
        {"event_id": "checkout-5001"},
        {"event_id": "checkout-gid://shopify/Order/5001", "custom_data": {"value": "1.00"}},
        {"event_name": "custom"},
        {"event_name": "lead", "event_id": "lead-1"},
        {"action_source": "offline"},
        {"opt_out": False},
    ],
    ids=str,
)
def test_no_event_that_names_the_order_goes_out(world: BuildWorld, changes: Body) -> None:
    found = world(PINTEREST_SEND="all")
    tell(found, CASES["consent_refused"][1])
    told = hand_in(found, checkout(**changes))

    assert told["status"] == "duplicate" or told["reason"] == "consent_refused"
    assert found.told() == {}


@BOTH_WAYS
def test_a_file_is_no_side_door(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    tmp_path: Path,
    is_reversed: bool,
) -> None:
    service = build_service(database_url, pinterest=pinterest, PINTEREST_SEND="all")
    app = assemble(service)
    found = World(service, pinterest)
    path = tmp_path / "events.jsonl"
    events = [checkout(event_id=f"session-{n}") for n in range(3)]
    events += [checkout(event_id="free", custom_data={"order_id": "5002"})]
    path.write_text("\n".join(map(json.dumps, events)))
    steps: list[Callable[[], object]] = [
        lambda: tell(found, CASES["consent_refused"][1]),
        lambda: Operator(app).reads("import-events", str(path)),
    ]
    for step in reversed(steps) if is_reversed else steps:
        step()

    assert set(found.told()) == {"5002"}
    assert {reason_of(found, f"session-{n}") for n in range(3)} == {"consent_refused"}


@BOTH_WAYS
def test_a_checkout_of_an_order_whose_sale_of_data_was_refused_is_limited(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere(PINTEREST_SEND="attributed")
    limited = order(note_attributes=notes(__pin_consent="gpc=1"), landing_site="/")
    steps: list[Callable[[], object]] = [
        lambda: tell(found, (("orders/create", limited),)),
        lambda: hand_in(found, checkout()),
    ]
    for step in reversed(steps) if is_reversed else steps:
        step()

    event = found.told()["5001"]
    assert (event["opt_out"], event["custom_data"]["opt_out_type"]) == (True, "LDP")


def test_what_the_browser_refuses_later_holds_for_a_checkout_handed_in_too(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(
        database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY, PINTEREST_SEND="all"
    )
    front = Storefront(service, pinterest, clock)
    found = World(service, pinterest)
    hand_in(found, checkout())
    front.sells(note_attributes=notes(__pin_vid="laptop-browser-1"), landing_site=pinned())
    front.sees("page_viewed", "laptop-browser-1", HOUR, consent={"marketing": False})

    assert front.sent() == {}
    assert reason_of(found) == "consent_refused"


def test_an_order_that_may_be_sent_leaves_its_other_events_alone(everywhere: BuildWorld) -> None:
    found = everywhere(PINTEREST_SEND="all")
    hand_in(found, checkout(event_name="lead", event_id="lead-1"))
    tell(found, (("orders/create", order(landing_site=pinned())),))
    hand_in(found, checkout(event_name="custom", event_id="custom-1"))
    found.told()

    assert set(found.pinterest.accepted) == {"lead-1", "custom-1", "checkout-5001"}
