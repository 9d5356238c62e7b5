"""Shopify's Admin API of one shop: its orders, and the app's webhook subscriptions."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from tracking.clients.http import DEADLINE_SECONDS
from tracking.clients.responses import sanitized
from tracking.clients.shopify_access import ShopAccess
from tracking.clients.shopify_graphql import MAX_ATTEMPTS, ShopifyGraphQL
from tracking.clients.shopify_http import ShopifyError
from tracking.clients.shopify_orders import (
    GraphQLConnection,
    LineNode,
    OrderNode,
    RefundNode,
    Visit,
    body_of,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """The ids and the state of an order, and when it came into that state (seconds UTC)."""

    gid: str
    id: str
    name: str
    updated_at: int
    is_cancelled: bool
    financial_status: str


@dataclass(frozen=True, slots=True)
class FetchedOrder:
    """A complete order: the body of a webhook about it, its visits, newest first, and whether it is
    the first of its customer."""

    body: bytes
    visits: Sequence[Visit]
    is_first: bool | None = None


class Subscription(msgspec.Struct, rename="camel", frozen=True):
    """A webhook subscription that this app made by the API."""

    id: str
    topic: str
    uri: str
    format: str
    name: str | None = None
    filter: str | None = None
    include_fields: list[str] = []


class _OrderSummaryNode(msgspec.Struct, rename="camel"):
    id: str
    legacy_resource_id: str
    name: str
    updated_at: datetime
    cancelled_at: str | None = None
    display_financial_status: str | None = None


class _OrdersData(msgspec.Struct):
    orders: GraphQLConnection[_OrderSummaryNode]


class _OrderData(msgspec.Struct):
    order: OrderNode | None = None


class _OrderLines(msgspec.Struct, rename="camel"):
    line_items: GraphQLConnection[LineNode]


class _LinesData(msgspec.Struct):
    order: _OrderLines | None = None


class _RefundData(msgspec.Struct):
    refund: RefundNode | None = None


class _SubscriptionsData(msgspec.Struct, rename="camel"):
    webhook_subscriptions: GraphQLConnection[Subscription]


class _UserError(msgspec.Struct):
    message: str
    field: list[str] | None = None


class _MutationPayload(msgspec.Struct, rename="camel"):
    user_errors: list[_UserError]


class ShopifyAdmin:
    """Reads orders and manages webhook subscriptions of one shop."""

    def __init__(
        self,
        access: ShopAccess,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
        deadline: float = DEADLINE_SECONDS,
        attempts: int = MAX_ATTEMPTS,
    ) -> None:
        """Sets up calls of at most `attempts` times `deadline` seconds; nothing is called yet.

        Raises:
            ValueError: the shop's address may not be called.
        """
        self.shop = access.shop
        self._graphql = ShopifyGraphQL(access, clock, pause, deadline, attempts)

    def __repr__(self) -> str:
        return f"<ShopifyAdmin {self.shop}>"

    @property
    def hidden(self) -> set[str]:
        """The fields that the app was not allowed to see so far."""
        return self._graphql.hidden

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._graphql.close()

    def orders(self, since: int) -> Iterator[OrderSummary]:
        """Iterates over the orders changed at or after an instant (seconds UTC), oldest change
        first.

        An order that changes during the iteration may come twice.

        Raises:
            ShopifyError: not every order could be read.
        """
        instant = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {"query": f"updated_at:>='{instant}'"}
        for page in self._pages("orders", query, _OrdersData, lambda data: data.orders):
            for node in page.nodes:
                yield OrderSummary(
                    node.id,
                    node.legacy_resource_id,
                    node.name,
                    int(node.updated_at.timestamp()),
                    node.cancelled_at is not None,
                    (node.display_financial_status or "").lower(),
                )

    def order(self, gid: str) -> FetchedOrder:
        """An order with all of its lines and refunds.

        Raises:
            ShopifyError: not all of it could be read.
        """
        order = self._graphql.execute("order", {"id": gid}, _OrderData).order
        if order is None:
            raise ShopifyError("Shopify does not tell it: it is gone, or the app may not see it")
        if order.shipping_lines.next:
            raise ShopifyError("it has more shipping lines than are read")
        refunds = [self._refund(refund.id) for refund in order.refunds]
        body = body_of(order, self._lines(gid, order), refunds)
        return FetchedOrder(body, order.visits, order.is_first)

    def subscriptions(self) -> list[Subscription]:
        """All webhook subscriptions that this app made by the API.

        Raises:
            ShopifyError: not all of them could be read.
        """
        pages = self._pages(
            "subscriptions", {}, _SubscriptionsData, lambda data: data.webhook_subscriptions
        )
        return [subscription for page in pages for subscription in page.nodes]

    def create_subscription(self, topic: str, fields: Mapping[str, Any]) -> None:
        """Subscribes to a topic of Shopify's enumeration.

        Raises:
            ShopifyError: the subscription was not made.
        """
        self._mutate("subscribe", {"topic": topic, "subscription": fields})

    def update_subscription(self, id: str, fields: Mapping[str, Any]) -> None:
        """Changes fields of a subscription.

        Raises:
            ShopifyError: the subscription was not changed.
        """
        self._mutate("resubscribe", {"id": id, "subscription": fields})

    def _lines(self, gid: str, order: OrderNode) -> list[LineNode]:
        lines, after = list(order.line_items.nodes), order.line_items.next
        while after:
            more = self._graphql.execute("lines", {"id": gid, "after": after}, _LinesData).order
            if more is None:
                raise ShopifyError("Shopify told only a part of its lines")
            lines += more.line_items.nodes
            after = _next_cursor(after, more.line_items.next)
        return lines

    def _refund(self, gid: str) -> list[RefundNode]:
        pages: list[RefundNode] = []
        after = ""
        while not pages or after:
            variables = {"id": gid, "after": after or None}
            refund = self._graphql.execute("refund", variables, _RefundData).refund
            if refund is None:
                raise ShopifyError("Shopify does not tell one of its refunds")
            short = (refund.refund_shipping_lines, refund.order_adjustments, refund.transactions)
            if any(connection.next for connection in short):
                raise ShopifyError("one of its refunds has more parts than are read")
            pages.append(refund)
            after = _next_cursor(after, refund.refund_line_items.next)
        return pages

    def _pages(
        self,
        name: str,
        variables: Mapping[str, Any],
        kind: type[_T],
        page_of: Callable[[_T], GraphQLConnection[Any]],
    ) -> Iterator[GraphQLConnection[Any]]:
        after = ""
        while True:
            data = self._graphql.execute(name, {**variables, "after": after or None}, kind)
            page = page_of(data)
            yield page
            after = _next_cursor(after, page.next)
            if not after:
                return

    def _mutate(self, name: str, variables: Mapping[str, Any]) -> None:
        payloads = self._graphql.execute(name, variables, dict[str, _MutationPayload | None])
        errors = [
            error for payload in payloads.values() if payload for error in payload.user_errors
        ]
        if errors:
            raise ShopifyError(sanitized("; ".join(error.message for error in errors)))
        if None in payloads.values():
            raise ShopifyError("Shopify does not say what became of it")


def _next_cursor(before: str, after: str) -> str:
    """The next cursor.

    Raises:
        ShopifyError: it leads back to where it was.
    """
    if before and after == before:
        raise ShopifyError("Shopify's list leads back to where it was")
    return after
