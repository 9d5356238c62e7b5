"""Shopify's Admin API of one shop: what it tells of orders, and the webhooks it is asked for."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from tracking.clients.http import DEADLINE_SECONDS, Http, HttpAnswer, safe_url
from tracking.clients.outcome import TryLater
from tracking.clients.responses import read, seconds_asked, words
from tracking.clients.shopify_orders import (
    GraphQLConnection,
    LineNode,
    OrderNode,
    RefundNode,
    Visit,
    body_of,
)
from tracking.clients.shopify_queries import ALL, API_VERSION

logger = logging.getLogger(__name__)

# How often a call is made before it counts as failed, and the longest wait in between (seconds).
MOST_TRIES = 6
LONGEST_PAUSE = 60.0
# A token is renewed this long before its end (seconds).
_SPARE = 60
# Most items of a page. Shopify refuses a query that may cost more than 1,000 points, and says
# only then what it costs: such a page is asked for again in halves.
MOST_ITEMS = {"orders": 100, "order": 25, "lines": 50, "refund": 25, "subscriptions": 50}
# A shorter secret is somebody's made-up one, and may be a part of the answer's own words.
_SECRET_LENGTH = 12
# What is worth having without the parts that the app may not see.
_PARTIAL = frozenset({"order", "lines"})
_OAUTH_ERROR = re.compile(rb"[Oo]auth error (\w{1,64})")
_OAUTH_HINTS = {
    "app_not_installed": "install the app on this shop",
    "application_cannot_be_found": "SHOPIFY_CLIENT_ID names no app",
    "invalid_client": "client id and secret do not belong together",
    "shop_not_permitted": "app and shop must belong to one organization",
}
_LOCKED_OUT = {
    402: "the shop is frozen",
    403: "the app may not do this",
    404: "there is no such shop",
    423: "the shop is locked",
}

_T = TypeVar("_T")


class ShopifyError(Exception):
    """Shopify did not do what it was asked. The message says why and holds no secret."""


class _Expired(Exception):
    """The access token is not accepted, or not any more."""


class _TooDear(Exception):
    """The query may cost more than Shopify allows a single one."""


class _RetryLater(Exception):
    """The next attempt may go better; after so many seconds, if Shopify named any."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self._seconds = seconds

    def wait(self, attempt: int) -> float:
        """The pause before the next attempt, in seconds."""
        asked = self._seconds if self._seconds is not None else float(2**attempt)
        return min(max(asked, 0.0), LONGEST_PAUSE)


class AdminSettings(Protocol):
    """What the Admin API needs of the settings. Empty text means: not configured."""

    @property
    def shopify_shops(self) -> frozenset[str]: ...
    @property
    def shopify_client_id(self) -> str: ...
    @property
    def shopify_client_secret(self) -> str: ...
    @property
    def shopify_admin_token(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ShopAccess:
    """One shop, the address its Admin API is at, and what opens it: a token, or else an app."""

    shop: str
    base: str
    token: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """What tells whether an order is known: its ids, its state, when that became so (seconds)."""

    gid: str
    id: str
    name: str
    updated_at: int
    is_cancelled: bool
    financial_status: str


@dataclass(frozen=True, slots=True)
class FetchedOrder:
    """An order whole: the body of a webhook about it, and its visits, the newest first."""

    body: bytes
    visits: Sequence[Visit]


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


class _OrdersAnswer(msgspec.Struct):
    orders: GraphQLConnection[_OrderSummaryNode]


class _OrderAnswer(msgspec.Struct):
    order: OrderNode | None = None


class _LineItemsAnswer(msgspec.Struct, rename="camel"):
    line_items: GraphQLConnection[LineNode]


class _MoreLines(msgspec.Struct):
    order: _LineItemsAnswer | None = None


class _RefundAnswer(msgspec.Struct):
    refund: RefundNode | None = None


class _Subscriptions(msgspec.Struct, rename="camel"):
    webhook_subscriptions: GraphQLConnection[Subscription]


class _UserError(msgspec.Struct):
    message: str
    field: list[str] | None = None


class _Done(msgspec.Struct, rename="camel"):
    user_errors: list[_UserError]


class _AccessToken(msgspec.Struct):
    access_token: str
    expires_in: int | None = None
    scope: str = ""


class _Throttle(msgspec.Struct, rename="camel"):
    currently_available: float
    restore_rate: float


class _QueryCost(msgspec.Struct, rename="camel"):
    requested_query_cost: float | None = None
    throttle_status: _Throttle | None = None


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


class _GraphQLAnswer(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: list[_GraphQLError] | str | None = None
    extensions: _Extensions | None = None


class ShopifyAdmin:
    """One shop that can be asked. Waits as long as Shopify's limits want, and no longer.

    `hidden` are the fields the app was not allowed to see so far.
    """

    def __init__(
        self,
        access: ShopAccess,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        """A whole call may take `deadline` seconds. Nothing is called yet.

        Raises:
            ValueError: the base address is none that may be called.
        """
        safe_url(access.base, "SHOPIFY_STORE_URL")
        self.shop = access.shop
        self.hidden: set[str] = set()
        self._access = access
        self._clock, self._pause = clock, pause
        self._token, self._token_ends = access.token, float("inf")
        self._http = Http(deadline)
        self._most = dict(MOST_ITEMS)
        self._costs: dict[str, float] = {}
        self._throttle: _Throttle | None = None
        self._throttle_at = 0.0
        self._told_version = False

    def __repr__(self) -> str:
        return f"<ShopifyAdmin {self.shop}>"

    def close(self) -> None:
        """Close the connections kept open for later calls."""
        self._http.close()

    def orders(self, since: int) -> Iterator[OrderSummary]:
        """Every order that changed at or after an instant (seconds UTC), the first change first.

        One that changes meanwhile is told again.

        Raises:
            ShopifyError: Shopify did not tell all of them.
        """
        instant = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = {"query": f"updated_at:>='{instant}'"}
        for page in self._pages("orders", asked, _OrdersAnswer, lambda told: told.orders):
            for one in page.nodes:
                yield OrderSummary(
                    one.id,
                    one.legacy_resource_id,
                    one.name,
                    int(one.updated_at.timestamp()),
                    one.cancelled_at is not None,
                    (one.display_financial_status or "").lower(),
                )

    def order(self, gid: str) -> FetchedOrder:
        """An order with all of its lines and refunds.

        Raises:
            ShopifyError: Shopify did not tell all of it.
        """
        order = self._asked("order", {"id": gid}, _OrderAnswer).order
        if order is None:
            raise ShopifyError("Shopify does not tell it: it is gone, or the app may not see it")
        lines, after = list(order.line_items.nodes), order.line_items.next
        while after:
            more = self._asked("lines", {"id": gid, "after": after}, _MoreLines).order
            if more is None:
                raise ShopifyError("Shopify told only a part of its lines")
            lines += more.line_items.nodes
            after = _onward(after, more.line_items.next)
        refunds = [self._refund(one.id) for one in order.refunds]
        return FetchedOrder(body_of(order, lines, refunds), order.visits)

    def subscriptions(self) -> list[Subscription]:
        """Every webhook subscription that this app made by the API.

        Raises:
            ShopifyError: Shopify did not tell all of them.
        """
        pages = self._pages("subscriptions", {}, _Subscriptions, lambda t: t.webhook_subscriptions)
        return [one for page in pages for one in page.nodes]

    def subscribe(self, topic: str, wanted: Mapping[str, Any]) -> None:
        """Make a subscription to a topic of Shopify's enumeration.

        Raises:
            ShopifyError: Shopify did not make it.
        """
        self._done("subscribe", {"topic": topic, "wanted": wanted})

    def resubscribe(self, id: str, wanted: Mapping[str, Any]) -> None:
        """Change a subscription.

        Raises:
            ShopifyError: Shopify did not change it.
        """
        self._done("resubscribe", {"id": id, "wanted": wanted})

    def _refund(self, gid: str) -> list[RefundNode]:
        pages: list[RefundNode] = []
        after = ""
        while not pages or after:
            asked = {"id": gid, "after": after or None}
            refund = self._asked("refund", asked, _RefundAnswer).refund
            if refund is None:
                raise ShopifyError("Shopify does not tell one of its refunds")
            short = (refund.refund_shipping_lines, refund.order_adjustments, refund.transactions)
            if any(connection.next for connection in short):
                raise ShopifyError("one of its refunds has more parts than are read")
            pages.append(refund)
            after = _onward(after, refund.refund_line_items.next)
        return pages

    def _pages(
        self,
        name: str,
        asked: Mapping[str, Any],
        kind: type[_T],
        page_of: Callable[[_T], GraphQLConnection[Any]],
    ) -> Iterator[GraphQLConnection[Any]]:
        after = ""
        while True:
            page = page_of(self._asked(name, {**asked, "after": after or None}, kind))
            yield page
            after = _onward(after, page.next)
            if not after:
                return

    def _done(self, name: str, variables: Mapping[str, Any]) -> None:
        told = self._asked(name, variables, dict[str, _Done | None])
        errors = [error for done in told.values() if done for error in done.user_errors]
        if errors:
            raise ShopifyError(words("; ".join(error.message for error in errors)))
        if None in told.values():
            raise ShopifyError("Shopify does not say what became of it")

    def _asked(self, name: str, variables: Mapping[str, Any], kind: type[_T]) -> _T:
        """The answer to one document, however often it has to be asked for."""
        reason, has_renewed = "", False
        for attempt in range(MOST_TRIES):
            paged = {"most": self._most[name]} if name in self._most else {}
            try:
                return self._asked_once(name, {**variables, **paged}, kind)
            except _Expired as trouble:
                reason = str(trouble)
                if has_renewed or self._access.token:
                    break
                self._token, has_renewed = "", True
            except _TooDear as trouble:
                if self._most.get(name, 1) == 1:
                    raise ShopifyError(str(trouble)) from None
                self._most[name] = max(1, self._most[name] // 2)
            except _RetryLater as trouble:
                reason = str(trouble)
                if attempt + 1 < MOST_TRIES:
                    self._pause(trouble.wait(attempt))
        raise ShopifyError(reason or "Shopify refuses every page size")

    def _asked_once(self, name: str, variables: Mapping[str, Any], kind: type[_T]) -> _T:
        token = self._current_token()
        self._heed_the_limit(name)
        answer = self._call(
            f"/admin/api/{API_VERSION}/graphql.json",
            {"X-Shopify-Access-Token": token, "Content-Type": "application/json"},
            msgspec.json.encode({"query": ALL[name], "variables": variables}),
        )
        if answer.status != 200:
            raise self._refusal(answer)
        self._note_version(answer)
        told = read(answer.body, _GraphQLAnswer)
        if told is None:
            raise _RetryLater("HTTP 200: the answer does not read as Shopify's")
        self._note_cost(name, told)
        self._raise_for(name, told)
        try:
            return msgspec.json.decode(told.data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ShopifyError(
                self._clean(f"Shopify's answer lacks what it promises: {error}")
            ) from None

    def _raise_for(self, name: str, told: _GraphQLAnswer) -> None:
        """Take note of what the app may not see of an order. Any other error ends the call."""
        if isinstance(told.errors, str):
            raise ShopifyError(self._clean(told.errors))
        for error in told.errors or ():
            if error.code == "THROTTLED":
                raise _RetryLater("Shopify's limit of queries is reached", self._missing_seconds())
            if error.code == "MAX_COST_EXCEEDED":
                raise _TooDear(self._clean(error.message))
            if error.code in ("INTERNAL_SERVER_ERROR", "TIMEOUT"):
                raise _RetryLater(self._clean(error.message or error.code))
            if error.code != "ACCESS_DENIED" or name not in _PARTIAL:
                raise ShopifyError(self._clean(error.message or error.code))
            # The numbers are places in lists.
            names = [part for part in error.path or () if isinstance(part, str)]
            self.hidden.add(".".join(names[1:] or names))

    def _heed_the_limit(self, name: str) -> None:
        """Wait until Shopify has room for what the same query cost last time."""
        throttle, cost = self._throttle, self._costs.get(name, 0.0)
        if throttle is None or throttle.restore_rate <= 0:
            return
        passed = max(0.0, self._clock() - self._throttle_at)
        room = throttle.currently_available + passed * throttle.restore_rate
        # A point to spare: Shopify's figures are rounded, and its clock is not ours.
        short = cost + 1 - room
        if short > 0:
            self._pause(min(short / throttle.restore_rate, LONGEST_PAUSE))

    def _missing_seconds(self) -> float | None:
        throttle = self._throttle
        if throttle is None or throttle.restore_rate <= 0:
            return None
        dearest = max(self._costs.values(), default=0.0)
        return max(1.0, (dearest - throttle.currently_available) / throttle.restore_rate)

    def _note_cost(self, name: str, told: _GraphQLAnswer) -> None:
        cost = told.extensions.cost if told.extensions else None
        if cost is None:
            return
        if cost.requested_query_cost is not None:
            self._costs[name] = cost.requested_query_cost
        self._throttle, self._throttle_at = cost.throttle_status, self._clock()

    def _note_version(self, answer: HttpAnswer) -> None:
        served = answer.headers.get("X-Shopify-API-Version", API_VERSION)
        if served != API_VERSION and not self._told_version:
            self._told_version = True
            logger.warning(
                "%s answers in version %s of its API instead of %s: this release is too old",
                *(self.shop, words(served)[:16], API_VERSION),
            )

    def _current_token(self) -> str:
        if not self._token or self._clock() >= self._token_ends:
            self._renew_token()
        return self._token

    def _renew_token(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._access.client_id,
            "client_secret": self._access.client_secret,
        }
        answer = self._call(
            "/admin/oauth/access_token",
            {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            urlencode(form).encode(),
        )
        if 400 <= answer.status < 500 and answer.status not in (408, 425, 429):
            raise ShopifyError(f"no access token: {self._oauth_reason(answer)}")
        if answer.status != 200:
            raise self._refusal(answer)
        told = read(answer.body, _AccessToken)
        if told is None or not re.fullmatch(r"[!-~]+", told.access_token):
            raise ShopifyError("no access token: the answer does not read as Shopify's")
        self._token = told.access_token
        lasts = told.expires_in if told.expires_in is not None else 86_400
        self._token_ends = self._clock() + max(0, lasts - _SPARE)

    def _oauth_reason(self, answer: HttpAnswer) -> str:
        """Shopify answers a page of HTML here, or JSON; either has the error's name in it."""
        found = _OAUTH_ERROR.search(answer.body)
        told = read(answer.body, dict[str, Any]) or {}
        name = found[1].decode() if found else str(told.get("error") or "no readable reason")
        hint = _OAUTH_HINTS.get(name)
        return self._clean(f"HTTP {answer.status}: {name}" + (f" ({hint})" if hint else ""))

    def _call(self, path: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        answer = self._http.call("POST", f"{self._access.base}{path}", headers, body)
        if isinstance(answer, TryLater):
            raise _RetryLater(answer.reason)
        return answer

    def _refusal(self, answer: HttpAnswer) -> Exception:
        told = read(answer.body, _GraphQLAnswer)
        said = told.errors if told and isinstance(told.errors, str) else ""
        reason = self._clean(": ".join(filter(None, (f"HTTP {answer.status}", said))))
        if answer.status == 401:
            return _Expired(f"{reason} (the credentials are not accepted)")
        if answer.status == 429 or answer.status >= 500 or answer.status in (408, 425):
            return _RetryLater(reason, seconds_asked(answer))
        hint = _LOCKED_OUT.get(answer.status)
        return ShopifyError(reason + (f" ({hint})" if hint else ""))

    def _clean(self, text: str) -> str:
        """Words of somebody else's without our secrets in them."""
        for secret in (self._token, self._access.token, self._access.client_secret):
            if len(secret) >= _SECRET_LENGTH:
                text = text.replace(secret, "(secret)")
        return words(text)


def accesses_of(settings: AdminSettings) -> tuple[ShopAccess, ...]:
    """What the settings say of each shop and of what opens it; nothing if something is missing."""
    if missing(settings):
        return ()
    return tuple(
        ShopAccess(
            shop,
            f"https://{shop}",
            settings.shopify_admin_token,
            settings.shopify_client_id,
            settings.shopify_client_secret,
        )
        for shop in sorted(settings.shopify_shops)
    )


def missing(settings: AdminSettings) -> str:
    """What has to be set before the Admin API can be asked, in words; "" if it can."""
    pair = {
        "SHOPIFY_CLIENT_ID": settings.shopify_client_id,
        "SHOPIFY_CLIENT_SECRET": settings.shopify_client_secret,
    }
    wanted = [] if settings.shopify_shops else ["SHOPIFY_STORE_URL"]
    if not settings.shopify_admin_token and not all(pair.values()):
        wanted += [name for name, value in pair.items() if not value]
    if wanted:
        return f"set {' and '.join(wanted)}"
    if settings.shopify_admin_token and len(settings.shopify_shops) > 1:
        return "SHOPIFY_ADMIN_TOKEN opens one shop, and SHOPIFY_STORE_URL names several"
    return ""


def _onward(before: str, after: str) -> str:
    """The next cursor.

    Raises:
        ShopifyError: it leads back to where it was.
    """
    if before and after == before:
        raise ShopifyError("Shopify's list leads back to where it was")
    return after
