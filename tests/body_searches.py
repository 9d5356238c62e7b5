"""The search for a person in a whole body, at once."""

from collections.abc import Iterable

from tracking.receive.privacy.body_search import BodySearch


def mentions(body: bytes, keys: Iterable[str], order_ids: Iterable[str]) -> bool:
    """Returns True if a body names a person or one of the orders."""
    search = BodySearch(body, keys, order_ids)
    return any(map(search.finds_at, search.positions()))
