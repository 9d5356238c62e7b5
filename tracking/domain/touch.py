"""Makes the touch of an order or of a session."""

from collections.abc import Sequence

from tracking.domain.attribution import Touch, touch_key
from tracking.domain.order import Order
from tracking.domain.session import Session


def own_touch(order: Order, session: Session, visitor: str) -> Touch | None:
    """The visit the order was placed in, or None where there was none."""
    no_visit = order.is_renewal or order.is_pos or not order.landing_site
    if no_visit and session.is_direct:
        return None
    return touch_of_session(session, touch_key(order.id), visitor, order.placed_at)


def touch_of_session(session: Session, key: str, visitor: str, at: int) -> Touch:
    """A visit as a touch, at the time it is stamped with if that is not after `at`."""
    stamped = session.stamped_at
    return Touch(
        key=key,
        at=stamped if stamped is not None and stamped <= at else at,
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


def newest_click_id(path: Sequence[Touch]) -> str:
    """The newest click id of Pinterest's that a path knows."""
    found = (t.click_id for t in reversed(path) if t.is_pinterest and t.click_id)
    return next(found, "")
