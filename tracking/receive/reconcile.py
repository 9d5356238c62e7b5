"""Orders that Shopify has and we do not, or not in their newest state: taken in like webhooks."""

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
from tracking.destinations import Destination
from tracking.domain.conversion import event_id_of
from tracking.domain.identity import digest_in, identity_of
from tracking.domain.order import Address, Browser, Buyer, Order, version_prefix
from tracking.domain.session import hints_of_visit
from tracking.domain.shopify_order import NotAnOrder, order_of
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.tracker import Tracker
from tracking.store import orders, outbox
from tracking.store.orders import OrderRow

TOPIC = "reconcile"
# A webhook is usually there within seconds. An order that changed just now is left to its own,
# which tells more.
FRESH_SECONDS = 300
# Of older orders Shopify shows none to an app without the scope read_all_orders.
RECENT_DAYS = 60
_UNITS = {"d": 86_400, "h": 3_600, "m": 60}
_AGE = re.compile(r"([0-9]{1,5})([dhm])")
_ACCEPTED = "a time ago such as 2d, 36h or 90m, or a date such as 2026-11-20"
# Sorts before the digest of any body that Shopify signed, so that of the same state of an order a
# webhook's word counts more than this one.
_WEAKEST = "0" * 16

Lack = Literal["missing", "older"]


@dataclass(frozen=True, slots=True)
class OrderDifference:
    """An order that was missing here, or known in an older state only. `trouble` says why it
    still is, "" once it is not."""

    order_id: str
    name: str
    lack: Lack
    trouble: str = ""


@dataclass(slots=True)
class ReconcileCounts:
    """How many orders changed at Shopify, and how many of them were known here or too fresh."""

    found: int = 0
    known: int = 0
    fresh: int = 0


class _Known(msgspec.Struct, frozen=True):
    """The digests of a finished event that are kept nowhere else."""

    fn: list[str] = []
    ln: list[str] = []
    ct: list[str] = []
    st: list[str] = []
    zp: list[str] = []
    country: list[str] = []


class _Event(msgspec.Struct, frozen=True):
    user_data: _Known = _Known()


class Reconciler:
    """Compares one shop with the records here, and repairs them. Repeated, it changes nothing."""

    def __init__(self, tracker: Tracker, admin: ShopifyAdmin) -> None:
        self.counted = ReconcileCounts()
        self._tracker = tracker
        self._admin = admin
        self._seen: dict[str, str] = {}

    def findings(self, since: int, *, repairs: bool) -> Iterator[OrderDifference]:
        """Every order changed at or after an instant (seconds UTC) that is not known as it is.

        With `repairs` it is taken in first. Without, the trouble is that it was not.

        Raises:
            ShopifyError: Shopify did not tell of all orders; those before were handled.
            StoreUnavailable: the last one may not have been stored.
        """
        fresh_from = self._tracker.clock() - FRESH_SECONDS
        for head in self._admin.orders(since):
            state = version_prefix(head.updated_at, head.financial_status, head.is_cancelled)
            if self._seen.get(head.id) == state:
                continue
            self.counted.found += head.id not in self._seen
            self._seen[head.id] = state
            lack = self._lack(head, state)
            if lack is None:
                self.counted.known += 1
            elif head.updated_at > fresh_from:
                self.counted.fresh += 1
            else:
                yield self._repaired(head, state, lack) if repairs else _left(head, lack)

    def _lack(self, head: OrderSummary, state: str) -> Lack | None:
        known = self._known(head.id)
        if known is None:
            return "missing"
        return "older" if known.version[: len(state)] < state else None

    def _known(self, order_id: str) -> OrderRow | None:
        with self._tracker.store.read() as conn:
            return orders.of_id(conn, order_id)

    def _repaired(self, head: OrderSummary, state: str, lack: Lack) -> OrderDifference:
        finding = OrderDifference(head.id, head.name, lack)
        try:
            order = self._order(self._admin.order(head.gid), head)
        except (ShopifyError, NotAnOrder) as error:
            return replace(finding, trouble=str(error))
        self._tracker.record(order, TOPIC)
        if self._lack(head, state) is not None:
            return replace(finding, trouble="what Shopify tells of it is older than what it lists")
        return finding

    def _order(self, told: FetchedOrder, head: OrderSummary) -> Order:
        order = order_from(told)
        if order.id != head.id:
            raise ShopifyError("Shopify told of another order than was asked for")
        known = self._known(order.id)
        return order if known is None else self._completed(order, known)

    def _completed(self, order: Order, known: OrderRow) -> Order:
        """A newer state of a known order, with what its webhooks told and the API cannot."""
        buyer, browser = _with_digests(order.buyer, known.links.split()), order.browser
        # The address and the browser, only an event that still waits remembers.
        waiting = self._waiting(order.id)
        if waiting is not None:
            destination, event = waiting
            ip, user_agent = destination.browser_of(event)
            browser = Browser(browser.ip or ip, browser.user_agent or user_agent)
            buyer = _with_address(buyer, msgspec.json.decode(event, type=_Event).user_data)
        return msgspec.structs.replace(order, buyer=buyer, browser=browser)

    def _waiting(self, order_id: str) -> tuple[Destination, bytes] | None:
        with self._tracker.store.read() as conn:
            rows = outbox.of_event(conn, event_id_of(order_id))
        for row in rows:
            destination = self._tracker.planner.destinations.get(row.destination)
            if destination is not None and row.state in ("waiting", "held") and row.payload:
                return destination, row.payload
        return None


def order_from(told: FetchedOrder) -> Order:
    """An order as the Admin API tells it, decided like that of a webhook.

    Raises:
        NotAnOrder: what was told is none.
    """
    order = order_of(told.body)
    return msgspec.structs.replace(
        order,
        digest=_WEAKEST + order.digest[: -len(_WEAKEST)],
        session_hints=_reported_by(told.visits, order.placed_at),
    )


def since_of(text: str, now: int, zone: ZoneInfo) -> int:
    """The instant (seconds UTC) that a text names: so long ago, or the beginning of a shop day.

    Raises:
        ValidationError: it is neither, or lies ahead.
    """
    age = _AGE.fullmatch(text.strip())
    at = now - int(age[1]) * _UNITS[age[2]] if age else _beginning(text.strip(), zone)
    if at > now:
        raise ValidationError(FieldError("since", "lies ahead"))
    return at


def _beginning(text: str, zone: ZoneInfo) -> int:
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


def _left(head: OrderSummary, lack: Lack) -> OrderDifference:
    return OrderDifference(head.id, head.name, lack, "nothing was changed")


def _reported_by(
    visits: Sequence[Visit], placed_at: int
) -> tuple[tuple[str, str | int | bool, str], ...]:
    """What the newest visit before the order tells that came from somewhere."""
    for visit in visits:
        at = _seconds(visit.occurred_at)
        told = hints_of_visit(visit.landing_page or "", visit.referrer_url or "", visit.utm, at)
        if told and at is not None and at <= placed_at:
            return told
    return ()


def _seconds(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None


def _with_digests(buyer: Buyer, links: Sequence[str]) -> Buyer:
    """The buyer, with the digests that are known where the app may not see the words."""
    told = identity_of(buyer)
    known: dict[str, list[str]] = {"em": [], "ph": [], "id": []}
    for link in links:
        kind = link.partition(":")[0]
        if kind in known:
            known[kind].append(digest_in(link))
    return msgspec.structs.replace(
        buyer,
        emails=buyer.emails if told.em else tuple(known["em"]),
        phones=buyer.phones if told.ph else (*buyer.phones, *known["ph"]),
        customer_id=buyer.customer_id or next(iter(known["id"]), ""),
    )


def _with_address(buyer: Buyer, known: _Known) -> Buyer:
    """The buyer, with the digests of name and address that are known where the app may not see
    the words. A digest passes for the word it was made of."""
    told = identity_of(buyer)
    lacking = {
        word: digests[0]
        for field, word in _WORDS.items()
        if (digests := getattr(known, field)) and not getattr(told, field)
    }
    home, *others = buyer.addresses or (Address(),)
    home = msgspec.structs.replace(home, **lacking)
    return msgspec.structs.replace(buyer, addresses=(home, *others)) if lacking else buyer


# The words of an address by the field of their digest.
_WORDS = {
    "fn": "first_name",
    "ln": "last_name",
    "ct": "city",
    "st": "province_code",
    "zp": "zip",
    "country": "country_code",
}
