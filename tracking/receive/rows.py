"""Builds the rows of conversions and credits."""

from collections.abc import Mapping, Sequence
from typing import Any

from tracking.domain.attribution import Allocation, Touch
from tracking.domain.conversion import event_id_of
from tracking.domain.visitor import Match

Values = Mapping[str, Any]


def credited_to(touch: Touch | None) -> dict[str, Any]:
    """What a conversion says of whom it is owed to."""
    return {
        "is_pinterest": int(touch is not None),
        "campaign_id": touch.campaign_id if touch else "",
        "campaign": touch.campaign if touch else "",
    }


def purchase_row(order: Values, match: Match, best: Touch | None) -> dict[str, Any]:
    return {
        "event_id": event_id_of(order["id"]),
        "stage": "purchase",
        "order_id": order["id"],
        "visitor": match.visitor,
        "at": order["placed_at"],
        "is_counted": order["is_counted"],
        **credited_to(best),
        "currency": order["currency"],
        "value": order["gross"],
        "credited_then": "",
    }


def credit_rows(order: Values, allocations: Sequence[Allocation]) -> Sequence[Values]:
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
