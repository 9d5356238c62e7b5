"""What is left of an order after refunds, edits and exchanges: each form that Shopify gives them.

The examples of docs/figures.md are read here, and counted.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors import HOUR, NOW, instant, order, refund
from tracking.domain.conversion import Policy, kept_of, peak_of, sold_of, value_of
from tracking.domain.order import Order, Refund, changed_at, least, most, newer_refund
from tracking.domain.revenue import OrderFigures, OrderWorth, figures_of, paid_back
from tracking.domain.shopify_order import order_of
from tracking.domain.shopify_refund import refund_of

LATER = instant(NOW + 2 * HOUR)


def body(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An order of two mugs of 50.00, plus 8.00 tax and 10.00 shipping."""
    money = {"subtotal_price": "100.00", "total_price": "118.00", "total_tax": "8.00"}
    return order(**{"line_items": [*(lines or (mugs(),))], **money, **changes})


def mugs(price: str = "50.00", quantity: int = 2, tax: str = "8.00", **more: Any) -> dict[str, Any]:
    item = {"id": 1, "product_id": 111, "price": price, "quantity": quantity}
    return {**item, "tax_lines": [{"price": tax}], "discount_allocations": [], **more}


def now(subtotal: str, total: str, **changes: Any) -> dict[str, Any]:
    """A later state of the order, with its current prices."""
    current = {"current_subtotal_price": subtotal, "current_total_price": total}
    return body(**{"updated_at": LATER, **current, **changes})


def given_back(
    lines: Sequence[tuple[float, float]] = (), paid: str = "", **changes: Any
) -> dict[str, Any]:
    """A refund of lines with their tax, and what was paid for it."""
    items = [
        {"id": n, "line_item_id": 1, "quantity": 1, "subtotal": subtotal, "total_tax": tax}
        for n, (subtotal, tax) in enumerate(lines)
    ]
    payment = {"kind": "refund", "status": "success", "amount": paid, "currency": "USD"}
    payments = [payment] if paid else []
    return refund(**{"refund_line_items": items, "transactions": payments, **changes})


def without_lines(paid: str, **changes: Any) -> dict[str, Any]:
    """A refund of money for no line."""
    return given_back((), paid, **{"id": 7_002, **changes})


def adjusted(amount: str, kind: str = "refund_discrepancy") -> list[dict[str, str]]:
    return [{"kind": kind, "amount": amount, "tax_amount": "0.00"}]


def refund_states(*bodies: dict[str, Any]) -> list[Refund]:
    """Refunds as their own webhooks tell them."""
    return [refund_of(json.dumps({**told, "total_duties_set": USD}).encode())[0] for told in bodies]


def figures(*bodies: dict[str, Any], is_total: bool = False) -> OrderFigures:
    """The figures after these bodies of an order and of refunds, the order's in any order."""
    states: list[Order] = []
    refunds: dict[str, Refund] = {}
    for told in bodies:
        found: list[Refund] = []
        if "order_id" in told:
            found += refund_states(told)
        else:
            states.append(order_of(json.dumps(told).encode()))
            found += states[-1].refunds
        for state in found:
            refunds[state.id] = newer_refund(refunds.get(state.id, state), state)
    policy = Policy(value="total" if is_total else "net")
    newest = max(states, key=lambda state: state.version)
    worth = OrderWorth(
        value=value_of(newest, policy),
        kept=kept_of(newest, policy),
        kept_at=changed_at(newest.version),
        is_total=is_total,
        taxes_included=newest.taxes_included,
        is_cancelled=newest.cancelled_at is not None,
        sold=least(*(sold_of(state, policy) for state in states)),
        peak=most(*(peak_of(state, policy) for state in states)),
    )
    return figures_of(worth, refunds.values())


# Tells the currency of a refund without any payment.
USD = {"shop_money": {"amount": "0.00", "currency_code": "USD"}}


def left(*bodies: dict[str, Any]) -> tuple[int, int]:
    """The revenue by goods, and by totals."""
    return figures(*bodies).revenue, figures(*bodies, is_total=True).revenue


# --- Taxes


def inclusive(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An order of two mugs of 59.50, 9.50 of it tax, and shipping of 10.00."""
    money = {"subtotal_price": "119.00", "total_price": "129.00", "total_tax": "20.60"}
    items = lines or (mugs("59.50", tax="19.00"),)
    return body(*items, **{**money, "taxes_included": True, **changes})


ONE_MUG = given_back([(59.5, 9.5)], "59.50")


def test_where_prices_include_taxes_so_does_a_refunded_line() -> None:
    assert left(inclusive()) == (100_00, 129_00)
    assert left(inclusive(), ONE_MUG) == (50_00, 69_50)
    assert left(body(), given_back([(50.0, 4.0)], "54.00")) == (50_00, 64_00)


def test_no_tax_is_added_to_a_price_that_has_it() -> None:
    unpaid = given_back([(59.5, 9.5)])

    assert left(inclusive(), unpaid) == (50_00, 69_50)
    assert left(body(), given_back([(50.0, 4.0)])) == (50_00, 64_00)


def test_the_price_of_a_refunded_line_shows_whether_its_subtotal_has_the_tax() -> None:
    priced = {"price": "59.50", "quantity": 2, "discount_allocations": [{"amount": "0.00"}]}
    line = {"id": 1, "line_item_id": 1, "quantity": 1, "subtotal": 50.0, "total_tax": 9.5}
    without_tax = given_back(paid="59.50", refund_line_items=[{**line, "line_item": priced}])

    assert left(inclusive(), without_tax) == (50_00, 69_50)
    assert left(inclusive(refunds=[given_back(paid="59.50", refund_line_items=[line])])) == (
        *(50_00, 69_50),
    )


def test_the_current_prices_of_such_a_shop_are_read_without_tax() -> None:
    current = {"current_subtotal_price": "59.50", "current_total_price": "69.50"}
    told = inclusive(updated_at=LATER, **current)
    by_line = inclusive(mugs("59.50", tax="19.00", current_quantity=1), updated_at=LATER, **current)
    by_tax = inclusive(updated_at=LATER, **current, current_total_tax="11.10")

    for state in (told, by_line, by_tax, {**told, "refunds": [ONE_MUG]}):
        assert left(inclusive(), ONE_MUG, state) == (50_00, 69_50)


def test_an_exchange_in_such_a_shop_ends_at_the_goods_without_tax() -> None:
    exchanged = given_back([(119.0, 19.0)], "59.50")
    kept = {"current_subtotal_price": "59.50", "current_total_price": "69.50"}

    assert left(inclusive(), exchanged)[0] == 50_00
    assert left(inclusive(updated_at=LATER, **kept), exchanged) == (50_00, 69_50)


def test_the_tax_of_shipping_and_duties_is_no_tax_of_untaxed_goods() -> None:
    book: dict[str, Any] = {**mugs(), "tax_lines": []}
    shipping = [{"price": "10.00", "tax_lines": [{"price": "1.67"}]}]
    taxes = {"taxes_included": True, "total_price": "110.00", "total_tax": "1.67"}
    duty = [{"tax_lines": [{"price": "1.67"}]}]

    for sold in (
        body(book, shipping_lines=shipping, **taxes),
        body({**book, "duties": duty}, shipping_lines=[], **taxes),
        body({**book, "taxable": False}, **taxes),
    ):
        assert left(sold) == (100_00, 110_00)


# An order of which it is not known whether its prices include the taxes.
UNTOLD = {"taxes_included": None}


def test_rates_show_whether_prices_include_taxes_where_an_order_does_not_say() -> None:
    def at_rate(rate: float, **changes: Any) -> dict[str, Any]:
        priced = mugs("59.50", tax="19.00")
        return {**priced, "tax_lines": [{"price": "19.00", "rate": rate}], **changes}

    assert left(inclusive(at_rate(0.19), **UNTOLD)) == (100_00, 129_00)
    assert order_of(json.dumps(inclusive(at_rate(0.16), **UNTOLD)).encode()).taxes_included is False
    assert order_of(json.dumps(inclusive(**UNTOLD)).encode()).taxes_included is None


def test_a_refund_shows_the_basis_of_an_order_that_does_not_say_it() -> None:
    def refunded(paid: str, rate: float = 0) -> dict[str, Any]:
        taxes = [{"price": "19.00", "rate": rate}]
        item = {"id": 1, "price": "59.50", "quantity": 2, "tax_lines": taxes}
        told = given_back([(59.5, 9.5)], paid)
        told["refund_line_items"][0]["line_item"] = item
        return told

    # As its row says it of an order that an older release stored: 100.00 net.
    unknown = body(total_price="129.00", **UNTOLD)
    for told in (refunded("59.50"), refunded("59.50", 0.19), refunded("", 0.19)):
        assert figures(unknown, told).revenue == 50_00
    for told in (refunded("69.00"), refunded(""), refunded("", 0.16)):
        assert figures(unknown, told).revenue == 40_50


# --- Refunds


def test_refunded_shipping_takes_nothing_from_the_goods() -> None:
    ten = {"shop_money": {"amount": "10.00", "currency_code": "USD"}}
    lines = [{"id": 1, "subtotal_amount_set": ten, "tax_amount_set": USD}]
    newer = without_lines("10.00", refund_shipping_lines=lines)
    older = without_lines("10.00", order_adjustments=adjusted("-10.00", "shipping_refund"))
    both = {**newer, "order_adjustments": older["order_adjustments"]}

    for told in (newer, older, both):
        assert left(body(), told) == (100_00, 108_00)
        assert left(body(refunds=[told])) == (100_00, 108_00)


def test_refunded_duties_take_nothing_from_the_goods() -> None:
    duties = {"shop_money": {"amount": "10.00", "currency_code": "USD"}}

    assert left(body(refunds=[without_lines("10.00", total_duties_set=duties)])) == (100_00, 108_00)


def test_a_refund_of_less_than_its_lines_gives_back_their_share_without_tax() -> None:
    assert left(body(), given_back([(50.0, 4.0)], "27.00")) == (75_00, 91_00)


def test_an_edit_that_is_paid_back_later_takes_its_goods_off_once() -> None:
    removed = given_back([(50.0, 4.0)], order_adjustments=adjusted("54.00"))
    paid = without_lines("54.00", order_adjustments=adjusted("-54.00"))
    edited = now("50.00", "64.00")

    assert left(body(), removed, paid) == (50_00, 64_00)
    assert left(body(), removed, edited, paid) == (50_00, 64_00)
    assert left(
        edited | {"refunds": [removed]}, paid | {"created_at": instant(NOW + 3 * HOUR)}
    ) == (*(50_00, 64_00),)


def test_a_refund_whose_payment_failed_is_taken_back() -> None:
    told = given_back([(50.0, 4.0)])
    failure = {"kind": "refund", "status": "failure", "amount": "54.00", "currency": "USD"}
    failed = {**told, "transactions": [failure]}

    assert left(body(), told) == (50_00, 64_00)
    assert left(body(), told, now("100.00", "118.00", refunds=[failed])) == (100_00, 118_00)
    assert left(body(), told, now("50.00", "64.00", refunds=[failed])) == (100_00, 118_00)
    foreign = {**failed, "transactions": [{**failure, "currency": "EUR"}]}
    assert left(body(), told, body(updated_at=LATER, refunds=[foreign])) == (100_00, 118_00)


def test_a_payment_that_succeeded_after_a_failure_counts() -> None:
    failure = {"kind": "refund", "status": "failure", "amount": "54.00", "currency": "USD"}
    again = given_back([(50.0, 4.0)], "54.00")
    again["transactions"].insert(0, failure)

    assert left(body(), {**again, "transactions": [failure]}, again) == (50_00, 64_00)


def test_a_refund_of_nothing_changes_nothing() -> None:
    nothing, currency = refund_of(json.dumps(given_back()).encode())

    assert (nothing.goods, nothing.paid, currency) == (0, 0, "")
    assert left(body(refunds=[given_back()])) == (100_00, 118_00)


# --- Edits and exchanges


def exchange(removed: float, paid: str = "") -> dict[str, Any]:
    return given_back([(removed, 0)], paid)


def exchanged(kept: str, **changes: Any) -> dict[str, Any]:
    return now(kept, kept, total_tax="0.00", **changes)


def grown(total: str) -> dict[str, str]:
    return {"subtotal_price": total, "total_price": total}


HAT = {"id": 2, "product_id": 222, "quantity": 1, "tax_lines": []}
SOLD = body(mugs(tax="0.00"), total_price="100.00", total_tax="0.00")


def test_an_exchange_ends_at_what_the_buyer_kept_whether_totals_grow_or_stay() -> None:
    for price, kept, paid in (("30.00", "80.00", "20.00"), ("90.00", "140.00", "")):
        lines = {"line_items": [mugs(tax="0.00"), {**HAT, "price": price}]}
        back = exchange(50.0, paid)
        stay = exchanged(kept, **lines, **grown("100.00"))
        grow = exchanged(kept, **lines, **grown(f"{100 + float(price):.2f}"))
        minor = round(float(kept) * 100)
        for state in (stay, grow, {**stay, "refunds": [back]}, {**grow, "refunds": [back]}):
            assert left(SOLD, back, state) == (minor, minor)


def test_an_even_exchange_leaves_the_order_what_it_was() -> None:
    lines = {"line_items": [mugs(tax="0.00"), {**HAT, "price": "50.00"}]}
    for total in ("100.00", "150.00"):
        state = exchanged("100.00", **lines, **grown(total))
        assert left(SOLD, exchange(50.0), state) == (100_00, 100_00)


def test_money_given_back_after_an_exchange_is_taken_off_besides() -> None:
    lines = {"line_items": [mugs(tax="0.00"), {**HAT, "price": "50.00"}]}
    owed = {**exchange(50.0), "order_adjustments": adjusted("50.00")}
    for back in (exchange(50.0), owed):
        for goodwill in (
            without_lines("5.00"),
            without_lines("5.00", order_adjustments=adjusted("-5.00")),
            without_lines("5.00", created_at=instant(NOW + 3 * HOUR)),
        ):
            for total in ("100.00", "150.00"):
                state = exchanged("100.00", **lines, **grown(total))
                assert left(SOLD, back, goodwill, state) == (95_00, 95_00)


def test_a_line_that_is_removed_after_an_item_was_added_is_paid_back_once() -> None:
    removed = given_back([(50.0, 0)], order_adjustments=adjusted("50.00"))
    paid = without_lines("50.00", order_adjustments=adjusted("-50.00"))
    for total in ("100.00", "130.00"):
        lines = [mugs(tax="0.00"), {**HAT, "price": "30.00"}]
        added = exchanged("130.00", line_items=lines, **grown(total))
        at = instant(NOW + 4 * HOUR)
        left_over = exchanged("80.00", line_items=lines, updated_at=at, **grown(total))
        assert left(SOLD, added, removed, left_over, paid) == (80_00, 80_00)
        assert left(SOLD, added, removed, left_over) == (80_00, 80_00)


@pytest.mark.parametrize("total", ["100.00", "130.00"])
@pytest.mark.parametrize("adjustment", [adjusted("50.00"), []], ids=["adjusted", "plain"])
def test_a_line_that_was_removed_and_paid_back_is_so_whatever_is_added_later(
    adjustment: list[dict[str, str]], total: str
) -> None:
    removed = given_back([(50.0, 0)], order_adjustments=adjustment)
    paid = without_lines("50.00", order_adjustments=adjusted("-50.00"))
    lines = [mugs(tax="0.00"), {**HAT, "price": "30.00"}]
    at = instant(NOW + 4 * HOUR)
    added = exchanged("80.00", line_items=lines, updated_at=at, **grown(total))

    assert left(SOLD, removed, paid) == (50_00, 50_00)
    assert left(SOLD, removed, exchanged("50.00"), paid) == (50_00, 50_00)
    assert left(SOLD, removed, paid, added) == (80_00, 80_00)
    assert left(SOLD, removed, exchanged("50.00"), paid, added) == (80_00, 80_00)


@pytest.mark.parametrize("adjustment", [adjusted("50.00"), []], ids=["adjusted", "plain"])
def test_money_for_a_removed_line_left_the_shop_once(adjustment: list[dict[str, str]]) -> None:
    removed = given_back([(50.0, 0)], order_adjustments=adjustment)
    paid = without_lines("50.00", order_adjustments=adjusted("-50.00"))

    assert paid_back(refund_states(removed, paid), None) == 50_00
    assert paid_back(refund_states(removed, paid, {**GOODWILL, "id": 7_003}), None) == 55_00


def test_a_line_that_is_removed_after_an_exchange_is_paid_back_once() -> None:
    lines = {"line_items": [mugs(tax="0.00"), {**HAT, "price": "50.00"}]}
    removed = given_back([(50.0, 0)], id=7_003, order_adjustments=adjusted("50.00"))
    paid = without_lines("50.00", order_adjustments=adjusted("-50.00"))
    at = instant(NOW + 4 * HOUR)
    for back in (exchange(50.0), {**exchange(50.0), "order_adjustments": adjusted("50.00")}):
        for total in ("100.00", "150.00"):
            left_over = exchanged("50.00", updated_at=at, **lines, **grown(total))
            assert left(SOLD, back, removed, left_over, paid) == (50_00, 50_00)


def test_two_removed_lines_may_be_paid_back_at_once() -> None:
    removed = [
        given_back([(20.0, 0)], id=id, order_adjustments=adjusted("20.00")) for id in (7_003, 7_004)
    ]
    paid = without_lines("40.00", order_adjustments=adjusted("-40.00"))
    lines = [mugs(tax="0.00"), {**HAT, "price": "30.00"}]

    assert left(SOLD, *removed, paid, exchanged("90.00", line_items=lines)) == (90_00, 90_00)


def test_a_removed_line_may_be_paid_back_together_with_another() -> None:
    removed = given_back([(50.0, 0)], order_adjustments=adjusted("50.00"))
    both = given_back([(50.0, 0)], "100.00", id=7_003, order_adjustments=adjusted("-50.00"))

    assert left(SOLD, removed, both, exchanged("0.00")) == (0, 0)
    lines = [mugs(tax="0.00"), {**HAT, "price": "30.00"}]
    assert left(SOLD, removed, both, exchanged("30.00", line_items=lines)) == (30_00, 30_00)


def test_money_besides_a_line_of_its_own_pays_for_no_other() -> None:
    removed = given_back([(50.0, 0)], order_adjustments=adjusted("50.00"))
    besides = given_back([(20.0, 0)], "25.00", id=7_003, order_adjustments=adjusted("-5.00"))

    assert left(SOLD, removed, besides, exchanged("30.00")) == (25_00, 25_00)


def test_money_given_back_before_a_line_was_removed_does_not_pay_for_it() -> None:
    goodwill = without_lines("5.00", created_at=instant(NOW + HOUR / 2))
    removed = given_back([(50.0, 0)], id=7_003, order_adjustments=adjusted("50.00"))

    assert left(SOLD, goodwill, removed, exchanged("50.00")) == (45_00, 45_00)
    assert left(SOLD, goodwill, removed, EVEN) == (95_00, 95_00)


def test_refunded_shipping_is_no_part_of_what_an_exchange_paid() -> None:
    sold = body(mugs(tax="0.00"), total_price="110.00", total_tax="0.00")
    back = {**exchange(50.0), "order_adjustments": adjusted("50.00")}
    shipping = without_lines(
        "10.00", id=7_003, refund_shipping_lines=[{"subtotal_amount_set": TEN}]
    )
    lines = [mugs(tax="0.00"), {**HAT, "price": "50.00"}]
    state = now("100.00", "100.00", total_price="160.00", total_tax="0.00", line_items=lines)

    assert left(sold, back, GOODWILL, shipping, state) == (95_00, 95_00)


def test_a_cent_of_rounding_is_no_exchange() -> None:
    removed = given_back([(50.0, 0)], order_adjustments=adjusted("50.00"))
    paid = without_lines("50.00", order_adjustments=adjusted("-50.00"))

    assert left(SOLD, removed, paid, exchanged("50.01")) == (50_01, 50_01)


def test_a_refund_newer_than_the_newest_state_is_taken_off_besides() -> None:
    state = exchanged("80.00", **grown("130.00"))
    newer = given_back([(30.0, 0)], "30.00", id=7_003, created_at=instant(NOW + 3 * HOUR))

    assert left(SOLD, exchange(50.0, "20.00"), state, newer) == (50_00, 50_00)


def test_a_refund_of_the_second_of_a_state_that_does_not_list_it_is_newer() -> None:
    at_once = given_back([(30.0, 0)], "30.00", created_at=LATER)
    state = exchanged("80.00", **grown("130.00"))

    assert left(SOLD, state, at_once) == (50_00, 50_00)
    assert left(SOLD, {**state, "refunds": [at_once]}, at_once) == (80_00, 80_00)


def test_an_item_that_was_added_is_part_of_the_order() -> None:
    lines = [mugs(tax="0.00"), {**HAT, "price": "30.00"}]
    added = exchanged("130.00", line_items=lines, **grown("100.00"))

    assert figures(SOLD, added) == OrderFigures(130_00, 0, 0)
    assert figures(SOLD, added, without_lines("5.00")) == OrderFigures(130_00, 5_00, 0)


def test_the_current_prices_of_an_order_that_was_never_changed_say_nothing() -> None:
    placed = body(current_subtotal_price="1.00", current_total_price="1.00")

    assert left(placed) == (100_00, 118_00)
    assert left(placed, given_back([(50.0, 4.0)], "54.00")) == (50_00, 64_00)


def test_a_cancelled_order_is_worth_nothing_and_its_refunds_stay_refunds() -> None:
    back = given_back([(50.0, 4.0)], "54.00")
    cancelled = now("0.00", "0.00", cancelled_at=LATER)

    assert figures(body(), back, cancelled) == OrderFigures(100_00, 50_00, 50_00)
    assert figures(body(), cancelled) == OrderFigures(100_00, 0, 100_00)


def test_what_was_added_to_an_order_is_cancelled_with_it() -> None:
    dearer = exchanged("140.00", line_items=[mugs(tax="0.00"), {**HAT, "price": "90.00"}])
    gone = {"updated_at": instant(NOW + 4 * HOUR), "cancelled_at": instant(NOW + 4 * HOUR)}
    cancelled = exchanged("0.00", **grown("100.00"), **gone)
    all_back = given_back([(140.0, 0)], "140.00", id=7_003)

    assert figures(SOLD, dearer) == OrderFigures(140_00, 0, 0)
    assert figures(SOLD, dearer, cancelled) == OrderFigures(140_00, 0, 140_00)
    assert figures(SOLD, dearer, all_back, cancelled) == OrderFigures(140_00, 140_00, 0)


# --- The page of figures

ONE_BACK = given_back([(50.0, 4.0)], "54.00")
UNPAID = given_back([(50.0, 4.0)])
FOR_CHEAPER = exchanged("80.00", **grown("100.00"))
FOR_DEARER = exchanged("140.00", **grown("100.00"))
EVEN = exchanged("100.00", line_items=[mugs(tax="0.00"), {**HAT, "price": "50.00"}])
EVEN_AND_GROWN = {**EVEN, **grown("150.00")}
GOODWILL = without_lines("5.00", order_adjustments=adjusted("-5.00"))
TEN = {"shop_money": {"amount": "10.00", "currency_code": "USD"}}


def paid_by(status: str) -> dict[str, Any]:
    payment = {"kind": "refund", "status": status, "amount": "54.00", "currency": "USD"}
    return {**ONE_BACK, "transactions": [payment]}


def called_off(**changes: Any) -> dict[str, Any]:
    at = instant(NOW + 4 * HOUR)
    return now("0.00", "0.00", **{"updated_at": at, "cancelled_at": at, **changes})


PAGE = {
    "nothing": [body()],
    "a line is refunded": [body(), ONE_BACK],
    "a line is refunded where prices include taxes": [inclusive(), ONE_MUG],
    "everything is refunded": [body(), given_back([(50.0, 4.0), (50.0, 4.0)], "108.00")],
    "shipping is refunded": [
        body(),
        without_lines("10.00", refund_shipping_lines=[{"subtotal_amount_set": TEN}]),
    ],
    "duties are refunded": [body(refunds=[without_lines("10.00", total_duties_set=TEN)])],
    "money is refunded without lines": [body(), without_lines("5.00")],
    "less is refunded than the lines": [body(), given_back([(50.0, 4.0)], "27.00")],
    "less is refunded than the lines, and the newest state says what was kept": [
        body(),
        given_back([(50.0, 4.0)], "27.00"),
        now("50.00", "64.00"),
    ],
    "a line is removed": [body(), UNPAID],
    "a line is removed, its money is paid back later": [
        body(),
        {**UNPAID, "order_adjustments": adjusted("54.00")},
        without_lines("54.00", order_adjustments=adjusted("-54.00")),
    ],
    "the payment of a refund is on its way": [body(), paid_by("pending")],
    "the payment of a refund failed": [body(), paid_by("failure")],
    "a refund of nothing": [body(), given_back()],
    "an item is added": [
        SOLD,
        exchanged("130.00", line_items=[mugs(tax="0.00"), {**HAT, "price": "30.00"}]),
    ],
    "an item is added, then a line is removed and paid back": [
        SOLD,
        exchanged("130.00", line_items=[mugs(tax="0.00"), {**HAT, "price": "30.00"}]),
        {**exchange(50.0), "order_adjustments": adjusted("50.00")},
        exchanged("80.00", updated_at=instant(NOW + 4 * HOUR)),
        without_lines("50.00", order_adjustments=adjusted("-50.00")),
    ],
    "a line is removed and paid back, then an item is added": [
        SOLD,
        {**exchange(50.0), "order_adjustments": adjusted("50.00")},
        without_lines("50.00", order_adjustments=adjusted("-50.00")),
        exchanged("80.00", line_items=[mugs(tax="0.00"), {**HAT, "price": "30.00"}]),
    ],
    "an exchange for something cheaper": [SOLD, exchange(50.0, "20.00"), FOR_CHEAPER],
    "an exchange for something dearer": [SOLD, exchange(50.0), FOR_DEARER],
    "an even exchange": [SOLD, exchange(50.0), EVEN],
    "an even exchange, and the order's total grows with the hat": [
        SOLD,
        exchange(50.0),
        EVEN_AND_GROWN,
    ],
    "money is refunded after an exchange": [SOLD, exchange(50.0), EVEN, GOODWILL],
    "money is refunded after an exchange with which the total grew": [
        SOLD,
        {**exchange(50.0), "order_adjustments": adjusted("50.00")},
        EVEN_AND_GROWN,
        GOODWILL,
    ],
    "a line is removed and paid back after an even exchange": [
        SOLD,
        {**exchange(50.0), "order_adjustments": adjusted("50.00")},
        {**exchange(50.0), "id": 7_003, "order_adjustments": adjusted("50.00")},
        without_lines("50.00", order_adjustments=adjusted("-50.00")),
        {**EVEN, **now("50.00", "50.00", total_tax="0.00", total_price="100.00")},
    ],
    "a refund that is newer than the newest state": [
        SOLD,
        exchange(50.0, "20.00"),
        FOR_CHEAPER,
        given_back([(30.0, 0)], "30.00", id=7_003, created_at=instant(NOW + 3 * HOUR)),
    ],
    "the order is cancelled": [body(), called_off()],
    "the order is cancelled after a refund": [body(), ONE_BACK, called_off()],
    "the order is cancelled after an exchange for something dearer": [
        SOLD,
        FOR_DEARER,
        called_off(),
    ],
    "it is not known whether prices include taxes": [body(**UNTOLD), UNPAID],
}
Row = tuple[str, tuple[int, ...]]


def rows_of_the_page() -> list[Row]:
    """What happens and the four figures, by each line of the table."""
    text = (Path(__file__).parents[2] / "docs/figures.md").read_text()
    table = [line.strip("| ").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [
        (cells[0].strip(), tuple(int(cell.replace(".", "")) for cell in cells[-4:]))
        for cells in table[2:]
    ]


def test_the_page_of_figures_has_an_example_of_every_kind() -> None:
    assert [what for what, _ in rows_of_the_page()] == list(PAGE)


@pytest.mark.parametrize(("what", "expected"), rows_of_the_page(), ids=str)
def test_the_page_of_figures_says_what_the_code_counts(
    what: str, expected: tuple[int, ...]
) -> None:
    for bodies in (PAGE[what], PAGE[what][::-1]):
        found = figures(*bodies)
        assert (*found, found.revenue) == expected


# --- Whatever comes

cents = st.integers(-20_000, 20_000)
refunds = st.builds(
    Refund,
    id=st.sampled_from(["0", "7", "8", "9"]),
    order_id=st.just("1"),
    at=st.integers(0, 3),
    goods=st.integers(0, 20_000),
    tax=st.integers(0, 3_000),
    other=st.integers(0, 3_000),
    extra=cents,
    paid=st.integers(0, 20_000),
    status=st.sampled_from(["", "pending", "failed", "paid", "foreign"]),
    version=st.sampled_from(["1", "2", "3"]),
    is_listed=st.booleans(),
    taxes_included=st.none() | st.booleans(),
)
worths = st.builds(
    OrderWorth,
    value=st.integers(0, 20_000),
    kept=st.none() | st.integers(0, 30_000),
    kept_at=st.integers(0, 3),
    is_total=st.booleans(),
    taxes_included=st.none() | st.booleans(),
    is_cancelled=st.booleans(),
    sold=st.none() | st.integers(0, 20_000),
    peak=st.none() | st.integers(0, 30_000),
)


@pytest.mark.parametrize("paid", ["0.00", "3.00"])
def test_a_refund_without_lines_that_owes_more_than_was_paid_takes_off_what_was_paid(
    paid: str,
) -> None:
    whole, owed = body(), without_lines(paid, order_adjustments=adjusted("-5.00"))

    assert figures(whole, owed).refunds == round(float(paid) * 100)


@given(worth=worths, some=st.lists(refunds, max_size=5, unique_by=lambda r: r.id), data=st.data())
def test_what_is_left_is_never_negative_and_adds_up_in_any_order(
    worth: OrderWorth, some: list[Refund], data: st.DataObject
) -> None:
    found = figures_of(worth, some)

    assert min(found) >= 0
    assert found.gross - found.refunds - found.cancellations == found.revenue >= 0
    assert found.gross >= worth.value
    assert not (worth.is_cancelled and found.revenue)
    assert figures_of(worth, data.draw(st.permutations(some))) == found
    assert figures_of(worth._replace(value=found.gross), some) == found


@given(st.lists(refunds, min_size=2, max_size=5, unique_by=lambda r: r.version), st.data())
def test_the_newest_state_of_a_refund_is_the_same_in_any_order(
    states: list[Refund], data: st.DataObject
) -> None:
    def newest(some: Sequence[Refund]) -> Refund:
        found = some[0]
        for state in (*some, *some):
            found = newer_refund(found, state)
        return found

    assert newest(data.draw(st.permutations(states))) == newest(states)
