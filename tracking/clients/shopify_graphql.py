"""GraphQL documents run at one Shopify shop, within its limit of query costs, with retries."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from tracking.clients.http import DEADLINE_SECONDS, HttpResponse
from tracking.clients.responses import decoded, sanitized
from tracking.clients.shopify_access import ShopAccess
from tracking.clients.shopify_http import (
    MAX_PAUSE,
    AccessTokenRefused,
    RetryableError,
    ShopifyError,
    ShopifyHttp,
)
from tracking.clients.shopify_queries import ALL, API_VERSION

logger = logging.getLogger(__name__)

# Attempts of a call before it counts as failed.
MAX_ATTEMPTS = 6
# Most items of a page. Shopify refuses a query that may cost more than 1,000 points, and states
# the cost only in that refusal: such a page is requested again with half the items.
PAGE_SIZES = {"orders": 100, "order": 15, "lines": 40, "refund": 25, "subscriptions": 50}
# Documents whose data is useful without the fields that the app may not see.
_PARTIAL = frozenset({"order", "lines"})

_T = TypeVar("_T")


class _QueryTooExpensive(Exception):
    """The query may cost more than Shopify allows a single one."""


class _ThrottleStatus(msgspec.Struct, rename="camel"):
    currently_available: float
    restore_rate: float


class _QueryCost(msgspec.Struct, rename="camel"):
    requested_query_cost: float | None = None
    throttle_status: _ThrottleStatus | None = None


class _Extensions(msgspec.Struct):
    cost: _QueryCost | None = None


class _ErrorCode(msgspec.Struct):
    code: str | None = None


class _GraphQLError(msgspec.Struct):
    message: str = ""
    path: list[str | int] | None = None
    extensions: _ErrorCode | None = None

    @property
    def code(self) -> str:
        return (self.extensions.code if self.extensions else None) or ""


class _GraphQLResult(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: list[_GraphQLError] | str | None = None
    extensions: _Extensions | None = None


class QueryBudget:
    """The cost points a shop has left for queries, which Shopify restores at a steady rate."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._costs: dict[str, float] = {}
        self._status: _ThrottleStatus | None = None
        self._status_at = 0.0

    def record(self, name: str, cost: _QueryCost) -> None:
        """Stores the cost of a query and the points left after it, as its response states them."""
        if cost.requested_query_cost is not None:
            self._costs[name] = cost.requested_query_cost
        self._status, self._status_at = cost.throttle_status, self._clock()

    def wait_for(self, name: str) -> float:
        """Seconds until the points suffice for the cost of the last query of this name."""
        status, cost = self._status, self._costs.get(name, 0.0)
        if status is None or status.restore_rate <= 0:
            return 0.0
        elapsed = max(0.0, self._clock() - self._status_at)
        available = status.currently_available + elapsed * status.restore_rate
        # A point to spare: Shopify's figures are rounded, and its clock is not ours.
        missing = cost + 1 - available
        return min(max(missing, 0.0) / status.restore_rate, MAX_PAUSE)

    def wait_for_dearest(self) -> float | None:
        """Seconds until the points suffice for any query so far; None if the rate is not known."""
        status = self._status
        if status is None or status.restore_rate <= 0:
            return None
        dearest = max(self._costs.values(), default=0.0)
        return max(1.0, (dearest - status.currently_available) / status.restore_rate)


class ShopifyGraphQL:
    """Runs the documents of shopify_queries at one shop.

    `hidden` are the fields that the app was not allowed to see so far.
    """

    def __init__(
        self,
        access: ShopAccess,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
        deadline: float = DEADLINE_SECONDS,
        attempts: int = MAX_ATTEMPTS,
    ) -> None:
        """Sets up calls that take at most `deadline` seconds each; nothing is called yet.

        Raises:
            ValueError: the shop's address may not be called.
        """
        self.hidden: set[str] = set()
        self._shop = access.shop
        self._pause = pause
        self._attempts = attempts
        self._http = ShopifyHttp(access, clock, deadline)
        self._budget = QueryBudget(clock)
        self._page_sizes = dict(PAGE_SIZES)
        self._has_logged_version = False

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._http.close()

    def execute(self, name: str, variables: Mapping[str, Any], kind: type[_T]) -> _T:
        """The data of one document's response, after as many attempts as it takes.

        Raises:
            ShopifyError: Shopify refused the document, or every attempt failed.
        """
        reason, has_renewed = "", False
        for attempt in range(self._attempts):
            paged = {"first": self._page_sizes[name]} if name in self._page_sizes else {}
            try:
                return self._execute_once(name, {**variables, **paged}, kind)
            except AccessTokenRefused as error:
                reason = str(error)
                if has_renewed or not self._http.can_renew:
                    break
                self._http.discard_token()
                has_renewed = True
            except _QueryTooExpensive as error:
                self._halve_page(name, str(error))
            except RetryableError as error:
                reason = str(error)
                if attempt + 1 < self._attempts:
                    self._pause(error.pause(attempt))
        raise ShopifyError(reason or "Shopify refuses every page size")

    def _halve_page(self, name: str, reason: str) -> None:
        if self._page_sizes.get(name, 1) == 1:
            raise ShopifyError(reason)
        self._page_sizes[name] = max(1, self._page_sizes[name] // 2)

    def _execute_once(self, name: str, variables: Mapping[str, Any], kind: type[_T]) -> _T:
        seconds = self._budget.wait_for(name)
        if seconds > 0:
            self._pause(seconds)
        response = self._http.post(
            f"/admin/api/{API_VERSION}/graphql.json",
            msgspec.json.encode({"query": ALL[name], "variables": variables}),
        )
        self._check_version(response)
        result = decoded(response.body, _GraphQLResult)
        if result is None:
            raise RetryableError("HTTP 200: the answer does not read as Shopify's")
        if result.extensions and result.extensions.cost:
            self._budget.record(name, result.extensions.cost)
        self._raise_errors(name, result)
        try:
            return msgspec.json.decode(result.data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ShopifyError(
                self._http.redacted(f"Shopify's answer lacks what it promises: {error}")
            ) from None

    def _raise_errors(self, name: str, result: _GraphQLResult) -> None:
        """Raises the first error, except for fields of an order that the app may not see."""
        if isinstance(result.errors, str):
            raise ShopifyError(self._http.redacted(result.errors))
        for error in result.errors or ():
            if error.code != "ACCESS_DENIED" or name not in _PARTIAL:
                raise self._exception_of(error)
            # The numbers are places in lists.
            fields = [part for part in error.path or () if isinstance(part, str)]
            self.hidden.add(".".join(fields[1:] or fields))

    def _exception_of(self, error: _GraphQLError) -> Exception:
        message = self._http.redacted(error.message or error.code)
        match error.code:
            case "THROTTLED":
                wait = self._budget.wait_for_dearest()
                return RetryableError("Shopify's limit of queries is reached", wait)
            case "MAX_COST_EXCEEDED":
                return _QueryTooExpensive(self._http.redacted(error.message))
            case "INTERNAL_SERVER_ERROR" | "TIMEOUT":
                return RetryableError(message)
            case _:
                return ShopifyError(message)

    def _check_version(self, response: HttpResponse) -> None:
        served = response.headers.get("X-Shopify-API-Version", API_VERSION)
        if served != API_VERSION and not self._has_logged_version:
            self._has_logged_version = True
            logger.warning(
                "%s answers in version %s of its API instead of %s: this release is too old",
                *(self._shop, sanitized(served)[:16], API_VERSION),
            )
