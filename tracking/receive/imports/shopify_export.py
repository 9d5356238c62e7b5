"""Shopify's export of orders: the rows of each order, put into the form of a webhook's body.

From there an order goes the way of a webhook, so that its money, its digests and its one event id
are the same wherever it was told. The columns are those of help.shopify.com, "Exporting orders".
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from tracking.domain.money import amount
from tracking.domain.order import EXPORTED_REFUND, Order
from tracking.domain.shopify_order import NotAnOrder, order_of
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.imports.file_reader import Record

NEEDED = ("Name", "Id", "Created at", "Currency", "Financial Status", "Total", "Lineitem name")
# Rows of one order are held until it ends.
MOST_ROWS = 5000
# "2026-11-20 12:00:00 +0100": Shopify sets the zone apart.
_ZONE = re.compile(r"\s+(?:([+-][0-9]{2}):?([0-9]{2})|UTC)$")
# Where the body's fields come from, for whoever has to mend them.
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
    """The rows that tell of one order, the first of them with all but the line items."""

    records: Sequence[Record]

    @property
    def line(self) -> int:
        """The line it begins on."""
        return self.records[0].line


class OrderExport:
    """Reads the rows of an export with this header."""

    def __init__(self, header: Sequence[str]) -> None:
        self._places = {name.lower(): n for n, name in enumerate(header)}

    @staticmethod
    def is_meant_by(header: Iterable[str]) -> bool:
        """Whether a header can only be that of such an export."""
        return {"financial status", "lineitem name"} <= {name.lower() for name in header}

    def missing(self) -> list[str]:
        """The columns without which there is no order."""
        return [name for name in NEEDED if name.lower() not in self._places]

    def orders(self, records: Iterable[Record]) -> Iterator[ExportedOrder]:
        """The records of each order together: its further rows have nothing but a name and an
        item."""
        held: list[Record] = []
        for record in records:
            if held and self._goes_on(held[0], record) and len(held) < MOST_ROWS:
                held.append(record)
                continue
            if held:
                yield ExportedOrder(held)
            held = [record]
        if held:
            yield ExportedOrder(held)

    def read(self, told: ExportedOrder) -> Order:
        """The order that its rows tell of.

        Raises:
            ValidationError: they do not; the faults name columns.
        """
        errors = [FieldError("", record.fault) for record in told.records if record.fault]
        if errors:
            raise ValidationError(*errors)
        first = self._row(told.records[0])
        if not first("Id"):
            raise ValidationError(
                FieldError("/Id", "missing, and no row of the same order precedes this one")
            )
        items = [self._row(record) for record in told.records]
        _check_amounts(first, items)
        try:
            order = order_of(msgspec.json.encode(_body(first, items)))
        except NotAnOrder as error:
            field, _, words = str(error).partition(": ")
            raise ValidationError(FieldError(f"/{_COLUMNS.get(field, field)}", words)) from None
        return msgspec.structs.replace(order, is_exported=True)

    def _goes_on(self, first: Record, record: Record) -> bool:
        if first.fault or record.fault:
            return False
        one, other = self._row(first), self._row(record)
        # Some tools fill the columns of further rows in.
        is_same = other("Id") in ("", one("Id"))
        return is_same and bool(one("Id")) and one("Name") == other("Name")

    def _row(self, record: Record) -> "_ExportRow":
        return _ExportRow(self._places, record.cells)


class _ExportRow:
    """A row, asked by the names of its columns."""

    def __init__(self, places: Mapping[str, int], cells: Sequence[str]) -> None:
        self._places = places
        self._cells = cells

    def __call__(self, name: str) -> str:
        place = self._places.get(name.lower())
        return "" if place is None else self._cells[place].strip()


def _check_amounts(first: _ExportRow, items: Sequence[_ExportRow]) -> None:
    """Money that cannot be read must not count as nothing."""
    rows = [(first, _AMOUNTS), *((item, ("Lineitem price",)) for item in items)]
    wrong = [
        name for row, names in rows for name in names if row(name) and not _is_price(row(name))
    ]
    wrong += [_QUANTITY for item in items if not _WHOLE.fullmatch(item(_QUANTITY) or "0")]
    wrong += [name for name in _INSTANTS if first(name) and not _instant(first(name))]
    if wrong:
        told = dict.fromkeys(_INSTANTS, "not a time such as 2026-11-20 12:00:00 +0100")
        told[_QUANTITY] = "not a whole number"
        raise ValidationError(
            *(FieldError(f"/{n}", told.get(n, _NO_AMOUNT)) for n in dict.fromkeys(wrong))
        )


def _is_price(text: str) -> bool:
    found = amount(text)
    return found is not None and found >= 0


def _body(first: _ExportRow, items: Iterable[_ExportRow]) -> dict[str, Any]:
    """The order as a webhook's body would tell of it."""
    email = first("Email")
    # Two states of one second are told apart by what they say, as with webhooks.
    instants = (_instant(first(name)) for name in _INSTANTS)
    latest = max(filter(None, instants), key=_moment, default="")
    return {
        "id": first("Id"),
        "name": first("Name"),
        "created_at": _instant(first("Created at")),
        "updated_at": latest,
        "cancelled_at": _instant(first("Cancelled at")) or None,
        "currency": first("Currency"),
        "subtotal_price": first("Subtotal") or None,
        "total_tax": first("Taxes") or "0",
        "total_price": first("Total"),
        "taxes_included": _holds_taxes(first),
        # The export has no other sign of an order that was placed for a trial.
        "test": "bogus" in first("Payment Method").lower(),
        "financial_status": first("Financial Status").lower(),
        "source_name": first("Source"),
        "email": email,
        "phone": _unquoted(first("Phone")),
        "note_attributes": _notes(first("Note Attributes")),
        "billing_address": _address(first, "Billing"),
        "shipping_address": _address(first, "Shipping"),
        "line_items": [_item(item) for item in items if item("Lineitem name")],
        "refunds": _refunds(first, latest),
    }


def _item(row: _ExportRow) -> dict[str, Any]:
    return {
        "title": row("Lineitem name"),
        "sku": row("Lineitem sku"),
        "vendor": row("Vendor"),
        "price": row("Lineitem price"),
        "quantity": row(_QUANTITY),
    }


def _holds_taxes(first: _ExportRow) -> bool:
    """Whether the subtotal holds the taxes, which the export tells only by its sums."""
    subtotal, shipping, taxes, total = (
        amount(first(name)) or Decimal(0) for name in ("Subtotal", "Shipping", "Taxes", "Total")
    )
    return bool(taxes) and subtotal + shipping == total


def _refunds(first: _ExportRow, at: str) -> list[dict[str, Any]]:
    given_back = amount(first("Refunded Amount"))
    if not given_back:
        return []
    paid = {
        "kind": "refund",
        "status": "success",
        "amount": first("Refunded Amount"),
        "currency": first("Currency"),
    }
    return [{"id": EXPORTED_REFUND, "processed_at": at, "transactions": [paid]}]


def _address(first: _ExportRow, kind: str) -> dict[str, Any]:
    name, last = _names(first(f"{kind} Name"))
    return {
        "first_name": name,
        "last_name": last,
        "city": first(f"{kind} City"),
        "province_code": first(f"{kind} Province"),
        "zip": _unquoted(first(f"{kind} Zip")),
        "country_code": first(f"{kind} Country"),
        "phone": _unquoted(first(f"{kind} Phone")),
    }


def _names(whole: str) -> tuple[str, str]:
    """First and last name. Of three words nobody knows which belong together."""
    words = whole.split()
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _unquoted(text: str) -> str:
    # Shopify puts an apostrophe before what a spreadsheet would take for a number.
    return text.removeprefix("'")


def _notes(text: str) -> list[dict[str, str]]:
    """Note attributes: a line for each, a colon between name and value."""
    pairs = (line.partition(":") for line in text.splitlines())
    return [{"name": n.strip(), "value": v.strip()} for n, colon, v in pairs if colon]


def _instant(text: str) -> str:
    """A time of the export in ISO 8601, "" if it is none or has no zone."""
    iso = _ZONE.sub(lambda found: f"{found[1]}:{found[2]}" if found[1] else "+00:00", text)
    try:
        return iso if text and _moment(iso).tzinfo else ""
    except ValueError:
        return ""


def _moment(iso: str) -> datetime:
    return datetime.fromisoformat(iso)
