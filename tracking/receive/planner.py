"""What an order comes to: every row that is written for it, decided from values alone."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tracking.destinations import Destination, Unencodable
from tracking.domain.attribution import (
    Allocation,
    Model,
    Path,
    Rules,
    Touch,
    allocations_of,
    bit,
    credits_of,
    deduplicate,
    is_in_window,
    path_of,
    touch_key,
)
from tracking.domain.consent import Consent, consent_of
from tracking.domain.conversion import (
    MAY_CHANGE,
    Conversion,
    Policy,
    conversion_of,
    is_limited,
    is_purchase,
    reason_not_to_send,
    reason_not_to_send_event,
    value_of,
)
from tracking.domain.identity import Identity, identity_of
from tracking.domain.order import Order
from tracking.domain.session import Session, fill_from_pixel, merge_states, visit_of
from tracking.domain.touch import newest_click_id, own_touch, touch_of_session
from tracking.domain.visitor import Match, match_by_itself
from tracking.receive.pixel import PixelEvent, token_key
from tracking.receive.rows import Values, credit_rows, credited_to, purchase_row
from tracking.store.values import consent_from_json, json_of, session_from_json

# An order as the store counts shares of it. Split like money, the parts sum to whole orders.
_WHOLE = 1_000_000


class OrderFacts(msgspec.Struct, frozen=True, gc=False):
    """All that an order says by itself. `person` are the links its buyer is known by, `visitor`
    is the id its own touch stands under: the pixel's, or one made of who the buyer is. `said` is
    the word of consent of all the order's states so far, `consent` that and the browser's."""

    order: Order
    session: Session
    page_url: str
    said: Consent
    consent: Consent
    identity: Identity
    person: tuple[str, ...]
    visitor: str
    touch: Touch | None


class OrderRows(msgspec.Struct, frozen=True, gc=False):
    """The rows of an order. `payloads` are the finished events by destination. With a `reason`
    on the conversion they are held, for as long as a late fact may remove the reason."""

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
        settling: int = 3600,
        has_pixel: bool = False,
    ) -> None:
        """A late fact may still have an order sent for `settling` seconds after it came. Where no
        pixel tells of checkouts, nothing can be matched by their tokens, and none is kept."""
        self.destinations = destinations
        self.policy = policy
        self.rules = rules
        self.settling = settling
        self.has_pixel = has_pixel
        self.reach = max(rules.click_window, rules.view_window)
        self._pinterest_bit = bit("pinterest", model)

    def facts_of(
        self,
        order: Order,
        stored: Session | None = None,
        told: Consent | None = None,
        known: Values | None = None,
    ) -> OrderFacts:
        """What the order says by itself, what is `known` of it from an older state, and what the
        pixel `stored` of its checkout and was `told` of consent."""
        session, page_url = visit_of(order)
        said = consent_of(order)
        if known is not None:
            before = session_from_json(known["session"])
            session = merge_states(session, order.version, before, known["version"])
            said = said.joined(consent_from_json(known["consent"]))
        if stored is not None:
            session = fill_from_pixel(session, stored)
        consent = said if told is None else said.joined(told)
        identity = identity_of(order.buyer, limited=is_limited(consent, self.policy))
        known_by = identity.links()
        visitor = session.visitor or (known_by[0] if known_by else f"or:{order.id}")
        touch = own_touch(order, session, visitor)
        # Older than `span_of` looks back, it could be found from one order and not from another.
        if touch is not None and order.placed_at - touch.at > 2 * self.reach:
            touch = None
        person = (*_token_links(order), *known_by) if self.has_pixel else known_by
        return OrderFacts(order, session, page_url, said, consent, identity, person, visitor, touch)

    def span_of(self, facts: OrderFacts) -> tuple[int, int]:
        """From when until when (seconds UTC) a touch or an order of the buyer can have to do with
        this order: it may be earned by the one, and its own visit may have earned the other."""
        at = facts.order.placed_at
        visited = facts.touch.at if facts.touch is not None else at
        # The visit of an order that it earned may itself be told as up to two windows old.
        return visited - 2 * self.reach, at + self.reach

    def rows_of(
        self,
        facts: OrderFacts,
        others: Iterable[Touch],
        given_back: Values,
        now: int,
        match: Match | None = None,
    ) -> OrderRows:
        """The rows of an order, from its buyer's `others` touches and the sums `given_back` of
        its refunds (`goods` and `paid`, minor units)."""
        order = facts.order
        match = match or match_by_itself(facts.visitor)
        own = () if facts.touch is None else (facts.touch,)
        path = self.path_of((*others, *own), order.id, order.placed_at, match)
        row = self._order_row(facts, path, given_back, match)
        allocations = self._allocated(row, path)

        best = self._best(allocations)
        conversion = conversion_of(
            order,
            facts.identity,
            facts.consent,
            self.policy,
            page_url=facts.page_url,
            click_id=facts.session.click_id or newest_click_id(path),
        )
        reason, detail, payloads = self._finished(
            conversion,
            reason_not_to_send(
                order,
                facts.consent,
                self.policy,
                is_identified=conversion.is_identified,
                is_credited=best is not None,
                now=now,
            ),
        )
        decided = {"reason": reason, "detail": detail, "recorded_at": now}
        return OrderRows(
            order=row,
            credits=credit_rows(row, allocations),
            conversion=purchase_row(row, match, best) | decided,
            payloads=payloads,
        )

    def inside(self, touches: Iterable[Touch], at: int) -> list[Touch]:
        """The touches that are young enough for an order placed at an instant."""
        return [touch for touch in touches if is_in_window(touch, at, self.rules)]

    def path_of(self, touches: Iterable[Touch], order_id: str, at: int, match: Match) -> Path:
        """The visits and views that can have a share in an order, oldest first."""
        own = touch_key(order_id)
        inside = [
            touch if touch.key != own else msgspec.structs.replace(touch, visitor=match.visitor)
            for touch in self.inside(touches, at)
        ]
        return deduplicate(inside) if len(inside) > 1 else tuple(inside)

    def newest_from_pinterest(self, touches: Iterable[Touch], at: int) -> Touch | None:
        """What brought a visitor who did something at an instant, if it was Pinterest."""
        path = path_of(touches, at, self.rules, "pinterest")
        return path[-1] if path else None

    def credits_again(
        self, known: Values, path: Sequence[Touch], given_back: Values
    ) -> tuple[Values, Sequence[Values], Touch | None]:
        """The order's row, its credits and the Pinterest touch that earned most of it, after a
        refund or a late fact changed what they rest on."""
        row = {
            **known,
            **self._money(known["gross"], known["cancelled_at"] is not None, given_back),
            "path": json_of(path),
        }
        allocations = self._allocated(row, path)
        return row, credit_rows(row, allocations), self._best(allocations)

    def session_again(self, known: Values, stored: Session) -> Session:
        """A known order's session, with what the pixel stored of its checkout."""
        return fill_from_pixel(session_from_json(known["session"]), stored)

    def with_older(self, known: Values, facts: OrderFacts) -> Values:
        """A known order's row, with what an older state of it says of its session and of consent.
        A newer state may have lost its note attributes, and a refusal stands."""
        session = merge_states(
            session_from_json(known["session"]),
            known["version"],
            facts.session,
            facts.order.version,
        )
        consent = consent_from_json(known["consent"]).joined(facts.said)
        return {
            **known,
            "visitor": session.visitor or known["visitor"],
            "session": json_of(session),
            "consent": json_of(consent),
        }

    def own_touch_again(
        self, known: Values, session: Session, *, is_visit: bool = False
    ) -> Touch | None:
        """The visit a known order was placed in, by its newer session; None where that changes
        nothing, unless it `is_visit` whatever brought the buyer."""
        if session.is_direct and not is_visit:
            return None
        touch = touch_of_session(
            session, touch_key(known["id"]), known["visitor"], known["placed_at"]
        )
        return touch if known["placed_at"] - touch.at <= 2 * self.reach else None

    def browser_event_row(
        self, seen: PixelEvent, best: Touch | None, consent: Consent, now: int
    ) -> tuple[Values, Mapping[str, bytes]]:
        """The row of a storefront event that `best` brought the visitor to, and the finished
        events by destination."""
        conversion = seen.conversion
        if conversion is None:
            raise ValueError(f"{seen.name} is no conversion")
        reason = "bot"
        if not seen.is_bot:
            reason = reason_not_to_send_event(
                conversion, consent, self.policy, is_credited=best is not None, now=now
            )
        reason, detail, payloads = self._finished(conversion, reason)
        brought_by = credited_to(best)
        if best is None:
            brought_by |= {
                "campaign_id": seen.session.campaign_id,
                "campaign": seen.session.campaign,
            }
        row = {
            "event_id": conversion.event_id,
            "stage": seen.stage,
            "order_id": "",
            "visitor": seen.visitor,
            "at": seen.at,
            "is_counted": int(not seen.is_bot),
            **brought_by,
            "currency": conversion.currency,
            "value": seen.value,
            "reason": reason,
            "detail": detail,
            "recorded_at": now,
            "credited_then": "",
        }
        return row, {} if reason else payloads

    def _finished(
        self, conversion: Conversion, reason: str
    ) -> tuple[str, str, Mapping[str, bytes]]:
        """The reason it is not sent, with detail, and the finished event for each destination.
        It is made for a reason that may change, too."""
        if not reason and not self.destinations:
            return "report_only", "", {}
        if reason and not (reason in MAY_CHANGE and conversion.is_identified):
            return reason, "", {}
        try:
            return reason, "", {n: d.encode(conversion) for n, d in self.destinations.items()}
        except Unencodable as error:
            if reason:
                return reason, "", {}
            return "unencodable", str(error)[:500], {}

    def _order_row(
        self, facts: OrderFacts, path: Sequence[Touch], given_back: Values, match: Match
    ) -> Values:
        order = facts.order
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
            "visitor": facts.visitor,
            "match_method": match.method,
            "links": " ".join(facts.person),
            "session": json_of(facts.session),
            # What the browser says besides may change, and is asked for whenever it matters.
            "consent": json_of(facts.said),
            "unusable": " ".join(facts.identity.unusable),
            "path": json_of(path),
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


def _token_links(order: Order) -> Iterable[str]:
    found = (token_key("ck", order.checkout_token), token_key("ca", order.cart_token))
    return filter(None, found)
