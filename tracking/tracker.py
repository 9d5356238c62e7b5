"""Where what came in meets what is known: gather, decide, write, in one transaction each."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tracking.attribution import Touch
from tracking.conversion import Conversion, Stage, event_id_of, reason_not_to_send_sighting
from tracking.order import NotAnOrder, Order, Refund, order_of, refund_of
from tracking.planning import (
    Draft,
    Plan,
    Planner,
    order_id_of,
    path_from,
    touch_key,
)
from tracking.session import Consent, Session
from tracking.store import Store, intake, locks, orders, outbox, quarantine, touches
from tracking.store.intake import News
from tracking.store.statement import Connection, Row
from tracking.store.turns import JointWork

Status = Literal["accepted", "duplicate", "stale", "quarantined"]

_NOTHING_GIVEN_BACK = {"goods": 0, "paid": 0}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a body that was taken in and is on disk now."""

    status: Status
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A storefront event: what Pinterest would be told, and the session it happened in.

    `value` is minor units of the conversion's currency.
    """

    stage: Stage
    conversion: Conversion
    session: Session
    value: int
    consent: Consent


class Tracker:
    """Takes orders, refunds and storefront events in, exactly once each.

    Every public method returns after what it says is on disk.
    """

    def __init__(self, store: Store, planner: Planner, clock: Callable[[], float]) -> None:
        self.store = store
        self.planner = planner
        self.clock = clock

    def take_order(self, body: bytes, topic: str) -> Receipt:
        """Take in a body of the orders topics. The body alone decides what it changes.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            order = order_of(body)
        except NotAnOrder as error:
            return self.set_aside(body, topic, str(error))
        return self.record(order, topic)

    def take_refund(self, body: bytes, topic: str) -> Receipt:
        """Take in a body of refunds/create, which may come before its order.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        try:
            refund, currency = refund_of(body)
        except NotAnOrder as error:
            return self.set_aside(body, topic, str(error))
        digest = hashlib.sha256(body).hexdigest()
        return self.store.commit(
            lambda conn: self._record_refund(conn, refund, currency, digest, topic)
        )

    def set_aside(self, body: bytes, topic: str, reason: str) -> Receipt:
        """Keep a signed body that cannot be understood, so that it can be replayed after a fix.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        digest = hashlib.sha256(body).hexdigest()
        now = self._now()
        self.store.commit(lambda conn: quarantine.add(conn, digest, topic, reason[:500], body, now))
        return Receipt("quarantined")

    def record(self, order: Order, topic: str) -> Receipt:
        """Take in one state of an order, wherever it comes from.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        draft = self.planner.draft_of(order)
        # Of nearly every order nothing else is known. That case is decided before the write lock
        # is held, so that the lock is short.
        now = self._now()
        plan = self.planner.plan_of(draft, (), _NOTHING_GIVEN_BACK, now)
        news = _news_of(draft, plan, topic)
        if order.refunds or not news.fits:
            return self.store.commit(lambda conn: self._record(conn, draft, topic, now))
        values = intake.values_of(news, *self.planner.span_of(draft))
        return self.store.commit(_RecordNews(self, draft, values, topic, now))

    def record_sighting(self, sighting: Sighting) -> None:
        """Take in a storefront event; the same event_id again changes nothing.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        self.store.commit(lambda conn: self._record_sighting(conn, sighting))

    def _now(self) -> int:
        return int(self.clock())

    def _record(self, conn: Connection, draft: Draft, topic: str, now: int) -> Receipt:
        locks.hold(conn, _names(draft))
        return self.record_known(conn, draft, topic, now)

    def record_known(self, conn: Connection, draft: Draft, topic: str, now: int) -> Receipt:
        """Record an order that may be known, or whose buyer is."""
        order = draft.order
        if not orders.is_new_body(conn, order.digest, topic, order.id, now):
            return Receipt("duplicate", order.id)
        for refund in order.refunds:
            _put_refund(conn, refund, order.currency)
        touches.link(conn, draft.person, draft.visitor)
        known = orders.of_id(conn, order.id)
        if known is not None and known.version >= order.version:
            if order.refunds:
                self._settle_money(conn, known)
            return Receipt("stale", order.id)

        given_back = orders.refunded(conn, order.id, order.currency)._asdict()
        nearby = self._nearby(conn, draft)
        others = [touches.touch_of(row) for row in nearby if row.kind]

        plan = self.planner.plan_of(draft, others, given_back, now)

        self._write(conn, draft, plan, known)
        if draft.touch is not None:
            self._credit_later_orders(conn, nearby, draft.touch)
        return Receipt("accepted", order.id)

    def _nearby(self, conn: Connection, draft: Draft) -> list[Row]:
        """What the buyer did, besides this order, that it may owe something to or be owed by."""
        visitors = touches.visitors_of(conn, draft.person, draft.visitor)
        since, until = self.planner.span_of(draft)
        found = touches.of_visitors(conn, visitors, since, until)
        return [row for row in found if row.key != touch_key(draft.order.id)]

    def _write(self, conn: Connection, draft: Draft, plan: Plan, known: Row | None) -> None:
        order, conversion = draft.order, plan.conversion
        if known is not None:
            touches.drop(conn, known.visitor, touch_key(order.id))
        touches.put(conn, _touch_row(draft))
        orders.put(conn, plan.order)
        touches.put_credits(conn, order.id, plan.credits, is_new=known is None)
        if known is not None:
            conversion = self._reconsidered(conn, conversion)
        outbox.put_conversion(conn, conversion)
        now = conversion["recorded_at"]
        for name, payload in plan.payloads.items():
            outbox.queue(conn, conversion["event_id"], name, payload, order.placed_at, now)

    def _reconsidered(self, conn: Connection, conversion: Mapping[str, Any]) -> Mapping[str, Any]:
        """The conversion of a newer state of an order, in the light of what was sent already."""
        event_id, reason = conversion["event_id"], conversion["reason"]
        if reason:
            outbox.withdraw(conn, event_id, reason, conversion["recorded_at"])
        if any(row.state == "sent" for row in outbox.of_event(conn, event_id)):
            # It was told; whatever happens now changes only the shop's reports.
            return {**conversion, "reason": "", "detail": ""}
        return conversion

    def _credit_later_orders(self, conn: Connection, nearby: Iterable[Row], touch: Touch) -> None:
        """A touch that is told late may have earned an order that came in before it."""
        for seen in nearby:
            order_id = order_id_of(seen.key)
            if order_id:
                locks.hold(conn, (order_id,))
                known = orders.of_id(conn, order_id)
                if known is not None and known.placed_at >= touch.at:
                    self._credit_again(conn, known)

    def _credit_again(self, conn: Connection, known: Row) -> None:
        visitors = touches.visitors_of(conn, known.links.split(), known.visitor)
        at = known.placed_at
        rows = touches.of_visitors(conn, visitors, at - self.planner.reach, at)
        path = self.planner.path_of([touches.touch_of(row) for row in rows if row.kind], at)
        self._write_credits(conn, known, path)

    def _settle_money(self, conn: Connection, known: Row) -> None:
        """After a refund the credits stay, and the net amount is split again."""
        self._write_credits(conn, known, path_from(known.path))

    def _write_credits(self, conn: Connection, known: Row, path: Iterable[Touch]) -> None:
        given_back = orders.refunded(conn, known.id, known.currency)._asdict()
        row, credits, credited_to = self.planner.credits_again(
            known._asdict(), tuple(path), given_back
        )
        orders.put(conn, row)
        touches.put_credits(conn, known.id, credits, is_new=False)
        outbox.credit(conn, event_id_of(known.id), credited_to)

    def _record_refund(
        self, conn: Connection, refund: Refund, currency: str, digest: str, topic: str
    ) -> Receipt:
        locks.hold(conn, (refund.order_id,))
        if not orders.is_new_body(conn, digest, topic, refund.order_id, self._now()):
            return Receipt("duplicate", refund.order_id)
        _put_refund(conn, refund, currency)
        known = orders.of_id(conn, refund.order_id)
        if known is not None:
            self._settle_money(conn, known)
        return Receipt("accepted", refund.order_id)

    def _record_sighting(self, conn: Connection, sighting: Sighting) -> None:
        conversion, session = sighting.conversion, sighting.session
        if outbox.conversion(conn, conversion.event_id) is not None:
            return
        now, at = self._now(), conversion.event_time
        person = conversion.identity.links()
        visitor = session.visitor or (person[0] if person else conversion.event_id)
        touches.link(conn, person, visitor)
        visitors = touches.visitors_of(conn, person, visitor)
        rows = touches.of_visitors(conn, visitors, at - self.planner.reach, at)

        path = self.planner.path_of([touches.touch_of(row) for row in rows if row.is_pinterest], at)
        best = path[-1] if path else None
        is_credited = session.is_pinterest or best is not None
        reason, detail, payloads = self.planner.finished(
            conversion,
            reason_not_to_send_sighting(
                conversion,
                sighting.consent,
                self.planner.policy,
                is_credited=is_credited,
                now=now,
            ),
        )

        row = {
            "event_id": conversion.event_id,
            "stage": sighting.stage,
            "order_id": "",
            "visitor": visitor,
            "at": at,
            "is_counted": 1,
            "is_pinterest": int(is_credited),
            "campaign_id": session.campaign_id or (best.campaign_id if best else ""),
            "campaign": session.campaign or (best.campaign if best else ""),
            "currency": conversion.currency,
            "value": sighting.value,
            "reason": reason,
            "detail": detail,
            "recorded_at": now,
        }
        outbox.put_conversion(conn, row)
        for name, payload in payloads.items():
            outbox.queue(conn, conversion.event_id, name, payload, at, now)


@dataclass(frozen=True, slots=True)
class _RecordNews(JointWork):
    """Records an order that seems to be new, of a buyer who seems to be."""

    tracker: Tracker
    draft: Draft
    values: Sequence[Any]
    topic: str
    now: int

    def __call__(self, conn: Connection) -> Receipt:
        locks.hold(conn, _names(self.draft))
        return self.together(conn, (self,))[0]

    @classmethod
    def together(cls, conn: Connection, works: Sequence["_RecordNews"]) -> Sequence[Receipt]:
        """Write the new ones in one statement; the others take the long way."""
        written = intake.write(conn, [work.values for work in works])
        return [
            Receipt("accepted", work.draft.order.id)
            if n in written
            else work.tracker.record_known(conn, work.draft, work.topic, work.now)
            for n, work in enumerate(works)
        ]


def _names(draft: Draft) -> tuple[str, ...]:
    """What two transactions about one order or one buyer have in common."""
    return (draft.order.id, draft.visitor, *draft.person)


def _news_of(draft: Draft, plan: Plan, topic: str) -> News:
    """All rows of an order nothing was known of."""
    return News(
        digest=draft.order.digest,
        topic=topic,
        order=plan.order,
        touch=_touch_row(draft),
        conversion=plan.conversion,
        person=draft.person,
        credits=plan.credits,
        payloads=plan.payloads,
    )


def _touch_row(draft: Draft) -> Mapping[str, Any]:
    if draft.touch is not None:
        return touches.touch_row(draft.touch)
    return touches.marker_row(touch_key(draft.order.id), draft.visitor, draft.order.placed_at)


def _put_refund(conn: Connection, refund: Refund, currency: str) -> None:
    orders.put_refund(
        conn, refund.id, refund.order_id, refund.at, refund.goods, refund.paid, currency
    )
