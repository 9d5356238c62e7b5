"""The orders of Pinterest's campaigns by the sums of the comparison, which an index finds."""

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from sqlalchemy import BindParameter, bindparam, literal_column, or_, select

from tracking.store.engine.statement import Connection, Query
from tracking.store.order_list import OrderFilter, OrderPlace, is_campaign
from tracking.store.schema import compared_credits, compared_marks, report_campaigns

# So many are read at once.
_CHUNK = 100


class SummedOrder(NamedTuple):
    """An order, and when it was placed (seconds UTC) by the sums of the comparison."""

    placed_at: int
    order_id: str


class _CampaignId(NamedTuple):
    id: int


_campaigns = Query(
    _CampaignId,
    select(report_campaigns.c.id).where(
        report_campaigns.c.is_pinterest == literal_column("1"), is_campaign(report_campaigns)
    ),
)
_last_at: BindParameter[int] = bindparam("last_at")
_of_campaign = Query(
    SummedOrder,
    select(compared_credits.c.placed_at, compared_credits.c.order_id)
    .where(
        compared_credits.c.campaign == bindparam("campaign"),
        compared_credits.c.placed_at >= bindparam("since"),
        compared_credits.c.placed_at <= _last_at,
        or_(
            compared_credits.c.placed_at < _last_at,
            compared_credits.c.order_id < bindparam("last_id"),
        ),
    )
    .distinct()
    .order_by(compared_credits.c.placed_at.desc(), compared_credits.c.order_id.desc())
    .limit(bindparam("most")),
)
_marked = Query(
    SummedOrder,
    select(compared_marks.c.placed_at, compared_marks.c.order_id)
    .where(
        compared_marks.c.placed_at >= bindparam("since"),
        compared_marks.c.placed_at <= _last_at,
    )
    .distinct()
    .order_by(compared_marks.c.placed_at.desc(), compared_marks.c.order_id.desc()),
)


def newest(conn: Connection, wanted: OrderFilter, after: OrderPlace) -> Iterator[SummedOrder]:
    """Yields the orders from a place in the list on that may be of a filter's campaign, newest
    first: those that the sums credit to it, and all that are not summed up yet. An order may come
    more than once."""
    since, until = wanted.since, min(after.placed_at, wanted.before - 1)
    labels = _campaigns.all(conn, campaign=wanted.campaign, campaign_name=wanted.campaign_name)
    return merge(
        _marked.all(conn, since=since, last_at=until),
        *(_summed(conn, label.id, since, until) for label in labels),
        key=lambda order: order.placed_at,
        reverse=True,
    )


def _summed(conn: Connection, campaign: int, since: int, until: int) -> Iterator[SummedOrder]:
    last = SummedOrder(until + 1, "")
    while found := _of_campaign.all(
        conn,
        campaign=campaign,
        since=since,
        last_at=last.placed_at,
        last_id=last.order_id,
        most=_CHUNK,
    ):
        yield from found
        last = found[-1]
