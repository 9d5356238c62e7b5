"""Orders that were edited, exchanged or refunded, each as it was sold and as it is now."""

from typing import Any, NamedTuple

from tests.actors import HOUR, NOW, instant, order, refund
from tests.orders import line


class Change(NamedTuple):
    """What an order was and what differs now; its gross and its refunds then, in cents."""

    sold: dict[str, Any]
    now: dict[str, Any]
    gross: int
    refunds: int = 0

    def told(self, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both states as bodies of the order of this number."""
        sold = order(id=number, **self.sold)
        back = [
            {**one, "id": 10 * number + place, "order_id": number}
            for place, one in enumerate(self.now.get("refunds", ()))
        ]
        changed = {**self.now, "updated_at": instant(NOW + HOUR / 2), "refunds": back}
        return sold, order(**{**sold, **changed})


def _usd(amount: str) -> dict[str, Any]:
    return {"shop_money": {"amount": amount, "currency_code": "USD"}}


def _now(subtotal: str, total: str, tax: str) -> dict[str, str]:
    return {
        "current_subtotal_price": subtotal,
        "current_total_price": total,
        "current_total_tax": tax,
    }


def _back(
    *lines: tuple[int, float, float], paid: str = "", status: str = "success", **more: Any
) -> dict[str, Any]:
    """A refund of pieces, each by the id of its line, with its tax."""
    items = [
        {"id": n, "line_item_id": id, "quantity": 1, "subtotal": subtotal, "total_tax": tax}
        for n, (id, subtotal, tax) in enumerate(lines)
    ]
    payment = {"kind": "refund", "status": status, "amount": paid, "currency": "USD"}
    payments = [payment] if paid else []
    at = instant(NOW + HOUR / 4)
    moments = {"created_at": at, "processed_at": at}
    return refund(**{"refund_line_items": items, "transactions": payments, **moments, **more})


def _shipping(tax: str = "", **more: Any) -> dict[str, Any]:
    return {"price": "7.00", "tax_lines": [{"price": tax}] if tax else [], **more}


def _exchanged(price: str, kept: str, paid: str = "") -> dict[str, Any]:
    """A mug for a hat of this price, in an order of which the totals do not grow."""
    return {
        "line_items": [_mug(current_quantity=1), _hat(price)],
        "refunds": [_back((1, 20.0, 1.5), paid=paid)],
        **_now(kept, f"{float(kept) + 8.5:.2f}", "1.50"),
    }


def _mug(**changes: Any) -> dict[str, Any]:
    return line(**{"taxable": True, **changes})


def _hat(price: str) -> dict[str, Any]:
    hat = {"id": 2, "product_id": 333, "variant_id": 444, "sku": "HAT-1", "title": "Hat"}
    return _mug(**hat, price=price, quantity=1, current_quantity=1, tax_lines=[])


# Two mugs of 20.00, plus 3.00 tax and 7.00 shipping.
_PLAIN: dict[str, Any] = {"shipping_lines": [_shipping()], "line_items": [_mug()]}
# Two mugs of 59.50, 9.50 of it tax, and 7.00 shipping, 1.12 of it tax.
_INCLUSIVE: dict[str, Any] = {
    "taxes_included": True,
    "subtotal_price": "119.00",
    "total_price": "126.00",
    "total_tax": "20.12",
    "shipping_lines": [_shipping("1.12")],
    "line_items": [_mug(price="59.50", tax_lines=[{"price": "19.00"}])],
}
_BOOKS: dict[str, Any] = {
    **_INCLUSIVE,
    "total_tax": "1.12",
    "line_items": [_mug(price="59.50", tax_lines=[], taxable=False)],
}
_ONE_MUG_LEFT: dict[str, Any] = {
    "line_items": [_mug(price="59.50", tax_lines=[{"price": "19.00"}], current_quantity=1)],
    **_now("59.50", "66.50", "10.62"),
}
_SAME = _now("40.00", "50.00", "3.00")

CHANGES: dict[str, Change] = {
    "never changed": Change(_PLAIN, _SAME, 40_00),
    "a line was taken off": Change(
        _PLAIN,
        {
            "line_items": [_mug(current_quantity=1)],
            "refunds": [_back((1, 20.0, 1.5))],
            **_now("20.00", "28.50", "1.50"),
        },
        *(40_00, 20_00),
    ),
    "an item was added": Change(
        _PLAIN,
        {"line_items": [_mug(), _hat("30.00")], **_now("70.00", "80.00", "3.00")},
        70_00,
    ),
    "an item was added and the totals grew": Change(
        _PLAIN,
        {
            "line_items": [_mug(), _hat("30.00")],
            "subtotal_price": "70.00",
            "total_price": "80.00",
            **_now("70.00", "80.00", "3.00"),
        },
        70_00,
    ),
    "exchanged for something dearer": Change(_PLAIN, _exchanged("30.00", "50.00"), 50_00),
    "exchanged for something cheaper": Change(
        _PLAIN, _exchanged("5.00", "25.00", "16.50"), 40_00, 15_00
    ),
    "exchanged evenly": Change(_PLAIN, _exchanged("20.00", "40.00", "1.50"), 40_00),
    "taxes included, a line refunded": Change(
        _INCLUSIVE,
        {"refunds": [_back((1, 59.5, 9.5), paid="59.50")], **_ONE_MUG_LEFT},
        100_00,
        50_00,
    ),
    "taxes included, a line taken off": Change(
        _INCLUSIVE, {"refunds": [_back((1, 59.5, 9.5))], **_ONE_MUG_LEFT}, 100_00, 50_00
    ),
    "taxes included, shipping taken off and another one chosen": Change(
        {
            **_INCLUSIVE,
            "line_items": [_mug(price="59.50", tax_lines=[])],
            "shipping_lines": [_shipping("0.62", is_removed=True), _shipping("0.50")],
        },
        _now("119.00", "126.00", "20.12"),
        100_00,
    ),
    "untaxed goods with taxed shipping": Change(_BOOKS, _now("119.00", "126.00", "1.12"), 119_00),
    "untaxed goods with taxed duties": Change(
        {
            **_INCLUSIVE,
            "total_tax": "2.62",
            "line_items": [
                _mug(price="59.50", tax_lines=[], duties=[{"tax_lines": [{"price": "1.50"}]}])
            ],
        },
        _now("119.00", "126.00", "2.62"),
        119_00,
    ),
    "shipping refunded": Change(
        _PLAIN,
        {
            "refunds": [
                _back(
                    paid="7.00",
                    refund_shipping_lines=[
                        {"subtotal_amount_set": _usd("7.00"), "tax_amount_set": _usd("0.00")}
                    ],
                )
            ],
            **_now("40.00", "43.00", "3.00"),
        },
        40_00,
    ),
    "duties refunded": Change(
        _PLAIN,
        {
            "refunds": [_back(paid="4.00", total_duties_set=_usd("4.00"))],
            **_now("40.00", "46.00", "3.00"),
        },
        40_00,
    ),
    "money given back without a line": Change(
        _PLAIN,
        {
            "refunds": [
                _back(
                    paid="5.00",
                    order_adjustments=[
                        {"kind": "refund_discrepancy", "amount": "-5.00", "tax_amount": "0.00"}
                    ],
                )
            ],
            **_SAME,
        },
        *(40_00, 5_00),
    ),
    "a refund that failed": Change(
        _PLAIN,
        {"refunds": [_back((1, 20.0, 1.5), paid="21.50", status="failure")], **_SAME},
        40_00,
    ),
    "a refund on its way": Change(
        _PLAIN,
        {"refunds": [_back((1, 20.0, 1.5), paid="21.50", status="pending")], **_SAME},
        40_00,
    ),
    "everything refunded": Change(
        _PLAIN,
        {
            "line_items": [_mug(current_quantity=0)],
            "refunds": [_back((1, 20.0, 1.5), (1, 20.0, 1.5), paid="43.00")],
            **_now("0.00", "7.00", "0.00"),
        },
        *(40_00, 40_00),
    ),
}
