"""Carries out erasures piece by piece: within a webhook, in the background, after every restart."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from tracking.domain.identity import is_identity
from tracking.operate.background import outliving_errors
from tracking.operate.error_lines import error_line
from tracking.receive.privacy import shop_erasure
from tracking.receive.privacy.body_search import SLICE, BodySearch
from tracking.receive.privacy.erasure import MOST_STEPS, PersonEraser
from tracking.receive.privacy.erasure_plan import ErasurePlan, with_credits
from tracking.receive.privacy.shop_erasure import ShopRest
from tracking.store import Store, StoreUnavailable, erasure, orders, pending_erasures
from tracking.store.engine import advisory_locks
from tracking.store.engine.statement import Connection
from tracking.store.erasure import ErasableBody
from tracking.store.pending_erasures import (
    CREDITING,
    ERASING,
    PLANNING,
    SEARCHING,
    SHOP_REDACT,
    PendingErasure,
)

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
# As long as a search goes on before its progress is stored.
PIECE_SECONDS = 0.5
# After so long a webhook leaves its erasure to the background. Shopify waits for five seconds.
IN_WEBHOOK_SECONDS = 1.0
# A person with more orders and browsers is not planned within a webhook: to plan so many takes as
# many statements as a piece has.
_FEW = 35
# PostgreSQL has room for some thousand locks, of all transactions together.
_MOST_LOCKED = 200


class _Position(NamedTuple):
    """A position in the text of a body."""

    body_id: int
    position: int


class PendingErasures:
    """Erases persons and shops, and searches the quarantined bodies for erased persons.

    A piece is a short transaction, or reads a snapshot, so that no other writer waits for it. Its
    progress is stored; two processes that go on at the same time do nothing worse than the same
    work twice.
    """

    name = "erasures"

    def __init__(
        self,
        store: Store,
        eraser: PersonEraser,
        clock: Callable[[], float],
        is_clock_doubtful: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store = store
        self._is_clock_doubtful = is_clock_doubtful
        # A piece takes turns with the webhooks, however many pieces follow.
        self._pieces = store.yielding()
        self.eraser = eraser
        self.clock = clock
        self._plan: tuple[int, int, ErasurePlan] | None = None

    def go_on(self, seconds: float = PIECE_SECONDS) -> bool:
        """Goes on with the erasures for about so many seconds; returns True if any is left.

        Raises:
            StoreUnavailable: the progress may not have been stored.
        """
        deadline = time.monotonic() + seconds
        while (pending := self._next()) is not None:
            self._go_on_with(pending, deadline)
            if time.monotonic() >= deadline:
                return self._next() is not None
        return False

    def go_on_in_webhook(self, id: int, begun: float) -> bool:
        """Goes on with the erasure of a webhook that came at an instant (seconds UTC), as long as
        Shopify may wait; returns True if it is left to the background.

        So is a person with many orders, and every other erasure.

        Raises:
            StoreUnavailable: the progress may not have been stored.
        """
        while (pending := self._of_id(id)) is not None and pending.is_due(now := self.clock()):
            # A clock that was set back gives no more time.
            if not begun <= now < begun + IN_WEBHOOK_SECONDS or self._is_large(pending):
                return True
            self._go_on_with(pending, time.monotonic() + begun + IN_WEBHOOK_SECONDS - now)
        return pending is not None

    def carry_out_due(self) -> None:
        """Begins to erase every person if a shop's erasure was held for as long as it may be, by a
        clock that is not in doubt.

        Raises:
            StoreUnavailable: it may not have begun.
        """
        for pending in self.held():
            if pending.due_at <= self.clock() and not self._is_clock_doubtful():
                self._confirm(pending.id)

    def held(self) -> list[PendingErasure]:
        """Returns the erasures of a shop that wait for a confirmation or for their time."""
        with self.store.read() as conn:
            rows = pending_erasures.list_all(conn)
        return [row for row in rows if row.is_held]

    def confirm(self, id: int) -> bool:
        """Erases every person, for the held erasure with this id; returns False if there is none.

        Raises:
            StoreUnavailable: it may not have been carried out; once it has begun, the background
                worker goes on.
        """
        if not self._confirm(id):
            return False
        while (pending := self._of_id(id)) is not None:
            self._run_shop(pending)
        return True

    def _confirm(self, id: int) -> bool:
        # Another process may have dropped it since.
        now, rest = int(self.clock()), shop_erasure.new_rest()
        return self.store.commit(lambda conn: pending_erasures.confirm(conn, id, now, rest))

    def drop(self, id: int) -> bool:
        """Forgets the held erasure with this id; returns False if there is none."""

        def remove(conn: Connection) -> bool:
            row = pending_erasures.of_id(conn, id)
            return row is not None and row.is_held and pending_erasures.remove(conn, id)

        return self.store.commit(remove)

    def run(self, stop: threading.Event, poll: float = POLL_SECONDS) -> None:
        """Completes what is left whenever there is something, until `stop` is set."""
        while not stop.is_set():
            is_left = self._go_on_safely()
            stop.wait(PIECE_SECONDS if is_left else poll)

    def _go_on_safely(self) -> bool:
        with outliving_errors(logger, "erasures wait for the store", "an erasure failed"):
            self.carry_out_due()
            return self.go_on()
        return False

    def _next(self) -> PendingErasure | None:
        """Returns the oldest erasure that can go on now."""
        with self.store.read() as conn:
            rows = pending_erasures.list_all(conn)
        now = self.clock()
        return next((row for row in rows if row.is_due(now)), None)

    def _of_id(self, id: int) -> PendingErasure | None:
        with self.store.read() as conn:
            return pending_erasures.of_id(conn, id)

    def _is_large(self, pending: PendingErasure) -> bool:
        order_ids = pending.orders.split()
        if pending.body_id != PLANNING:
            return False
        if len(order_ids) > _FEW:
            return True
        with self.store.read() as conn:
            # A single order that is named leads to all that its buyer did.
            buyers = orders.keys_by_id(conn, order_ids).values()
            keys = {*pending.links.split(), *filter(is_identity, chain(*buyers))}
            known = {visitor for key in keys for visitor in erasure.visitors_of(conn, key)}
        return len(known) + len(order_ids) > _FEW

    def _go_on_with(self, pending: PendingErasure, deadline: float) -> None:
        """Does one piece of an erasure; leaves it alone for a while if that fails."""
        try:
            if pending.topic == SHOP_REDACT:
                self._run_shop(pending)
            elif pending.is_searching:
                self._search(pending, deadline)
            elif pending.body_id == PLANNING:
                self._plan_person(pending)
            else:
                self._run_person(pending)
        except StoreUnavailable:
            raise
        except Exception as error:
            # It must not keep the others from it, and its text may quote a body.
            logger.error("erasure %d failed: %s", pending.id, error_line(error))
            now = int(self.clock())
            self.store.commit(lambda conn: pending_erasures.postpone(conn, pending.id, now))

    def _plan_person(self, pending: PendingErasure) -> None:
        self._wait_for_writers(pending)
        with self.store.read() as conn:
            if pending_erasures.of_id(conn, pending.id) != pending:
                # Another process has planned it meanwhile.
                return
            plan, tombstones = self.eraser.plan(conn, pending)

        def put(conn: Connection) -> None:
            erasure.put_tombstones(conn, tombstones, int(self.clock()))
            pending_erasures.enter(conn, pending.id, ERASING, 0, _encoded(plan))

        self._pieces.commit(put)

    def _wait_for_writers(self, pending: PendingErasure) -> None:
        """Waits until the transactions have ended that wrote about the person before there were
        tombstones. SQLite has one writer at a time anyway."""
        if self.store.dialect != "postgresql":
            return
        names = [*pending.links.split(), *pending.orders.split()]
        for first in range(0, len(names), _MOST_LOCKED):
            some = names[first : first + _MOST_LOCKED]
            self._pieces.commit(functools.partial(advisory_locks.hold, names=some))

    def _run_person(self, pending: PendingErasure) -> None:
        """Makes the next steps of a plan, or enters the next stage after the last one."""
        plan = self._plan_of(pending)
        if plan is None:
            return
        if pending.position < len(plan.steps):
            self._pieces.commit(lambda conn: self._run_steps(conn, pending, plan))
        elif pending.body_id == ERASING:
            with self.store.read() as conn:
                credited = with_credits(conn, self.eraser.attributor, plan)
            rest = _encoded(credited)
            self._pieces.commit(
                lambda conn: pending_erasures.enter(conn, pending.id, CREDITING, 0, rest)
            )
        elif self._pieces.commit(lambda conn: self._enter_search(conn, pending)):
            self._end(pending)

    def _run_steps(self, conn: Connection, pending: PendingErasure, plan: ErasurePlan) -> None:
        first = pending.position
        steps = plan.steps[first : first + MOST_STEPS]
        advisory_locks.hold(conn, {name for step in steps for name in step.locked})
        if pending_erasures.of_id(conn, pending.id) == pending:
            # No other process has made these steps meanwhile.
            position = self.eraser.run(conn, plan, first, int(self.clock()))
            pending_erasures.advance(conn, pending.id, pending.body_id, position)

    def _enter_search(self, conn: Connection, pending: PendingErasure) -> bool:
        """Begins to search the quarantined bodies; returns True if there are none."""
        if not erasure.bodies(conn, most=1):
            return pending_erasures.remove(conn, pending.id)
        # Every body has a higher number than 0.
        pending_erasures.enter(conn, pending.id, SEARCHING, 0, "")
        return False

    def _end(self, pending: PendingErasure) -> None:
        self.store.wipe_log()
        logger.info("%s: a person was erased", pending.topic)

    def _plan_of(self, pending: PendingErasure) -> ErasurePlan | None:
        """Returns the plan of a stage; None if another process has come further."""
        if self._plan is None or self._plan[:2] != (pending.id, pending.body_id):
            with self.store.read() as conn:
                if pending_erasures.of_id(conn, pending.id) != pending:
                    return None
                rest = pending_erasures.rest_of(conn, pending.id)
            plan = msgspec.json.decode(rest, type=ErasurePlan)
            self._plan = (pending.id, pending.body_id, plan)
        return self._plan[2]

    def _run_shop(self, pending: PendingErasure) -> None:
        """Erases the next page of a shop, or enters the next stage after the last one."""

        def erase(conn: Connection) -> bool:
            if pending_erasures.of_id(conn, pending.id) != pending:
                return False
            rest = msgspec.json.decode(pending_erasures.rest_of(conn, pending.id), type=ShopRest)
            end = shop_erasure.run_page(conn, pending.body_id, rest, int(self.clock()))
            stage, position = pending.body_id, pending.position + 1
            if end is None:
                stage, position = stage + 1, 0
            if stage > len(shop_erasure.STAGES):
                return pending_erasures.remove(conn, pending.id)
            rest = msgspec.structs.replace(rest, after=end or "")
            pending_erasures.enter(conn, pending.id, stage, position, shop_erasure.encoded(rest))
            return False

        if self._pieces.commit(erase):
            self.store.wipe_log()
            logger.warning("%s: every person was erased", SHOP_REDACT)

    def _search(self, pending: PendingErasure, deadline: float) -> None:
        """Searches until the deadline, at least one slice."""
        found, rest = self._piece(pending, deadline)

        def put(conn: Connection) -> None:
            for id in found:
                erasure.erase_body(conn, id, int(self.clock()))
            if rest is None:
                pending_erasures.remove(conn, pending.id)
            else:
                pending_erasures.advance(conn, pending.id, *rest)

        self._pieces.commit(put)
        if rest is None:
            self._end(pending)

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


def _encoded(plan: ErasurePlan) -> str:
    return msgspec.json.encode(plan).decode()
