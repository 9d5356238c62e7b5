"""The net revenue of each campaign over time."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, literal_column, select

from tracking.store.credit_figures import ReportDay
from tracking.store.engine.name_lists import DIALECTS, is_among, names_of
from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import credit_changes, credit_days, report_campaigns

_LABEL = ("is_pinterest", "campaign_id", "campaign")


class CampaignStep(NamedTuple):
    """The net revenue (minor units) of a campaign of the figures (its id there) in one currency in
    some days in a row: those of the step of this number. `newest` is the newest credited instant
    (seconds UTC)."""

    step: int
    currency: str
    campaign: int
    net: int | Decimal
    newest: int


class SummedCampaign(NamedTuple):
    """A campaign of the figures, as touches named it."""

    id: int
    is_pinterest: int
    campaign_id: str
    campaign: str


class PendingRevenue(NamedTuple):
    """The net revenue of a credit that is not in the sums yet, negative of a dropped one; `at` is
    the instant whose day it counts on."""

    at: int
    currency: str
    is_pinterest: int
    campaign_id: str
    campaign: str
    net: int
    credited_at: int


_in_steps = select(
    ((credit_days.c.day - bindparam("first")) // bindparam("step_days")).label("step"),
    credit_days.c.currency,
    credit_days.c.campaign,
    credit_days.c.net,
    credit_days.c.newest,
).where(
    credit_days.c.report_by == bindparam("report_by"),
    credit_days.c.bit == bindparam("bit"),
    credit_days.c.day.between(bindparam("first_day"), bindparam("last_day")),
)


def _steps_in(rows: Select[Any]) -> Select[Any]:
    # As a table of its own: PostgreSQL takes an expression with parameters for another one each
    # time.
    found = rows.subquery("in_steps")
    key = [found.c[name] for name in ("step", "currency", "campaign")]
    return select(
        *key,
        func.sum(found.c.net).label("net"),
        func.max(found.c.newest).label("newest"),
    ).group_by(*key)


_steps = Query(CampaignStep, _steps_in(_in_steps))
# Those of one campaign, and those without an id: whose these are, their name says.
_of_campaign = select(report_campaigns.c.id).where(
    report_campaigns.c.is_pinterest == bindparam("is_pinterest"),
    report_campaigns.c.campaign_id.in_([bindparam("campaign_id"), literal_column("''")]),
)
_steps_of_campaign = Query(
    CampaignStep,
    _steps_in(_in_steps.where(credit_days.c.campaign.in_(_of_campaign))),
)
_campaigns = Query(
    SummedCampaign,
    {
        dialect: select(*(report_campaigns.c[name] for name in SummedCampaign._fields)).where(
            is_among(dialect, report_campaigns.c.id)
        )
        for dialect in DIALECTS
    },
)
_at = {"order_date": credit_changes.c.placed_at, "click_date": credit_changes.c.credited_at}
_pending = {
    by: Query(
        PendingRevenue,
        select(
            at.label("at"),
            credit_changes.c.currency,
            *(credit_changes.c[name] for name in _LABEL),
            (credit_changes.c.sign * credit_changes.c.net).label("net"),
            credit_changes.c.credited_at,
        ).where(
            at >= bindparam("since"),
            at < bindparam("before"),
            credit_changes.c.mask.op("&")(bindparam("bit")) != 0,
        ),
    )
    for by, at in _at.items()
}


def steps(
    conn: Connection, report_by: ReportDay, bit: int, days: tuple[int, int], step_days: int
) -> list[CampaignStep]:
    """Returns the summed revenue of the days from the first to the last one (ordinals), `step_days`
    a step, by campaign and currency."""
    return _steps.all(conn, **_in_days(report_by, bit, days, step_days))


def steps_of_campaign(
    conn: Connection,
    report_by: ReportDay,
    bit: int,
    days: tuple[int, int],
    step_days: int,
    *,
    is_pinterest: bool,
    campaign_id: str,
) -> list[CampaignStep]:
    """Returns what `steps` does, of the campaign of this id and of those without an id alone."""
    span = _in_days(report_by, bit, days, step_days)
    return _steps_of_campaign.all(
        conn, **span, is_pinterest=int(is_pinterest), campaign_id=campaign_id
    )


def campaigns(conn: Connection, ids: Iterable[int]) -> list[SummedCampaign]:
    """Returns campaigns of the figures by their ids there."""
    return _campaigns.all(conn, names=names_of(conn, ids))


def _in_days(
    report_by: ReportDay, bit: int, days: tuple[int, int], step_days: int
) -> dict[str, Any]:
    first, last = days
    return {
        "report_by": report_by,
        "bit": bit,
        "first": first,
        "first_day": first,
        "last_day": last,
        "step_days": step_days,
    }


def pending(
    conn: Connection, report_by: ReportDay, bit: int, since: int, before: int
) -> list[PendingRevenue]:
    """Returns the revenue in [since, before) that is not in the sums yet, credit by credit."""
    return _pending[report_by].all(conn, bit=bit, since=since, before=before)
