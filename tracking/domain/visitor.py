"""Visitor ids, made by the pixel or from an identity, and the match of an order to one."""

import re

import msgspec

from tracking.domain.placeholders import names_nothing

_VISITOR_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class Match(msgspec.Struct, frozen=True, gc=False):
    """The visitor id whose purchase an order is, and what matched it ("" if nothing did)."""

    visitor: str
    method: str


def match_without_graph(visitor: str) -> Match:
    """Returns the match by the order alone: by the pixel's id or by an identity of the buyer."""
    kind, colon, _ = visitor.partition(":")
    return Match(visitor, _METHODS.get(kind, "") if colon else "note_attribute")


# Visitor ids that no pixel made have a prefix, such as "em:" or "or:".
_METHODS = {"em": "email", "ph": "phone", "id": "customer"}
# The evidence behind each method: a body that Shopify signed, or what the pixel told, a token or
# Shopify's id of the browser.
_EVIDENCE = {
    **dict.fromkeys(("note_attribute", *_METHODS.values()), "signed"),
    **dict.fromkeys(("checkout_token", "cart_token"), "token"),
    "shopify_client": "client",
}
# The methods that match only the browser in which the order was placed.
BROWSER_METHODS = frozenset({"note_attribute", "checkout_token", "cart_token", "shopify_client"})


def evidence_of(method: str) -> str:
    """Returns what vouches for a match by a method; "" if nothing was matched."""
    return _EVIDENCE.get(method, "")


def is_visitor_id(text: str) -> bool:
    """Returns True if a text has the form of the pixel's visitor ids.

    A script's word for no id would make one visitor of all its visitors.
    """
    return _VISITOR_ID.fullmatch(text) is not None and not names_nothing(text)


def is_browser(visitor: str) -> bool:
    """Returns True if the pixel made this visitor id."""
    return ":" not in visitor
