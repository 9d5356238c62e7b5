"""Reads what Shopify's body of a checkout says of its buyer and of the buyer's browser."""

import hashlib

import msgspec

from tracking.domain.consent import Consent, consent_in
from tracking.domain.order import Buyer
from tracking.domain.session_reader import session_from
from tracking.domain.shopify_body import NotAnOrder, decode_checkout, text_of
from tracking.domain.shopify_order import buyer_of, notes_of


class SignedCheckout(msgspec.Struct, frozen=True, gc=False):
    """The buyer of a checkout in clear text, and what knows their browser.

    `visitor` is the visitor id that the pixel wrote to the cart, "" if it did not.
    """

    token: str
    cart_token: str
    visitor: str
    consent: Consent
    buyer: Buyer
    digest: str

    def __repr__(self) -> str:
        return "<SignedCheckout>"


def checkout_of(body: bytes) -> SignedCheckout:
    """Returns the checkout in a body of checkouts/create or checkouts/update.

    Raises:
        NotAnOrder: the body is not JSON, or not a checkout.
    """
    raw = decode_checkout(body)
    token = text_of(raw.token, 128)
    if not token:
        raise NotAnOrder("token: missing, so this is not a checkout")
    if raw.abandoned_checkout_url is None:
        raise NotAnOrder("abandoned_checkout_url: missing, so this is not a checkout")
    notes = notes_of(raw.note_attributes)
    return SignedCheckout(
        token=token,
        cart_token=text_of(raw.cart_token, 128),
        visitor=session_from(notes).visitor,
        consent=consent_in(notes),
        buyer=buyer_of(raw),
        digest=hashlib.sha256(body).hexdigest(),
    )
