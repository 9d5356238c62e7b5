"""Completes erasures whose rest takes long or waits, in the background and after every restart."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tracking.receive.privacy.body_search import SLICE, BodySearch
from tracking.receive.privacy.erasure import PersonEraser
from tracking.store import Store, StoreUnavailable, erasure, pending_erasures
from tracking.store.engine.statement import Connection
from tracking.store.erasure import ErasableBody
from tracking.store.pending_erasures import SHOP_REDACT, PendingErasure

logger = logging.getLogger(__name__)

POLL_SECONDS = 10.0
# As long as a search goes on before its progress is stored, and within a webhook.
PIECE_SECONDS = 0.5


class _Position(NamedTuple):
    """A position in the text of a body."""

    body_id: int
    position: int


class PendingErasures:
    """Searches the quarantined bodies for erased persons, and erases a shop when its time comes.

    A piece of a search reads a snapshot, so no other writer waits for it. Its progress is stored;
    two processes that search at the same time do nothing worse than the same work twice.
    """

    name = "erasures"

    def __init__(self, store: Store, eraser: PersonEraser, clock: Callable[[], float]) -> None:
        self.store = store
        self.eraser = eraser
        self.clock = clock

    def search(self, piece: float = PIECE_SECONDS) -> bool:
        """Goes on with the searches for about `piece` seconds; returns True if any is left.

        Raises:
            StoreUnavailable: the progress may not have been stored.
        """
        deadline = time.monotonic() + piece
        while (pending := self._oldest_search()) is not None:
            if not self._search(pending, deadline):
                return True
        return False

    def carry_out_due(self) -> None:
        """Erases every person if a shop's erasure was held for as long as it may be.

        Raises:
            StoreUnavailable: it may not have been carried out.
        """
        for pending in self.held():
            if pending.due_at <= self.clock():
                self.confirm(pending.id)

    def held(self) -> list[PendingErasure]:
        """Returns the erasures of a shop that wait for a confirmation or for their time."""
        with self.store.read() as conn:
            rows = pending_erasures.list_all(conn)
        return [row for row in rows if row.topic == SHOP_REDACT]

    def confirm(self, id: int) -> bool:
        """Erases every person, for the held erasure with this id; returns False if there is none.

        Raises:
            StoreUnavailable: it may not have been carried out.
        """
        if id not in {row.id for row in self.held()}:
            return False

        def erase(conn: Connection) -> bool:
            # Another process may have dropped it since.
            is_held = pending_erasures.remove(conn, id)
            if is_held:
                self.eraser.erase_all_persons(conn, int(self.clock()))
            return is_held

        if not self.store.commit(erase):
            return False
        self.store.wipe_log()
        logger.warning("%s: every person was erased", SHOP_REDACT)
        return True

    def drop(self, id: int) -> bool:
        """Forgets the held erasure with this id; returns False if there is none."""
        if id not in {row.id for row in self.held()}:
            return False
        return self.store.commit(functools.partial(pending_erasures.remove, id=id))

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Completes what is left whenever there is something, until `stop` is set."""
        while not stop.is_set():
            is_left = self._go_on_safely()
            stop.wait(PIECE_SECONDS if is_left else poll)

    def _go_on_safely(self) -> bool:
        try:
            self.carry_out_due()
            return self.search()
        except StoreUnavailable as error:
            logger.warning("erasures wait for the store: %s", error)
        except Exception as error:
            # The thread must outlive every error, and its text may quote a body.
            logger.error("an erasure failed: %s", type(error).__name__)
        return False

    def _oldest_search(self) -> PendingErasure | None:
        with self.store.read() as conn:
            rows = pending_erasures.list_all(conn)
        return next((row for row in rows if row.topic != SHOP_REDACT), None)

    def _search(self, pending: PendingErasure, deadline: float) -> bool:
        """Searches until the deadline, at least one slice; returns True if nothing is left."""
        found, rest = self._piece(pending, deadline)

        def put(conn: Connection) -> None:
            for id in found:
                erasure.erase_body(conn, id, int(self.clock()))
            if rest is None:
                pending_erasures.remove(conn, pending.id)
            else:
                pending_erasures.advance(conn, pending.id, *rest)

        self.store.commit(put)
        if rest is None:
            self.store.wipe_log()
        return rest is None

    def _piece(
        self, pending: PendingErasure, deadline: float
    ) -> tuple[Sequence[int], _Position | None]:
        """Returns the bodies of a piece that are to be erased, and where the next piece begins;
        None if there is none."""
        found: list[int] = []
        first, begun = pending.body_id, pending.position
        keys, order_ids = pending.links.split(), pending.orders.split()
        while bodies := self._bodies(first):
            for row in bodies:
                search = BodySearch(row.body, keys, order_ids)
                for position in search.positions(begun if row.id == pending.body_id else 0):
                    if search.finds_at(position):
                        found.append(row.id)
                        break
                    if time.monotonic() >= deadline:
                        return found, _Position(row.id, position + SLICE)
                first = row.id + 1
        return found, None

    def _bodies(self, first: int) -> list[ErasableBody]:
        with self.store.read() as conn:
            return erasure.bodies(conn, first)
