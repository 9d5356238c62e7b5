"""What the ads cost, by day and campaign."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Row, Statement
from tracking.store.schema import spend

# Webhooks wait while spend is written, so long lists of it are written so many at a time.
ROWS_A_COMMIT = 500

_put = Statement(
    insert(spend)
    .values({c.name: bindparam(c.name) for c in spend.c})
    .on_conflict_do_update(
        index_elements=[spend.c.date, spend.c.campaign_id, spend.c.currency],
        set_={
            "campaign": literal_column("excluded.campaign"),
            "micros": literal_column("excluded.micros"),
            "recorded_at": literal_column("excluded.recorded_at"),
        },
    )
)
_days = (spend.c.date >= bindparam("start"), spend.c.date <= bindparam("end"))
_rows = Statement(
    select(spend.c.date, spend.c.campaign_id, spend.c.campaign, spend.c.currency, spend.c.micros)
    .where(*_days)
    .order_by(spend.c.date, spend.c.campaign_id, spend.c.currency)
)
_by_campaign = Statement(
    select(
        spend.c.campaign_id,
        spend.c.campaign,
        spend.c.currency,
        func.sum(spend.c.micros).label("micros"),
    )
    .where(*_days)
    .group_by(spend.c.campaign_id, spend.c.campaign, spend.c.currency)
    .order_by(
        func.max(spend.c.date),
        func.max(spend.c.recorded_at),
        spend.c.campaign_id,
        spend.c.campaign,
        spend.c.currency,
    )
)


def put(conn: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Insert spend, or restate it: the last figure for a day, campaign and currency holds."""
    _put.run_many(conn, rows)


def rows(conn: Connection, start: str, end: str) -> list[Row]:
    """Spend of the days from `start` to `end` (ISO dates, inclusive)."""
    return _rows.all(conn, start=start, end=end)


def by_campaign(conn: Connection, start: str, end: str) -> list[Row]:
    """Spend of these days, summed for each campaign, name it had and currency; newest name last."""
    return _by_campaign.all(conn, start=start, end=end)
