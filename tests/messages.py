"""What the service is told, webhook by webhook and call by call, to be delivered in any order."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.actors import NOW, Shop, instant
from tracking.receive.pixel import ClientInfo, pixel_batch_of
from tracking.service import Service
from tracking.store import StoreUnavailable

HERE = ClientInfo("203.0.113.7", "Mozilla/5.0 (Macintosh)")
SHOP = "https://shop.example"


@dataclass(frozen=True, eq=False)
class Fact:
    """One thing the service is told, by a webhook's topic, by the pixel, or by another system
    (topic `track-event`)."""

    name: str
    body: dict[str, Any]
    topic: str = ""

    def __repr__(self) -> str:
        return self.name

    def tell_until_taken(self, service: Service, shop: Shop, tries: int = 5) -> None:
        """Deliver it as its sender does, who comes again where others were in the way.

        Raises:
            StoreUnavailable: each time.
        """
        for _ in range(tries - 1):
            with suppress(StoreUnavailable):
                return self.tell(service, shop)
        return self.tell(service, shop)

    def tell(self, service: Service, shop: Shop) -> None:
        """Deliver it; the service must take it.

        Raises:
            StoreUnavailable: it could not, and says so.
        """
        if self.topic == "track-event":
            service.events.record(json.dumps(self.body).encode())
            return
        if self.topic:
            answer = shop.sends(self.topic, self.body)
            if answer.status_code == 503:
                raise StoreUnavailable(answer.get_json()["detail"])
            assert answer.status_code == 200
            assert answer.get_json()["status"] != "quarantined"
            return
        policy = service.tracker.planner.policy
        call = pixel_batch_of(json.dumps(self.body).encode(), HERE, policy, int(service.clock()))
        assert not call.errors, call.errors
        service.tracker.record_pixel_events(call.events)


def pixel(
    name: str, visitor: str, ago: float, page: str = "/", data: Any = None, **more: Any
) -> Fact:
    """What the pixel tells of one event, `ago` seconds before the orders."""
    event = {
        "id": f"shu-{name}-{visitor}-{int(ago)}",
        "name": name,
        "timestamp": instant(NOW - ago),
        "context": {"document": {"location": {"href": SHOP + page}, "referrer": ""}},
        "data": data or {},
    }
    return Fact(
        f"{name} {visitor} -{int(ago)}",
        {"key": "k", "visitor": visitor, "events": [event], **more},
    )


def handed_in(name: str, ago: float, **who: Any) -> Fact:
    """What another system tells of an event, `ago` seconds before the orders."""
    event = {
        "event_name": name,
        "event_id": f"theirs-{name}-{int(ago)}",
        "event_time": int(NOW - ago),
        "action_source": "web",
        "user_data": who,
        "custom_data": {"content_ids": ["111"]},
    }
    return Fact(f"{name} handed in -{int(ago)}", {"event_data": event}, "track-event")


def checkout(name: str, visitor: str, ago: float, token: str, **who: Any) -> Fact:
    """What the pixel tells of a checkout, and of whoever fills it in."""
    return pixel(name, visitor, ago, "/checkout", {"checkout": {"token": token, **who}})
