"""An order, the checkouts of it that other systems hand in, and what Pinterest is told of them."""

from typing import Any

import pytest

from tests.actors import (
    COLLECTOR_KEY,
    NOW,
    Clock,
    World,
    bearer,
    deliver,
    instant,
    order,
    pinned,
)
from tests.standins.pinterest import FakePinterest
from tracking.deliver.deliverer import LEASE_SECONDS
from tracking.service import Service
from tracking.store import claims

Body = dict[str, Any]
Message = tuple[str, Body]

BESIDE = {"PINTEREST_APP": "beside", "COLLECTOR_KEY": COLLECTOR_KEY}
BOTH_APPS = pytest.mark.parametrize("app", [{}, BESIDE], ids=["alone", "beside"])
PAID_ONLY = {"PURCHASE_ON": "paid"}
TOKEN = "checkout-token-0123456789"
TOLD = "sh-7f3a2b10-1C2D-4E5F-6A7B-8C9D0E1F2A3B"
OWN = "checkout-5001"


def checkout(event_id: str = "theirs-1", **changes: Any) -> Body:
    """The checkout of the order as another system tells it."""
    event: Body = {
        "event_name": "checkout",
        "action_source": "web",
        "event_id": event_id,
        "event_time": NOW - 60,
        "user_data": {"em": "ada@example.com"},
        "custom_data": {"order_id": "5001", "value": "40.00", "currency": "USD"},
    }
    return event | changes


def placed(**changes: Any) -> Body:
    return order(**{"landing_site": pinned(), "checkout_token": TOKEN, **changes})


def hand_in(found: World, event: Body) -> Body:
    answer = found.shop.client.post("/track-event", json=event, headers=bearer())
    assert answer.status_code == 202, answer.get_data(as_text=True)
    told: Body = answer.get_json()
    return told


def tell(found: World, *messages: Message) -> None:
    for topic, body in messages:
        assert found.shop.sends(topic, body).status_code == 200


def purchases(found: World, clock: Clock) -> list[str]:
    return purchases_at(found.pinterest, found.service, clock)


def purchases_at(pinterest: FakePinterest, service: Service, clock: Clock) -> list[str]:
    """The ids of the purchases that Pinterest has, when everything that waits was sent."""
    for seconds in (0, LEASE_SECONDS, 900):
        clock.tick(seconds=seconds)
        deliver(service)
    events = pinterest.events
    return sorted(id for id, event in events.items() if event["event_name"] == "checkout")


def reasons(found: World) -> dict[str, str]:
    events = found.shop.reads("/events")["events"]
    return {event["event_id"]: event["reason"] for event in events}


CREATED: Message = ("orders/create", placed())
PENDING: Message = ("orders/create", placed(financial_status="pending"))
PAID: Message = ("orders/paid", placed(updated_at=instant(NOW + 5)))


def begin_to_send(service: Service, _: FakePinterest) -> None:
    """Let a deliverer claim what is due, and die."""
    now = int(service.clock())
    service.store.commit(
        lambda conn: claims.claim(conn, "pinterest", "dead", now, now + LEASE_SECONDS, 100)
    )


def try_in_vain(service: Service, pinterest: FakePinterest) -> None:
    pinterest.mode = "down"
    deliver(service)
    pinterest.mode = "ok"


def refuse_theirs(service: Service, pinterest: FakePinterest) -> None:
    """Let Pinterest refuse what other systems tell, and take the order's own event."""
    pinterest.mode, pinterest.poisoned = "reject", frozenset({"theirs-1"})
    deliver(service)
    pinterest.mode = "ok"


def send(service: Service, _: FakePinterest) -> None:
    deliver(service)


def wait(_: Service, __: FakePinterest) -> None:
    """Let nobody claim anything."""
