"""The taxes of exported orders: told by their sums alone."""

from decimal import Decimal

import pytest

from tracking.receive.imports.export_taxes import (
    ExportedSums,
    goods_tax,
    goods_tax_on_top,
    includes_taxes,
    rates_in,
)


def sums(*amounts: str) -> ExportedSums:
    return ExportedSums(*map(Decimal, amounts))


@pytest.mark.parametrize(
    ("amounts", "duties", "is_included"),
    [
        (("119.00", "11.90", "20.90", "130.90"), "0", True),
        (("119.00", "0.00", "19.00", "124.00"), "0", True),
        (("119.00", "0.00", "19.00", "134.00"), "15.00", True),
        (("100.00", "10.00", "8.00", "118.00"), "0", False),
        (("100.00", "10.00", "8.00", "123.00"), "0", False),
        (("100.00", "10.00", "0.00", "110.00"), "0", False),
    ],
)
def test_taxes_are_included_where_the_total_has_no_room_for_them(
    amounts: tuple[str, ...], duties: str, is_included: bool
) -> None:
    assert includes_taxes(sums(*amounts), Decimal(duties)) is is_included


@pytest.mark.parametrize(
    ("amounts", "name", "tax"),
    [
        (("119.00", "11.90", "20.90", "130.90"), "PT VAT 19%", "19.00"),
        (("119.00", "11.90", "20.90", "130.90"), "", "19.00"),
        (("119.00", "10.00", "19.00", "129.00"), "VAT 19%", "19.00"),
        (("119.00", "10.00", "19.00", "129.00"), "VAT", "19.00"),
        (("100.00", "10.00", "1.67", "110.00"), "GB VAT 20%", "0.00"),
        (("119.00", "0.00", "19.00", "119.00"), "", "19.00"),
        (("12.00", "12.00", "2.00", "24.00"), "VAT 20%", "2.00"),
        (("12.01", "12.00", "2.00", "24.01"), "VAT 20%", "2.00"),
    ],
)
def test_the_tax_of_shipping_is_not_the_goods(
    amounts: tuple[str, ...], name: str, tax: str
) -> None:
    found = goods_tax(sums(*amounts), rates_in([name]))

    assert found.quantize(Decimal("0.01")) == Decimal(tax)


@pytest.mark.parametrize(
    ("amounts", "names", "tax"),
    [
        (("100.00", "10.00", "8.00", "118.00"), ["State Tax 8%"], "8.00"),
        (("100.00", "10.00", "8.80", "118.80"), ["State Tax 8%"], "8.00"),
        (("100.00", "10.00", "0.80", "110.80"), ["State Tax 8%"], "0.00"),
        (("10.00", "10.00", "0.80", "20.80"), ["State Tax 8%"], "0.80"),
        (("5.01", "5.00", "0.40", "10.41"), ["State Tax 8%"], "0.40"),
        (("100.00", "10.00", "8.50", "118.50"), ["State Tax 4%", "City Tax 4.5%"], "8.50"),
        (("100.00", "10.00", "9.35", "119.35"), ["State Tax 4%", "City Tax 4.5%"], "8.50"),
        (("100.00", "10.00", "8.80", "118.80"), [], "8.00"),
        (("100.00", "0.00", "8.00", "108.00"), [], "8.00"),
    ],
)
def test_a_tax_on_top_is_that_of_the_goods_or_of_shipping_too(
    amounts: tuple[str, ...], names: list[str], tax: str
) -> None:
    found = goods_tax_on_top(sums(*amounts), rates_in(names))

    assert found.quantize(Decimal("0.01")) == Decimal(tax)
