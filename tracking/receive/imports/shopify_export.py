"""Shopify's export of orders: translates the rows of each order to the form of a webhook's body.

The body is then processed like a webhook's, so that money, digests and event id of an order do not
depend on its source. The columns are those of help.shopify.com, "Exporting orders".
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from tracking.domain.money import amount
from tracking.domain.order import EXPORTED_REFUND_ID, Order
from tracking.domain.shopify_body import NotAnOrder
from tracking.domain.shopify_order import order_of
from tracking.domain.spreadsheet import SHORTENED, is_shortened, plain_id, plain_text
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.imports.export_taxes import (
    ExportedSums,
    goods_tax,
    goods_tax_on_top,
    includes_taxes,
    rates_in,
)
from tracking.receive.imports.file_reader import Record

REQUIRED_COLUMNS = (
    "Name",
    "Id",
    "Created at",
    "Currency",
    "Financial Status",
    "Total",
    "Lineitem name",
)
# The rows of one order are held in memory until it ends.
MAX_ROWS = 5000
# "2026-11-20 12:00:00 +0100": Shopify writes a space before the zone.
_ZONE = re.compile(r"(?<!\s)\s+(?:([+-][0-9]{2}):?([0-9]{2})|UTC)$")
# The column of each of the body's fields, for error messages.
_COLUMNS = {
    "id": "Id",
    "created_at": "Created at",
    "currency": "Currency",
    "total_price": "Total",
}
_INSTANTS = ("Created at", "Paid at", "Fulfilled at", "Cancelled at")
_AMOUNTS = ("Subtotal", "Shipping", "Taxes", "Total", "Refunded Amount", "Lineitem price")
_NO_AMOUNT = "not an amount of zero or more, such as 12.50"
_QUANTITY = "Lineitem quantity"
_WHOLE = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class ExportedOrder:
    """The rows of one order. The first has all columns, the others only line items."""

    records: Sequence[Record]

    @property
    def line(self) -> int:
        """The line on which the order begins."""
        return self.records[0].line


class OrderExport:
    """Reads orders from the rows of an export with a header."""

    def __init__(self, header: Sequence[str]) -> None:
        self._places = {name.lower(): n for n, name in enumerate(header)}

    @staticmethod
    def matches(header: Iterable[str]) -> bool:
        """Returns whether a header is that of such an export."""
        return {"financial status", "lineitem name"} <= {name.lower() for name in header}

    def missing_columns(self) -> list[str]:
        """Returns the required columns that the header lacks."""
        return [name for name in REQUIRED_COLUMNS if name.lower() not in self._places]

    def orders(self, records: Iterable[Record]) -> Iterator[ExportedOrder]:
        """Groups the records by order: further rows of an order have only a name and an item."""
        held: list[Record] = []
        for record in records:
            if held and self._is_same_order(held[0], record) and len(held) < MAX_ROWS:
                held.append(record)
                continue
            if held:
                yield ExportedOrder(held)
            held = [record]
        if held:
            yield ExportedOrder(held)

    def order(self, exported: ExportedOrder) -> Order:
        """Returns the order of an export's rows.

        Raises:
            ValidationError: the rows cannot be used; the errors name columns.
        """
        errors = [FieldError("", record.error) for record in exported.records if record.error]
        if errors:
            raise ValidationError(*errors)
        first = self._row(exported.records[0])
        if not first("Id"):
            raise ValidationError(
                FieldError("/Id", "missing, and no row of the same order precedes this one")
            )
        items = [self._row(record) for record in exported.records]
        _check_values(first, items)
        try:
            order = order_of(msgspec.json.encode(_body(first, items)))
        except NotAnOrder as error:
            field, _, message = str(error).partition(": ")
            raise ValidationError(FieldError(f"/{_COLUMNS.get(field, field)}", message)) from None
        return msgspec.structs.replace(order, is_exported=True)

    def _is_same_order(self, first: Record, record: Record) -> bool:
        if first.error or record.error:
            return False
        row, other = self._row(first), self._row(record)
        # Some tools repeat the columns of the first row in further rows.
        is_same = other("Id") in ("", row("Id"))
        return is_same and bool(row("Id")) and row("Name") == other("Name")

    def _row(self, record: Record) -> "_ExportRow":
        return _ExportRow(self._places, record.cells)


class _ExportRow:
    """Returns a row that returns the cell of a column by name, "" if the column is absent."""

    def __init__(self, places: Mapping[str, int], cells: Sequence[str]) -> None:
        self._places = places
        self._cells = cells

    def __call__(self, name: str) -> str:
        place = self._places.get(name.lower())
        return "" if place is None else self._cells[place].strip()


def _check_values(first: _ExportRow, items: Sequence[_ExportRow]) -> None:
    """Raises errors for unreadable values, so that unreadable money does not count as zero."""
    rows = [(first, _AMOUNTS), *((item, ("Lineitem price",)) for item in items)]
    ids = [("Id", first("Id")), *(("Lineitem sku", item("Lineitem sku")) for item in items)]
    if shortened := [name for name, id in ids if is_shortened(plain_id(id))]:
        raise ValidationError(*(FieldError(f"/{n}", SHORTENED) for n in dict.fromkeys(shortened)))
    wrong = [
        name for row, names in rows for name in names if row(name) and not _is_price(row(name))
    ]
    wrong += [_QUANTITY for item in items if not _WHOLE.fullmatch(item(_QUANTITY) or "0")]
    wrong += [name for name in _INSTANTS if first(name) and not _instant(first(name))]
    if wrong:
        messages = dict.fromkeys(_INSTANTS, "not a time such as 2026-11-20 12:00:00 +0100")
        messages[_QUANTITY] = "not a whole number"
        raise ValidationError(
            *(FieldError(f"/{n}", messages.get(n, _NO_AMOUNT)) for n in dict.fromkeys(wrong))
        )


def _is_price(text: str) -> bool:
    value = amount(text)
    return value is not None and value >= 0


def _body(first: _ExportRow, items: Iterable[_ExportRow]) -> dict[str, Any]:
    """Returns the order in the form of a webhook's body."""
    email = first("Email")
    # As with webhooks, the content distinguishes two states of the same second.
    instants = (_instant(first(name)) for name in _INSTANTS)
    latest = max(filter(None, instants), key=_datetime, default="")
    taxes_included = includes_taxes(_sums(first), amount(first("Duties")) or Decimal(0))
    return {
        "id": plain_id(first("Id")),
        "name": first("Name"),
        "created_at": _instant(first("Created at")),
        "updated_at": latest,
        "cancelled_at": _instant(first("Cancelled at")) or None,
        "currency": first("Currency"),
        "subtotal_price": first("Subtotal") or None,
        "total_tax": f"{_goods_tax(first):.6f}" if taxes_included else first("Taxes") or "0",
        "total_price": first("Total"),
        "taxes_included": taxes_included,
        # The export has no other sign of a test order.
        "test": "bogus" in first("Payment Method").lower(),
        "financial_status": first("Financial Status").lower(),
        "source_name": first("Source"),
        "tags": first("Tags"),
        "email": email,
        "phone": plain_text(first("Phone")),
        "note_attributes": _notes(first("Note Attributes")),
        "billing_address": _address(first, "Billing"),
        "shipping_address": _address(first, "Shipping"),
        "line_items": [_item(item) for item in items if item("Lineitem name")],
        "refunds": _refunds(first, latest, taxes_included=taxes_included),
    }


def _item(row: _ExportRow) -> dict[str, Any]:
    return {
        "title": row("Lineitem name"),
        "sku": plain_text(row("Lineitem sku")),
        "vendor": row("Vendor"),
        "price": row("Lineitem price"),
        "quantity": row(_QUANTITY),
    }


def _sums(first: _ExportRow) -> ExportedSums:
    return ExportedSums(
        *(amount(first(name)) or Decimal(0) for name in ("Subtotal", "Shipping", "Taxes", "Total"))
    )


def _goods_tax(first: _ExportRow) -> Decimal:
    return goods_tax(_sums(first), _rates(first))


def _rates(first: _ExportRow) -> list[Decimal]:
    return rates_in(first(f"Tax {n} Name") for n in range(1, 6))


def _refunds(first: _ExportRow, at: str, *, taxes_included: bool) -> list[dict[str, Any]]:
    refunded = amount(first("Refunded Amount"))
    if not refunded:
        return []
    paid = {
        "kind": "refund",
        "status": "success",
        "amount": first("Refunded Amount"),
        "currency": first("Currency"),
    }
    return [
        {
            "id": EXPORTED_REFUND_ID,
            "processed_at": at,
            "refund_line_items": _refunded_goods(first, refunded, taxes_included=taxes_included),
            "transactions": [paid],
        }
    ]


def _refunded_goods(
    first: _ExportRow, refunded: Decimal, *, taxes_included: bool
) -> list[dict[str, str]]:
    """Returns the goods in a refunded amount and their tax, as far as the amount is not shipping's:
    the export has the one sum alone."""
    sums = _sums(first)
    if not sums.subtotal:
        return []
    if taxes_included:
        goods, tax = min(refunded, sums.subtotal), _goods_tax(first)
    else:
        tax = goods_tax_on_top(sums, _rates(first))
        goods = min(refunded * sums.subtotal / (sums.subtotal + tax), sums.subtotal)
    share = tax * goods / sums.subtotal
    return [{"subtotal": f"{goods:.6f}", "total_tax": f"{share:.6f}"}]


def _address(first: _ExportRow, kind: str) -> dict[str, Any]:
    name, last = _names(first(f"{kind} Name"))
    return {
        "first_name": name,
        "last_name": last,
        "city": first(f"{kind} City"),
        "province_code": first(f"{kind} Province"),
        "zip": plain_text(first(f"{kind} Zip")),
        "country_code": first(f"{kind} Country"),
        "phone": plain_text(first(f"{kind} Phone")),
    }


def _names(whole: str) -> tuple[str, str]:
    """First and last name; empty unless there are two words, since three cannot be divided."""
    words = whole.split()
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _notes(text: str) -> list[dict[str, str]]:
    """Notes attributes from text: one per line, with a colon between name and value."""
    pairs = (line.partition(":") for line in text.splitlines())
    return [{"name": n.strip(), "value": v.strip()} for n, colon, v in pairs if colon]


def _instant(text: str) -> str:
    """Returns a time of the export in ISO 8601; "" if it is invalid or has no zone."""
    iso = _ZONE.sub(lambda zone: f"{zone[1]}:{zone[2]}" if zone[1] else "+00:00", text)
    try:
        return iso if text and _datetime(iso).tzinfo else ""
    except ValueError:
        return ""


def _datetime(iso: str) -> datetime:
    return datetime.fromisoformat(iso)
