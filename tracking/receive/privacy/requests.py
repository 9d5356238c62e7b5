"""The webhooks of Shopify's privacy topics: data requests, erasure, and an app's uninstallation."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tracking.domain.identity import identity_of
from tracking.domain.order import Buyer, order_id_in
from tracking.receive.privacy.erasure import PersonEraser
from tracking.receive.quarantine import Quarantine
from tracking.receive.receipt import Receipt
from tracking.store import Store, erasure, privacy_requests
from tracking.store.engine.statement import Connection

logger = logging.getLogger(__name__)

_REQUESTED, _TO_REDACT = "orders_requested", "orders_to_redact"
_MOST_ORDERS = 10_000
_ID_LIMIT = 20
_TEXT_LIMIT = 512


class NotAPrivacyRequest(ValueError):
    """The body does not fit its topic. The message says why, without personal data."""


@dataclass(frozen=True, slots=True)
class PrivacySubject:
    """The person that a body is about, by keys and order ids. `asked_as` is Shopify's id of the
    request, or the shop."""

    keys: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    asked_as: str = ""


class PrivacyRequests:
    """Processes the webhooks of Shopify's privacy topics."""

    def __init__(
        self,
        store: Store,
        eraser: PersonEraser,
        quarantine: Quarantine,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.eraser = eraser
        self.quarantine = quarantine
        self.clock = clock

    def data_request(self, body: bytes, topic: str) -> Receipt:
        """Stores a data request, which the shop's owner answers with the command `data-requests`.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            subject = _person_of(_tree(body), _REQUESTED, is_request=True)
        except NotAPrivacyRequest as error:
            return self.quarantine.add(body, topic, str(error))
        is_new = self.store.commit(lambda conn: self._add_request(conn, body, topic, subject))
        logger.info("%s noted", topic)
        return _receipt(is_new)

    def redact(self, body: bytes, topic: str) -> Receipt:
        """Erases the person of a customers/redact body before it returns.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            subject = _person_of(_tree(body), _TO_REDACT, is_request=False)
        except NotAPrivacyRequest as error:
            return self.quarantine.add(body, topic, str(error))
        # This reads every order there is, so it must not hold up other writers.
        with self.store.read() as conn:
            candidates = erasure.orders_with(conn, subject.keys)

        def write(conn: Connection) -> bool:
            now = int(self.clock())
            self.eraser.erase(conn, subject.keys, subject.orders, now, candidates)
            return self._add_request(conn, body, topic, PrivacySubject())

        is_new = self.store.commit(write)
        self.store.wipe_log()
        logger.info("%s: a person was erased", topic)
        return _receipt(is_new)

    def shop_redact(self, body: bytes, topic: str) -> Receipt:
        """Erases every person before it returns, for a shop/redact body.

        A shop that returned and leaves again sends the same body, so a duplicate erases, too.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            subject = _shop_of(_tree(body))
        except NotAPrivacyRequest as error:
            return self.quarantine.add(body, topic, str(error))

        def write(conn: Connection) -> bool:
            self.eraser.erase_all_persons(conn, int(self.clock()))
            return self._add_request(conn, body, topic, subject)

        is_new = self.store.commit(write)
        self.store.wipe_log()
        logger.warning("%s: every person was erased", topic)
        return _receipt(is_new)

    def uninstalled(self, body: bytes, topic: str) -> Receipt:
        """Stores that the app was uninstalled, and erases nothing: it may be installed again.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            tree = _tree(body)
            if "myshopify_domain" not in tree or "line_items" in tree or not _id(tree.get("id")):
                raise NotAPrivacyRequest("myshopify_domain, id: missing, so this is not a shop")
        except NotAPrivacyRequest as error:
            return self.quarantine.add(body, topic, str(error))
        subject = PrivacySubject(asked_as=_text(tree["myshopify_domain"]))
        is_new = self.store.commit(lambda conn: self._add_request(conn, body, topic, subject))
        logger.warning("%s: Shopify sends no more webhooks until the app is installed again", topic)
        return _receipt(is_new)

    def _add_request(
        self, conn: Connection, body: bytes, topic: str, subject: PrivacySubject
    ) -> bool:
        digest, now = hashlib.sha256(body).hexdigest(), int(self.clock())
        is_new = privacy_requests.add(
            conn, digest, topic, subject.asked_as, subject.keys, subject.orders, now
        )
        if not is_new:
            privacy_requests.renew(conn, digest, now)
        return is_new


def shop_named_in(body: bytes) -> str:
    """Returns the shop that a body of these topics names, in lower case; "" if it names none."""
    try:
        tree = _tree(body)
    except NotAPrivacyRequest:
        return ""
    return _text(tree.get("shop_domain") or tree.get("myshopify_domain")).lower()


def _receipt(is_new: bool) -> Receipt:
    return Receipt("accepted" if is_new else "duplicate")


def _tree(body: bytes) -> Mapping[str, Any]:
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAPrivacyRequest("not JSON") from None
    if not isinstance(tree, dict):
        raise NotAPrivacyRequest("the body is not a JSON object")
    return tree


def _person_of(tree: Mapping[str, Any], orders_key: str, *, is_request: bool) -> PrivacySubject:
    _shop(tree)
    customer, request = tree.get("customer"), tree.get("data_request")
    asked_as = _id(request.get("id")) if isinstance(request, dict) else ""
    if not isinstance(customer, dict | None):
        raise NotAPrivacyRequest("customer: not an object")
    if (request is not None) != is_request or bool(asked_as) != is_request:
        raise NotAPrivacyRequest("data_request: a data request has one, an erasure has none")
    if orders_key not in tree and not {_REQUESTED, _TO_REDACT}.isdisjoint(tree):
        raise NotAPrivacyRequest(f"{orders_key}: missing, and the other topic's list is there")
    named = tree.get(orders_key)
    if not isinstance(named, list | None):
        raise NotAPrivacyRequest(f"{orders_key}: not a list")
    # Either names the person: a guest has no customer, and a customer may never have ordered.
    orders = dict.fromkeys(filter(None, map(_order_id, (named or ())[:_MOST_ORDERS])))
    keys = _keys_of(customer or {})
    if not keys and not orders:
        raise NotAPrivacyRequest(
            f"customer, {orders_key}: neither an id nor an address that can be read, and no orders"
        )
    return PrivacySubject(keys, tuple(orders), asked_as)


def _keys_of(customer: Mapping[str, Any]) -> tuple[str, ...]:
    email, phone = _text(customer.get("email")), _text(customer.get("phone"))
    buyer = Buyer(
        emails=(email,) if email else (),
        phones=(phone,) if phone else (),
        customer_id=_id(customer.get("id")),
    )
    return identity_of(buyer).graph_keys()


def _shop_of(tree: Mapping[str, Any]) -> PrivacySubject:
    if any(name in tree for name in ("customer", _TO_REDACT, "data_request")):
        raise NotAPrivacyRequest("customer: a request about one person, not about the shop")
    return PrivacySubject(asked_as=_shop(tree))


def _shop(tree: Mapping[str, Any]) -> str:
    shop = _text(tree.get("shop_domain"))
    if not shop or not _id(tree.get("shop_id")):
        raise NotAPrivacyRequest("shop_id, shop_domain: missing")
    return shop


def _id(value: object) -> str:
    """Returns the digits of an id; "" if it is none."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
    return text if text.isascii() and text.isdigit() and len(text) <= _ID_LIMIT else ""


def _order_id(value: object) -> str:
    return _id(order_id_in(value) if isinstance(value, str) else value)


def _text(value: object) -> str:
    """Returns a text normalised as those of orders are, so that both have the same digests."""
    return value.replace("\x00", "").strip()[:_TEXT_LIMIT] if isinstance(value, str) else ""
