"""Shopify's webhooks: the signature over the raw bytes first, then the topic's own handler."""

import logging
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import (
    BadRequest,
    Forbidden,
    RequestEntityTooLarge,
    Unauthorized,
    UnsupportedMediaType,
)

from tracking.store import StoreUnavailable
from tracking.tracker import Receipt, Tracker
from webhooks.signature import is_signed

logger = logging.getLogger(__name__)

MAX_BODY = 2 * 1024 * 1024

Handler = Callable[[Tracker, bytes, str], Receipt]

# Everything this service reacts to. The body decides what a handler changes; the topic only
# says what the body claims to be.
TOPICS: Mapping[str, Handler] = {
    "orders/create": Tracker.take_order,
    "orders/paid": Tracker.take_order,
    "orders/updated": Tracker.take_order,
    "orders/cancelled": Tracker.take_order,
    "refunds/create": Tracker.take_refund,
}


def shopify_webhooks(
    tracker: Tracker, secrets: Sequence[bytes], shops: Collection[str]
) -> Blueprint:
    """The webhook routes. With `shops` given, a webhook that names another one is refused."""
    routes = Blueprint("shopify", __name__, url_prefix="/webhooks")

    def receive(topic: str) -> Response:
        body = _raw_body()
        if not is_signed(body, request.headers.get("X-Shopify-Hmac-Sha256"), secrets):
            raise Unauthorized("The X-Shopify-Hmac-Sha256 header does not sign this body.")
        shop = request.headers.get("X-Shopify-Shop-Domain")
        if shops and shop is not None and shop.lower() not in shops:
            raise Forbidden("The webhook names a shop that SHOPIFY_STORE_URL does not.")
        return _answer(_taken(tracker, body, topic))

    for topic in TOPICS:
        routes.add_url_rule(
            f"/{topic}", "receive", receive, methods=["POST"], defaults={"topic": topic}
        )
    return routes


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


def _raw_body() -> bytes:
    """The bytes as they were sent, at most MAX_BODY of them, whatever the headers promise."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        # Inflating what a stranger sent is how 100 kB become 100 MB; Shopify sends it plain.
        raise UnsupportedMediaType("Content-Encoding is not accepted.")
    promised = request.content_length
    if promised is not None and promised > MAX_BODY:
        raise RequestEntityTooLarge(f"A webhook has at most {MAX_BODY} bytes.")
    stream = request.environ["wsgi.input"]
    if promised is None and not request.environ.get("wsgi.input_terminated"):
        return b""
    body: bytes = stream.read(MAX_BODY + 1 if promised is None else promised)
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge(f"A webhook has at most {MAX_BODY} bytes.")
    if promised is not None and len(body) < promised:
        raise BadRequest("The body is shorter than its Content-Length.")
    return body


def _answer(receipt: Receipt) -> Response:
    body = {"status": receipt.status, "order_id": receipt.order_id}
    return Response(msgspec.json.encode(body), content_type="application/json")
