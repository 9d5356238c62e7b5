"""The queries of the reports: the funnel's counts and the campaigns' credits."""

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import and_, bindparam, func, or_, select

from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import conversions, credits


class StageCount(NamedTuple):
    """The number of events of one stage, and of their distinct visitors."""

    stage: str
    events: int
    visitors: int


class CampaignStageCount(NamedTuple):
    """The number of events of one campaign and stage, and of their distinct visitors.

    `newest` is the instant of the newest of them.
    """

    is_pinterest: int
    campaign: str
    campaign_id: str
    stage: str
    events: int
    visitors: int
    newest: int


class CreditSum(NamedTuple):
    """The credits of one campaign in one currency; PostgreSQL sums integers to a Decimal.

    `share` is millionths of orders, the amounts are minor units, `newest` is the newest credited
    instant.
    """

    currency: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    share: int | Decimal
    gross: int | Decimal
    net: int | Decimal
    cancellations: int | Decimal
    newest: int


_matches = and_(
    conversions.c.at >= bindparam("since"),
    conversions.c.at < bindparam("before"),
    conversions.c.is_counted == 1,
    or_(bindparam("all_traffic") == 1, conversions.c.is_pinterest == 1),
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
_funnel = Query(
    StageCount,
    select(conversions.c.stage, *_counts).where(_matches).group_by(conversions.c.stage),
)
_funnel_by_campaign = Query(
    CampaignStageCount,
    select(*_campaign, conversions.c.stage, *_counts, func.max(conversions.c.at).label("newest"))
    .where(_matches)
    .group_by(*_campaign, conversions.c.stage)
    .order_by(*_campaign),
)
_funnel_of_campaign = Query(
    StageCount,
    select(conversions.c.stage, *_counts)
    .where(
        _matches,
        conversions.c.is_pinterest == bindparam("is_pinterest"),
        conversions.c.campaign_id == bindparam("campaign_id"),
    )
    .group_by(conversions.c.stage),
)
_credit_columns = (
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
    func.max(credits.c.credited_at).label("newest"),
)
_is_of_model = credits.c.mask.op("&")(bindparam("bit")) != 0
_credits = {
    "order_date": Query(
        CreditSum,
        select(*_credit_columns, *_sums)
        .where(
            credits.c.placed_at >= bindparam("since"),
            credits.c.placed_at < bindparam("before"),
            _is_of_model,
        )
        .group_by(*_credit_columns),
    ),
    # A touch is credited only with orders within its window, so no later orders are read.
    "click_date": Query(
        CreditSum,
        select(*_credit_columns, *_sums)
        .where(
            credits.c.placed_at >= bindparam("since"),
            credits.c.placed_at < bindparam("latest"),
            credits.c.credited_at >= bindparam("since"),
            credits.c.credited_at < bindparam("before"),
            _is_of_model,
        )
        .group_by(*_credit_columns),
    ),
}


def funnel(
    conn: Connection, since: int, before: int, all_traffic: bool, campaign: str
) -> list[StageCount]:
    """Returns the events and distinct visitors of each stage in [since, before)."""
    return _funnel.all(
        conn, since=since, before=before, all_traffic=int(all_traffic), campaign=campaign
    )


def funnel_by_campaign(
    conn: Connection, since: int, before: int, all_traffic: bool, campaign: str
) -> list[CampaignStageCount]:
    """Returns the events and distinct visitors of each campaign and stage in [since, before)."""
    return _funnel_by_campaign.all(
        conn, since=since, before=before, all_traffic=int(all_traffic), campaign=campaign
    )


def funnel_of_campaign(
    conn: Connection, filters: tuple[int, int, bool, str], is_pinterest: bool, campaign_id: str
) -> list[StageCount]:
    """Returns the events and distinct visitors of each stage of one campaign, whatever its names;
    `filters` are the other arguments of `funnel`."""
    since, before, all_traffic, campaign = filters
    return _funnel_of_campaign.all(
        conn,
        since=since,
        before=before,
        all_traffic=int(all_traffic),
        campaign=campaign,
        is_pinterest=int(is_pinterest),
        campaign_id=campaign_id,
    )


def credits_by_order_date(conn: Connection, since: int, before: int, bit: int) -> list[CreditSum]:
    """Returns the credits of the orders placed in [since, before), summed by campaign.

    `bit` selects the scope and the model.
    """
    return _credits["order_date"].all(conn, since=since, before=before, bit=bit)


def credits_by_click_date(
    conn: Connection, since: int, before: int, bit: int, longest_window: int
) -> list[CreditSum]:
    """Returns the credits whose touch lies in [since, before), summed by campaign.

    A credit of no touch counts on the day of its order. `longest_window` is in seconds.
    """
    return _credits["click_date"].all(
        conn, since=since, before=before, latest=before + longest_window, bit=bit
    )
