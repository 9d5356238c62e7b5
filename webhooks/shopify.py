"""Shopify's webhooks: the signature over the raw bytes first, then the topic's own handler."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from flask import Blueprint, Response
from werkzeug.exceptions import Forbidden, Unauthorized

from server import request_ids
from server.answers import answer_follows, json_answer
from server.deferred import ANSWER_DEFERRED, MUST_NOT_WAIT
from server.request_body import raw_body
from server.security_headers import with_security_headers
from tracking.operate.arrivals import Arrivals
from tracking.operate.error_lines import error_line
from tracking.operate.refused_webhooks import Reason, RefusedWebhooks
from tracking.receive.privacy.requests import PrivacyRequests
from tracking.receive.privacy.subjects import shop_named_in
from tracking.receive.receipt import Receipt
from tracking.receive.tracker import Tracker
from tracking.store import StoreUnavailable
from webhooks.signature import is_signed

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from server.deferred import AnswerLater

logger = logging.getLogger(__name__)

MAX_BODY = 2 * 1024 * 1024
_OTHER_SHOP = "The webhook names a shop that SHOPIFY_STORE_URL does not."


class Receivers(NamedTuple):
    """The objects that the handlers of the topics pass their bodies to."""

    tracker: Tracker
    privacy: PrivacyRequests


Handler = Callable[[Receivers, bytes, str], Receipt]


def _order(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.tracker.receive_order(body, topic)


def _order_deferred(receivers: Receivers, body: bytes, topic: str) -> Future[Receipt]:
    return receivers.tracker.receive_order_deferred(body, topic)


def _refund(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.tracker.receive_refund(body, topic)


def _checkout(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.tracker.receive_checkout(body, topic)


def _checkout_deferred(receivers: Receivers, body: bytes, topic: str) -> Future[Receipt]:
    return receivers.tracker.receive_checkout_deferred(body, topic)


def _deletion(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    return receivers.tracker.receive_deletion(body, topic)


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
    "orders/delete": _deletion,
    "refunds/create": _refund,
    "checkouts/create": _checkout,
    "checkouts/update": _checkout,
    "customers/data_request": _data_request,
    "customers/redact": _redact,
    "shop/redact": _shop_redact,
    "app/uninstalled": _uninstalled,
}
# The flood, which is answered without a thread that waits for the disk.
DEFERRED_TOPICS: Mapping[str, Callable[[Receivers, bytes, str], Future[Receipt]]] = {
    topic: deferred
    for handler, deferred in ((_order, _order_deferred), (_checkout, _checkout_deferred))
    for topic in TOPICS
    if TOPICS[topic] is handler
}
# Read and planned where they are written, so that nothing is left to do that takes long.
_LONGEST_AT_ONCE = 64 * 1024
_AT_ONCE = tuple(topic for topic in TOPICS if TOPICS[topic] is _order)
# Of these the body names the shop, and the body is what is signed.
_NAME_THE_SHOP = frozenset(
    {"customers/data_request", "customers/redact", "shop/redact", "app/uninstalled"}
)


class ShopifyWebhooks:
    """Receives webhooks. With `shops`, a webhook that names another shop is refused."""

    def __init__(
        self,
        receivers: Receivers,
        secrets: Sequence[bytes],
        shops: Collection[str],
        refused: RefusedWebhooks,
        arrivals: Arrivals,
    ) -> None:
        self._receivers = receivers
        self._secrets = secrets
        self._shops = shops
        self._refused = refused
        self._arrivals = arrivals

    @property
    def never_waits_at(self) -> Mapping[str, int]:
        """The addresses at which a server may ask, by MUST_NOT_WAIT, that nothing is waited for,
        and the longest request there (bytes)."""
        return {f"/webhooks/{topic}": _LONGEST_AT_ONCE for topic in _AT_ONCE}

    def routes(self) -> Blueprint:
        """Returns the addresses of the topics, so that Flask answers every other method there.

        They have no view: a POST is answered by `in_front_of`, and does not reach Flask.
        """
        routes = Blueprint("shopify", __name__, url_prefix="/webhooks")
        for topic in TOPICS:
            routes.add_url_rule(f"/{topic}", "receive", methods=["POST"])
        return routes

    def in_front_of(
        self, app: WSGIApplication, problem_of: Callable[[Exception], Response]
    ) -> WSGIApplication:
        """Returns the application with the one door for a webhook's POST, which needs no Flask.

        A third of a webhook's time would otherwise go into routing, contexts and sessions.
        """
        topics = {f"/webhooks/{topic}": topic for topic in TOPICS}

        def door(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            topic = topics.get(environ["PATH_INFO"])
            if topic is None or environ["REQUEST_METHOD"].upper() != "POST":
                return app(environ, start_response)
            try:
                answer = self._receive(environ, topic, problem_of)
            except Exception as error:
                answer = problem_of(error)
            return answer(environ, start_response)

        return door

    def _receive(
        self, environ: WSGIEnvironment, topic: str, problem_of: Callable[[Exception], Response]
    ) -> WSGIApplication:
        """Records a webhook; returns its answer, or DEFERRED where the answer follows.

        Raises:
            HTTPException: it is refused, and nothing was stored.
            StoreUnavailable: nothing may have been stored.
        """
        body = self._checked_body(environ, topic)
        answer_later = environ.get(ANSWER_DEFERRED) if topic in DEFERRED_TOPICS else None
        if answer_later is None:
            return _answer(_receipt_of(self._receivers, body, topic))
        _DeferredWebhook(self._receivers, body, topic, answer_later, problem_of).record()
        return answer_follows

    def _checked_body(self, environ: WSGIEnvironment, topic: str) -> bytes:
        """Returns the body of a webhook that is signed and comes from a shop of ours."""
        body = raw_body(environ, MAX_BODY)
        may_wait = not environ.get(MUST_NOT_WAIT)
        signature = environ.get("HTTP_X_SHOPIFY_HMAC_SHA256")
        if not is_signed(body, signature, self._secrets):
            reason: Reason = "wrong_signature" if signature else "no_signature"
            self._refused.count(reason, topic, may_wait=may_wait)
            raise Unauthorized("The X-Shopify-Hmac-Sha256 header does not sign this body.")
        if not self._is_of_our_shops(environ.get("HTTP_X_SHOPIFY_SHOP_DOMAIN"), body, topic):
            self._refused.count("other_shop", topic, may_wait=may_wait)
            raise Forbidden(_OTHER_SHOP)
        self._arrivals.count("webhook")
        return body

    def _is_of_our_shops(self, shop: str | None, body: bytes, topic: str) -> bool:
        if not self._shops:
            return True
        named = [shop.lower()] if shop is not None else []
        if topic in _NAME_THE_SHOP and (in_body := shop_named_in(body)):
            named.append(in_body)
        return all(each in self._shops for each in named)


class _DeferredWebhook:
    """A webhook that is answered once it is on disk: recorded, or in quarantine."""

    __slots__ = ("_answer_later", "_body", "_problem_of", "_receivers", "_request_id", "_topic")

    def __init__(
        self,
        receivers: Receivers,
        body: bytes,
        topic: str,
        answer_later: AnswerLater,
        problem_of: Callable[[Exception], Response],
    ) -> None:
        self._receivers = receivers
        self._body = body
        self._topic = topic
        self._answer_later = answer_later
        self._problem_of = problem_of
        self._request_id = request_ids.current()

    def record(self) -> None:
        """Begins to record it.

        Raises:
            StoreUnavailable: nothing was stored, and no answer will follow.
        """
        try:
            receipt = DEFERRED_TOPICS[self._topic](self._receivers, self._body, self._topic)
        except StoreUnavailable:
            raise
        except Exception as error:
            self._quarantine(error)
        else:
            receipt.add_done_callback(self._recorded)

    def _recorded(self, receipt: Future[Receipt]) -> None:
        error = receipt.exception()
        if isinstance(error, Exception) and not isinstance(error, StoreUnavailable):
            with request_ids.Serving(self._request_id):
                self._quarantine(error)
        else:
            self._answer_with(receipt)

    def _quarantine(self, error: Exception) -> None:
        reason = _quarantine_reason(error, self._topic)
        quarantine = self._receivers.tracker.quarantine
        try:
            receipt = quarantine.add_failed_deferred(self._body, self._topic, reason)
        except Exception as second_error:
            self._answer_later(with_security_headers(self._problem_of(second_error)))
        else:
            receipt.add_done_callback(self._answer_with)

    def _answer_with(self, receipt: Future[Receipt]) -> None:
        error = receipt.exception()
        if isinstance(error, Exception):
            with request_ids.Serving(self._request_id):
                self._answer_later(with_security_headers(self._problem_of(error)))
        else:
            self._answer_later(_answer(receipt.result()))


def _receipt_of(receivers: Receivers, body: bytes, topic: str) -> Receipt:
    try:
        return TOPICS[topic](receivers, body, topic)
    except StoreUnavailable:
        raise
    except Exception as error:
        return receivers.tracker.quarantine.add_failed(
            body, topic, _quarantine_reason(error, topic)
        )


def _quarantine_reason(error: Exception, topic: str) -> str:
    """Logs a fault of ours, and returns it as the reason of the quarantine.

    Whatever the fault, the order must not be lost, nor cost the subscription by failing for ever:
    it is stored, and replayed once the fault is mended.
    """
    logger.error("%s quarantined: %s", topic, error_line(error))
    return f"failed: {type(error).__name__}"


def _answer(receipt: Receipt) -> WSGIApplication:
    return json_answer("200 OK", {"status": receipt.status, "order_id": receipt.order_id})
