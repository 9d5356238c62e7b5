"""Tries once more to understand the signed bodies in quarantine."""

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import NamedTuple

from tracking.operate.error_lines import error_line
from tracking.store import Store, StoreUnavailable, quarantine
from tracking.store.quarantine import QuarantinedBody
from webhooks.shopify import TOPICS, Receivers

logger = logging.getLogger(__name__)

# A page of the largest bodies takes 40 MB.
_PAGE = 20
_THREAD = "quarantine replay"
_STARTING = threading.Lock()


class ReplayedBodies(NamedTuple):
    """The number of bodies that were understood and released, of those that stay, and of those
    that were not tried, as only the reason was kept."""

    released: int
    kept: int
    without_body: int


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
    with store.read() as conn:
        return ReplayedBodies(released, kept, quarantine.count_without_body(conn))


def replay_in_background(
    store: Store, receivers: Receivers, clock: Callable[[], float], patience: float
) -> ReplayedBodies | None:
    """As `replay_quarantine`, in a thread of its own, of which a process has one at a time.

    Returns None if the replay goes on after `patience` seconds, or if one is under way.

    Raises:
        StoreUnavailable: the rest was not tried.
    """
    ended: Future[ReplayedBodies] = Future()

    def replay() -> None:
        try:
            done = replay_quarantine(store, receivers, clock)
        except Exception as error:
            logger.warning("the replay of the quarantine was cut short: %s", error_line(error))
            ended.set_exception(error)
        else:
            text = "quarantine replayed: %d bodies understood, %d kept"
            logger.info(text, done.released, done.kept)
            ended.set_result(done)

    # Of two requests at once, one finds the thread of the other.
    with _STARTING:
        if any(thread.name == _THREAD for thread in threading.enumerate()):
            return None
        threading.Thread(target=replay, name=_THREAD, daemon=True).start()
    try:
        return ended.result(patience)
    except TimeoutError:
        return None


def _bodies(store: Store) -> Iterator[QuarantinedBody]:
    """Yields all bodies, read page by page, so that no transaction lasts while they are handled."""
    last = 0
    while True:
        with store.read() as conn:
            rows = quarantine.bodies(conn, last, _PAGE)
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
