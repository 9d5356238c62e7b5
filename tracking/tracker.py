"""Where what came in meets what is known: gather, decide, write, in one transaction each."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from tracking.attribution import (
    Allocation,
    Model,
    Rules,
    Touch,
    allocations_of,
    bit,
    credits_of,
    is_in_window,
)
from tracking.conversion import (
    Conversion,
    Policy,
    Stage,
    conversion_of,
    event_id_of,
    is_limited,
    is_purchase,
    reason_not_to_send,
    reason_not_to_send_sighting,
    value_of,
)
from tracking.destinations import Destination, Unencodable
from tracking.identity import Identity, identity_of
from tracking.order import NotAnOrder, Order, Refund, order_of, refund_of
from tracking.session import Consent, Session, consent_of, session_of
from tracking.store import Store, locks, orders, outbox, quarantine, touches
from tracking.store.statement import Connection, Row

Status = Literal["accepted", "duplicate", "stale", "quarantined"]

# Digests that one order may say its buyer is known by.
_MOST_LINKS = 8
# An order as the store counts shares of it. Split like money, the parts sum to whole orders.
_WHOLE = 1_000_000
_NO_REFUND = {"goods": 0, "paid": 0}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a body that was taken in and is on disk now."""

    status: Status
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """All that an order says by itself, worked out before the store is asked."""

    order: Order
    session: Session
    consent: Consent
    identity: Identity
    person: tuple[str, ...]
    visitor: str
    touch: Touch | None
    gross: int


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

    def __init__(
        self,
        store: Store,
        destinations: Mapping[str, Destination],
        policy: Policy,
        rules: Rules,
        model: Model,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.destinations = destinations
        self.policy = policy
        self.rules = rules
        self.model = model
        self.clock = clock
        self._reach = max(rules.click_window, rules.view_window)
        self._pinterest_bit = bit("pinterest", model)

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
        draft = self.draft_of(order)
        return self.store.commit(lambda conn: self._record_order(conn, draft, topic))

    def record_sighting(self, sighting: Sighting) -> None:
        """Take in a storefront event; the same event_id again changes nothing.

        Raises:
            StoreUnavailable: nothing may have been stored; the sender must send it again.
        """
        self.store.commit(lambda conn: self._record_sighting(conn, sighting))

    def draft_of(self, order: Order) -> Draft:
        """What the order says by itself."""
        session = session_of(order)
        consent = consent_of(order)
        identity = identity_of(order.buyer, limited=is_limited(consent, self.policy))
        person = identity.links()[:_MOST_LINKS]
        visitor = session.visitor or (person[0] if person else f"or:{order.id}")
        return Draft(
            order=order,
            session=session,
            consent=consent,
            identity=identity,
            person=person,
            visitor=visitor,
            touch=own_touch(order, session, visitor),
            gross=value_of(order, self.policy),
        )

    def _now(self) -> int:
        return int(self.clock())

    def _record_order(self, conn: Connection, draft: Draft, topic: str) -> Receipt:
        order = draft.order
        now = self._now()
        locks.hold(conn, (order.id, *draft.person))
        if not orders.is_new_body(conn, order.digest, topic, order.id, now):
            return Receipt("duplicate", order.id)
        known = orders.of_id(conn, order.id)
        for refund in order.refunds:
            _put_refund(conn, refund, order.currency)
        touches.link(conn, draft.person, draft.visitor)

        if known is not None and known.version >= order.version:
            if order.refunds:
                self._settle_money(conn, known)
            return Receipt("stale", order.id)
        self._write_state(conn, draft, known, now)
        return Receipt("accepted", order.id)

    def _write_state(self, conn: Connection, draft: Draft, known: Row | None, now: int) -> None:
        order, touch = draft.order, draft.touch
        visitors = touches.visitors_of(conn, draft.person, draft.visitor)
        nearby = touches.of_visitors(
            conn, visitors, order.placed_at - self._reach, order.placed_at + self._reach
        )
        given_back = _NO_REFUND
        if known is not None or order.refunds or order.cancelled_at is not None:
            given_back = orders.refunded(conn, order.id, order.currency)._asdict()

        path = self._path(nearby, touch, order.id, order.placed_at)
        counted = is_purchase(order, self.policy)
        row = self._order_row(draft, path, counted, given_back)
        allocations = self._allocated(row, path)

        if touch is not None:
            touches.put(conn, touch)
        else:
            touches.put_marker(conn, touch_key(order.id), draft.visitor, order.placed_at)
        orders.put(conn, **row)
        self._write_credits(conn, row, allocations, is_new=known is None)
        self._write_event(conn, draft, path, allocations, known, now)
        if touch is not None:
            self._credit_later_orders(conn, nearby, touch)

    def _path(
        self, nearby: Iterable[Row], own: Touch | None, order_id: str, at: int
    ) -> tuple[Touch, ...]:
        """The touches the credit of an order is computed from, oldest first."""
        key = touch_key(order_id)
        found = [touches.touch_of(row) for row in nearby if row.kind and row.key != key]
        if own is not None:
            found.append(own)
        inside = [touch for touch in found if is_in_window(touch, at, self.rules)]
        return tuple(sorted(inside, key=lambda touch: (touch.at, touch.key)))

    def _order_row(
        self,
        draft: Draft,
        path: Sequence[Touch],
        counted: bool,
        given_back: Mapping[str, int],
    ) -> dict[str, Any]:
        order = draft.order
        given = min(draft.gross, int(given_back[self._refund_figure]))
        cancelled = order.cancelled_at is not None
        return {
            "id": order.id,
            "name": order.name,
            "version": order.version,
            "placed_at": order.placed_at,
            "cancelled_at": order.cancelled_at,
            "currency": order.currency,
            "gross": draft.gross,
            "refunds": given,
            "cancellations": draft.gross - given if cancelled else 0,
            "is_counted": int(counted),
            "is_paid": int(order.is_paid),
            "is_test": int(order.test),
            "financial_status": order.financial_status,
            "source_name": order.source_name,
            "visitor": draft.visitor,
            "match_method": _match_method(draft),
            "links": " ".join(draft.person),
            "session": _json(draft.session),
            "consent": _json(draft.consent),
            "unusable": " ".join(draft.identity.unusable),
            "path": _json(path),
        }

    @property
    def _refund_figure(self) -> str:
        return "paid" if self.policy.value == "total" else "goods"

    def _allocated(self, row: Mapping[str, Any], path: Sequence[Touch]) -> Sequence[Allocation]:
        if not row["is_counted"]:
            return ()
        gross, cancellations = row["gross"], row["cancellations"]
        net = gross - row["refunds"] - cancellations
        credits = credits_of(path, row["placed_at"], self.rules)
        return allocations_of(credits, (gross, net, cancellations, _WHOLE))

    def _write_credits(
        self,
        conn: Connection,
        row: Mapping[str, Any],
        allocations: Sequence[Allocation],
        *,
        is_new: bool,
    ) -> None:
        rows = [credit_row(row, n, allocation) for n, allocation in enumerate(allocations)]
        touches.put_credits(conn, row["id"], rows, is_new=is_new)

    def _write_event(
        self,
        conn: Connection,
        draft: Draft,
        path: Sequence[Touch],
        allocations: Sequence[Allocation],
        known: Row | None,
        now: int,
    ) -> None:
        order = draft.order
        event_id = event_id_of(order.id)
        best = self._best(allocations)
        conversion = conversion_of(
            order,
            draft.session,
            draft.identity,
            draft.consent,
            self.policy,
            click_id=_newest_click_id(path),
        )
        reason, detail, payloads = self._finished(
            conversion,
            reason_not_to_send(
                order,
                draft.consent,
                self.policy,
                is_identified=conversion.is_identified,
                is_credited=best is not None,
                now=now,
            ),
        )
        if known is not None and any(
            row.state == "sent" for row in outbox.of_event(conn, event_id)
        ):
            # Pinterest has the event; whatever happens now changes only the shop's reports.
            reason = detail = ""

        outbox.put_conversion(
            conn,
            event_id=event_id,
            stage="purchase",
            order_id=order.id,
            visitor=draft.visitor,
            at=order.placed_at,
            is_counted=int(is_purchase(order, self.policy)),
            is_pinterest=int(best is not None),
            campaign_id=best.campaign_id if best else "",
            campaign=best.campaign if best else "",
            currency=order.currency,
            value=draft.gross,
            reason=reason,
            detail=detail,
            recorded_at=now,
        )
        if known is not None and reason:
            outbox.withdraw(conn, event_id, reason, now)
        for name, payload in payloads.items():
            outbox.queue(conn, event_id, name, payload, order.placed_at, now)

    def _finished(self, conversion: Conversion, reason: str) -> tuple[str, str, dict[str, bytes]]:
        """The reason it is not sent, with detail, or the finished event for each destination."""
        if not reason and not self.destinations:
            reason = "report_only"
        if reason:
            return reason, "", {}
        try:
            return "", "", {n: d.encode(conversion) for n, d in self.destinations.items()}
        except Unencodable as error:
            return "unencodable", str(error)[:500], {}

    def _best(self, allocations: Sequence[Allocation]) -> Touch | None:
        """The Pinterest touch that earned most of the order by the shop's model, or None."""
        earned = [
            (allocation.share, allocation.touch.at, allocation.touch.key, allocation.touch)
            for allocation in allocations
            if allocation.touch is not None and allocation.mask & self._pinterest_bit
        ]
        return max(earned, key=lambda e: e[:3])[3] if earned else None

    def _credit_later_orders(self, conn: Connection, nearby: Iterable[Row], touch: Touch) -> None:
        """A touch that is told late may have earned an order that came in before it."""
        for seen in nearby:
            order_id = order_id_of(seen.key)
            if order_id and seen.key != touch.key and seen.at >= touch.at:
                self._credit_again(conn, order_id)

    def _credit_again(self, conn: Connection, order_id: str) -> None:
        row = orders.of_id(conn, order_id)
        if row is None:
            return
        visitors = touches.visitors_of(conn, row.links.split(), row.visitor)
        nearby = touches.of_visitors(conn, visitors, row.placed_at - self._reach, row.placed_at)
        own = next((seen for seen in nearby if seen.kind and seen.key == touch_key(order_id)), None)
        path = self._path(nearby, touches.touch_of(own) if own else None, order_id, row.placed_at)
        changed = {**row._asdict(), "path": _json(path)}
        if changed["path"] != row.path:
            orders.put(conn, **changed)
            self._write_credits(conn, changed, self._allocated(changed, path), is_new=False)

    def _record_sighting(self, conn: Connection, sighting: Sighting) -> None:
        conversion, session = sighting.conversion, sighting.session
        now, at = self._now(), conversion.event_time
        if outbox.conversion(conn, conversion.event_id) is not None:
            return
        links = conversion.identity.links()[:_MOST_LINKS]
        visitor = session.visitor or (links[0] if links else conversion.event_id)
        visitors = touches.visitors_of(conn, links, visitor)
        nearby = touches.of_visitors(conn, visitors, at - self._reach, at)

        path = [touch for touch in self._path(nearby, None, "", at) if touch.is_pinterest]
        best = path[-1] if path else None
        reason, detail, payloads = self._finished(
            conversion,
            reason_not_to_send_sighting(
                conversion,
                sighting.consent,
                self.policy,
                is_credited=session.is_pinterest or best is not None,
                now=now,
            ),
        )

        touches.link(conn, links, visitor)
        outbox.put_conversion(
            conn,
            event_id=conversion.event_id,
            stage=sighting.stage,
            order_id="",
            visitor=visitor,
            at=at,
            is_counted=1,
            is_pinterest=int(session.is_pinterest or best is not None),
            campaign_id=session.campaign_id or (best.campaign_id if best else ""),
            campaign=session.campaign or (best.campaign if best else ""),
            currency=conversion.currency,
            value=sighting.value,
            reason=reason,
            detail=detail,
            recorded_at=now,
        )
        for name, payload in payloads.items():
            outbox.queue(conn, conversion.event_id, name, payload, at, now)

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

    def _settle_money(self, conn: Connection, known: Row) -> None:
        """After a refund the credits stay, and the net amount is split again."""
        given_back = orders.refunded(conn, known.id, known.currency)._asdict()
        given = min(known.gross, int(given_back[self._refund_figure]))
        row = {
            **known._asdict(),
            "refunds": given,
            "cancellations": known.gross - given if known.cancelled_at is not None else 0,
        }
        path = path_from(known.path)
        orders.put(conn, **row)
        self._write_credits(conn, row, self._allocated(row, path), is_new=False)


def touch_key(order_id: str) -> str:
    """The key of the touch that an order's own session is."""
    return f"order:{order_id}"


def order_id_of(key: str) -> str:
    """The order whose own session a touch is; "" for any other touch."""
    return key.removeprefix("order:") if key.startswith("order:") else ""


def own_touch(order: Order, session: Session, visitor: str) -> Touch | None:
    """The visit the order was placed in, or None where there was none."""
    no_visit = order.is_renewal or order.is_pos or not order.landing_site
    if no_visit and session.is_direct:
        return None
    stamped = session.stamped_at
    return Touch(
        key=touch_key(order.id),
        at=stamped if stamped is not None and stamped <= order.placed_at else order.placed_at,
        kind="click",
        is_pinterest=session.is_pinterest,
        is_direct=session.is_direct,
        campaign_id=session.campaign_id,
        campaign=session.campaign,
        pin_id=session.pin_id,
        ad_id=session.ad_id,
        source=session.source,
        medium=session.medium,
        visitor=visitor,
        click_id=session.click_id,
    )


def credit_row(order: Mapping[str, Any], n: int, allocation: Allocation) -> dict[str, Any]:
    """One row of the credits table."""
    touch = allocation.touch
    gross, net, cancellations, share = allocation.amounts
    return {
        "order_id": order["id"],
        "n": n,
        "mask": allocation.mask,
        "placed_at": order["placed_at"],
        "credited_at": touch.at if touch else order["placed_at"],
        "currency": order["currency"],
        "touch_key": touch.key if touch else "",
        "is_pinterest": int(touch is not None and touch.is_pinterest),
        "campaign_id": touch.campaign_id if touch else "",
        "campaign": touch.campaign if touch else "",
        "share": share,
        "gross": gross,
        "net": net,
        "cancellations": cancellations,
    }


def path_from(text: str) -> tuple[Touch, ...]:
    """The touches an order's stored path names."""
    return _decode_path(text) if text else ()


_decode_path = msgspec.json.Decoder(tuple[Touch, ...]).decode
_encode = msgspec.json.Encoder().encode


def _json(value: object) -> str:
    return _encode(value).decode()


def _put_refund(conn: Connection, refund: Refund, currency: str) -> None:
    orders.put_refund(
        conn, refund.id, refund.order_id, refund.at, refund.goods, refund.paid, currency
    )


def _newest_click_id(path: Sequence[Touch]) -> str:
    found = (t.click_id for t in reversed(path) if t.is_pinterest and t.click_id)
    return next(found, "")


def _match_method(draft: Draft) -> str:
    """How an order finds its visitor: by the pixel's id, or by who the buyer is."""
    if draft.session.visitor:
        return "note_attribute"
    kind = draft.visitor[:2]
    return {"em": "email", "ph": "phone", "id": "customer"}.get(kind, "")
