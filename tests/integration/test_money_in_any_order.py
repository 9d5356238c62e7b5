"""The money of an order is the same whatever message of it comes first."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.actors import HOUR, NOW, BuildWorld, World, instant, order, refund
from tests.orders import line

Message = tuple[str, dict[str, Any]]

SOLD = order(
    line_items=[line(id=1, price="50.00", quantity=2, tax_lines=[])],
    subtotal_price="100.00",
    total_price="100.00",
    total_tax="0.00",
)


def back(id: int, hours: float, pieces: int, paid: str = "", **changes: Any) -> Message:
    """A refund of mugs, and its payment, this many hours after the order."""
    piece = {"line_item_id": 1, "quantity": pieces, "subtotal": 50.0 * pieces, "total_tax": 0}
    payment = {"kind": "refund", "status": "success", "amount": paid, "currency": "USD"}
    nothing = {"shop_money": {"amount": "0.00", "currency_code": "USD"}}
    told = refund(
        id=id,
        created_at=instant(NOW + hours * HOUR),
        processed_at=instant(NOW + hours * HOUR),
        refund_line_items=[piece] if pieces else [],
        transactions=[payment] if paid else [],
        total_duties_set=nothing,
    )
    return ("refunds/create", {**told, **changes})


def newer(hours: float, kept: str, total: str, **changes: Any) -> Message:
    """A state of the order in which these goods were kept, of this total."""
    current = {"current_subtotal_price": kept, "current_total_price": kept}
    totals = {"subtotal_price": total, "total_price": total}
    moment = {"updated_at": instant(NOW + hours * HOUR)}
    return ("orders/updated", {**SOLD, **current, **totals, **moment, **changes})


OWED = [{"kind": "refund_discrepancy", "amount": "50.00", "tax_amount": "0.00"}]
EXCHANGED = (
    ("orders/create", SOLD),
    back(1, 1, 1, order_adjustments=OWED),
    newer(2, "100.00", "150.00"),
    back(2, 3, 0, "5.00"),
)
CANCELLED = (
    ("orders/create", SOLD),
    newer(1, "140.00", "100.00"),
    newer(2, "0.00", "100.00", cancelled_at=instant(NOW + 2 * HOUR)),
)
SECOND = (
    ("orders/create", SOLD),
    newer(1, "80.00", "130.00"),
    back(1, 1, 1, "50.00"),
)
# An app that may not see refunds leaves them out, not the prices that they left.
UNLISTED = (
    ("orders/create", SOLD),
    newer(1, "50.00", "100.00", refunds=None),
    back(1, 1, 1, "50.00"),
)
UNLISTED_EXCHANGE = (
    ("orders/create", SOLD),
    newer(1, "100.00", "150.00", refunds=None),
    back(1, 1, 1, order_adjustments=OWED),
    back(2, 3, 0, "5.00"),
)


@pytest.mark.parametrize(
    ("messages", "figures"),
    [
        (EXCHANGED, ("150.00", "55.00", "0.00", "95.00")),
        (CANCELLED, ("140.00", "0.00", "140.00", "0.00")),
        (SECOND, ("130.00", "100.00", "0.00", "30.00")),
        (UNLISTED, ("100.00", "50.00", "0.00", "50.00")),
        (UNLISTED_EXCHANGE, ("150.00", "55.00", "0.00", "95.00")),
    ],
    ids=[
        "exchange and goodwill",
        "cancelled exchange",
        "refund of the same second",
        "state of the refund's second without refunds",
        "exchange of the refund's second without refunds",
    ],
)
def test_the_figures_do_not_depend_on_the_order_of_arrival(
    everywhere: BuildWorld, messages: tuple[Message, ...], figures: tuple[str, ...]
) -> None:
    found = everywhere()
    turned = (messages[n:] + messages[:n] for n in range(len(messages)))
    for number, shuffled in enumerate((messages[::-1], *turned), start=1):
        assert figures_after(found, number, shuffled) == figures, [m[0] for m in shuffled]


def figures_after(found: World, number: int, messages: Sequence[Message]) -> tuple[str, ...]:
    """The figures of the order of this number, of a buyer of its own, after these messages."""
    for topic, body in messages:
        own = json.loads(json.dumps(body))
        if topic == "refunds/create":
            own |= {"order_id": number, "id": 10 * number + own["id"]}
        else:
            own |= {"id": number, "email": f"{number}@example.com", "customer": {"id": number}}
            own |= {"contact_email": None, "billing_address": None}
        found.shop.sends(topic, own)
    journey = found.shop.reads(f"/orders/{number}/journey")
    return tuple(journey[name] for name in ("gross_revenue", "refunds", "cancellations", "revenue"))


def happened(changes: Sequence[str]) -> list[Message]:
    """What Shopify tells of an order to which these changes happened, an hour after each other."""
    messages: list[Message] = [("orders/create", SOLD)]
    kept = total = 100
    for hour, change in enumerate(changes, start=1):
        refunded = back(hour, hour, 0, change)
        if change == "refunded":
            refunded, kept = back(hour, hour, 1, "50.00"), kept - 50
        elif change == "removed":
            refunded, kept = back(hour, hour, 1, order_adjustments=OWED), kept - 50
        elif change == "exchanged":
            refunded, total = back(hour, hour, 1, order_adjustments=OWED), total + 50
        messages += [refunded, newer(hour, f"{max(0, kept)}.00", f"{total}.00")]
    return messages


# All examples are orders in one database.
NUMBERS = itertools.count(1)
# A mug is taken back in one way or another, or money is paid back without one.
CHANGES = st.sampled_from(("refunded", "removed", "exchanged", "5.00", "50.00", "100.00"))


@given(messages=st.lists(CHANGES, min_size=1, max_size=4).map(happened), data=st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nor_do_those_of_whatever_was_removed_exchanged_and_paid_back(
    everywhere: BuildWorld, messages: list[Message], data: st.DataObject
) -> None:
    found = everywhere()
    arrival = data.draw(st.permutations(messages))
    one, other = next(NUMBERS), next(NUMBERS)

    assert figures_after(found, one, arrival) == figures_after(found, other, messages)


@pytest.mark.parametrize("reduced", [{"current_quantity": 1}, {}], ids=["reduced lines", "lines"])
def test_the_event_loses_once_what_a_state_without_refunds_has_lost(
    everywhere: BuildWorld, reduced: dict[str, Any]
) -> None:
    lines = [line(id=1, price="50.00", quantity=2, tax_lines=[], **reduced)]
    state = newer(1, "50.00", "100.00", line_items=lines)
    del state[1]["refunds"]
    messages = (("orders/create", SOLD), state, back(1, 1, 1, "50.00"))
    found = everywhere(PINTEREST_SEND="all")
    arrivals = list(itertools.permutations(messages))
    for number, arrival in enumerate(arrivals, start=1):
        for topic, body in arrival:
            name = "order_id" if topic == "refunds/create" else "id"
            found.shop.sends(topic, {**body, name: number})

    told = [event["custom_data"] for event in found.told().values()]
    assert len(told) == len(arrivals)
    assert {(event["value"], event["num_items"]) for event in told} == {("50.00", 1)}
    assert {event["contents"][0]["quantity"] for event in told} == {1}
