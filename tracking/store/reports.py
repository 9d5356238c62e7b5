"""The questions the reports ask, one statement each."""

from sqlalchemy import and_, bindparam, func, or_, select

from tracking.store.schema import conversions, credits
from tracking.store.statement import Connection, Row, Statement

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


def _earned_by(day: str) -> Statement:
    return Statement(
        select(
            *_earned_columns,
            func.sum(credits.c.share).label("share"),
            func.sum(credits.c.gross).label("gross"),
            func.sum(credits.c.net).label("net"),
            func.sum(credits.c.cancellations).label("cancellations"),
        )
        .where(
            credits.c[day] >= bindparam("since"),
            credits.c[day] < bindparam("before"),
            credits.c.mask.op("&")(bindparam("bit")) != 0,
        )
        .group_by(*_earned_columns)
    )


_earned = {"order_date": _earned_by("placed_at"), "click_date": _earned_by("credited_at")}


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


def earned(conn: Connection, since: int, before: int, bit: int, report_by: str) -> list[Row]:
    """What each campaign earned under one scope and model, in minor units and millionths of
    orders, by the day of the order or of the touch that earned it."""
    return _earned[report_by].all(conn, since=since, before=before, bit=bit)
