"""Reads Shopify's body of an order into an `Order`."""

import hashlib
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tracking.domain.client_ip import client_ip_of
from tracking.domain.money import amount, is_currency, to_minor
from tracking.domain.order import (
    COPIED_DRAFT_SOURCE,
    DRAFT_SOURCE,
    POS_SOURCE,
    RENEWAL_SOURCE,
    Address,
    Browser,
    Buyer,
    Order,
    Refund,
)
from tracking.domain.shopify_body import (
    SCALARS,
    ZERO,
    AddressBody,
    ClientDetails,
    CustomerBody,
    NotAnOrder,
    OrderBody,
    Scalar,
    address_of,
    decode_order,
    id_or_empty,
    instant_of,
    instant_or,
    is_id,
    order_id_of,
    text_of,
)
from tracking.domain.shopify_line import line_of
from tracking.domain.shopify_money import kept_of, kept_quantities, net_of
from tracking.domain.shopify_refund import refund_from
from tracking.domain.shopify_tax import includes_taxes
from tracking.domain.web_text import bare_name, shop_origin_of

# Applications by which staff place orders: the browser is the staff member's, not the buyer's
# (draft orders), or there is none (point of sale).
_DRAFT_APP_ID = "1354745"
# Notes that tell of a visit. What they tell of consent holds for a copy as well.
_VISIT_NOTE = re.compile(r"utm_[a-z_]+|epik|pin_(?!consent$)[a-z_]+|track_ai_[a-z_]+")
# "Subscription Recurring Order" (Recharge and others), "appstle_subscription_recurring_order".
_RECURRING = re.compile(r"(?<![a-z])(?:recurring|renewals?|rebill)(?![a-z])")
_FIRST = re.compile(r"(?<![a-z])(?:first|initial|non)(?![a-z])")
# 250 tags of 40 characters, and more.
_TAGS_LIMIT = 16_384
# hashlib lets other threads run while it hashes more than this at once. For a body of usual size
# the hand-over costs more than the hashing.
_HASHED_AT_ONCE = 2047


def order_of(body: bytes) -> Order:
    """Returns the order in a webhook body of the orders topics.

    Raises:
        NotAnOrder: the body is not JSON, not an order, or lacks what an order cannot be without.
    """
    raw = decode_order(body)
    order_id = order_id_of("id", raw.id)
    if raw.line_items is None:
        raise NotAnOrder("line_items: missing, so this is not an order")
    if raw.abandoned_checkout_url is not None or raw.invoice_url is not None:
        raise NotAnOrder("abandoned_checkout_url, invoice_url: a checkout or a draft, not an order")
    currency = text_of(raw.currency)
    if not is_currency(currency):
        raise NotAnOrder("currency: not an ISO 4217 code")
    placed_at = instant_of("created_at", raw.created_at)
    total = max(_amount("total_price", raw.total_price), ZERO)
    notes = notes_of(raw.note_attributes)
    source = text_of(raw.source_name)
    is_draft = source == DRAFT_SOURCE or text_of(raw.app_id) == _DRAFT_APP_ID
    updated_at = _instant_or_placed(raw, raw.updated_at, placed_at)
    quantities = kept_quantities(raw.line_items, raw.refunds or ())
    lines = tuple(map(line_of, raw.line_items, quantities))
    is_changed = (
        updated_at > placed_at or bool(raw.refunds) or any(line.is_reduced for line in lines)
    )
    taxes_included = raw.taxes_included
    if taxes_included is None:
        taxes_included = raw.taxes_included = includes_taxes(raw.line_items)
    kept = kept_of(raw, quantities, currency, is_changed=is_changed)
    return Order(
        id=order_id,
        name=text_of(raw.name, 64),
        placed_at=placed_at,
        processed_at=_instant_or_placed(raw, raw.processed_at, placed_at),
        updated_at=updated_at,
        cancelled_at=_cancelled_at(raw.cancelled_at),
        currency=currency,
        net=to_minor(net_of(raw, total), currency),
        total=to_minor(total, currency),
        test=bool(raw.test),
        financial_status=text_of(raw.financial_status, 32),
        source_name=_source(source, raw, notes),
        locale=text_of(raw.customer_locale, 16),
        origin=shop_origin_of(text_of(raw.order_status_url)),
        landing_site=text_of(raw.landing_site, 4096),
        referring_site=text_of(raw.referring_site, 4096),
        checkout_token=text_of(raw.checkout_token, 128),
        cart_token=text_of(raw.cart_token, 128),
        notes=notes,
        lines=lines,
        refunds=_refunds(raw, order_id, currency, updated_at) if raw.refunds else (),
        buyer=buyer_of(raw),
        browser=Browser() if is_draft or source == POS_SOURCE else _browser(raw),
        digest=_digest(body),
        taxes_included=taxes_included,
        kept_net=_minor(kept.net, currency),
        kept_total=_minor(kept.total, currency),
        is_draft=is_draft,
        lists_refunds=raw.refunds is not None,
    )


def _refunds(raw: OrderBody, order_id: str, currency: str, changed_at: int) -> tuple[Refund, ...]:
    lines = {text_of(line.id): line for line in raw.line_items or () if line.id is not None}
    return tuple(
        [
            refund_from(refund, order_id, currency, lines, changed_at)
            for refund in raw.refunds or ()
            if is_id(text_of(refund.id))
        ]
    )


def _minor(value: Decimal | None, currency: str) -> int | None:
    return None if value is None else to_minor(value, currency)


def _digest(body: bytes) -> str:
    sha256 = hashlib.sha256()
    for start in range(0, len(body), _HASHED_AT_ONCE):
        sha256.update(body[start : start + _HASHED_AT_ONCE])
    return sha256.hexdigest()


def _instant_or_placed(raw: OrderBody, value: Scalar, placed_at: int) -> int:
    # Most orders are processed, and many last changed, in the very second they are placed.
    return placed_at if value == raw.created_at else instant_or(value, placed_at)


def _cancelled_at(value: Scalar) -> int | None:
    # An unreadable date still shows that the order is cancelled; nothing depends on its time.
    return instant_or(value, 0) if text_of(value) else None


def _amount(name: str, value: Scalar) -> Decimal:
    number = amount(value)
    if number is None:
        raise NotAnOrder(f"{name}: not an amount")
    return number


def notes_of(raw: list[dict[str, Any]] | dict[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Returns names and values of the note attributes, each of at most 2,000 characters.

    All of them count: a refusal of consent is one however many stand before it.
    """
    if not raw:
        return ()
    pairs = raw.items() if isinstance(raw, dict) else [(n.get("name"), n.get("value")) for n in raw]
    return tuple(
        [
            (text_of(name, 128), _note_text(value))
            for name, value in pairs
            if isinstance(name, str) and isinstance(value, SCALARS) and name
        ]
    )


def _note_text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return text_of(value, 2000)


def buyer_of(raw: OrderBody) -> Buyer:
    """Returns the buyer in the body of an order or a checkout."""
    customer = raw.customer or CustomerBody()
    addresses = _addresses(raw.billing_address, raw.shipping_address)
    if not addresses:
        addresses = _addresses(customer.default_address, None)
    return Buyer(
        emails=_distinct(text_of(raw.email), text_of(raw.contact_email), text_of(customer.email)),
        phones=_distinct(text_of(raw.phone), text_of(customer.phone)),
        addresses=addresses,
        customer_id=id_or_empty(customer.id),
        first_name=text_of(customer.first_name),
        last_name=text_of(customer.last_name),
    )


def _addresses(first: AddressBody | None, second: AddressBody | None) -> tuple[Address, ...]:
    """Returns the addresses that are not empty; the second is mostly the first once more."""
    distinct = (first,) if first == second else (first, second)
    return tuple(filter(None, [address_of(body, text_of) for body in distinct]))


def _distinct(*texts: str) -> tuple[str, ...]:
    """Returns the texts that are not empty, each once, in their order."""
    return tuple(dict.fromkeys(filter(None, texts)))


def _source(source: str, raw: OrderBody, notes: Iterable[tuple[str, str]]) -> str:
    """Returns the source of an order, with names of ours where Shopify's hides a copied visit.

    Subscription apps place renewals under their own number and copy the notes of the first order;
    Shopify copies the notes of an order that staff duplicate.
    """
    if source.isdecimal() and _is_recurring(text_of(raw.tags, _TAGS_LIMIT)):
        return RENEWAL_SOURCE
    if source == DRAFT_SOURCE and any(
        value and _VISIT_NOTE.fullmatch(bare_name(name)) for name, value in notes
    ):
        return COPIED_DRAFT_SOURCE
    return source


def _is_recurring(tags: str) -> bool:
    return any(_RECURRING.search(tag) and not _FIRST.search(tag) for tag in tags.lower().split(","))


def _browser(raw: OrderBody) -> Browser:
    client = raw.client_details or ClientDetails()
    return Browser(
        ip=client_ip_of(text_of(client.browser_ip)) or client_ip_of(text_of(raw.browser_ip)),
        user_agent=text_of(client.user_agent, 2048),
    )
