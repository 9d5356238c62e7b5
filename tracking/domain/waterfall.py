"""Explains why Pinterest counts other orders than those that it is credited with here.

The difference is Pinterest's figure less ours. It falls apart into named parts, from the days on
which both sides count to what nothing explains; the parts sum to it exactly. Shares are millionths
of an order, amounts are minor units of one currency.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from tracking.domain.attribution import WHOLE_ORDER

Outcome = Literal["sent", "not_sent", "undelivered", "uncounted"]
PartName = Literal[
    "days",
    "not_sent",
    "undelivered",
    "refunded_since",
    "value_sent",
    "views",
    "not_explained",
]
Basis = Literal["orders", "pinterest", "rest"]

# The parts in their order, and by what each is known.
PARTS: Mapping[PartName, Basis] = {
    "days": "orders",
    "not_sent": "orders",
    "undelivered": "orders",
    "refunded_since": "orders",
    "value_sent": "orders",
    "views": "pinterest",
    "not_explained": "rest",
}
_OF_ORDERS = tuple(name for name, basis in PARTS.items() if basis == "orders")
MOST_ORDER_IDS = 20
# The part that the money of a share belongs to, if Pinterest was told another value than counts.
MoneyPart = Literal["", "refunded_since", "value_sent"]


class ShareKind(NamedTuple):
    """A kind of shares that go into the same parts.

    The events of their orders were `sent` or not, for a `reason`. An `uncounted` order was sent and
    deleted since, so that it counts here no more. Where Pinterest was told another value than
    counts now, `money` is the part that this is in.
    """

    outcome: Outcome
    reason: str
    is_view: bool
    money: MoneyPart

    def text(self) -> str:
        """Returns the kind as text."""
        return f"{self.outcome} {self.reason} {self.is_view:d} {self.money}"


@lru_cache(maxsize=1024)
def kind_of(text: str) -> ShareKind:
    """Returns the kind that a text tells."""
    outcome, reason, is_view, money = text.split(" ")
    return ShareKind(outcome, reason, is_view == "1", money)  # type: ignore[arg-type]


def money_part(net: int, value: int, *, is_taken_back: bool) -> MoneyPart:
    """Returns the part of a sent share's money, of an order of which something was given back or
    not. Pinterest takes nothing back, so it has what was given back since."""
    if value == net:
        return ""
    return "refunded_since" if is_taken_back and value > net else "value_sent"


class ComparedShare(NamedTuple):
    """Shares that Pinterest is credited with here.

    They count on a shop day here and on a UTC day at Pinterest (ordinals). `net` is the revenue
    that counts now, `value` what Pinterest was told, if the event was sent.
    """

    utc_day: int
    shop_day: int
    kind: ShareKind
    share: int
    net: int
    value: int
    order_ids: tuple[str, ...] = ()


class PinterestSums(NamedTuple):
    """Pinterest's own figures: whole orders, and values in minor units."""

    orders: int = 0
    value: int = 0
    click_orders: int = 0
    click_value: int = 0
    view_orders: int = 0
    view_value: int = 0
    web_orders: int = 0
    offline_orders: int = 0


class Amount(NamedTuple):
    """A part of orders (millionths) and of money (minor units)."""

    share: int = 0
    value: int = 0


_NOTHING = Amount()


@dataclass(slots=True)
class Part:
    """A named part of the difference, with some of the orders that it is made of.

    `reasons` are its own parts, by the reason why an event was not sent or delivered.
    """

    name: PartName
    share: int = 0
    value: int = 0
    reasons: dict[str, Amount] = field(default_factory=dict)
    order_ids: dict[str, None] = field(default_factory=dict)

    def add(self, share: int, value: int, order_ids: Iterable[str], reason: str = "") -> None:
        """Adds shares and money of these orders; of no use if both are nothing."""
        if not (share or value):
            return
        self.share += share
        self.value += value
        if reason:
            known = self.reasons.get(reason, _NOTHING)
            self.reasons[reason] = Amount(known.share + share, known.value + value)
        if len(self.order_ids) < MOST_ORDER_IDS:
            self._name(order_ids)

    def merge(self, other: "Part", unnamed: Set[str]) -> None:
        """Adds another part of this name, of which some orders are not to be named."""
        self.share += other.share
        self.value += other.value
        for reason, amount in other.reasons.items():
            known = self.reasons.get(reason, _NOTHING)
            self.reasons[reason] = Amount(known.share + amount.share, known.value + amount.value)
        if not (self.order_ids or unnamed):
            self.order_ids = other.order_ids.copy()
        elif len(self.order_ids) < MOST_ORDER_IDS:
            self._name(id for id in other.order_ids if id not in unnamed)

    def _name(self, order_ids: Iterable[str]) -> None:
        for order_id in order_ids:
            self.order_ids[order_id] = None
            if len(self.order_ids) == MOST_ORDER_IDS:
                break


@dataclass(slots=True)
class Waterfall:
    """The difference of one line of the report, built up share by share.

    Each share goes into the first part that holds for it.
    """

    # In single numbers: a line adds up thousands of shares.
    _credited_share: int = 0
    _credited_net: int = 0
    _views_share: int = 0
    _views_value: int = 0
    _parts: dict[PartName, Part] = field(default_factory=dict)

    @property
    def credited(self) -> Amount:
        """The orders and the revenue that are credited to Pinterest here."""
        return Amount(self._credited_share, self._credited_net)

    def add(self, found: ComparedShare, *, in_utc: bool, in_shop: bool) -> None:
        """Adds a share that counts in the UTC days of this line, in its shop days, or in both."""
        if found.kind.outcome == "uncounted":
            if in_utc:
                self._add_sent(found)
            return
        if in_shop:
            self._credited_share += found.share
            self._credited_net += found.net
        if in_utc != in_shop:
            sign = 1 if in_utc else -1
            self._put("days", found, sign * found.share, sign * found.net)
        if in_utc:
            self._add_outcome(found)

    def merge(self, other: "Waterfall", unnamed: Set[str] = frozenset()) -> None:
        """Adds the shares of another one, of which some orders are not to be named."""
        self._credited_share += other._credited_share
        self._credited_net += other._credited_net
        self._views_share += other._views_share
        self._views_value += other._views_value
        for name, part in other._parts.items():
            self._part(name).merge(part, unnamed)

    def parts(self, pinterest: PinterestSums) -> tuple[Part, ...]:
        """Returns the parts of the difference; they sum to `difference` exactly."""
        found = [self._parts.get(name) or Part(name) for name in _OF_ORDERS]
        views_share = pinterest.view_orders * WHOLE_ORDER - self._views_share
        views_value = pinterest.view_value - self._views_value
        share, value = self.difference(pinterest)
        for part in self._parts.values():
            share -= part.share
            value -= part.value
        found.append(Part("views", views_share, views_value))
        found.append(Part("not_explained", share - views_share, value - views_value))
        return tuple(found)

    def difference(self, pinterest: PinterestSums) -> Amount:
        """Returns what Pinterest counts more than is credited to it here."""
        return Amount(
            pinterest.orders * WHOLE_ORDER - self._credited_share,
            pinterest.value - self._credited_net,
        )

    def _add_outcome(self, found: ComparedShare) -> None:
        outcome = found.kind.outcome
        if outcome == "not_sent" or outcome == "undelivered":
            self._put(outcome, found, -found.share, -found.net, found.kind.reason)
        else:
            self._add_sent(found)

    def _add_sent(self, found: ComparedShare) -> None:
        if found.kind.outcome == "uncounted":
            self._put("refunded_since", found, found.share, found.value)
        elif found.kind.money:
            self._put(found.kind.money, found, 0, found.value - found.net)
        if found.kind.is_view:
            self._views_share += found.share
            self._views_value += found.value

    def _put(
        self, name: PartName, found: ComparedShare, share: int, value: int, reason: str = ""
    ) -> None:
        self._part(name).add(share, value, found.order_ids, reason)

    def _part(self, name: PartName) -> Part:
        part = self._parts.get(name)
        if part is None:
            part = self._parts[name] = Part(name)
        return part
