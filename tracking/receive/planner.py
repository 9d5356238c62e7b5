"""Decides what is stored of an order and what is sent, from values alone."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tracking.destinations import Destination, Unencodable
from tracking.domain.attribution import (
    NO_CREDIT,
    WHOLE_ORDER,
    Allocation,
    Credit,
    Model,
    Path,
    Rules,
    Touch,
    allocations_of,
    bit,
    credits_of,
    is_in_window,
    path_of,
    touch_key,
    visits_before,
)
from tracking.domain.consent import Consent
from tracking.domain.conversion import (
    MAY_CHANGE,
    Content,
    ContentLine,
    Conversion,
    Policy,
    content_lines_of,
    contents_of,
    conversion_of,
    event_id_of,
    is_lifted,
    is_purchase,
    kept_of,
    peak_of,
    reason_not_to_send,
    reason_not_to_send_event,
    sold_of,
    value_of,
)
from tracking.domain.customer import (
    NO_CUSTOMER_FACTS,
    CustomerFacts,
    CustomerType,
    customer_type_of,
    is_first_of,
)
from tracking.domain.order import (
    Line,
    Order,
    Refund,
    changed_at,
    is_of_storefront,
    is_without_visit,
    least,
    lists_refunds,
    most,
)
from tracking.domain.revenue import (
    OrderFigures,
    OrderWorth,
    figures_of,
    pieces_changed,
    pieces_gone,
)
from tracking.domain.session import Session, fill_from_pixel, merge_states
from tracking.domain.shared_id import SETTLED_AFTER, waits_until
from tracking.domain.touch import newest_click_id, touch_of_session
from tracking.domain.visitor import Match, match_without_graph
from tracking.receive.order_facts import OrderFacts, OrderReader, own_visitor, with_earlier_keys
from tracking.receive.pixel import PixelEvent
from tracking.receive.rows import conversion_row, credit_rows, credits_in, flag_of
from tracking.store import touches
from tracking.store.conversions import ConversionRow
from tracking.store.new_orders import OrderRows
from tracking.store.orders import OrderRow
from tracking.store.touches import CreditRow, TouchRow
from tracking.store.values import consent_from_json, content_lines_from, json_of, session_from_json


class Planner:
    """Decides by the shop's rules what is stored of an order and what is sent. Does no I/O."""

    def __init__(
        self,
        destinations: Mapping[str, Destination],
        policy: Policy,
        rules: Rules,
        model: Model,
        settling: int = 3600,
        has_pixel: bool = False,
        *,
        is_beside_app: bool = False,
    ) -> None:
        """For `settling` seconds after an order was received, a later fact may still have it sent.
        Without a pixel nothing can be matched by checkout and cart tokens, and none is stored.
        Beside Pinterest's own app an order's event shares the id that the app sends."""
        self.destinations = destinations
        self.policy = policy
        self.rules = rules
        self.settling = settling
        self.has_pixel = has_pixel
        self.is_beside_app = is_beside_app
        self.reach = rules.longest_window
        self.facts_of = OrderReader(policy, self.reach, has_pixel=has_pixel).facts_of
        self._pinterest_bit = bit("pinterest", model)

    def is_lifted(self, reason: str) -> bool:
        """Returns True if only a setting held an event back for a reason, and does not now."""
        return is_lifted(reason, self.policy, is_connected=bool(self.destinations))

    def span_of(self, facts: OrderFacts) -> tuple[int, int]:
        """Returns the span (seconds UTC) in which the buyer's touches and orders concern an order.

        The order may be earned by a touch before it, and its own visit may have earned an order
        after that visit.
        """
        at = facts.order.placed_at
        visited = facts.touch.at if facts.touch is not None else at
        # The visit of an order that it earned may itself be up to two windows old.
        return visited - 2 * self.reach, at + self.reach

    def rows_of(
        self,
        facts: OrderFacts,
        now: int,
        others: Iterable[Touch] = (),
        refunds: Sequence[Refund] = (),
        match: Match | None = None,
        customer: CustomerFacts = NO_CUSTOMER_FACTS,
    ) -> OrderRows:
        """Returns the rows of an order.

        Args:
            facts: the facts of the order.
            now: when it was received, in seconds UTC.
            others: the other touches of its buyer.
            refunds: the refunds of it.
            match: the visitor id whose purchase it is; that of the facts if no other is known.
            customer: what is known of its place among the orders of its buyer, but for the order's
                own word.
        """
        order = facts.order
        customer = msgspec.structs.replace(customer, is_first=order.is_first)
        match = match or match_without_graph(facts.visitor)
        own = () if facts.touch is None else (facts.touch,)
        path: Path = ()
        if not is_without_visit(order.source_name):
            path = self.path_of((*others, *own), order.id, order.placed_at, match)
        row = self._order_row(facts, path, refunds, match, customer)
        allocations = self._allocations_of(row, path)
        best = self._best(allocations)
        figures = figures_in(row)
        reduced = {line.id for line in order.lines if line.is_reduced}
        gone = pieces_gone(self._worth_of(row), reduced, refunds) if refunds else ()
        conversion = self._conversion_of(facts, path, figures.revenue, gone, row.customer_type)
        reason = reason_not_to_send(
            order,
            facts.consent,
            self.policy,
            is_identified=conversion.is_identified,
            is_credited=best is not None,
            is_refunded=figures.is_refunded,
            now=now,
        )
        reason, detail, payloads = self._encoded(conversion, reason)
        return OrderRows(
            order=row,
            touch=_own_touch_row(facts),
            credits=credit_rows(row, allocations),
            conversion=self._purchase_row(row, facts.session, match, best, reason, detail, now),
            keys=facts.keys,
            payloads=payloads,
            held_until=self.settles_at(order.source_name, order.placed_at, now) if reason else None,
            due_at=self.due_at(order, facts.keys, now, now),
            shares_id=self.is_beside_app and order.has_storefront,
        )

    def settles_at(self, source_name: str, placed_at: int, recorded_at: int) -> int:
        """Returns until when (seconds UTC) a later fact may have an order sent."""
        settles_at = recorded_at + self.settling
        if not (self.is_beside_app and is_of_storefront(source_name)):
            return settles_at
        return min(settles_at, placed_at + SETTLED_AFTER)

    def due_at(self, order: Order, keys: Iterable[str], recorded_at: int, now: int) -> int:
        """Returns when to send the event of an order that becomes sendable now.

        Where Pinterest's own app sends it as well, it waits for the id that the storefront tells.
        """
        if not order.has_storefront:
            return now
        return self.release_at(order.source_name, keys, order.placed_at, recorded_at, now)

    def release_at(
        self, source_name: str, keys: Iterable[str], placed_at: int, recorded_at: int, now: int
    ) -> int:
        """Returns when to send the event of a known order that becomes sendable now."""
        is_awaited = (
            self.is_beside_app
            and self.has_pixel
            and is_of_storefront(source_name)
            and any(key.startswith("ck:") for key in keys)
        )
        return waits_until(placed_at, recorded_at, now) if is_awaited else now

    def figures_of(self, order: Order) -> OrderFigures:
        """Returns the figures of an order of which nothing else is known."""
        return self._figures_of(order, order.refunds)

    def _figures_of(self, order: Order, refunds: Sequence[Refund]) -> OrderFigures:
        value, kept = value_of(order, self.policy), kept_of(order, self.policy)
        is_cancelled = order.cancelled_at is not None or order.is_never_paid
        if not refunds and kept is None and not is_cancelled:
            # So is nearly every order that is placed.
            return OrderFigures(value, 0, 0)
        worth = self._worth(
            value=value,
            kept=kept,
            version=order.version,
            taxes_included=order.taxes_included,
            sold=sold_of(order, self.policy),
            peak=peak_of(order, self.policy),
            is_cancelled=is_cancelled,
        )
        return figures_of(worth, refunds)

    def contents_gone(
        self, row: OrderRow, changes: Iterable[tuple[Refund | None, Refund]]
    ) -> tuple[Content, ...]:
        """Returns what newer states of refunds took off the event of a known order, with a negative
        number what they gave back to it."""
        worth, lines = self._worth_of(row), content_lines_from(row.lines)
        reduced = {line.id for line in lines if line.is_reduced}
        pieces = [piece for change in changes for piece in pieces_changed(worth, reduced, *change)]
        known = {line.id: line for line in lines if line.id}
        contents = [self._content_of(piece, known.get(piece.id)) for piece in pieces]
        return tuple(content for content in contents if content.id or content.name)

    def _content_of(self, piece: Line, line: ContentLine | None) -> Content:
        """Returns a piece as the event names its line, which the refund itself need not tell."""
        (content,) = contents_of((piece,), self.policy.content_id)
        if line is None:
            return content
        name = content.name or line.name
        return msgspec.structs.replace(content, id=line.content_id, name=name, price=line.price)

    def touches_in_window(self, touches: Iterable[Touch], at: int) -> list[Touch]:
        """Returns the touches that are young enough for an order placed at an instant."""
        return [touch for touch in touches if is_in_window(touch, at, self.rules)]

    def path_of(self, touches: Iterable[Touch], order_id: str, at: int, match: Match) -> Path:
        """Returns the visits and views that can have a share in an order, oldest first."""
        return visits_before(touches, order_id, at, self.rules, match.visitor)

    def newest_from_pinterest(self, touches: Iterable[Touch], at: int) -> Touch | None:
        """Returns the newest Pinterest touch that is young enough for an event at an instant."""
        path = path_of(touches, at, self.rules, "pinterest")
        return path[-1] if path else None

    def recredit(
        self, known: OrderRow, path: Sequence[Touch], refunds: Sequence[Refund]
    ) -> tuple[OrderRow, Sequence[CreditRow], Touch | None]:
        """Returns the order's row, its credits and the Pinterest touch that earned most of it,
        after a refund or a later fact changed what they rest on."""
        row = self._settled(known, refunds)._replace(path=json_of(path))
        allocations = self._allocations_of(row, path)
        return row, credit_rows(row, allocations), self._best(allocations)

    def split_again(
        self, known: OrderRow, credits: Sequence[CreditRow], refunds: Sequence[Refund]
    ) -> tuple[OrderRow, Sequence[CreditRow], Touch | None]:
        """As `recredit`, of an order whose path was forgotten: in the shares that it has."""
        row = self._settled(known, refunds)
        allocations = self._allocated(row, credits_in(credits) or NO_CREDIT)
        return row, credit_rows(row, allocations), self._best(allocations)

    def completed_session(self, known: OrderRow, stored: Session) -> Session:
        """Returns a known order's session, with what the pixel stored of its checkout."""
        return fill_from_pixel(session_from_json(known.session), stored)

    def with_older(self, known: OrderRow, facts: OrderFacts) -> OrderRow:
        """Returns a known order's row, with what an older state told and the newer one has lost.

        A refusal stands, and an order that was paid once is a purchase.
        """
        session = merge_states(
            session_from_json(known.session), known.version, facts.session, facts.order.version
        )
        consent = consent_from_json(known.consent).merged_with(facts.stated)
        is_nobodys = known.visitor == own_visitor(known.id)
        return self.with_money(known, facts.order)._replace(
            visitor=session.visitor or (facts.visitor if is_nobodys else known.visitor),
            links=" ".join(with_earlier_keys(known.keys, facts.keys)),
            session=json_of(session),
            consent=json_of(consent),
            is_first=flag_of(is_first_of(known.is_first, facts.order.is_first)),
        )

    def with_money(self, known: OrderRow, order: Order) -> OrderRow:
        """Returns a known order's row, with what an older state tells of its money."""
        taxes_included = known.taxes_included
        if taxes_included is None and order.taxes_included is not None:
            taxes_included = int(order.taxes_included)
        known = known._replace(
            taxes_included=taxes_included,
            sold=least(known.sold, sold_of(order, self.policy)),
            peak=most(known.peak, peak_of(order, self.policy)),
        )
        return self._with_payment(known, order)

    def is_money_known(self, order: Order, known: OrderRow) -> bool:
        """Returns True if an older state told of an order's money what this state does not."""
        sold, peak = sold_of(order, self.policy), peak_of(order, self.policy)
        return (
            least(sold, known.sold) != sold
            or most(peak, known.peak) != peak
            or (order.taxes_included is None and known.taxes_included is not None)
        )

    def _with_payment(self, known: OrderRow, order: Order) -> OrderRow:
        if known.is_paid or not order.proves_payment:
            return known
        is_real = not known.is_test and known.deleted_at is None
        return known._replace(is_paid=1, is_counted=int(is_real))

    def own_touch_of(
        self, known: OrderRow, session: Session, *, is_visit: bool = False
    ) -> Touch | None:
        """Returns the visit a known order was placed in, by its newer session.

        None if it is too old, or if the session is direct and no visit is stored (`is_visit`).
        """
        if session.is_direct and not is_visit:
            return None
        touch = touch_of_session(
            session,
            touch_key(known.id),
            known.visitor,
            known.placed_at,
            self.policy.pinterest_media,
        )
        return touch if known.placed_at - touch.at <= 2 * self.reach else None

    def browser_event_row(
        self, event: PixelEvent, best: Touch | None, consent: Consent, now: int
    ) -> tuple[ConversionRow, Mapping[str, bytes]]:
        """Returns the row of a browser event that `best` brought the visitor to, and the finished
        events by destination."""
        conversion = event.conversion
        if conversion is None:
            raise ValueError(f"{event.name} is no conversion")
        reason = "bot"
        if not event.is_bot:
            reason = reason_not_to_send_event(
                conversion, consent, self.policy, is_credited=best is not None, now=now
            )
        reason, detail, payloads = self._encoded(conversion, reason)
        row = conversion_row(
            event_id=conversion.event_id,
            stage=event.stage or "",
            visitor=event.visitor,
            at=event.at,
            is_counted=not event.is_bot,
            credited_to=best,
            session=event.session,
            currency=conversion.currency,
            value=event.value,
            reason=reason,
            detail=detail,
            recorded_at=now,
        )
        return row, {} if reason else payloads

    def _conversion_of(
        self,
        facts: OrderFacts,
        path: Path,
        value: int,
        gone: Sequence[Line],
        customer_type: CustomerType,
    ) -> Conversion:
        return conversion_of(
            facts.order,
            facts.identity,
            facts.consent,
            self.policy,
            page_url=facts.page_url,
            click_id=facts.session.click_id or newest_click_id(path) or facts.click_id,
            value=value,
            client=facts.client,
            gone=gone,
            customer_type=customer_type,
        )

    def _encoded(self, conversion: Conversion, reason: str) -> tuple[str, str, Mapping[str, bytes]]:
        """Returns the reason why an event is not sent, its detail, and the finished event for each
        destination. The event is finished also where the reason may change."""
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
        self,
        facts: OrderFacts,
        path: Sequence[Touch],
        refunds: Sequence[Refund],
        match: Match,
        customer: CustomerFacts,
    ) -> OrderRow:
        order = facts.order
        figures = self._figures_of(order, refunds)
        return OrderRow(
            id=order.id,
            name=order.name,
            version=order.version,
            placed_at=order.placed_at,
            cancelled_at=order.cancelled_at,
            deleted_at=order.deleted_at,
            currency=order.currency,
            gross=figures.gross,
            refunds=figures.refunds,
            cancellations=figures.cancellations,
            is_counted=int(is_purchase(order, self.policy)),
            is_paid=int(order.is_paid),
            is_test=int(order.test),
            financial_status=order.financial_status,
            source_name=order.source_name,
            visitor=facts.visitor,
            match_method=match.method,
            links=" ".join(facts.keys),
            session=json_of(facts.session),
            # The browser's consent may change, and is read whenever it matters.
            consent=json_of(facts.stated),
            unusable=" ".join(facts.identity.unusable),
            path=json_of(path),
            taxes_included=None if order.taxes_included is None else int(order.taxes_included),
            kept=kept_of(order, self.policy),
            sold=sold_of(order, self.policy),
            peak=peak_of(order, self.policy),
            lines=json_of(content_lines_of(order.lines, self.policy.content_id)),
            is_first=flag_of(order.is_first),
            has_earlier=int(customer.has_earlier),
            customer_type=customer_type_of(customer),
        )

    def _purchase_row(
        self,
        order: OrderRow,
        session: Session,
        match: Match,
        best: Touch | None,
        reason: str,
        detail: str,
        now: int,
    ) -> ConversionRow:
        return conversion_row(
            event_id=event_id_of(order.id),
            stage="purchase",
            order_id=order.id,
            visitor=match.visitor,
            at=order.placed_at,
            is_counted=bool(order.is_counted),
            credited_to=best,
            session=session,
            currency=order.currency,
            value=order.gross,
            reason=reason,
            detail=detail,
            recorded_at=now,
        )

    def _settled(self, row: OrderRow, refunds: Sequence[Refund]) -> OrderRow:
        """Returns an order's row with its figures after refunds, edits and a cancellation."""
        return row._replace(**figures_of(self._worth_of(row), refunds)._asdict())

    def _worth_of(self, row: OrderRow) -> OrderWorth:
        return self._worth(
            value=row.gross,
            kept=row.kept,
            version=row.version,
            taxes_included=None if row.taxes_included is None else bool(row.taxes_included),
            sold=row.sold,
            peak=row.peak,
            is_cancelled=row.is_cancelled,
        )

    def _worth(
        self,
        *,
        value: int,
        kept: int | None,
        version: str,
        taxes_included: bool | None,
        sold: int | None,
        peak: int | None,
        is_cancelled: bool,
    ) -> OrderWorth:
        return OrderWorth(
            value=value,
            kept=kept,
            kept_at=changed_at(version),
            lists_refunds=lists_refunds(version),
            is_total=self.policy.value == "total",
            taxes_included=taxes_included,
            is_cancelled=is_cancelled,
            sold=sold,
            peak=peak,
        )

    def _allocations_of(self, row: OrderRow, path: Sequence[Touch]) -> Sequence[Allocation]:
        return self._allocated(row, credits_of(path, row.placed_at, self.rules))

    def _allocated(self, row: OrderRow, credits: Sequence[Credit]) -> Sequence[Allocation]:
        if not row.is_counted:
            return ()
        net = figures_in(row).revenue
        return allocations_of(credits, (row.gross, net, row.cancellations, WHOLE_ORDER))

    def _best(self, allocations: Sequence[Allocation]) -> Touch | None:
        """Returns the Pinterest touch that earned most of the order by the shop's model."""
        earned = [
            (allocation.share, allocation.touch.at, allocation.touch.key, allocation.touch)
            for allocation in allocations
            if allocation.touch is not None and allocation.mask & self._pinterest_bit
        ]
        return max(earned, key=lambda e: e[:3])[3] if earned else None


def figures_in(row: OrderRow) -> OrderFigures:
    """Returns the figures in the row of an order."""
    return OrderFigures(row.gross, row.refunds, row.cancellations)


def _own_touch_row(facts: OrderFacts) -> TouchRow:
    """Returns the row of an order's own touch, or one of no kind if it was placed without a visit:
    later touches find the order by it."""
    if facts.touch is not None:
        return touches.touch_row(facts.touch)
    order = facts.order
    return TouchRow(visitor=facts.visitor, at=order.placed_at, key=touch_key(order.id))
