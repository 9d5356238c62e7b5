"""Hints at why Pinterest may count otherwise, which explain no part of the difference by number."""

from collections.abc import Iterator, Mapping
from typing import Any

from tracking.domain.match_quality import WHOLE
from tracking.domain.waterfall import MOST_ORDER_IDS
from tracking.store import compared_orders, match_verdicts
from tracking.store.engine.statement import Connection

# So many of the newest orders are looked at.
NEWEST_ORDERS = 1000
_TEXTS: Mapping[str, str] = {
    "another_sender": "were sent under an id that is not the one the storefront told. If"
    " Pinterest's own app sends them as well, each counts twice there.",
    "late": "were sent more than an hour after the order: Pinterest counts those as offline.",
    "not_sent_here": "were not sent, and the storefront told an id of them: Pinterest counts them"
    " if its own app sends them.",
}


def hints_of(conn: Connection, since: int, before: int) -> Iterator[dict[str, Any]]:
    """Yields the hints about the newest orders placed in [since, before), in seconds UTC."""
    found = compared_orders.hinted(conn, since, before, NEWEST_ORDERS)
    for name, text in _TEXTS.items():
        order_ids = [row.order_id for row in found if row.hint == name]
        if order_ids:
            told = f"{len(order_ids)} of the newest orders ({NEWEST_ORDERS} at most) {text}"
            yield hint(name, told, len(order_ids), order_ids[:MOST_ORDER_IDS])


def overlap_hints(conn: Connection) -> Iterator[dict[str, Any]]:
    """Yields what Pinterest says of the event ids that another sender tells it as well."""
    for row in match_verdicts.overlaps(conn):
        if row.overlap is not None:
            share, days = row.overlap * 100 // WHOLE, row.lookback.removesuffix("d")
            told = "the last day" if days == "1" else f"the last {days} days"
            text = (
                f"{share} % of the event ids of web purchases came from a tag as well, says"
                f" Pinterest of {told}: those count once. A purchase that both told under two ids"
                " counts twice there."
            )
            yield hint("overlap", text)


def hint(name: str, text: str, orders: int | None = None, order_ids: Any = ()) -> dict[str, Any]:
    """Returns a hint as the report tells it; `orders` is None where it is about no known ones."""
    return {"hint": name, "text": text, "orders": orders, "order_ids": [*order_ids]}
