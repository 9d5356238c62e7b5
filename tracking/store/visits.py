"""The visits that orders were placed in, at the browsers that they were placed in."""

from collections.abc import Collection, Mapping

import msgspec

from tracking.domain.attribution import Touch
from tracking.domain.conversion import event_id_of
from tracking.domain.visitor import BROWSER_METHODS, Match, is_browser
from tracking.store import conversions
from tracking.store.engine.statement import Connection


def in_their_browsers(
    conn: Connection, found: Collection[Touch], matches: Mapping[str, Match] | None = None
) -> list[Touch]:
    """Returns the touches, with the visit of an order at the browser that it was placed in.

    That visit is stored under an identity of the buyer where the order itself does not name
    the browser. `matches` are those of the orders whose rows are not written yet.
    """
    known = dict(matches or {})
    order_ids = {touch.order_id for touch in found if not is_browser(touch.visitor)}
    event_ids = [event_id_of(id) for id in sorted(order_ids - known.keys() - {""})]
    for row in conversions.matches_of(conn, event_ids):
        known[row.order_id] = Match(row.visitor, row.match_method)
    browsers = {id: m.visitor for id, m in known.items() if m.method in BROWSER_METHODS}
    return [
        msgspec.structs.replace(touch, visitor=browsers[touch.order_id])
        if touch.order_id in browsers
        else touch
        for touch in found
    ]
