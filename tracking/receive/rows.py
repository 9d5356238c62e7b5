"""Builds the rows of conversions and credits, and those of unknown orders."""

from collections.abc import Sequence

from tracking.domain.attribution import Allocation, Touch
from tracking.domain.conversion import event_id_of
from tracking.store.conversions import ConversionRow
from tracking.store.orders import OrderRow
from tracking.store.touches import CreditRow


def conversion_row(
    *,
    event_id: str,
    stage: str,
    visitor: str,
    at: int,
    is_counted: bool,
    credited_to: Touch | None,
    currency: str,
    value: int,
    reason: str,
    recorded_at: int,
    order_id: str = "",
    detail: str = "",
    credited_then: str = "",
) -> ConversionRow:
    """Returns the row of an event of the funnel, whichever way it was received.

    Args:
        event_id: the id that the event is sent under.
        stage: the stage of the funnel, "" for an event that is in none.
        visitor: the visitor id that the event counts for.
        at: when it happened, in seconds UTC.
        is_counted: the event counts in the reports.
        credited_to: the Pinterest touch that earned it, None if there is none.
        currency: ISO 4217.
        value: in minor units of the currency.
        reason: why it is not sent (a key of REASONS), "" if it is.
        recorded_at: when it was received, in seconds UTC.
        order_id: the order of a purchase.
        detail: the error message of the refusal.
        credited_then: JSON of what it was credited to when it was sent, if that has changed.
    """
    is_pinterest, campaign_id, campaign = _credit_of(credited_to)
    return ConversionRow(
        event_id=event_id,
        stage=stage,
        order_id=order_id,
        visitor=visitor,
        at=at,
        is_counted=int(is_counted),
        is_pinterest=is_pinterest,
        campaign_id=campaign_id,
        campaign=campaign,
        currency=currency,
        value=value,
        reason=reason,
        detail=detail,
        recorded_at=recorded_at,
        credited_then=credited_then,
    )


def purchase_of_unknown(order_id: str, now: int) -> ConversionRow:
    """Returns the row of the purchase of an order of which nothing but its id is known."""
    return conversion_row(
        event_id=event_id_of(order_id),
        stage="purchase",
        order_id=order_id,
        visitor="",
        at=now,
        is_counted=False,
        credited_to=None,
        currency="",
        value=0,
        reason="",
        recorded_at=now,
    )


def unknown_deleted_order(order_id: str, now: int) -> OrderRow:
    """Returns the row of an order whose deletion was told before the order itself.

    Its version is older than that of any state.
    """
    return OrderRow(
        id=order_id,
        name="",
        version="",
        placed_at=now,
        cancelled_at=None,
        deleted_at=now,
        currency="",
        gross=0,
        refunds=0,
        cancellations=0,
        is_counted=0,
        is_paid=0,
        is_test=0,
        financial_status="",
        source_name="",
        visitor="",
        match_method="",
        links="",
        session="",
        consent="",
        unusable="",
        path="",
    )


def with_credit(row: ConversionRow, touch: Touch | None) -> ConversionRow:
    """Returns the row credited to a Pinterest touch, or to none."""
    is_pinterest, campaign_id, campaign = _credit_of(touch)
    return row._replace(is_pinterest=is_pinterest, campaign_id=campaign_id, campaign=campaign)


def _credit_of(touch: Touch | None) -> tuple[int, str, str]:
    return (0, "", "") if touch is None else (1, touch.campaign_id, touch.campaign)


def credit_rows(order: OrderRow, allocations: Sequence[Allocation]) -> Sequence[CreditRow]:
    """Returns a row for each part of an order that a touch, or no touch, earned."""
    return [_credit_row(order, n, allocation) for n, allocation in enumerate(allocations)]


def _credit_row(order: OrderRow, n: int, allocation: Allocation) -> CreditRow:
    touch = allocation.touch
    gross, net, cancellations, share = allocation.amounts
    return CreditRow(
        placed_at=order.placed_at,
        order_id=order.id,
        n=n,
        mask=allocation.mask,
        credited_at=touch.at if touch else order.placed_at,
        currency=order.currency,
        touch_key=touch.key if touch else "",
        is_pinterest=int(touch is not None and touch.is_pinterest),
        campaign_id=touch.campaign_id if touch else "",
        campaign=touch.campaign if touch else "",
        share=share,
        gross=gross,
        net=net,
        cancellations=cancellations,
    )
