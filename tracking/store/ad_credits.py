"""The credits of Pinterest's touches by ad and pin, counted row by row."""

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import and_, bindparam, func, literal_column, or_, select

from tracking.store.credit_figures import ReportDay
from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import credits, orders


class AdCreditSum(NamedTuple):
    """The credits of the links of one ad and pin in one currency; PostgreSQL sums integers to a
    Decimal. `share` is millionths of orders, the amounts are minor units. Ad and pin are None where
    a release that did not know them wrote the credits."""

    currency: str
    is_pinterest: int
    ad_id: str | None
    pin_id: str | None
    share: int | Decimal
    gross: int | Decimal
    net: int | Decimal
    cancellations: int | Decimal


class CampaignAdSum(NamedTuple):
    """The credits of the links of one Pinterest campaign, ad and pin, as `AdCreditSum` has them."""

    campaign_id: str
    campaign: str
    currency: str
    is_pinterest: int
    ad_id: str | None
    pin_id: str | None
    share: int | Decimal
    gross: int | Decimal
    net: int | Decimal
    cancellations: int | Decimal


class UntoldAdCredit(NamedTuple):
    """A credit of a Pinterest touch without its ad and pin, which the path of its order tells."""

    campaign_id: str
    campaign: str
    currency: str
    touch_key: str
    share: int
    gross: int
    net: int
    cancellations: int
    path: str


_SUMS = ("share", "gross", "net", "cancellations")
_line = tuple(credits.c[name] for name in CampaignAdSum._fields[:6])
# What differs most comes first, so that sorting compares little.
_differing = (credits.c.ad_id, credits.c.pin_id, *_line[:4])
# A path tells no more than the touches have.
_is_untold = and_(
    credits.c.is_pinterest == literal_column("1"),
    credits.c.ad_id.is_(None),
    or_(orders.c.path.contains('"ad_id"'), orders.c.path.contains('"pin_id"')),
)
# The conditions of the days, and of the scope and model, which are passed as `parameters` has them.
_is_of_model = credits.c.mask.op("&")(bindparam("bit")) != 0
_is_of_days = {
    "order_date": (
        credits.c.placed_at >= bindparam("since"),
        credits.c.placed_at < bindparam("before"),
    ),
    # A touch is credited only with orders within its window, so no later orders are read.
    "click_date": (
        credits.c.placed_at >= bindparam("since"),
        credits.c.placed_at < bindparam("latest"),
        credits.c.credited_at >= bindparam("since"),
        credits.c.credited_at < bindparam("before"),
    ),
}
_sums = {
    by: Query(
        CampaignAdSum,
        select(*_line, *(func.sum(credits.c[name]).label(name) for name in _SUMS))
        .where(*is_of_these, _is_of_model, credits.c.is_pinterest == literal_column("1"))
        .group_by(*_differing),
    )
    for by, is_of_these in _is_of_days.items()
}
_untold = {
    by: Query(
        UntoldAdCredit,
        select(
            credits.c.campaign_id,
            credits.c.campaign,
            credits.c.currency,
            credits.c.touch_key,
            *(credits.c[name] for name in _SUMS),
            orders.c.path,
        )
        .select_from(credits.join(orders, orders.c.id == credits.c.order_id))
        .where(*is_of_these, _is_of_model, _is_untold),
    )
    for by, is_of_these in _is_of_days.items()
}


class CreditedSpan(NamedTuple):
    """The instants [since, before), the scope and model as a bit, by which date credits count, and
    the longest attribution window in seconds."""

    since: int
    before: int
    bit: int
    report_by: ReportDay
    longest_window: int

    @property
    def parameters(self) -> dict[str, int]:
        """The parameters of the queries."""
        span = {"since": self.since, "before": self.before, "bit": self.bit}
        if self.report_by == "order_date":
            return span
        return {**span, "latest": self.before + self.longest_window}


def sums(conn: Connection, span: CreditedSpan) -> list[CampaignAdSum]:
    """Returns the credits of Pinterest's touches in these days by the campaign, ad and pin of their
    links."""
    return _sums[span.report_by].all(conn, **span.parameters)


def untold(conn: Connection, span: CreditedSpan) -> list[UntoldAdCredit]:
    """Returns those without ad and pin whose order has a touch with one of them in its path."""
    return _untold[span.report_by].all(conn, **span.parameters)
