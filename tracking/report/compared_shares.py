"""Reads the raw rows of what became of the orders that Pinterest is credited with."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from tracking.domain.attribution import (
    MODELS,
    WHOLE_ORDER,
    Rules,
    allocations_of,
    bit,
    credits_of,
    split,
)
from tracking.domain.conversion import REASONS, TOLD_OTHERWISE
from tracking.domain.told_value import ToldValue, told_value_in
from tracking.domain.waterfall import MoneyPart, Outcome, ShareKind, money_part
from tracking.report.campaigns import CampaignLabel
from tracking.store import compared_orders
from tracking.store.compared_orders import CreditedRow, DeletedRow, NamingDelivery
from tracking.store.engine.statement import Connection
from tracking.store.packed_payloads import unpacked
from tracking.store.values import path_from

# The bit that says that an order's credits are of views, whatever the model: it credits no click.
_VIEWS = bit("pinterest", "view_through")
# Those of every model.
_BITS = tuple(bit("pinterest", model) for model in MODELS)
_EVERY_BIT = sum(_BITS)
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
    kind: ShareKind
    share: int
    net: int
    value: int


class MaskedShare(NamedTuple):
    """A share that is the same under each of the models in `mask`."""

    share: OrderShare
    mask: int


class Told(NamedTuple):
    """The fate of an order's event, and the value that it told: None if that is not known."""

    outcome: Outcome
    reason: str = ""
    value: int | None = None


_order_of = attrgetter("placed_at", "order_id")


def order_shares(
    conn: Connection, span: tuple[int, int], model_bit: int, rules: Rules, forgotten: int
) -> list[OrderShare]:
    """Returns the shares of the orders placed in a span (two instants, the end excluded), the
    newest order first. Deliveries settled before the instant `forgotten` have been deleted."""
    rows = compared_orders.credited(conn, span, model_bit | _VIEWS, forgotten)
    gone = compared_orders.deleted(conn, span)
    return [share for share, _ in _masked(conn, rows, gone, (model_bit,), rules)]


def shares_between(
    conn: Connection, span: tuple[int, int], rules: Rules, forgotten: int
) -> list[MaskedShare]:
    """As `order_shares`, under every model."""
    rows = compared_orders.credited(conn, span, _EVERY_BIT, forgotten)
    return _masked(conn, rows, compared_orders.deleted(conn, span), _BITS, rules)


def shares_of_marked(
    conn: Connection, last: int, rules: Rules, forgotten: int
) -> list[MaskedShare]:
    """Returns the shares of the orders marked up to the mark `last`, under every model."""
    rows = compared_orders.credited_and_marked(conn, last, _EVERY_BIT, forgotten)
    gone = compared_orders.deleted_and_marked(conn, last)
    return _masked(conn, rows, gone, _BITS, rules)


def _masked(
    conn: Connection,
    rows: Sequence[CreditedRow],
    gone: Sequence[DeletedRow],
    bits: Sequence[int],
    rules: Rules,
) -> list[MaskedShare]:
    named = naming_of(compared_orders.naming(conn, _told_by_others(rows)))
    # Of two touches that are credited alike each has its share.
    twins: Counter[tuple[int, OrderShare]] = Counter()
    masks: dict[tuple[OrderShare, int], int] = {}
    for model_bit, share in shares_of(rows, named, bits):
        twins[model_bit, share] += 1
        key = (share, twins[model_bit, share])
        masks[key] = masks.get(key, 0) | model_bit
    found = [MaskedShare(share, mask) for (share, _), mask in masks.items()]
    for row in gone:
        found += shares_of_deleted(row, sum(bits), rules)
    found.sort(key=lambda one: _order_of(one.share), reverse=True)
    return found


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
    rows: Iterable[CreditedRow], named: Mapping[str, NamingDelivery], bits: Sequence[int]
) -> Iterator[tuple[int, OrderShare]]:
    """Yields the shares of orders under each of some models (a bit); the rows of an order stand
    together."""
    for _, group in groupby(rows, key=_order_of):
        every = list(group)
        told = told_of(every[0], named.get(every[0].order_id))
        is_view = any(row.mask & _VIEWS for row in every)
        for model_bit in bits:
            credited = [row for row in every if row.mask & model_bit]
            for share in _shares_of_order(credited, told, is_view):
                yield model_bit, share


def _shares_of_order(
    rows: Sequence[CreditedRow], told: Told, is_view: bool
) -> Iterator[OrderShare]:
    is_taken_back = any(row.net < row.gross for row in rows)
    for row, value in zip(rows, _values(rows, told), strict=True):
        money: MoneyPart = ""
        if told.outcome == "sent":
            money = money_part(row.net, value, is_taken_back=is_taken_back)
        yield OrderShare(
            order_id=row.order_id,
            placed_at=row.placed_at,
            credited_at=row.credited_at,
            label=CampaignLabel(True, row.campaign_id, row.campaign),
            currency=row.currency,
            kind=ShareKind(told.outcome, told.reason, is_view, money),
            share=row.share,
            net=row.net,
            value=value,
        )


def _values(rows: Sequence[CreditedRow], told: Told) -> list[int]:
    """Returns the part of each credit in what Pinterest was told of its order.

    A value that an older release erased counts as that before refunds.
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
        return Told("sent", value=value_in(row, row.currency))
    if row.fate in TOLD_OTHERWISE and naming is not None:
        if naming.state == "sent":
            return Told("sent", value=value_in(naming, row.currency))
        return Told("undelivered", naming.state)
    if row.fate in REASONS:
        return Told("not_sent", row.fate)
    # A dead letter, or one that was given up, is lost until it is replayed.
    state = row.state if row.state in UNDELIVERED else ""
    return Told("undelivered", state or row.fate)


def value_in(row: CreditedRow | NamingDelivery | DeletedRow, currency: str) -> int | None:
    """Returns the value in the event that was sent (minor units); None if it tells none in the
    currency."""
    if row.payload:
        return told_value_in(unpacked(row.payload)).in_minor(currency)
    return ToldValue(row.told_value or "", row.told_currency or "").in_minor(currency)


def shares_of_deleted(row: DeletedRow, bits: int, rules: Rules) -> Iterator[MaskedShare]:
    """Yields the shares, under the models of `bits`, of an order that was deleted after Pinterest
    was told of it. Its credits are gone, and are worked out again from the visits before it."""
    value = value_in(row, row.currency)
    amounts = (row.gross if value is None else value, WHOLE_ORDER)
    for part in allocations_of(credits_of(path_from(row.path), row.placed_at, rules), amounts):
        touch = part.touch
        if touch is not None and touch.is_pinterest and part.mask & bits:
            sent, share = part.amounts
            found = OrderShare(
                order_id=row.order_id,
                placed_at=row.placed_at,
                credited_at=touch.at,
                label=CampaignLabel(True, touch.campaign_id, touch.campaign),
                currency=row.currency,
                kind=ShareKind("uncounted", "deleted", touch.kind == "view", "refunded_since"),
                share=share,
                net=0,
                value=sent,
            )
            yield MaskedShare(found, part.mask & bits)
