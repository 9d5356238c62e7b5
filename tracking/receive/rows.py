"""Builds the rows of conversions and credits, and those of unknown orders."""

from collections.abc import Sequence
from fractions import Fraction

from tracking.domain.attribution import WHOLE_ORDER, Allocation, Credit, Touch
from tracking.domain.conversion import event_id_of
from tracking.domain.session import Session
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
    session: Session,
    currency: str,
    value: int,
    reason: str,
    recorded_at: int,
    order_id: str = "",
    detail: str = "",
    is_visit_pinterest: bool = False,
) -> ConversionRow:
    """Returns the row of an event of the funnel, whichever way it was received.

    Args:
        event_id: the id that the event is sent under.
        stage: the stage of the funnel, "" for an event that is in none.
        visitor: the visitor id that the event counts for.
        at: when it happened, in seconds UTC.
        is_counted: the event counts in the reports.
        credited_to: the Pinterest touch that earned it, None if there is none.
        session: the visit that the event itself names.
        currency: ISO 4217.
        value: in minor units of the currency.
        reason: why it is not sent (a key of REASONS), "" if it is.
        recorded_at: when it was received, in seconds UTC.
        order_id: the order of a purchase.
        detail: the error message of the refusal.
        is_visit_pinterest: that visit is Pinterest's, and stored as no touch.
    """
    # As `with_credit` does for a row that is stored already.
    credited: Touch | Session = session if credited_to is None else credited_to
    return ConversionRow(
        event_id=event_id,
        stage=stage,
        order_id=order_id,
        visitor=visitor,
        at=at,
        is_counted=int(is_counted),
        is_pinterest=int(credited_to is not None),
        campaign_id=credited.campaign_id,
        campaign=credited.campaign,
        currency=currency,
        value=value,
        reason=reason,
        detail=detail,
        recorded_at=recorded_at,
        visit_campaign_id=session.campaign_id,
        visit_campaign=session.campaign,
        is_visit_pinterest=int(is_visit_pinterest),
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
        session=Session(),
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
        taxes_included=None,
        kept=None,
        sold=None,
        peak=None,
        lines="",
    )


def with_credit(row: ConversionRow, touch: Touch | None) -> ConversionRow:
    """Returns the row credited to a Pinterest touch, or to none.

    What Pinterest did not earn belongs to the campaign that its own visit names, at every stage.
    """
    if touch is not None:
        return row._replace(is_pinterest=1, campaign_id=touch.campaign_id, campaign=touch.campaign)
    campaign_id, campaign = row.visit_campaign_id, row.visit_campaign
    if not (row.is_pinterest or campaign_id or campaign):
        # An earlier release stored only the one campaign.
        return row
    return row._replace(is_pinterest=0, campaign_id=campaign_id, campaign=campaign)


def visit_of(row: ConversionRow) -> tuple[Touch, ...]:
    """Returns the visit from Pinterest that an event names, if that is stored as no touch."""
    if not row.is_visit_pinterest:
        return ()
    visit = Touch(
        key=f"event:{row.event_id}",
        at=row.at,
        kind="click",
        is_pinterest=True,
        is_direct=False,
        campaign_id=row.visit_campaign_id,
        campaign=row.visit_campaign,
    )
    return (visit,)


def with_visit(row: ConversionRow, session: Session) -> ConversionRow:
    """Returns the row with the campaign that its visit names as it is known by now."""
    return row._replace(visit_campaign_id=session.campaign_id, visit_campaign=session.campaign)


def credit_rows(order: OrderRow, allocations: Sequence[Allocation]) -> Sequence[CreditRow]:
    """Returns a row for each part of an order that a touch, or no touch, earned."""
    return [_credit_row(order, n, allocation) for n, allocation in enumerate(allocations)]


def credits_in(rows: Sequence[CreditRow]) -> Sequence[Credit]:
    """Returns the credits in the rows of an order, of whose path nothing else is known."""
    return [Credit(_touch_in(row), Fraction(row.share, WHOLE_ORDER), row.mask) for row in rows]


def _touch_in(row: CreditRow) -> Touch | None:
    if not row.touch_key:
        return None
    return Touch(
        key=row.touch_key,
        at=row.credited_at,
        kind="click",
        is_pinterest=bool(row.is_pinterest),
        is_direct=False,
        campaign_id=row.campaign_id,
        campaign=row.campaign,
        ad_id=row.ad_id or "",
        pin_id=row.pin_id or "",
    )


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
        ad_id=touch.ad_id if touch else "",
        pin_id=touch.pin_id if touch else "",
        customer_type=order.customer_type,
    )


def flag_of(told: bool | None) -> int | None:
    """Returns a flag as it is stored; None for none."""
    return None if told is None else int(told)
