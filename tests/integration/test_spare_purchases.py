"""Of the events of one purchase one is in line; where that is not sent, the next one is."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    Shop,
    Storefront,
    World,
    deliver,
    instant,
    notes,
    pinned,
)
from tests.handed_in import (
    BOTH_APPS,
    CREATED,
    OWN,
    PAID_ONLY,
    PENDING,
    Message,
    begin_to_send,
    checkout,
    hand_in,
    placed,
    purchases,
    reasons,
    tell,
    try_in_vain,
)
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.deliver.deliverer import LEASE_SECONDS
from tracking.service import Service
from tracking.store.identity_graph import MOST_VISITORS

GOOGLE = notes(utm_source="google", utm_medium="cpc")
REFUSED = notes(__pin_consent="marketing=no")
UNCREDITED: Message = (
    "orders/updated",
    placed(landing_site="/", note_attributes=GOOGLE, updated_at=instant(NOW + 60)),
)
PINTEREST = notes(utm_source="pinterest", utm_medium="cpc", utm_campaign_id="11")
CREDITED: Message = (
    "orders/updated",
    placed(note_attributes=PINTEREST, updated_at=instant(NOW + 120)),
)
BEGUN = pytest.mark.parametrize("begin", [begin_to_send, try_in_vain])


def refuse(found: World, clock: Clock, *event_ids: str) -> None:
    """Let Pinterest refuse these events for good, once no other deliverer is sending them."""
    clock.tick(seconds=LEASE_SECONDS)
    found.pinterest.mode, found.pinterest.poisoned = "reject", frozenset(event_ids)
    deliver(found.service)
    found.pinterest.mode = "ok"


def sell(found: World, number: int) -> int:
    """Take an order of a buyer of its own; returns the status of the answer."""
    who = f"buyer{number}@example.com"
    body = placed(id=number, email=who, contact_email=who, customer=None, checkout_token=None)
    client = assemble(found.service).test_client()
    return Shop(client).sends("orders/create", {**body, "billing_address": None}).status_code


def payload(found: World, event_id: str) -> Any:
    (text,) = (
        bytes(row["payload"])
        for row in rows(found.service.store, "outbox")
        if row["event_id"] == event_id
    )
    return json.loads(text) if text else None


# --- a checkout that is being sent when its order arrives


@BOTH_APPS
@BEGUN
def test_the_order_is_sent_where_pinterest_refuses_the_checkout_that_was_being_sent(
    everywhere: BuildWorld,
    clock: Clock,
    begin: Callable[[Service, FakePinterest], None],
    app: dict[str, str],
) -> None:
    found = everywhere(PINTEREST_SEND="all", **app)
    hand_in(found, checkout())
    begin(found.service, found.pinterest)
    tell(found, CREATED)
    assert found.reason() == "told_before"
    refuse(found, clock, "theirs-1")

    assert reasons(found) == {"theirs-1": "told_by_order", OWN: ""}
    assert Operator(assemble(found.service)).reads("replay").startswith("0 dead letters")
    assert purchases(found, clock) == [OWN]


@BOTH_APPS
@BEGUN
def test_the_order_is_not_sent_where_pinterest_takes_the_checkout_that_was_being_sent(
    everywhere: BuildWorld,
    clock: Clock,
    begin: Callable[[Service, FakePinterest], None],
    app: dict[str, str],
) -> None:
    found = everywhere(PINTEREST_SEND="all", **app)
    hand_in(found, checkout())
    begin(found.service, found.pinterest)
    tell(found, CREATED)

    assert purchases(found, clock) == ["theirs-1"]
    assert found.reason() == "told_before"
    assert payload(found, OWN) is None


def test_orders_that_arrive_while_pinterest_refuses_their_checkouts_are_each_sent_once(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    numbers = range(1, 25)
    for n in numbers:
        who = {"em": f"buyer{n}@example.com"}
        custom = {"order_id": str(n), "value": "40.00", "currency": "USD"}
        hand_in(found, checkout(f"theirs-{n}", user_data=who, custom_data=custom))
    found.pinterest.mode = "reject"
    found.pinterest.poisoned = frozenset(f"theirs-{n}" for n in numbers)

    with ThreadPoolExecutor(4) as threads:
        done = [threads.submit(deliver, found.service)]
        done += [threads.submit(sell, found, n) for n in numbers]
        for each in done:
            each.result()
    found.pinterest.mode = "ok"

    assert purchases(found, clock) == sorted(f"checkout-{n}" for n in numbers)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"note_attributes": REFUSED}, "consent_refused"),
        ({"cancelled_at": instant(NOW + 60)}, "cancelled"),
        ({"landing_site": "/", "note_attributes": GOOGLE}, "not_attributed"),
    ],
)
def test_an_order_that_must_not_be_sent_meanwhile_is_not_sent_in_place_of_the_checkout(
    everywhere: BuildWorld, clock: Clock, changes: dict[str, Any], reason: str
) -> None:
    found = everywhere(PINTEREST_SEND="attributed")
    hand_in(found, checkout())
    begin_to_send(found.service, found.pinterest)
    tell(found, CREATED, ("orders/updated", placed(updated_at=instant(NOW + 60), **changes)))
    refuse(found, clock, "theirs-1")

    assert (found.reason(), purchases(found, clock)) == (reason, [])


def test_the_order_goes_as_it_is_known_when_pinterest_refuses_the_checkout(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    hand_in(found, checkout())
    begin_to_send(found.service, found.pinterest)
    newer = placed(updated_at=instant(NOW + 60), subtotal_price="45.00", email=None)
    tell(found, CREATED, ("orders/updated", newer))
    refuse(found, clock, "theirs-1")
    deliver(found.service)

    event = found.pinterest.events[OWN]
    assert event["custom_data"]["value"] == "45.00"
    assert event["user_data"]["em"]


def test_the_second_checkout_of_an_order_is_sent_where_pinterest_refuses_the_first(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    told = [hand_in(found, checkout(f"theirs-{n}"))["reason"] for n in (1, 2, 3)]
    assert told == ["", "told_before", "told_before"]
    refuse(found, clock, "theirs-1")

    assert purchases(found, clock) == ["theirs-2"]
    assert reasons(found) == {"theirs-1": "told_before", "theirs-2": "", "theirs-3": "told_before"}
    assert payload(found, "theirs-3") is None


@pytest.mark.parametrize("is_paid", [True, False])
def test_of_two_checkouts_the_second_is_held_as_the_first_is_while_the_order_is_unpaid(
    everywhere: BuildWorld, clock: Clock, is_paid: bool
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **PAID_ONLY)
    hand_in(found, checkout("theirs-1"))
    hand_in(found, checkout("theirs-2"))
    begin_to_send(found.service, found.pinterest)
    tell(found, ("orders/create", placed(financial_status="pending", landing_site="/")))
    refuse(found, clock, "theirs-1")
    assert found.pinterest.accepted == {}
    if is_paid:
        tell(found, ("orders/paid", placed(landing_site="/", updated_at=instant(NOW + 5))))

    assert purchases(found, clock) == (["theirs-1"] if is_paid else [])


def test_a_second_checkout_is_sent_if_the_first_is_refused_after_the_order_was_paid(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **PAID_ONLY)
    tell(found, ("orders/create", placed(financial_status="pending", landing_site="/")))
    told = [hand_in(found, checkout(f"theirs-{n}"))["reason"] for n in (1, 2)]
    assert told == ["unpaid", "told_before"]
    voided = placed(financial_status="voided", landing_site="/", updated_at=instant(NOW + 3))
    tell(found, ("orders/updated", voided))
    assert {*reasons(found).values()} == {"never_paid"}
    tell(found, ("orders/paid", placed(landing_site="/", updated_at=instant(NOW + 5))))
    assert reasons(found) == {"theirs-1": "", "theirs-2": "told_before", OWN: "not_attributed"}
    refuse(found, clock, "theirs-1")

    assert purchases(found, clock) == ["theirs-2"]


def test_a_checkout_of_an_unpaid_order_is_not_sent_beside_one_that_pinterest_has(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **PAID_ONLY)
    hand_in(found, checkout("theirs-1"))
    deliver(found.service)
    tell(found, ("orders/create", placed(financial_status="pending", landing_site="/")))
    hand_in(found, checkout("theirs-2"))
    tell(found, ("orders/paid", placed(landing_site="/", updated_at=instant(NOW + 5))))

    assert purchases(found, clock) == ["theirs-1"]


def test_of_two_checkouts_of_an_unpaid_order_one_is_sent_once_it_is_paid(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **PAID_ONLY)
    tell(found, ("orders/create", placed(financial_status="pending", landing_site="/")))
    hand_in(found, checkout("theirs-1"))
    hand_in(found, checkout("theirs-2"))
    tell(found, ("orders/paid", placed(landing_site="/", updated_at=instant(NOW + 5))))

    assert purchases(found, clock) == ["theirs-1"]
    assert found.pinterest.events["theirs-1"]["custom_data"]["value"] == "40.00"


# --- an order that replaced a checkout, and is not to be sent any more


@BOTH_APPS
@pytest.mark.parametrize("first", [0, 1], ids=["handed in first", "order first"])
def test_the_checkout_is_sent_as_it_was_once_its_order_has_lost_its_credit(
    everywhere: BuildWorld, clock: Clock, first: int, app: dict[str, str]
) -> None:
    found = everywhere(PINTEREST_SEND="attributed", **app)
    steps: list[Callable[[], object]] = [
        lambda: hand_in(found, checkout(custom_data={"order_id": "5001", "value": "39.00"})),
        lambda: tell(found, CREATED),
    ]
    for step in (steps[first], steps[1 - first]):
        step()
    assert reasons(found) == {"theirs-1": "told_by_order", OWN: ""}
    tell(found, UNCREDITED)

    assert reasons(found) == {"theirs-1": "", OWN: "not_attributed"}
    assert purchases(found, clock) == ["theirs-1"]
    assert found.pinterest.events["theirs-1"]["custom_data"]["value"] == "39.00"


@pytest.mark.parametrize("is_sent", [False, True])
def test_the_checkout_is_sent_once_a_later_fact_takes_the_credit_of_its_order(
    everywhere: BuildWorld, clock: Clock, is_sent: bool
) -> None:
    """An address that a whole staff orders with joins nobody."""
    found = everywhere(PINTEREST_SEND="attributed", COLLECTOR_KEY=COLLECTOR_KEY)
    front = Storefront(found.service, found.pinterest, clock)
    nobody = {"customer": None, "billing_address": None, "email": "shop@example.com"}
    front.sees("page_viewed", "staff-browser-000", 5 * HOUR, page=pinned())
    for n in range(MOST_VISITORS + 1):
        token = f"token-of-the-staff-{n:03}"
        front.checks_out(f"staff-browser-{n:03}", 3 * HOUR, token)
        front.sells(id=100 + n, checkout_token=token, landing_site="/", **nobody)
        if n == 0:
            front.sells(id=5001, landing_site="/", **nobody)
            hand_in(found, checkout())
            assert reasons(found)[OWN] == ""
            if is_sent:
                deliver(found.service)

    told = (OWN if is_sent else "theirs-1") in purchases(found, clock)
    others = ("theirs-1" if is_sent else OWN) in purchases(found, clock)
    assert (told, others) == (True, False)


@BEGUN
def test_the_checkout_is_not_sent_beside_an_order_that_pinterest_may_have(
    everywhere: BuildWorld, clock: Clock, begin: Callable[[Service, FakePinterest], None]
) -> None:
    found = everywhere(PINTEREST_SEND="attributed")
    hand_in(found, checkout())
    tell(found, CREATED)
    begin(found.service, found.pinterest)
    clock.tick(seconds=LEASE_SECONDS)
    tell(found, UNCREDITED)

    assert purchases(found, clock) == []


def test_an_order_that_is_credited_again_replaces_the_checkout_again(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed")
    hand_in(found, checkout())
    tell(found, CREATED, UNCREDITED, CREDITED)

    assert reasons(found) == {"theirs-1": "told_by_order", OWN: ""}
    assert purchases(found, clock) == [OWN]
    assert payload(found, "theirs-1") is None


def test_a_checkout_that_comes_while_its_order_waits_is_a_duplicate_for_its_sender(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed")
    tell(found, CREATED)
    for _ in range(2):
        assert hand_in(found, checkout())["status"] == "duplicate"

    assert purchases(found, clock) == [OWN]
    assert payload(found, "theirs-1") is None
    assert hand_in(found, checkout("theirs-2"))["status"] == "duplicate"
    assert "theirs-2" not in reasons(found)


@pytest.mark.parametrize("reason", ["consent_refused", "cancelled", "unpaid"])
def test_a_checkout_that_was_replaced_is_not_sent_where_nothing_of_the_order_may_be(
    everywhere: BuildWorld, clock: Clock, reason: str
) -> None:
    changes: dict[str, Any] = {
        "consent_refused": {"note_attributes": REFUSED},
        "cancelled": {"cancelled_at": instant(NOW + 60)},
        "unpaid": {"financial_status": "voided"},
    }
    found = everywhere(PINTEREST_SEND="attributed")
    hand_in(found, checkout())
    tell(found, PENDING)
    tell(found, ("orders/updated", placed(updated_at=instant(NOW + 60), **changes[reason])))

    told = "never_paid" if reason == "unpaid" else reason
    assert reasons(found) == {"theirs-1": told, OWN: told}
    assert purchases(found, clock) == []


@BOTH_APPS
def test_the_checkout_is_sent_where_pinterest_refuses_the_order_that_replaced_it(
    everywhere: BuildWorld, clock: Clock, app: dict[str, str]
) -> None:
    found = everywhere(PINTEREST_SEND="all", **app)
    hand_in(found, checkout())
    tell(found, CREATED)
    refuse(found, clock, OWN)

    assert reasons(found) == {"theirs-1": "", OWN: "told_before"}
    assert Operator(assemble(found.service)).reads("replay").startswith("0 dead letters")
    assert purchases(found, clock) == ["theirs-1"]


def test_an_erasure_takes_the_checkout_that_was_replaced(
    everywhere: BuildWorld, clock: Clock
) -> None:
    found = everywhere(PINTEREST_SEND="attributed")
    hand_in(found, checkout())
    tell(found, CREATED)
    asked = {"shop_id": 1, "shop_domain": "mug.myshopify.com", "orders_to_redact": [5001]}
    tell(found, ("customers/redact", {**asked, "customer": {"email": "ada@example.com"}}))
    tell(found, UNCREDITED)

    assert purchases(found, clock) == []
    assert payload(found, "theirs-1") is None
