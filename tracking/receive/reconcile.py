"""Reconciliation: records orders of Shopify that are missing here or stored in an older state."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from tracking.clients.shopify_admin import FetchedOrder, OrderSummary, ShopifyAdmin
from tracking.clients.shopify_http import ShopifyError
from tracking.clients.shopify_orders import Visit
from tracking.domain.conversion import MAX_EVENT_AGE
from tracking.domain.order import Order, version_prefix
from tracking.domain.session_reader import hints_of_visit
from tracking.domain.shopify_body import NotAnOrder
from tracking.domain.shopify_order import order_of
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.tracker import Tracker
from tracking.store import orders
from tracking.store.orders import OrderRow

TOPIC = "reconcile"
# A webhook usually arrives within seconds. An order that changed just now is left to its webhook,
# which has more fields.
FRESH_SECONDS = 300
# Shopify lists no older orders to an app without the scope read_all_orders.
RECENT_DAYS = 60
_UNITS = {"d": 86_400, "h": 3_600, "m": 60}
_AGE = re.compile(r"([0-9]{1,5})([dhm])")
_ACCEPTED = "a time ago such as 2d, 36h or 90m, or a date such as 2026-11-20"
# Sorts before the digest of any body that Shopify signed, so that a webhook about the same state
# of an order takes precedence over the reconciled order.
_LOWEST_DIGEST = "0" * 16

# Unsent: only a setting held its event back, and does not now.
DifferenceKind = Literal["missing", "older", "unsent"]


@dataclass(frozen=True, slots=True)
class OrderDifference:
    """An order that is missing here, stored in an older state, or held back by a setting.

    `error` says why that is still so, "" if it was repaired.
    """

    order_id: str
    name: str
    kind: DifferenceKind
    error: str = ""


@dataclass(slots=True)
class ReconcileCounts:
    """Orders changed at Shopify, and how many of them were stored already or are too fresh."""

    found: int = 0
    known: int = 0
    fresh: int = 0


class Reconciler:
    """Compares the orders of one shop with the store, and repairs the store. It is idempotent."""

    def __init__(self, tracker: Tracker, admin: ShopifyAdmin) -> None:
        self.counts = ReconcileCounts()
        self._tracker = tracker
        self._admin = admin
        self._states: dict[str, str] = {}

    def differences(self, since: int, *, repairs: bool) -> Iterator[OrderDifference]:
        """Iterates over the orders changed at or after an instant (seconds UTC) that differ here.

        With `repairs` each order is recorded before it is yielded, without it nothing is changed.

        Raises:
            ShopifyError: not every order could be read; those before were handled.
            StoreUnavailable: the last order may not have been stored.
        """
        fresh_from = self._tracker.clock() - FRESH_SECONDS
        for summary in self._admin.orders(since):
            state = version_prefix(
                summary.updated_at, summary.financial_status, summary.is_cancelled
            )
            if self._states.get(summary.id) == state:
                continue
            self.counts.found += summary.id not in self._states
            self._states[summary.id] = state
            kind = self._difference(summary, state)
            if kind is None:
                self.counts.known += 1
            elif summary.updated_at > fresh_from:
                self.counts.fresh += 1
            else:
                yield self._repair(summary, state, kind) if repairs else _unchanged(summary, kind)

    def _difference(self, summary: OrderSummary, state: str) -> DifferenceKind | None:
        known = self._known(summary.id)
        if known is None:
            return "missing"
        if known.version[: len(state)] < state:
            return "older"
        is_recent = known.placed_at >= self._tracker.clock() - MAX_EVENT_AGE
        return "unsent" if is_recent and self._tracker.is_lifted(known.id) else None

    def _known(self, order_id: str) -> OrderRow | None:
        with self._tracker.store.read() as conn:
            return orders.of_id(conn, order_id)

    def _repair(self, summary: OrderSummary, state: str, kind: DifferenceKind) -> OrderDifference:
        difference = OrderDifference(summary.id, summary.name, kind)
        try:
            order = self._order(self._admin.order(summary.gid), summary)
        except (ShopifyError, NotAnOrder) as error:
            return replace(difference, error=str(error))
        if kind == "unsent":
            self._tracker.resend(order)
            return difference
        self._tracker.record(order, TOPIC)
        if self._difference(summary, state) is not None:
            return replace(difference, error="what Shopify tells of it is older than what it lists")
        return difference

    def _order(self, fetched: FetchedOrder, summary: OrderSummary) -> Order:
        order = order_from(fetched)
        if order.id != summary.id:
            raise ShopifyError("Shopify told of another order than was asked for")
        return order


def order_from(fetched: FetchedOrder) -> Order:
    """The order of the Admin API, parsed like that of a webhook.

    Raises:
        NotAnOrder: the body is not an order.
    """
    order = order_of(fetched.body)
    return msgspec.structs.replace(
        order,
        digest=_LOWEST_DIGEST + order.digest[: -len(_LOWEST_DIGEST)],
        session_hints=_last_journey(fetched.visits, order.placed_at),
        is_first=fetched.is_first,
    )


def since_of(text: str, now: int, zone: ZoneInfo) -> int:
    """The instant (seconds UTC) of a text: an age such as 36h, or the beginning of a shop day.

    Raises:
        ValidationError: the text is neither, or lies in the future.
    """
    age = _AGE.fullmatch(text.strip())
    at = now - int(age[1]) * _UNITS[age[2]] if age else _start_of(text.strip(), zone)
    if at > now:
        raise ValidationError(FieldError("since", "lies ahead"))
    return at


def _start_of(text: str, zone: ZoneInfo) -> int:
    try:
        if len(text) == len("2026-11-20"):
            moment = datetime.combine(date.fromisoformat(text), time(), zone)
        else:
            moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return max(0, int(moment.astimezone(UTC).timestamp()))
    except (ValueError, OverflowError):
        raise ValidationError(
            FieldError("since", f"not understood; accepted: {_ACCEPTED}")
        ) from None


def _unchanged(summary: OrderSummary, kind: DifferenceKind) -> OrderDifference:
    return OrderDifference(summary.id, summary.name, kind, "nothing was changed")


def _last_journey(
    visits: Sequence[Visit], placed_at: int
) -> tuple[tuple[str, str | int | bool, str], ...]:
    """The journey fields of the newest visit before the order that has a source."""
    for visit in visits:
        at = _seconds(visit.occurred_at)
        journey = hints_of_visit(visit.landing_page or "", visit.referrer_url or "", visit.utm, at)
        if journey and at is not None and at <= placed_at:
            return journey
    return ()


def _seconds(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None
