"""Stores orders and refunds: gather, decide, write, in one transaction each."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress

from tracking.domain.conversion import event_id_of
from tracking.domain.order import Order
from tracking.domain.shopify_body import NotAnOrder, deleted_order_of
from tracking.domain.shopify_checkout import checkout_of
from tracking.domain.shopify_order import order_of
from tracking.domain.shopify_refund import refund_of
from tracking.receive.attributor import Attributor
from tracking.receive.customers import Watch
from tracking.receive.order_states import OrderStates
from tracking.receive.pixel import PixelEvent
from tracking.receive.pixel_recorder import PixelRecorder
from tracking.receive.planner import Planner
from tracking.receive.privacy.erasure import PersonEraser
from tracking.receive.privacy.subjects import privacy_topic_of
from tracking.receive.quarantine import Quarantine
from tracking.receive.receipt import Receipt, Work
from tracking.receive.received_order import OrderDesk, ReceivedOrder
from tracking.receive.signed_checkouts import record_checkout
from tracking.store import Store, conversions


class Tracker:
    """Records orders, refunds and browser events, exactly once each.

    Every public method returns after what it recorded is on disk.
    """

    def __init__(
        self,
        store: Store,
        planner: Planner,
        clock: Callable[[], float],
        pixel_store: Store | None = None,
    ) -> None:
        self.store = store
        self.planner = planner
        self.clock = clock
        self.quarantine = Quarantine(store, clock)
        self.attributor = Attributor(planner)
        self.events = self.attributor.events
        self.eraser = PersonEraser(self.attributor)
        self.states = OrderStates(planner, self.attributor, self.eraser)
        watch = Watch(store, clock)
        self._desk = OrderDesk(self.states, watch, self._now, self._other_work)
        self.pixel = PixelRecorder(pixel_store or store.yielding(), self.attributor, clock)

    def receive_order(self, body: bytes, topic: str) -> Receipt:
        """Records a body of the orders topics. The body alone decides what it changes.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(ReceivedOrder(self._desk, topic, body))

    def receive_order_deferred(self, body: bytes, topic: str) -> Future[Receipt]:
        """As `receive_order`, without waiting for the disk.

        Raises:
            StoreUnavailable: nothing was stored, as the disk is full.
        """
        return self.store.commit_later(ReceivedOrder(self._desk, topic, body))

    def receive_refund(self, body: bytes, topic: str) -> Receipt:
        """Records a body of refunds/create, which may arrive before its order.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(self._work(body, topic, self._refund_work))

    def receive_checkout(self, body: bytes, topic: str) -> Receipt:
        """Records a body of the checkouts topics.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(self._work(body, topic, self._checkout_work))

    def receive_checkout_deferred(self, body: bytes, topic: str) -> Future[Receipt]:
        """As `receive_checkout`, without waiting for the disk.

        Raises:
            StoreUnavailable: nothing was stored, as the disk is full.
        """
        return self.store.commit_later(self._work(body, topic, self._checkout_work))

    def receive_deletion(self, body: bytes, topic: str) -> Receipt:
        """Records a body of orders/delete, which may arrive before its order.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            order_id = deleted_order_of(body)
        except NotAnOrder as error:
            return self.receive_otherwise(body, topic, str(error))
        digest = hashlib.sha256(body).hexdigest()
        now = self._now()
        return self.store.commit(
            lambda conn: self.states.record_deletion(conn, order_id, digest, topic, now)
        )

    def receive_otherwise(self, body: bytes, topic: str, reason: str) -> Receipt:
        """Records a body that is not what its topic announces by its shape, or quarantines it.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(self._other_work(body, topic, reason))

    def record(self, order: Order, topic: str) -> Receipt:
        """Records one state of an order that was not read from a webhook.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        return self.store.commit(ReceivedOrder(self._desk, topic, order=order))

    def resend(self, order: Order) -> bool:
        """Puts the event of a known order in line that only a setting held back, which is another
        now; returns True if it is in line.

        Raises:
            StoreUnavailable: nothing was changed.
        """
        facts, now = self.planner.facts_of(order), self._now()
        return self.store.commit(lambda conn: self.states.resend(conn, facts, now))

    def reason_of(self, order_id: str) -> str:
        """Returns why the event of an order is not sent (a key of REASONS), "" if it is.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        with self.store.read() as conn:
            event = conversions.of_event(conn, event_id_of(order_id))
        return "" if event is None else event.reason

    def is_lifted(self, order_id: str) -> bool:
        """Returns True if only a setting held the event of an order back, and does not now.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        return self.planner.is_lifted(self.reason_of(order_id))

    def record_pixel_events(self, events: Sequence[PixelEvent]) -> None:
        """Records events of the storefront; the same events again change nothing.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        self.pixel.record(events)

    def _work(self, body: bytes, topic: str, work_of: Callable[[bytes, str], Work]) -> Work:
        """Returns the work for a body: that of its topic, or else that of its shape."""
        try:
            return work_of(body, topic)
        except NotAnOrder as error:
            return self._other_work(body, topic, str(error))

    def _other_work(self, body: bytes, topic: str, reason: str) -> Work:
        """Returns the work for a body that is not what its topic announces.

        Shopify signs the body and not the address it is sent to: an order, a refund or a checkout
        counts at any. What erases counts at its own address only, and is not kept at another.
        """
        for work_of in (self._shaped_order_work, self._refund_work, self._checkout_work):
            with suppress(NotAnOrder):
                return work_of(body, topic)
        announced = privacy_topic_of(body)
        if announced not in ("", topic):
            reason = f"a body of {announced}, which counts only at /webhooks/{announced}"
            return self.quarantine.add_work(body, topic, reason, is_kept=False)
        return self.quarantine.add_work(body, topic, reason)

    def _shaped_order_work(self, body: bytes, topic: str) -> Work:
        order = order_of(body)
        if not order.financial_status:
            # A checkout has nearly the same shape, but is not paid.
            raise NotAnOrder("financial_status: missing, so this is not an order")
        return ReceivedOrder(self._desk, topic, order=order)

    def _refund_work(self, body: bytes, topic: str) -> Work:
        refund, currency = refund_of(body)
        digest = hashlib.sha256(body).hexdigest()
        now = self._now()
        return lambda conn: self.states.record_refund(conn, refund, currency, digest, topic, now)

    def _checkout_work(self, body: bytes, topic: str) -> Work:
        checkout = checkout_of(body)
        now = self._now()
        return lambda conn: record_checkout(conn, self.attributor, checkout, topic, now)

    def _now(self) -> int:
        return int(self.clock())
