"""A shop in which random things happen: orders of pins, and what becomes of them."""

from random import Random
from typing import Any

from tests.actors import DAY, HOUR, NOW, World, deliver, instant, notes, order, pinned
from tests.handed_in import checkout, hand_in


class Shopping:
    """Random orders of buyers who clicked on pins, and what becomes of them."""

    def __init__(self, world: World, random: Random) -> None:
        self.world = world
        self.random = random
        self.bodies: dict[int, dict[str, Any]] = {}

    def goes_on(self) -> None:
        """Lets one thing happen."""
        acts = [
            *[self._an_order_comes] * 5,
            *[self._an_order_changes] * 2,
            *[self._all_is_sent] * 2,
            self._money_is_given_back,
            self._an_order_is_deleted,
            self._another_system_tells,
        ]
        self.random.choice(acts)()

    def _an_order_comes(self) -> None:
        number = len(self.bodies) + 1
        # A campaign may be renamed, and named back.
        name = self.random.choice(("spring", "summer"))
        at = NOW - self.random.randrange(12 * DAY)
        when = {"created_at": instant(at), "processed_at": instant(at), "updated_at": instant(at)}
        self.bodies[number] = order(
            id=number,
            email=f"buyer-{self.random.randrange(4)}@example.com",
            contact_email=None,
            customer=None,
            billing_address=None,
            landing_site=self.random.choice((pinned("11"), pinned("22", utm_campaign=name), "/")),
            note_attributes=notes(pin_consent=f"marketing={self.random.choice(('yes', 'no'))}"),
            subtotal_price=f"{self.random.randrange(1, 9_000) / 100:.2f}",
            currency=self.random.choice(("USD", "USD", "EUR")),
            **when,
        )
        self._tell("orders/create", self.bodies[number])

    def _an_order_changes(self) -> None:
        if body := self._any():
            at = instant(NOW + self.random.randrange(HOUR))
            body |= {"updated_at": at, "cancelled_at": self.random.choice((None, None, at))}
            body["subtotal_price"] = f"{self.random.randrange(1, 9_000) / 100:.2f}"
            self._tell("orders/updated", body)

    def _all_is_sent(self) -> None:
        deliver(self.world.service)

    def _money_is_given_back(self) -> None:
        if body := self._any():
            told = {"id": self.random.randrange(10**6), "order_id": body["id"]}
            paid = {"kind": "refund", "status": "success", "amount": "1.00"}
            paid["currency"] = body["currency"]
            self._tell(
                "refunds/create",
                told
                | {"created_at": instant(NOW), "processed_at": instant(NOW)}
                | {"refund_line_items": [], "order_adjustments": [], "transactions": [paid]},
            )

    def _an_order_is_deleted(self) -> None:
        if body := self._any():
            self._tell("orders/delete", {"id": body["id"]})

    def _another_system_tells(self) -> None:
        number = len(self.bodies) + 1
        data = {"order_id": str(number), "value": "40.00", "currency": "USD"}
        hand_in(self.world, checkout(f"theirs-{number}", custom_data=data))

    def _any(self) -> dict[str, Any] | None:
        return self.random.choice([*self.bodies.values()]) if self.bodies else None

    def _tell(self, topic: str, body: dict[str, Any]) -> None:
        assert self.world.shop.sends(topic, body).status_code == 200
