"""What an order comes to: every row that is written for it, decided from values alone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

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
    conversion_of,
    is_limited,
    is_purchase,
    reason_not_to_send,
    value_of,
)
from tracking.destinations import Destination, Unencodable
from tracking.identity import Identity, identity_of
from tracking.order import Order
from tracking.session import Consent, Session, consent_of, visit_of

# An order as the store counts shares of it. Split like money, the parts sum to whole orders.
_WHOLE = 1_000_000

Values = Mapping[str, Any]


class Draft(msgspec.Struct, frozen=True, gc=False):
    """All that an order says by itself. `person` are the links its buyer is known by."""

    order: Order
    session: Session
    page_url: str
    consent: Consent
    identity: Identity
    person: tuple[str, ...]
    visitor: str
    touch: Touch | None


class Plan(msgspec.Struct, frozen=True, gc=False):
    """The rows of an order. `payloads` are the finished events by destination; without any,
    the conversion's `reason` says why nothing is sent."""

    order: Values
    credits: Sequence[Values]
    conversion: Values
    payloads: Mapping[str, bytes]


class Planner:
    """Decides by the shop's rules. It touches nothing, and its answer depends on nothing else."""

    def __init__(
        self,
        destinations: Mapping[str, Destination],
        policy: Policy,
        rules: Rules,
        model: Model,
    ) -> None:
        self.destinations = destinations
        self.policy = policy
        self.rules = rules
        self.reach = max(rules.click_window, rules.view_window)
        self._pinterest_bit = bit("pinterest", model)

    def draft_of(self, order: Order) -> Draft:
        """What the order says by itself."""
        session, page_url = visit_of(order)
        consent = consent_of(order)
        identity = identity_of(order.buyer, limited=is_limited(consent, self.policy))
        person = identity.links()
        visitor = session.visitor or (person[0] if person else f"or:{order.id}")
        touch = own_touch(order, session, visitor)
        # Older than `span_of` looks back, it could be found from one order and not from another.
        if touch is not None and order.placed_at - touch.at > 2 * self.reach:
            touch = None
        return Draft(order, session, page_url, consent, identity, person, visitor, touch)

    def span_of(self, draft: Draft) -> tuple[int, int]:
        """From when until when (seconds UTC) a touch or an order of the buyer can have to do with
        this order: it may be earned by the one, and its own visit may have earned the other."""
        at = draft.order.placed_at
        visited = draft.touch.at if draft.touch is not None else at
        # The visit of an order that it earned may itself be told as up to two windows old.
        return visited - 2 * self.reach, at + self.reach

    def plan_of(self, draft: Draft, others: Iterable[Touch], given_back: Values, now: int) -> Plan:
        """The rows of an order, from its buyer's `others` touches and the sums `given_back` of
        its refunds (`goods` and `paid`, minor units)."""
        order = draft.order
        own = () if draft.touch is None else (draft.touch,)
        path = self.path_of((*others, *own), order.placed_at)
        row = self._order_row(draft, path, given_back)
        allocations = self._allocated(row, path)

        best = self._best(allocations)
        conversion = conversion_of(
            order,
            draft.identity,
            draft.consent,
            self.policy,
            page_url=draft.page_url,
            click_id=draft.session.click_id or _newest_click_id(path),
        )
        reason, detail, payloads = self.finished(
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
        return Plan(
            order=row,
            credits=_credit_rows(row, allocations),
            conversion={
                "event_id": conversion.event_id,
                "stage": "purchase",
                "order_id": order.id,
                "visitor": draft.visitor,
                "at": order.placed_at,
                "is_counted": row["is_counted"],
                **_credited_to(best),
                "currency": order.currency,
                "value": row["gross"],
                "reason": reason,
                "detail": detail,
                "recorded_at": now,
            },
            payloads=payloads,
        )

    def path_of(self, touches: Iterable[Touch], at: int) -> tuple[Touch, ...]:
        """The touches that can have a share in an order placed at an instant, oldest first."""
        inside = [touch for touch in touches if is_in_window(touch, at, self.rules)]
        if len(inside) > 1:
            inside.sort(key=lambda touch: (touch.at, touch.key))
        return tuple(inside)

    def credits_again(
        self, known: Values, path: Sequence[Touch], given_back: Values
    ) -> tuple[Values, Sequence[Values], Values]:
        """The order's row, its credits and what its conversion is credited to, after a refund or
        a late touch changed what they rest on."""
        row = {
            **known,
            **self._money(known["gross"], known["cancelled_at"] is not None, given_back),
            "path": _json(path),
        }
        allocations = self._allocated(row, path)
        return row, _credit_rows(row, allocations), _credited_to(self._best(allocations))

    def finished(self, conversion: Conversion, reason: str) -> tuple[str, str, Mapping[str, bytes]]:
        """The reason it is not sent, with detail, or the finished event for each destination."""
        if not reason and not self.destinations:
            reason = "report_only"
        if reason:
            return reason, "", {}
        try:
            return "", "", {n: d.encode(conversion) for n, d in self.destinations.items()}
        except Unencodable as error:
            return "unencodable", str(error)[:500], {}

    def _order_row(self, draft: Draft, path: Sequence[Touch], given_back: Values) -> Values:
        order = draft.order
        gross = value_of(order, self.policy)
        cancelled = order.cancelled_at is not None
        return {
            "id": order.id,
            "name": order.name,
            "version": order.version,
            "placed_at": order.placed_at,
            "cancelled_at": order.cancelled_at,
            "currency": order.currency,
            "gross": gross,
            **self._money(gross, cancelled, given_back),
            "is_counted": int(is_purchase(order, self.policy)),
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

    def _money(self, gross: int, is_cancelled: bool, given_back: Values) -> Values:
        """What is left is never less than nothing: more cannot be given back than was paid."""
        figure = "paid" if self.policy.value == "total" else "goods"
        refunds = min(gross, int(given_back[figure]))
        return {"refunds": refunds, "cancellations": gross - refunds if is_cancelled else 0}

    def _allocated(self, row: Values, path: Sequence[Touch]) -> Sequence[Allocation]:
        if not row["is_counted"]:
            return ()
        gross, cancellations = row["gross"], row["cancellations"]
        net = gross - row["refunds"] - cancellations
        credits = credits_of(path, row["placed_at"], self.rules)
        return allocations_of(credits, (gross, net, cancellations, _WHOLE))

    def _best(self, allocations: Sequence[Allocation]) -> Touch | None:
        """The Pinterest touch that earned most of the order by the shop's model, or None."""
        earned = [
            (allocation.share, allocation.touch.at, allocation.touch.key, allocation.touch)
            for allocation in allocations
            if allocation.touch is not None and allocation.mask & self._pinterest_bit
        ]
        return max(earned, key=lambda e: e[:3])[3] if earned else None


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


def path_from(text: str) -> tuple[Touch, ...]:
    """The touches an order's stored path names."""
    return _decode_path(text) if text else ()


_decode_path: Callable[[str], tuple[Touch, ...]] = msgspec.json.Decoder(tuple[Touch, ...]).decode
_encode = msgspec.json.Encoder().encode


def _json(value: object) -> str:
    return _encode(value).decode()


def _credited_to(touch: Touch | None) -> Values:
    return {
        "is_pinterest": int(touch is not None),
        "campaign_id": touch.campaign_id if touch else "",
        "campaign": touch.campaign if touch else "",
    }


def _credit_rows(order: Values, allocations: Sequence[Allocation]) -> Sequence[Values]:
    return [_credit_row(order, n, allocation) for n, allocation in enumerate(allocations)]


def _credit_row(order: Values, n: int, allocation: Allocation) -> Values:
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


def _newest_click_id(path: Sequence[Touch]) -> str:
    found = (t.click_id for t in reversed(path) if t.is_pinterest and t.click_id)
    return next(found, "")


def _match_method(draft: Draft) -> str:
    """How an order finds its visitor: by the pixel's id, or by who the buyer is."""
    if draft.session.visitor:
        return "note_attribute"
    kind = draft.visitor[:2]
    return {"em": "email", "ph": "phone", "id": "customer"}.get(kind, "")
