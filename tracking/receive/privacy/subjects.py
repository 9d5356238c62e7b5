"""Reads the bodies of Shopify's privacy topics: the person, the orders or the shop in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tracking.domain.identity import identity_of
from tracking.domain.order import Buyer, PersonalData, order_id_in
from tracking.store.pending_erasures import REDACT, SHOP_REDACT
from tracking.store.privacy_requests import DATA_REQUEST, UNINSTALLED

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


class ClearEmail(PersonalData, frozen=True, gc=False):
    """The e-mail of a person who is erased, in clear text."""

    text: str


def clear_email_of(body: bytes) -> ClearEmail | None:
    """Returns the e-mail in a body of customers/redact; None if there is none.

    Raises:
        NotAPrivacyRequest: the body is none.
    """
    customer = _tree(body).get("customer")
    email = _text(customer.get("email")) if isinstance(customer, dict) else ""
    return ClearEmail(email) if "@" in email else None


def data_request_of(body: bytes) -> PrivacySubject:
    """Returns the person in a body of customers/data_request.

    Raises:
        NotAPrivacyRequest: the body is none.
    """
    return _person_of(_tree(body), _REQUESTED, is_request=True)


def redaction_of(body: bytes) -> PrivacySubject:
    """Returns the person in a body of customers/redact.

    Raises:
        NotAPrivacyRequest: the body is none.
    """
    return _person_of(_tree(body), _TO_REDACT, is_request=False)


def shop_redaction_of(body: bytes) -> PrivacySubject:
    """Returns the shop in a body of shop/redact.

    Raises:
        NotAPrivacyRequest: the body is none.
    """
    tree = _tree(body)
    if any(name in tree for name in ("customer", _TO_REDACT, "data_request")):
        raise NotAPrivacyRequest("customer: a request about one person, not about the shop")
    return PrivacySubject(asked_as=_shop(tree))


def uninstallation_of(body: bytes) -> PrivacySubject:
    """Returns the shop in a body of app/uninstalled.

    Raises:
        NotAPrivacyRequest: the body is none.
    """
    tree = _tree(body)
    if "myshopify_domain" not in tree or "line_items" in tree or not _id(tree.get("id")):
        raise NotAPrivacyRequest("myshopify_domain, id: missing, so this is not a shop")
    return PrivacySubject(asked_as=_text(tree["myshopify_domain"]))


def privacy_topic_of(body: bytes) -> str:
    """Returns the privacy topic that a body has the shape of, whole or not; "" if it has none."""
    try:
        tree = _tree(body)
    except NotAPrivacyRequest:
        return ""
    if _REQUESTED in tree or "data_request" in tree:
        return DATA_REQUEST
    if _TO_REDACT in tree:
        return REDACT
    if "myshopify_domain" in tree:
        return UNINSTALLED
    if "shop_domain" in tree and "shop_id" in tree:
        return REDACT if "customer" in tree else SHOP_REDACT
    return ""


def shop_named_in(body: bytes) -> str:
    """Returns the shop that a body of these topics names, in lower case; "" if it names none."""
    try:
        tree = _tree(body)
    except NotAPrivacyRequest:
        return ""
    return _text(tree.get("shop_domain") or tree.get("myshopify_domain")).lower()


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


def _shop(tree: Mapping[str, Any]) -> str:
    told = {"shop_id": _id(tree.get("shop_id")), "shop_domain": _text(tree.get("shop_domain"))}
    missing = [name for name, value in told.items() if not value]
    if missing:
        raise NotAPrivacyRequest(f"{', '.join(missing)}: missing")
    return told["shop_domain"]


def _id(value: object) -> str:
    """Returns the digits of an id; "" if it is none."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
    return text if text.isascii() and text.isdigit() and len(text) <= _ID_LIMIT else ""


def _order_id(value: object) -> str:
    return _id(order_id_in(value) if isinstance(value, str) else value)


def _text(value: object) -> str:
    """Returns a text normalised as those of orders are, so that both have the same digests."""
    return value.replace("\x00", "").strip()[:_TEXT_LIMIT] if isinstance(value, str) else ""
