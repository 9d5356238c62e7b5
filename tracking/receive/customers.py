"""Gathers what tells whether the buyer of an order is a new customer."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait

from tracking.domain.customer import HISTORY_SECONDS, CustomerFacts, customer_type_of, is_first_of
from tracking.store import Store, checkouts, customers
from tracking.store.engine.statement import Connection
from tracking.store.orders import OrderRow

logger = logging.getLogger(__name__)

# The identity keys that tell one customer. A phone may be several people's.
_CUSTOMER = ("id:", "em:")
_CHECKOUT = "ck:"
_HOUR = 3_600
# Where the store does not answer: how long an order waits for it, and the next ones do not ask.
_PATIENCE_SECONDS = 0.5
_ASKS_AGAIN_SECONDS = 60


def facts_of(
    conn: Connection, order_id: str, keys: Sequence[str], at: int, known: OrderRow | None = None
) -> CustomerFacts:
    """Returns the facts about an order placed at an instant (seconds UTC), without its own word.

    Args:
        conn: the connection.
        order_id: the order.
        keys: the identity keys of its buyer.
        at: when it was placed.
        known: its row, if it is on record: an earlier order may have been forgotten since.
    """
    told = (checkouts.of(conn, key) for key in keys if key.startswith(_CHECKOUT))
    return CustomerFacts(
        is_first=None if known is None else is_first_of(known.is_first),
        told_first=is_first_of(*(row.is_first for row in told if row is not None)),
        has_earlier=bool(known is not None and known.has_earlier)
        or _has_earlier(conn, order_id, keys, at),
        is_watched=customers.is_watched(conn, at - HISTORY_SECONDS),
    )


def with_customer(conn: Connection, row: OrderRow) -> OrderRow:
    """Returns the row of an order with the type of its customer by all that is known."""
    if not row.keys:
        # Whose order it was is not known any more.
        return row
    facts = facts_of(conn, row.id, row.keys, row.placed_at, row)
    return row._replace(has_earlier=int(facts.has_earlier), customer_type=customer_type_of(facts))


def later_orders(conn: Connection, row: OrderRow, reach: int, *, has_earlier: bool) -> list[str]:
    """Returns the orders that the buyer of an order placed after it, and of which an earlier one is
    known or not, sorted. Their visits began at most `reach` seconds before them."""
    return sorted(
        {
            order.id
            for key in _customer_keys(row.keys)
            for order in customers.later(
                conn, key, row.id, row.placed_at, reach, has_earlier=has_earlier
            )
            if key in order.links.split()
        }
    )


class Watch:
    """Knows since when every order of the shop is known, without asking the store each time."""

    def __init__(
        self, store: Store, clock: Callable[[], float], patience: float = _PATIENCE_SECONDS
    ) -> None:
        """Lets an order wait for the store for so many seconds of `patience`."""
        self._store = store
        self._clock = clock
        self._patience = patience
        self._watched_at: int | None = None
        self._unwatched_at = 0
        self._asked_at = 0.0
        self._stays = 0
        self._lock = threading.Lock()
        self._asked: Future[None] | None = None
        self._waits_until = 0.0

    def is_watched(self, at: int) -> bool:
        """Returns True if every order of the last HISTORY_SECONDS before an instant (seconds UTC)
        is known; a False may be up to an hour old, or for want of an answer."""
        if self._is_known(at):
            return True
        is_answered = abs(self._clock() - self._asked_at) < self._stays
        if is_answered and at < self._unwatched_at + _HOUR:
            return False
        asked, waits_until = self._ask(at)
        # An answer may be that to an order of another time.
        wait([asked], max(0, waits_until - time.monotonic()))
        return self._is_known(at)

    def _is_known(self, at: int) -> bool:
        return self._watched_at is not None and at >= self._watched_at

    def _ask(self, at: int) -> tuple[Future[None], float]:
        """Has a thread of its own ask the store; returns its end, and until when it is waited for.
        Orders that come at the same time wait for the same answer."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                self._waits_until = time.monotonic() + self._patience
                threading.Thread(target=self._answer, args=(self._asked, at), daemon=True).start()
            return self._asked, self._waits_until

    def _answer(self, asked: Future[None], at: int) -> None:
        is_watched, stays = False, _HOUR
        try:
            with self._store.read() as conn:
                is_watched = customers.is_watched(conn, at - HISTORY_SECONDS)
        except Exception as error:
            logger.debug("since when the shop is watched is not known: %s", error)
            stays = _ASKS_AGAIN_SECONDS
        if is_watched:
            self._watched_at = at
        else:
            self._unwatched_at, self._asked_at, self._stays = at, self._clock(), stays
        asked.set_result(None)


def _has_earlier(conn: Connection, order_id: str, keys: Iterable[str], at: int) -> bool:
    return any(
        key in order.links.split()
        for key in _customer_keys(keys)
        for order in customers.earlier(conn, key, order_id, at)
    )


def _customer_keys(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.startswith(_CUSTOMER)]
