"""The steps of one person's erasure, small enough for webhooks to come in between.

They are planned in a snapshot and stored, since each removes what others would be found by.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from tracking.domain.attribution import touch_key
from tracking.receive.attributor import Attributor
from tracking.receive.privacy.footprint import (
    ErasedBuyer,
    PersonFootprint,
    browser_events_of,
    footprint_of,
)
from tracking.store import erasure, orders
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS


class StepKind(StrEnum):
    """The kinds of steps. Of a shared visitor id single links and touches go."""

    ORDER = "order"
    EVENT = "event"
    VISITOR = "visitor"
    LINK = "link"
    TOUCH = "touch"
    KEY = "key"
    CREDIT = "credit"
    KEYS_OF_ORDER = "keys of order"


class ErasureStep(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One step: its kind, what it is about, and the visitor id that belongs to it."""

    kind: StepKind
    name: str
    visitor: str = ""

    @property
    def locked(self) -> tuple[str, ...]:
        """Returns what no other transaction may write about meanwhile."""
        return (self.name, self.visitor) if self.visitor else (self.name,)


class ErasurePlan(msgspec.Struct, frozen=True, gc=False):
    """The steps of a stage, and what they have in common.

    `known_by` are all identity keys of the person, `keys` those of the request. `visitors` has the
    new id for each visitor id of this person alone. The orders of the `others`, visitor ids that
    counted as the same person, are credited again, and the person's keys are removed from the
    `candidates`, orders of other persons.
    """

    keys: tuple[str, ...]
    known_by: frozenset[str]
    orders: frozenset[str]
    visitors: Mapping[str, str]
    others: tuple[str, ...]
    candidates: tuple[str, ...]
    steps: tuple[ErasureStep, ...]


def plan_of(
    conn: Connection,
    keys: Iterable[str],
    order_ids: Iterable[str],
    erased: ErasedBuyer,
    new_ids: Iterator[str],
) -> tuple[ErasurePlan, frozenset[str]]:
    """Returns what is to be erased of a person, and the tombstones that belong to it.

    Reads every order there is.
    """
    keys, order_ids = frozenset(keys), frozenset(order_ids)
    candidates = erasure.orders_with(conn, keys)
    footprint = footprint_of(conn, keys, order_ids, candidates, erased)
    visitors = {visitor: next(new_ids) for visitor in sorted(footprint.visitors)}
    named = order_ids | footprint.orders.keys()
    plan = ErasurePlan(
        keys=tuple(sorted(keys)),
        known_by=footprint.known_by,
        orders=frozenset(named),
        visitors=visitors,
        others=tuple(sorted(footprint.joined | footprint.shared)),
        candidates=tuple(sorted(set(candidates) - footprint.orders.keys())),
        steps=tuple(_steps_of(conn, footprint, named, visitors)),
    )
    return plan, frozenset(f"or:{order_id}" for order_id in named) | footprint.clients


def _steps_of(
    conn: Connection,
    footprint: PersonFootprint,
    order_ids: Iterable[str],
    visitors: Mapping[str, str],
) -> Iterator[ErasureStep]:
    yield from (ErasureStep(StepKind.ORDER, order_id) for order_id in sorted(order_ids))
    for event in browser_events_of(conn, footprint):
        yield ErasureStep(StepKind.EVENT, event.event_id)
    yield from (ErasureStep(StepKind.VISITOR, visitor) for visitor in visitors)
    for visitor in sorted(footprint.shared):
        yield from detachment(conn, visitor, footprint.known_by, footprint.orders.keys())
    yield from (ErasureStep(StepKind.KEY, key) for key in sorted(footprint.keys | footprint.tokens))


def detachment(
    conn: Connection, visitor: str, known_by: Iterable[str], own: Iterable[str]
) -> Iterator[ErasureStep]:
    """Yields the steps that remove a person's orders and keys from a visitor id, which others
    keep."""
    own = frozenset(own)
    placed = erasure.orders_at(conn, visitor)
    others = (orders.of_id(conn, order_id) for order_id in sorted(placed - own))
    kept = {key for row in others if row is not None for key in row.keys}
    for key in sorted(erasure.keys_of(conn, visitor).intersection(known_by) - kept):
        yield ErasureStep(StepKind.LINK, key, visitor)
    for order_id in sorted(own.intersection(placed)):
        yield ErasureStep(StepKind.TOUCH, touch_key(order_id), visitor)


def with_credits(conn: Connection, attributor: Attributor, plan: ErasurePlan) -> ErasurePlan:
    """Returns the plan of the stage after: the orders of others are credited without the person.

    Each is credited twice, since one may be credited by the visit of another.
    """
    credited = attributor.orders_of(conn, plan.others, ALWAYS)
    credits = [ErasureStep(StepKind.CREDIT, order_id) for order_id in credited]
    keys = [ErasureStep(StepKind.KEYS_OF_ORDER, order_id) for order_id in plan.candidates]
    return msgspec.structs.replace(plan, steps=(*credits, *credits, *keys))
