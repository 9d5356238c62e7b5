"""The newest orders of a campaign, found by the sums of the comparison where these are complete."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter

from tracking.report.shared_figures import is_of_this_release
from tracking.store import campaign_orders, compared_figures, order_list, report_progress
from tracking.store.campaign_orders import SummedOrder
from tracking.store.credit_figures import FOREVER
from tracking.store.engine.statement import Connection
from tracking.store.order_list import ListedOrder, OrderFilter, OrderPlace

# With more orders that are not summed up yet, all orders of the days are looked through.
_MOST_MARKS = 1_000
# So many orders of a campaign are read at once, and then ever more.
_AT_ONCE, _MOST_AT_ONCE = 100, 2_000


def orders_of_campaign(
    conn: Connection, wanted: OrderFilter, after: OrderPlace, most: int, forgotten: int
) -> list[ListedOrder]:
    """Returns the newest orders of a filter with a campaign behind a place in the list, up to
    `most`, exact to the newest order. Deliveries settled before the instant `forgotten` have been
    deleted."""
    if not _are_summed(conn):
        return order_list.page(conn, wanted, after, most, forgotten)
    found: list[ListedOrder] = []
    for times in _batches(campaign_orders.newest(conn, wanted, after)):
        rows = order_list.among(conn, wanted, after, times, forgotten)
        # One that was placed at another instant since comes with that one.
        found += [row for row in rows if row.placed_at in times[row.order_id]]
        if len(found) >= most:
            break
    return found[:most]


def _are_summed(conn: Connection) -> bool:
    progress = report_progress.of(conn, "comparison")
    if progress.through != FOREVER or not is_of_this_release(progress):
        return False
    return len(compared_figures.marks(conn, _MOST_MARKS + 1)) <= _MOST_MARKS


def _batches(orders: Iterator[SummedOrder]) -> Iterator[dict[str, set[int]]]:
    """Yields the ids of some orders at a time, each with its instants. Those of one second come
    together, as the number of its event decides which of them is the newest."""
    size = _AT_ONCE
    batch: dict[str, set[int]] = {}
    for _, group in groupby(orders, attrgetter("placed_at")):
        for order in group:
            batch.setdefault(order.order_id, set()).add(order.placed_at)
        if len(batch) >= size:
            yield batch
            batch, size = {}, min(2 * size, _MOST_AT_ONCE)
    if batch:
        yield batch
