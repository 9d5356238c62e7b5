"""Visitor ids: which were made by the pixel, which from an identity, and what matched."""

import msgspec


class Match(msgspec.Struct, frozen=True, gc=False):
    """The visitor id whose purchase an order is, and what matched it ("" if nothing did)."""

    visitor: str
    method: str


def match_by_itself(visitor: str) -> Match:
    """Returns the match of an order alone: the pixel's id, or an identity of the buyer."""
    kind, colon, _ = visitor.partition(":")
    return Match(visitor, _METHODS.get(kind, "") if colon else "note_attribute")


# Visitor ids that no pixel made begin with how they were: "em:…", "or:…".
_METHODS = {"em": "email", "ph": "phone", "id": "customer"}
# What matched if only the very browser of the order can have said so.
OF_THE_BROWSER = frozenset({"note_attribute", "checkout_token", "cart_token"})


def is_browser(visitor: str) -> bool:
    """Returns True if the pixel made this visitor id."""
    return ":" not in visitor
