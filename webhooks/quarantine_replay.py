"""Tries once more to understand the signed bodies in quarantine."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tracking.store import Store, StoreUnavailable, quarantine
from tracking.store.quarantine import QuarantinedBody
from webhooks.shopify import TOPICS, Receivers


class ReplayedBodies(NamedTuple):
    """The number of bodies that were understood and released, and of those that stay."""

    released: int
    kept: int


def replay_quarantine(
    store: Store,
    receivers: Receivers,
    clock: Callable[[], float],
    tell_failure: Callable[[int, Exception], object] = lambda id, error: None,
) -> ReplayedBodies:
    """Hands every body in quarantine to the handler of its topic, and releases what it takes.

    `tell_failure` gets the id of a body whose handler failed; it stays in quarantine.

    Raises:
        StoreUnavailable: the rest was not tried.
    """
    kept = released = 0
    for row in _bodies(store):
        if _is_understood(receivers, row, tell_failure):
            now = int(clock())
            store.commit(functools.partial(quarantine.release, id=row.id, now=now))
            released += 1
        else:
            kept += 1
    return ReplayedBodies(released, kept)


def _bodies(store: Store) -> Iterator[QuarantinedBody]:
    """Yields all bodies, read page by page, so that no transaction lasts while they are handled."""
    last = 0
    while True:
        with store.read() as conn:
            rows = quarantine.bodies(conn, last)
        if not rows:
            return
        yield from rows
        last = rows[-1].id


def _is_understood(
    receivers: Receivers, row: QuarantinedBody, tell_failure: Callable[[int, Exception], object]
) -> bool:
    handler = TOPICS.get(row.topic)
    if handler is None:
        return False
    try:
        return handler(receivers, row.body, row.topic).status != "quarantined"
    except StoreUnavailable:
        raise
    except Exception as error:
        # One body must not keep the others from being replayed.
        tell_failure(row.id, error)
        return False
