"""The touch of an order or of a session."""

from collections.abc import Sequence

from tracking.domain.attribution import Touch, touch_key
from tracking.domain.order import Order
from tracking.domain.pinterest_traffic import MEDIA
from tracking.domain.session import Session


def touch_of_order(
    order: Order, session: Session, visitor: str, media: frozenset[str] = MEDIA
) -> Touch | None:
    """Returns the touch of the visit in which the order was placed; None if there was no visit."""
    no_visit = order.is_renewal or order.is_pos or not order.landing_site
    if no_visit and session.is_direct:
        return None
    return touch_of_session(session, touch_key(order.id), visitor, order.placed_at, media)


def touch_of_session(
    session: Session, key: str, visitor: str, at: int, media: frozenset[str] = MEDIA
) -> Touch:
    """Returns the touch of a session, at the session's own time if that is not after `at`.

    `media` are the values of utm_medium that are Pinterest's.
    """
    stamped = session.stamped_at
    return Touch(
        key=key,
        at=stamped if stamped is not None and stamped <= at else at,
        kind="click",
        is_pinterest=session.is_from_pinterest(media),
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
    """Returns the newest click id of Pinterest in a path; "" if it has none."""
    click_ids = (t.click_id for t in reversed(path) if t.is_pinterest and t.click_id)
    return next(click_ids, "")
