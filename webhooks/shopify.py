"""Shopify's webhooks: the signature over the raw bytes first, then the topic's own handler."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import Forbidden, Unauthorized

from server.deferred import ANSWER_DEFERRED, DEFERRED
from server.request_body import raw_body
from server.security_headers import hardened
from tracking.receive.privacy.requests import PrivacyRequests, shop_named_in
from tracking.receive.receipt import Receipt
from tracking.receive.tracker import Tracker
from tracking.store import StoreUnavailable
from webhooks.signature import is_signed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from server.deferred import AnswerLater

logger = logging.getLogger(__name__)

MAX_BODY = 2 * 1024 * 1024
_JSON = "application/json"
_OTHER_SHOP = "The webhook names a shop that SHOPIFY_STORE_URL does not."


class Receivers(NamedTuple):
    """What the handlers of the topics hand their bodies to."""

    tracker: Tracker
    privacy: PrivacyRequests


Handler = Callable[[Receivers, bytes, str], Receipt]


def _order(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.tracker.receive_order(body, topic)


def _order_deferred(receivers: Receivers, body: bytes, topic: str) -> Future[Receipt]:
    return receivers.tracker.receive_order_deferred(body, topic)


def _refund(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.tracker.receive_refund(body, topic)


def _data_request(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.privacy.data_request(body, topic)


def _redact(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.privacy.redact(body, topic)


def _shop_redact(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.privacy.shop_redact(body, topic)


def _uninstalled(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.privacy.uninstalled(body, topic)


# Everything this service reacts to. The body decides what a handler changes; the topic only
# says what the body claims to be.
TOPICS: Mapping[str, Handler] = {
    "orders/create": _order,
    "orders/paid": _order,
    "orders/updated": _order,
    "orders/cancelled": _order,
    "refunds/create": _refund,
    "customers/data_request": _data_request,
    "customers/redact": _redact,
    "shop/redact": _shop_redact,
    "app/uninstalled": _uninstalled,
}
# The flood, which is answered without a thread that waits for the disk.
DEFERRED_TOPICS: Mapping[str, Callable[[Receivers, bytes, str], Future[Receipt]]] = {
    topic: _order_deferred for topic, handler in TOPICS.items() if handler is _order
}
# Of these the body names the shop, and the body is what is signed.
_NAME_THE_SHOP = frozenset(
    {"customers/data_request", "customers/redact", "shop/redact", "app/uninstalled"}
)


class ShopifyWebhooks:
    """Takes webhooks in. With `shops` given, a webhook that names another one is refused."""

    def __init__(
        self, receivers: Receivers, secrets: Sequence[bytes], shops: Collection[str]
    ) -> None:
        self._receivers = receivers
        self._secrets = secrets
        self._shops = shops

    def receive(self, environ: WSGIEnvironment, topic: str) -> bytes:
        """The answer to one webhook (JSON), once it is on disk.

        Raises:
            HTTPException: it is refused, and nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        return _answer(_receipt_of(self._receivers, self._checked(environ, topic), topic))

    def _checked(self, environ: WSGIEnvironment, topic: str) -> bytes:
        """The body of a webhook that may be taken."""
        body = raw_body(environ, MAX_BODY)
        if not is_signed(body, environ.get("HTTP_X_SHOPIFY_HMAC_SHA256"), self._secrets):
            raise Unauthorized("The X-Shopify-Hmac-Sha256 header does not sign this body.")
        shop = environ.get("HTTP_X_SHOPIFY_SHOP_DOMAIN")
        if self._shops and shop is not None and shop.lower() not in self._shops:
            raise Forbidden(_OTHER_SHOP)
        if self._shops and topic in _NAME_THE_SHOP:
            named = shop_named_in(body)
            if named and named not in self._shops:
                raise Forbidden(_OTHER_SHOP)
        return body

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
            answer_later = environ.get(ANSWER_DEFERRED) if topic in DEFERRED_TOPICS else None
            try:
                if answer_later is not None:
                    body = self._checked(environ, topic)
                    _DeferredWebhook(self._receivers, body, topic, answer_later, described).take()
                    return DEFERRED
                answer = self.receive(environ, topic)
            except Exception as error:
                return described(error)(environ, start_response)
            return _respond(answer, environ, start_response)

        return front


class _DeferredWebhook:
    """A webhook that is answered once it is on disk: as it is, or set aside."""

    __slots__ = ("_answer", "_body", "_described", "_receivers", "_topic")

    def __init__(
        self,
        receivers: Receivers,
        body: bytes,
        topic: str,
        answer: AnswerLater,
        described: Callable[[Exception], Response],
    ) -> None:
        self._receivers = receivers
        self._body = body
        self._topic = topic
        self._answer = answer
        self._described = described

    def take(self) -> None:
        """Hand it in.

        Raises:
            StoreUnavailable: nothing was stored, and no answer will come.
        """
        try:
            taken = DEFERRED_TOPICS[self._topic](self._receivers, self._body, self._topic)
        except StoreUnavailable:
            raise
        except Exception as error:
            self._set_aside(error)
        else:
            taken.add_done_callback(self._on_disk)

    def _on_disk(self, taken: Future[Receipt]) -> None:
        error = taken.exception()
        if isinstance(error, Exception) and not isinstance(error, StoreUnavailable):
            self._set_aside(error)
        else:
            self._tell(taken)

    def _set_aside(self, error: Exception) -> None:
        reason = _fault(error, self._topic)
        try:
            aside = self._receivers.tracker.quarantine.add_deferred(self._body, self._topic, reason)
        except Exception as trouble:
            self._give(self._described(trouble))
        else:
            aside.add_done_callback(self._tell)

    def _tell(self, taken: Future[Receipt]) -> None:
        error = taken.exception()
        if isinstance(error, Exception):
            self._give(self._described(error))
        else:
            self._give(partial(_respond, _answer(taken.result())))

    def _give(self, answer: WSGIApplication) -> None:
        self._answer(hardened(answer))


def _receipt_of(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    try:
        return TOPICS[topic](receivers, body, topic)
    except StoreUnavailable:
        raise
    except Exception as error:
        return receivers.tracker.quarantine.add(body, topic, _fault(error, topic))


def _fault(error: Exception, topic: str) -> str:
    """Why a webhook is set aside. Whatever it is, the order must not be lost, nor cost the
    subscription by failing for ever: it is kept, and replayed once the fault is mended."""
    place = "".join(traceback.format_tb(error.__traceback__)[-1:]).split("\n")[0].strip()
    logger.error("%s set aside: %s %s", topic, type(error).__name__, place)
    return f"failed: {type(error).__name__}"


def _respond(
    answer: bytes, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", _JSON), ("Content-Length", str(len(answer)))])
    return [answer]


def _answer(receipt: Receipt) -> bytes:
    return msgspec.json.encode({"status": receipt.status, "order_id": receipt.order_id})
