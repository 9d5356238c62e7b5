"""Hints at why Pinterest may count otherwise, which explain no part of the difference by number."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tracking.domain.match_quality import WHOLE
from tracking.domain.shop_days import QUARTER_HOUR
from tracking.domain.waterfall import MOST_ORDER_IDS
from tracking.report.shared_figures import is_of_this_release
from tracking.store import accuracy, match_verdicts, order_hints, report_progress
from tracking.store.engine.statement import Connection
from tracking.store.order_hints import HintCount, HintQuarter

# Among so many of the newest orders are those that a hint names.
NEWEST_ORDERS = 1000
_TEXTS: Mapping[str, str] = {
    "another_sender": "were sent under an id that is not the one the storefront told. If"
    " Pinterest's own app sends them as well, each counts twice there.",
    "late": "were sent more than an hour after the order: Pinterest counts those as offline.",
    "not_sent_here": "were not sent, and the storefront told an id of them: Pinterest counts them"
    " if its own app sends them.",
}


def hints_of(conn: Connection, since: int, before: int) -> Iterator[dict[str, Any]]:
    """Yields the hints about the orders placed in [since, before), in seconds UTC."""
    counts = _counts(conn, since, before)
    if not any(counts.values()):
        return
    found = order_hints.hinted(conn, since, before, NEWEST_ORDERS)
    for name, text in _TEXTS.items():
        orders = counts[name]
        if orders:
            order_ids = [row.order_id for row in found if row.hint == name]
            told = f"{orders} of the orders of these days {text}"
            yield hint(name, told, orders, order_ids[:MOST_ORDER_IDS])


def _counts(conn: Connection, since: int, before: int) -> Counter[str]:
    """Returns the number of orders that there is each hint about, exact to the newest order."""
    progress = report_progress.of(conn, "accuracy")
    counts: Counter[str] = Counter()
    if before > progress.through or not is_of_this_release(progress):
        rows = order_hints.counted(conn, since, before, QUARTER_HOUR)
        counts.update(_by_name(rows))
        return counts
    counts.update(_by_name(order_hints.stored(conn, since, before)))
    for at in accuracy.marked(conn, since, before):
        until = at + QUARTER_HOUR
        counts.subtract(_by_name(order_hints.stored(conn, at, until)))
        counts.update(_by_name(order_hints.counted(conn, at, until, QUARTER_HOUR)))
    return counts


def _by_name(rows: Iterable[HintCount | HintQuarter]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for row in rows:
        sums[row.hint] += row.orders
    return sums


def overlap_hints(conn: Connection) -> Iterator[dict[str, Any]]:
    """Yields what Pinterest says of the event ids that another sender tells it as well."""
    for row in match_verdicts.overlaps(conn):
        if row.overlap is not None:
            share, days = row.overlap * 100 // WHOLE, row.lookback.removesuffix("d")
            told = "the last day" if days == "1" else f"the last {days} days"
            text = (
                f"{share}% of the event ids of web purchases came from a tag as well, says"
                f" Pinterest of {told}: those count once. A purchase that both told under two ids"
                " counts twice there."
            )
            yield hint("overlap", text)


def hint(name: str, text: str, orders: int | None = None, order_ids: Any = ()) -> dict[str, Any]:
    """Returns a hint as the report tells it; `orders` is None where it is about no known ones."""
    return {"hint": name, "text": text, "orders": orders, "order_ids": [*order_ids]}
