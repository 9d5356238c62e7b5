"""Finds the personal data of a person and erases it. What was sold stays on record."""

import secrets
from collections.abc import Collection, Iterable, Mapping, Set

import msgspec

from tracking.domain.conversion import event_id_of
from tracking.domain.order import Browser, Buyer, Order
from tracking.receive.attributor import Attributor
from tracking.receive.order_facts import with_history
from tracking.receive.privacy.erasure_plan import (
    ErasurePlan,
    ErasureStep,
    StepKind,
    detachment,
    plan_of,
)
from tracking.receive.privacy.footprint import ErasedBuyer, is_exclusive
from tracking.receive.rows import with_credit
from tracking.store import (
    conversions,
    erasure,
    funnel_figures,
    naming_events,
    orders,
    outbox,
    pending_erasures,
    privacy_requests,
    refunds,
    retention,
    touches,
)
from tracking.store.engine.statement import SHORT_TRANSACTION, Connection
from tracking.store.identity_graph import ALWAYS
from tracking.store.orders import OrderRow
from tracking.store.pending_erasures import PendingErasure
from tracking.store.values import json_of, path_from

# The steps of one transaction: each has up to two names to lock.
MOST_STEPS = 100

_ERASED = retention.NOBODY


class PersonEraser:
    """Erases persons, and leaves tombstones, so that later orders and events bring nothing back.

    An erasure begins with the tombstones. The rest goes on step by step (`PendingErasures`).
    """

    def __init__(self, attributor: Attributor) -> None:
        self.attributor = attributor

    def begin(
        self, conn: Connection, keys: Iterable[str], order_ids: Iterable[str], now: int
    ) -> int | None:
        """Begins to erase the person who has these keys or placed these orders; returns the id of
        the erasure, None if the same one waits already.

        It waits for nobody: what other transactions write about them just then is found by the
        plan, which is made once these are over.
        """
        keys, order_ids = sorted(keys), sorted(order_ids)
        erasure.put_tombstones(conn, {*keys, *(f"or:{order_id}" for order_id in order_ids)}, now)
        _erase_requests(conn, keys, order_ids)
        return pending_erasures.add_person(conn, keys, order_ids, now)

    def begin_with(self, conn: Connection, known: OrderRow, now: int) -> None:
        """Erases the buyer from an order, and begins to erase the buyer's browsers."""
        event = conversions.of_event(conn, event_id_of(known.id))
        visitors = {known.visitor, *([] if event is None else [event.visitor])}
        erased = ErasedBuyer(tuple(known.keys), tuple(sorted(visitors)))
        erasure.put_tombstones(conn, [f"or:{known.id}"], now)
        _erase_requests(conn, (), (known.id,))
        _erase_order(conn, known.id, {}, now)
        rest = msgspec.json.encode(erased).decode()
        pending_erasures.add_person(conn, (), (known.id,), now, rest)

    def plan(self, conn: Connection, pending: PendingErasure) -> tuple[ErasurePlan, frozenset[str]]:
        """Returns the steps that erase a person, and the tombstones that belong to them."""
        rest = pending_erasures.rest_of(conn, pending.id)
        erased = msgspec.json.decode(rest, type=ErasedBuyer) if rest else ErasedBuyer()
        keys, order_ids = pending.links.split(), pending.orders.split()
        return plan_of(conn, keys, order_ids, erased, iter(_new_id, ""))

    def run(self, conn: Connection, plan: ErasurePlan, first: int, now: int) -> int:
        """Makes steps from the `first` on, as many as others may wait for; returns the next one.

        A step that was made before changes nothing.
        """
        steps = plan.steps[first : first + MOST_STEPS]
        planned = {step.name for step in plan.steps if step.kind is StepKind.EVENT}
        for n, step in enumerate(steps, 1):
            self._run_step(conn, plan, step, planned, now)
            if conn.executed > SHORT_TRANSACTION:
                return first + n
        return first + len(steps)

    def _run_step(
        self, conn: Connection, plan: ErasurePlan, step: ErasureStep, planned: Set[str], now: int
    ) -> None:
        match step.kind:
            case StepKind.ORDER:
                _erase_order(conn, step.name, plan.visitors, now)
            case StepKind.EVENT:
                erasure.erase_event(conn, step.name, now)
            case StepKind.VISITOR:
                _erase_visitor(conn, plan, step.name, planned, now)
            case StepKind.LINK:
                erasure.unlink(conn, step.name, step.visitor)
            case StepKind.TOUCH:
                erasure.forget_touch(conn, step.visitor, step.name)
            case StepKind.KEY:
                erasure.forget_key(conn, step.name)
            case StepKind.CREDIT:
                self.attributor.credit_each(conn, (step.name,), ALWAYS, now)
            case StepKind.KEYS_OF_ORDER:
                _remove_from_order(conn, step.name, plan)

    def put_order(self, conn: Connection, order: Order, known: OrderRow | None, now: int) -> None:
        """Stores only the money and the state of an order whose buyer was erased or forgotten, and
        keeps the credits it had."""
        if known is None:
            erasure.put_tombstones(conn, [f"or:{order.id}"], now)
        planner = self.attributor.planner
        given_back = refunds.of_order(conn, order.id, order.currency)
        state = without_buyer(order) if known is None else with_history(without_buyer(order), known)
        rows = planner.rows_of(planner.facts_of(state), now, refunds=given_back)
        nobodys = _without_buyer(rows.order)
        if known is None:
            row, credits, best = planner.recredit(nobodys, (), given_back)
        else:
            nobodys = nobodys._replace(
                path=known.path,
                has_earlier=known.has_earlier,
                customer_type=known.customer_type,
            )
            row, credits, best = self.attributor.credited(conn, known, nobodys)
        orders.put(conn, row)
        touches.put_credits(conn, order.id, credits, known.placed_at if known else None)
        event = conversions.of_event(conn, event_id_of(order.id))
        deliveries = outbox.of_event(conn, event_id_of(order.id))
        is_sent = any(delivery.state == "sent" for delivery in deliveries)
        conversion = with_credit(rows.conversion, best)._replace(
            visitor=_new_id() if event is None else event.visitor,
            reason="" if is_sent else "erased",
            detail="",
        )
        if event is not None and known is not None and known.is_forgotten:
            # It was decided long ago, and the delivery that says how may be gone as well.
            conversion = conversion._replace(reason=event.reason, detail=event.detail)
        conversions.put(conn, conversion)
        for event_id in naming_events.of_order(conn, order.id):
            erasure.erase_event(conn, event_id, now)


def without_buyer(order: Order) -> Order:
    """Returns the order without its buyer, browser and landing page."""
    return msgspec.structs.replace(
        order,
        name="",
        locale="",
        origin="",
        landing_site="",
        referring_site="",
        checkout_token="",
        cart_token="",
        notes=(),
        buyer=Buyer(),
        browser=Browser(),
        session_hints=(),
    )


def _new_id() -> str:
    """Returns a new visitor id for an erased person, of a form that no pixel sends."""
    return f"{_ERASED}{secrets.token_hex(8)}"


def _erase_order(conn: Connection, order_id: str, new_ids: Mapping[str, str], now: int) -> None:
    event = conversions.of_event(conn, event_id_of(order_id))
    if event is not None and event.visitor in new_ids:
        erasure.rename_purchase(conn, event.event_id, new_ids[event.visitor])
    # Its events may have been reported by another system, without the order itself.
    for event_id in (event_id_of(order_id), *naming_events.of_order(conn, order_id)):
        erasure.erase_event(conn, event_id, now)
    row = orders.of_id(conn, order_id)
    if row is not None:
        orders.put(conn, without_person(row))


def without_person(row: OrderRow) -> OrderRow:
    """Returns an order's row with its money and the campaigns of its path, without its buyer."""
    path = [
        msgspec.structs.replace(touch, visitor="", click_id="") for touch in path_from(row.path)
    ]
    return _without_buyer(row)._replace(path="" if row.is_forgotten else json_of(path))


def _without_buyer(row: OrderRow) -> OrderRow:
    """Returns an order's row without what identifies its buyer and the visit."""
    return row._replace(
        name="", visitor="", match_method="", links="", session="", consent="", unusable=""
    )


def _erase_visitor(
    conn: Connection, plan: ErasurePlan, visitor: str, planned: Set[str], now: int
) -> None:
    """Deletes a visitor id, and what it did since the steps were `planned`. If another person has
    used it since, it is left to that person."""
    if not is_exclusive(conn, visitor, plan.keys, plan.known_by, plan.orders):
        for step in [*detachment(conn, visitor, plan.known_by, plan.orders)]:
            if step.kind is StepKind.LINK:
                erasure.unlink(conn, step.name, visitor)
            else:
                erasure.forget_touch(conn, visitor, step.name)
        # The person's purchases may have another id by now, which counts as somebody else.
        funnel_figures.forget_visitors(conn, [visitor])
        return
    for event in erasure.browser_events_of(conn, visitor):
        if event.event_id not in planned:
            erasure.erase_event(conn, event.event_id, now)
    erasure.forget_visitor(conn, visitor, plan.visitors[visitor])


def _remove_from_order(conn: Connection, order_id: str, plan: ErasurePlan) -> None:
    """Deletes the person's keys and visitor ids from an order of another person."""
    row = orders.of_id(conn, order_id)
    if row is None:
        return
    keys = [key for key in row.keys if key not in plan.keys]
    path = [
        msgspec.structs.replace(touch, visitor="") if touch.visitor in plan.visitors else touch
        for touch in path_from(row.path)
    ]
    path_left = "" if row.is_forgotten else json_of(path)
    orders.put(conn, row._replace(links=" ".join(keys), path=path_left))


def _erase_requests(conn: Connection, keys: Collection[str], order_ids: Collection[str]) -> None:
    for row in privacy_requests.about_a_person(conn):
        if {*row.links.split()} & {*keys} or {*row.orders.split()} & {*order_ids}:
            privacy_requests.erase(conn, row.id)
