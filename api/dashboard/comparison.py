"""Pinterest says, we credit, the shop sold: side by side, with the parts of the difference."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from api.dashboard.formats import money_text, orders_text
from api.dashboard.order import order_address
from api.dashboard.page import PageRequest
from api.dashboard.tables import PageTable, ShownFigure, TableColumn
from tracking.report.parameters import MOST_DAYS
from tracking.store import orders

_PARTS = {
    "days": "Orders that count on another day: ours are the shop's days, Pinterest's are UTC days",
    "not_sent": "Orders that were not sent to Pinterest",
    "undelivered": "Orders on their way to Pinterest, or refused by it",
    "refunded_since": "Refunded or cancelled after they were sent",
    "value_sent": "Another value was sent than counts here",
    "views": "Views that Pinterest counts, and nobody here saw",
    "not_explained": "Not explained by anything that is known here",
}
_MOST_EXAMPLES = 3
_SEVERAL = "Values of several currencies are neither added nor subtracted, so there are none."


@dataclass(frozen=True, slots=True)
class ComparedFigures:
    """The comparison of some days: two tables, and sentences on what they lack."""

    sides: PageTable
    parts: PageTable
    notes: Sequence[str]

    @property
    def tables(self) -> Sequence[PageTable]:
        """Returns both tables."""
        return (self.sides, self.parts)


def comparison_of(asked: PageRequest) -> ComparedFigures:
    """Returns the comparison of the days that a page is asked for."""
    if (asked.days.end - asked.days.start).days + 1 > MOST_DAYS:
        return ComparedFigures(_sides([]), _parts([]), [f"Choose at most {MOST_DAYS} days."])
    report = asked.service.comparison.report(**asked.span)
    totals = report["totals"]
    several = _SEVERAL if report["note"] else None
    notes = [*filter(None, [report["missing"], several, report["windows"]["note"]])]
    return ComparedFigures(
        _sides([*_side_rows(totals)]),
        _parts([*_part_rows(totals, _names(asked, totals))]),
        [*notes, *(hint["text"] for hint in report["hints"])],
    )


def _side_rows(totals: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    sides = {"pinterest": "value", "credited": "value", "sold": "revenue"}
    found = {side: totals[side] or {} for side in sides}
    currency = next(filter(None, (each.get("currency") for each in found.values())), "")
    counts = {side: _orders(each.get("orders")) for side, each in found.items()}
    values = {side: _money(found[side].get(name)) for side, name in sides.items()}
    yield {"figure": "Orders", **counts}
    yield {"figure": f"Value in {currency}" if currency else "Value", **values}


def _names(asked: PageRequest, totals: Mapping[str, Any]) -> dict[str, str]:
    """Returns the names of the orders that the parts of a difference name, by their ids."""
    difference = totals["difference"]
    parts = difference["parts"] if difference else []
    ids = {id for part in parts for id in part["order_ids"][:_MOST_EXAMPLES]}
    with asked.service.store.read() as conn:
        return orders.names_by_id(conn, ids)


def _part_rows(totals: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yields what leads from our figure to Pinterest's; nothing if there is no difference."""
    difference = totals["difference"]
    parts = difference["parts"] if difference else []
    told = [part for part in parts if Decimal(part["orders"]) or Decimal(part["value"] or 0)]
    if not told:
        return
    yield _total("We credit to Pinterest", totals["credited"])
    yield from (_part(part, difference["currency"] or "", names) for part in told)
    yield _total("Pinterest says", totals["pinterest"])


def _total(title: str, side: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "part": title,
        "orders": _orders(side["orders"]),
        "value": side["value"],
        "currency": side["currency"] or "",
        "reasons": "",
        "examples": (),
        "tone": "total",
    }


def _part(part: Mapping[str, Any], currency: str, names: Mapping[str, str]) -> dict[str, Any]:
    reasons = (f"{each['text'].rstrip('.')}: {_plain(each['orders'])}" for each in part["reasons"])
    return {
        "part": _PARTS.get(part["part"], part["part"]),
        "orders": _orders(part["orders"], "+" if Decimal(part["orders"]) > 0 else ""),
        "value": part["value"],
        "currency": currency,
        "tone": "",
        "reasons": "; ".join(reasons),
        "examples": tuple(
            (names[id], order_address(id)) for id in part["order_ids"][:_MOST_EXAMPLES]
        ),
    }


def _orders(orders: str | None, sign: str = "") -> ShownFigure:
    text = orders_text(orders)
    return ShownFigure(sign + text, "" if orders is None else text.replace(",", ""))


def _money(value: str | None) -> ShownFigure:
    return ShownFigure(money_text(value), value or "")


def _plain(orders: str) -> str:
    return orders_text(orders).removeprefix("-")


def _sides(rows: Sequence[Mapping[str, Any]]) -> PageTable:
    columns = [
        TableColumn("figure", "Figure"),
        TableColumn("pinterest", "Pinterest says", "number"),
        TableColumn("credited", "We credit", "number"),
        TableColumn("sold", "Shop sold", "number"),
    ]
    return PageTable("sides", "Pinterest, this service, and the shop", columns, rows)


def _parts(rows: Sequence[Mapping[str, Any]]) -> PageTable:
    columns = [
        TableColumn("part", "From our figure to Pinterest's"),
        TableColumn("orders", "Orders", "number"),
        TableColumn("value", "Value", "change"),
        TableColumn("reasons", "Reasons"),
        TableColumn("examples", "Such as", "links"),
    ]
    return PageTable("difference", "Why Pinterest's figure differs from ours", columns, rows)
