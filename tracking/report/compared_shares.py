"""Reads what became of the orders that Pinterest is credited with: sent or not, and at which value.

It reads the raw rows.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from tracking.domain.attribution import (
    WHOLE_ORDER,
    Rules,
    allocations_of,
    bit,
    credits_of,
    split,
)
from tracking.domain.conversion import REASONS, TOLD_OTHERWISE
from tracking.domain.money import amount, to_minor
from tracking.domain.waterfall import Outcome
from tracking.report.campaigns import CampaignLabel
from tracking.store import compared_orders
from tracking.store.compared_orders import CreditedRow, DeletedRow, NamingDelivery
from tracking.store.engine.statement import Connection
from tracking.store.packed_payloads import unpacked
from tracking.store.values import path_from

# The bit that says that an order's credits are of views, whatever the model: it credits no click.
_VIEWS = bit("pinterest", "view_through")
# The states of a delivery that may still come, or was given up.
UNDELIVERED = ("waiting", "dead", "discarded")


class OrderShare(NamedTuple):
    """A share of one order that a campaign of Pinterest's is credited with here.

    The fields are those of a ComparedShare; the order was `placed_at`, and the touch lay at
    `credited_at` (seconds UTC).
    """

    order_id: str
    placed_at: int
    credited_at: int
    label: CampaignLabel
    currency: str
    outcome: Outcome
    reason: str
    is_view: bool
    is_taken_back: bool
    share: int
    net: int
    value: int


class Told(NamedTuple):
    """The fate of an order's event, and the value that it told: None if that is not known."""

    outcome: Outcome
    reason: str = ""
    value: int | None = None


class _CustomData(msgspec.Struct):
    currency: str = ""
    value: str = ""


class _Event(msgspec.Struct):
    custom_data: _CustomData = msgspec.field(default_factory=_CustomData)


_decode: Callable[[bytes], _Event] = msgspec.json.Decoder(_Event).decode
_order_of = attrgetter("placed_at", "order_id")


def order_shares(
    conn: Connection, span: tuple[int, int], model_bit: int, rules: Rules, forgotten: int
) -> list[OrderShare]:
    """Returns the shares of the orders placed in a span (two instants, the end excluded), the
    newest order first. Deliveries settled before the instant `forgotten` have been deleted."""
    since, before = span
    rows = compared_orders.credited(conn, since, before, model_bit | _VIEWS, forgotten)
    named = naming_of(compared_orders.naming(conn, _told_by_others(rows)))
    shares = list(shares_of(rows, named, model_bit))
    for row in compared_orders.deleted(conn, since, before):
        shares += shares_of_deleted(row, model_bit, rules)
    shares.sort(key=_order_of, reverse=True)
    return shares


def _told_by_others(rows: Iterable[CreditedRow]) -> set[str]:
    return {row.order_id for row in rows if row.fate in TOLD_OTHERWISE}


def naming_of(deliveries: Iterable[NamingDelivery]) -> dict[str, NamingDelivery]:
    """Returns the delivery of each order that tells Pinterest of it, or will if it can."""
    found: dict[str, NamingDelivery] = {}
    for row in deliveries:
        if row.state in _RANKS and (
            row.order_id not in found or _RANKS[row.state] < _RANKS[found[row.order_id].state]
        ):
            found[row.order_id] = row
    return found


_RANKS = {state: rank for rank, state in enumerate(("sent", *UNDELIVERED))}


def shares_of(
    rows: Iterable[CreditedRow], named: Mapping[str, NamingDelivery], model_bit: int
) -> Iterator[OrderShare]:
    """Yields the shares of orders under one model; the rows of an order stand together."""
    for _, group in groupby(rows, key=_order_of):
        every = list(group)
        is_view = any(row.mask & _VIEWS for row in every)
        credited = [row for row in every if row.mask & model_bit]
        if credited:
            told = told_of(credited[0], named.get(credited[0].order_id))
            yield from _shares_of_order(credited, told, is_view)


def _shares_of_order(
    rows: Sequence[CreditedRow], told: Told, is_view: bool
) -> Iterator[OrderShare]:
    is_taken_back = any(row.net < row.gross for row in rows)
    for row, value in zip(rows, _values(rows, told), strict=True):
        yield OrderShare(
            order_id=row.order_id,
            placed_at=row.placed_at,
            credited_at=row.credited_at,
            label=CampaignLabel(True, row.campaign_id, row.campaign),
            currency=row.currency,
            outcome=told.outcome,
            reason=told.reason,
            is_view=is_view,
            is_taken_back=is_taken_back,
            share=row.share,
            net=row.net,
            value=value,
        )


def _values(rows: Sequence[CreditedRow], told: Told) -> list[int]:
    """Returns the part of each credit in what Pinterest was told of its order.

    A value that is not known any more, as the buyer was erased, counts as that before refunds.
    """
    if told.outcome != "sent":
        return [0] * len(rows)
    gross = [row.gross for row in rows]
    if told.value is None or told.value == sum(gross):
        return gross
    # As refunds are: the parts that count now stay what they are, and what differs is split.
    shares = [Fraction(row.share, WHOLE_ORDER) for row in rows]
    more = split(told.value - sum(row.net for row in rows), shares)
    return [row.net + part for row, part in zip(rows, more, strict=True)]


def told_of(row: CreditedRow, naming: NamingDelivery | None) -> Told:
    """Returns what became of the event of a credit's order. The event of another system, that
    names the order, may have told Pinterest of it instead."""
    if row.fate == "sent":
        return Told("sent", value=value_in(row.payload or b"", row.currency))
    if row.fate in TOLD_OTHERWISE and naming is not None:
        if naming.state == "sent":
            return Told("sent", value=value_in(naming.payload, row.currency))
        return Told("undelivered", naming.state)
    if row.fate in REASONS:
        return Told("not_sent", row.fate)
    # A dead letter, or one that was given up, is lost until it is replayed.
    state = row.state if row.state in UNDELIVERED else ""
    return Told("undelivered", state or row.fate)


def value_in(payload: bytes, currency: str) -> int | None:
    """Returns the value in an event that was sent (minor units); None if it tells none in the
    currency."""
    if not payload:
        return None
    told = _decode(unpacked(payload)).custom_data
    value = amount(told.value)
    return to_minor(value, currency) if value is not None and told.currency == currency else None


def shares_of_deleted(row: DeletedRow, model_bit: int, rules: Rules) -> Iterator[OrderShare]:
    """Yields the shares of an order that was deleted after Pinterest was told of it. Its credits
    are gone, and are worked out again from the visits before it."""
    value = value_in(row.payload, row.currency)
    amounts = (row.gross if value is None else value, WHOLE_ORDER)
    for part in allocations_of(credits_of(path_from(row.path), row.placed_at, rules), amounts):
        touch = part.touch
        if touch is not None and touch.is_pinterest and part.mask & model_bit:
            sent, share = part.amounts
            yield OrderShare(
                order_id=row.order_id,
                placed_at=row.placed_at,
                credited_at=touch.at,
                label=CampaignLabel(True, touch.campaign_id, touch.campaign),
                currency=row.currency,
                outcome="uncounted",
                reason="deleted",
                is_view=touch.kind == "view",
                is_taken_back=True,
                share=share,
                net=0,
                value=sent,
            )
