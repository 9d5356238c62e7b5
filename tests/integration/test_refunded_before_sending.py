"""What was given back or taken off before an order's event was sent is not told to Pinterest."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import update

from tests.actors import HOUR, NOW, TODAY, BuildWorld, World, instant, order, refund
from tests.orders import line
from tracking.store.engine.statement import Statement
from tracking.store.schema import orders

Message = tuple[str, dict[str, Any]]

# A mug and a hat of 50.00 each.
BOTH = [
    line(id=1, product_id=111, price="50.00", quantity=1, tax_lines=[]),
    line(id=2, product_id=222, price="50.00", quantity=1, tax_lines=[]),
]
SOLD = order(line_items=BOTH, subtotal_price="100.00", total_price="100.00", total_tax="0.00")


def given_back(*lines: int, status: str = "success") -> dict[str, Any]:
    """A refund of these lines, and its payment."""
    pieces = [
        {"line_item_id": id, "quantity": 1, "subtotal": "50.00", "total_tax": "0.00"}
        for id in lines
    ]
    amount = f"{50 * len(lines)}.00"
    payment = {"kind": "refund", "status": status, "amount": amount, "currency": "USD"}
    return refund(refund_line_items=pieces, transactions=[payment])


def newer(hours: float, **changes: Any) -> dict[str, Any]:
    return {**SOLD, "updated_at": instant(NOW + hours * HOUR), **changes}


def tell(found: World, *messages: Message) -> None:
    for topic, body in messages:
        assert found.shop.sends(topic, body).status_code == 200


def revenue(found: World) -> list[str]:
    (line,) = found.shop.reads("/roi-analysis", **TODAY)["currencies"]
    return [line["gross_revenue"], line["total_revenue"]]


CREATED: Message = ("orders/create", SOLD)
EVERYTHING: Message = ("refunds/create", given_back(1, 2))
LISTED: Message = (
    "orders/updated",
    newer(
        2,
        financial_status="refunded",
        refunds=[given_back(1, 2)],
        line_items=[{**one, "current_quantity": 0} for one in BOTH],
        current_subtotal_price="0.00",
        current_total_price="0.00",
    ),
)
FAILED: Message = ("orders/updated", newer(3, refunds=[given_back(1, 2, status="failure")]))


@pytest.mark.parametrize(
    "messages",
    [(CREATED, EVERYTHING), (EVERYTHING, CREATED), (CREATED, LISTED), (LISTED, CREATED)],
)
def test_an_order_that_was_given_back_whole_is_held_back_until_its_refund_fails(
    everywhere: BuildWorld, messages: Sequence[Message]
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    tell(found, *messages)

    assert (found.told(), found.reason()) == ({}, "refunded")
    assert revenue(found) == ["100.00", "0.00"]

    tell(found, FAILED)

    assert revenue(found) == ["100.00", "100.00"]
    told = found.event()["custom_data"]
    assert (told["value"], told["content_ids"], told["num_items"]) == ("100.00", ["111", "222"], 2)
    assert found.reason() == ""


OFF: Message = (
    "orders/updated",
    newer(
        2,
        refunds=[given_back(2)],
        line_items=[{**BOTH[0], "current_quantity": 1}, {**BOTH[1], "current_quantity": 0}],
        current_subtotal_price="50.00",
        current_total_price="50.00",
    ),
)


@pytest.mark.parametrize(
    "messages",
    [(CREATED, OFF), (OFF, CREATED), (OFF,), (CREATED, ("refunds/create", given_back(2)), OFF)],
)
def test_a_line_that_was_taken_off_is_no_part_of_the_event(
    everywhere: BuildWorld, messages: Sequence[Message]
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    tell(found, *messages)

    assert revenue(found) == ["100.00", "50.00"]
    told = found.event()["custom_data"]
    assert (told["value"], told["content_ids"], told["num_items"]) == ("50.00", ["111"], 1)


HAT_BACK: Message = ("refunds/create", given_back(2))
# A state that tells current prices, and neither refunds nor current quantities.
BARE: Message = (
    "orders/updated",
    newer(3, current_subtotal_price="50.00", current_total_price="50.00", refunds=[]),
)
PAID: Message = ("orders/paid", newer(0.5, financial_status="paid"))


@pytest.mark.parametrize(
    "messages",
    [
        (CREATED, HAT_BACK),
        (HAT_BACK, CREATED),
        (CREATED, PAID, HAT_BACK),
        (CREATED, HAT_BACK, PAID),
        (HAT_BACK, PAID, CREATED),
        (CREATED, HAT_BACK, HAT_BACK, OFF),
        (CREATED, HAT_BACK, BARE),
        (BARE, HAT_BACK, CREATED),
    ],
)
def test_a_refund_alone_takes_its_pieces_out_of_the_event(
    everywhere: BuildWorld, messages: Sequence[Message]
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    tell(found, *messages)

    told = found.event()["custom_data"]
    assert (told["value"], told["content_ids"], told["num_items"]) == ("50.00", ["111"], 1)
    assert [content["id"] for content in told["contents"]] == ["111"]


def test_of_a_line_of_three_pieces_those_that_were_kept_are_told(everywhere: BuildWorld) -> None:
    three = {**BOTH[0], "quantity": 3}
    found = everywhere(PINTEREST_SEND="all")
    tell(
        found,
        ("orders/create", {**SOLD, "line_items": [three], "subtotal_price": "150.00"}),
        ("refunds/create", given_back(1)),
    )

    (content,) = found.event()["custom_data"]["contents"]
    assert (content["quantity"], found.event()["custom_data"]["num_items"]) == (2, 2)


def test_a_refund_that_was_taken_back_puts_its_pieces_back(everywhere: BuildWorld) -> None:
    found = everywhere(PINTEREST_SEND="all")
    # Of two states of one second the one with more refunds is newer.
    failed = newer(2, refunds=[given_back(2, status="failure")], financial_status="pending")
    tell(found, CREATED, HAT_BACK, ("orders/updated", newer(2)), ("orders/updated", failed))

    told = found.event()["custom_data"]
    assert (told["value"], told["num_items"]) == ("100.00", 2)
    assert {content["id"]: content["item_price"] for content in told["contents"]} == {
        "111": "50.00",
        "222": "50.00",
    }


def test_a_refund_may_name_the_lines_of_an_order_that_an_older_release_stored(
    everywhere: BuildWorld,
) -> None:
    found = everywhere(PINTEREST_SEND="all")
    tell(found, CREATED)
    forgotten = Statement(update(orders).values(lines=""))
    found.service.store.commit(lambda conn: forgotten.run(conn))
    named = given_back(2)
    named["refund_line_items"][0]["line_item"] = BOTH[1]
    tell(found, ("refunds/create", named))

    told = found.event()["custom_data"]
    assert (told["value"], told["content_ids"], told["num_items"]) == ("50.00", ["111"], 1)
