"""Shopify's webhooks: the signature over the raw bytes first, then the topic's own handler."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import Forbidden, Unauthorized

from tracking import privacy
from tracking.store import StoreUnavailable
from tracking.tracker import Receipt, Tracker
from webhooks.bodies import raw_body
from webhooks.signature import is_signed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

MAX_BODY = 2 * 1024 * 1024
_JSON = "application/json"
_OTHER_SHOP = "The webhook names a shop that SHOPIFY_STORE_URL does not."

Handler = Callable[[Tracker, bytes, str], Receipt]

# Everything this service reacts to. The body decides what a handler changes; the topic only
# says what the body claims to be.
TOPICS: Mapping[str, Handler] = {
    "orders/create": Tracker.take_order,
    "orders/paid": Tracker.take_order,
    "orders/updated": Tracker.take_order,
    "orders/cancelled": Tracker.take_order,
    "refunds/create": Tracker.take_refund,
    "customers/data_request": privacy.take_data_request,
    "customers/redact": privacy.take_redact,
    "shop/redact": privacy.take_shop_redact,
    "app/uninstalled": privacy.take_uninstalled,
}
# Of these the body names the shop, and the body is what is signed.
_NAME_THE_SHOP = frozenset(
    {"customers/data_request", "customers/redact", "shop/redact", "app/uninstalled"}
)


class ShopifyWebhooks:
    """Takes webhooks in. With `shops` given, a webhook that names another one is refused."""

    def __init__(self, tracker: Tracker, secrets: Sequence[bytes], shops: Collection[str]) -> None:
        self._tracker = tracker
        self._secrets = secrets
        self._shops = shops

    def receive(self, environ: WSGIEnvironment, topic: str) -> bytes:
        """The answer to one webhook (JSON), once it is on disk.

        Raises:
            HTTPException: it is refused, and nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        body = raw_body(environ, MAX_BODY)
        if not is_signed(body, environ.get("HTTP_X_SHOPIFY_HMAC_SHA256"), self._secrets):
            raise Unauthorized("The X-Shopify-Hmac-Sha256 header does not sign this body.")
        shop = environ.get("HTTP_X_SHOPIFY_SHOP_DOMAIN")
        if self._shops and shop is not None and shop.lower() not in self._shops:
            raise Forbidden(_OTHER_SHOP)
        if self._shops and topic in _NAME_THE_SHOP:
            named = privacy.shop_named_in(body)
            if named and named not in self._shops:
                raise Forbidden(_OTHER_SHOP)
        return _answer(_taken(self._tracker, body, topic))

    def routes(self) -> Blueprint:
        """The webhooks as Flask knows them: their addresses and methods."""
        routes = Blueprint("shopify", __name__, url_prefix="/webhooks")

        def receive(topic: str) -> Response:
            return Response(self.receive(request.environ, topic), content_type=_JSON)

        for topic in TOPICS:
            routes.add_url_rule(
                f"/{topic}", "receive", receive, methods=["POST"], defaults={"topic": topic}
            )
        return routes

    def before(
        self, app: WSGIApplication, described: Callable[[Exception], Response]
    ) -> WSGIApplication:
        """The application with a way past it for webhooks, which need nothing of Flask.

        A third of a webhook's time would otherwise go into routing, contexts and sessions.
        """
        topics = {f"/webhooks/{topic}": topic for topic in TOPICS}

        def front(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            topic = topics.get(environ["PATH_INFO"])
            if topic is None or environ["REQUEST_METHOD"] != "POST":
                return app(environ, start_response)
            try:
                answer = self.receive(environ, topic)
            except Exception as error:
                return described(error)(environ, start_response)
            headers = [("Content-Type", _JSON), ("Content-Length", str(len(answer)))]
            start_response("200 OK", headers)
            return [answer]

        return front


def _taken(tracker: Tracker, body: bytes, topic: str) -> Receipt:
    try:
        return TOPICS[topic](tracker, body, topic)
    except StoreUnavailable:
        raise
    except Exception as error:
        # Whatever it is, the order must not be lost, nor cost the subscription by failing for
        # ever: it is kept, and replayed once the fault is mended.
        place = "".join(traceback.format_tb(error.__traceback__)[-1:]).split("\n")[0].strip()
        logger.error("%s set aside: %s %s", topic, type(error).__name__, place)
        return tracker.set_aside(body, topic, f"failed: {type(error).__name__}")


def _answer(receipt: Receipt) -> bytes:
    return msgspec.json.encode({"status": receipt.status, "order_id": receipt.order_id})
