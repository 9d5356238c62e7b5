"""The questions the reports ask, one statement each."""

from sqlalchemy import and_, bindparam, func, or_, select

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import conversions, credits

_is_asked = and_(
    conversions.c.at >= bindparam("since"),
    conversions.c.at < bindparam("before"),
    conversions.c.is_counted == 1,
    or_(bindparam("everybody") == 1, conversions.c.is_pinterest == 1),
    or_(
        bindparam("campaign") == "",
        conversions.c.campaign_id == bindparam("campaign"),
        conversions.c.campaign == bindparam("campaign"),
    ),
)
_campaign = (
    conversions.c.is_pinterest,
    conversions.c.campaign,
    conversions.c.campaign_id,
)
_counts = (
    func.count().label("events"),
    func.count(conversions.c.visitor.distinct()).label("visitors"),
)
_funnel = Statement(
    select(conversions.c.stage, *_counts).where(_is_asked).group_by(conversions.c.stage)
)
_funnel_by_campaign = Statement(
    select(*_campaign, conversions.c.stage, *_counts)
    .where(_is_asked)
    .group_by(*_campaign, conversions.c.stage)
    .order_by(*_campaign)
)
_earned_columns = (
    credits.c.currency,
    credits.c.is_pinterest,
    credits.c.campaign_id,
    credits.c.campaign,
)


_sums = (
    func.sum(credits.c.share).label("share"),
    func.sum(credits.c.gross).label("gross"),
    func.sum(credits.c.net).label("net"),
    func.sum(credits.c.cancellations).label("cancellations"),
)
_is_of_model = credits.c.mask.op("&")(bindparam("bit")) != 0
_earned = {
    "order_date": Statement(
        select(*_earned_columns, *_sums)
        .where(
            credits.c.placed_at >= bindparam("since"),
            credits.c.placed_at < bindparam("before"),
            _is_of_model,
        )
        .group_by(*_earned_columns)
    ),
    # A touch earns nothing but orders that come within its window: only those are looked through.
    "click_date": Statement(
        select(*_earned_columns, *_sums)
        .where(
            credits.c.placed_at >= bindparam("since"),
            credits.c.placed_at < bindparam("latest"),
            credits.c.credited_at >= bindparam("since"),
            credits.c.credited_at < bindparam("before"),
            _is_of_model,
        )
        .group_by(*_earned_columns)
    ),
}


def funnel(conn: Connection, since: int, before: int, everybody: bool, campaign: str) -> list[Row]:
    """Events and distinct visitors of each stage in [since, before)."""
    return _funnel.all(
        conn, since=since, before=before, everybody=int(everybody), campaign=campaign
    )


def funnel_by_campaign(
    conn: Connection, since: int, before: int, everybody: bool, campaign: str
) -> list[Row]:
    """The same for each campaign."""
    return _funnel_by_campaign.all(
        conn, since=since, before=before, everybody=int(everybody), campaign=campaign
    )


def earned(conn: Connection, since: int, before: int, bit: int) -> list[Row]:
    """What each campaign earned under one scope and model of the orders placed in
    [since, before): minor units, and millionths of orders."""
    return _earned["order_date"].all(conn, since=since, before=before, bit=bit)


def earned_by_touch(
    conn: Connection, since: int, before: int, bit: int, longest_window: int
) -> list[Row]:
    """The same of the orders whose credited touch lies in [since, before). What no touch earned
    counts on the day of the order. `longest_window` is in seconds."""
    return _earned["click_date"].all(
        conn, since=since, before=before, latest=before + longest_window, bit=bit
    )
