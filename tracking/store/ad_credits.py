"""The credits of Pinterest's touches by ad and pin, counted row by row."""

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, case, func, literal_column, select

from tracking.store.credit_figures import ReportDay
from tracking.store.engine.statement import Connection, Query
from tracking.store.schema import credits, orders


class AdCreditSum(NamedTuple):
    """The credits of the links of one ad and pin in one currency; PostgreSQL sums integers to a
    Decimal. `share` is millionths of orders, the amounts are minor units."""

    currency: str
    is_pinterest: int
    ad_id: str
    pin_id: str
    share: int | Decimal
    gross: int | Decimal
    net: int | Decimal
    cancellations: int | Decimal


class UntoldAdCredit(NamedTuple):
    """A credit of a Pinterest touch without its ad and pin, which the path of its order tells."""

    currency: str
    touch_key: str
    share: int
    gross: int
    net: int
    cancellations: int
    path: str


_SUMS = ("share", "gross", "net", "cancellations")
_is_of_pinterest = credits.c.is_pinterest == literal_column("1")
_is_untold = and_(_is_of_pinterest, credits.c.ad_id.is_(None), credits.c.touch_key != "")
_NOBODY: ColumnElement[str] = literal_column("''")
_line = (
    credits.c.currency,
    credits.c.is_pinterest,
    *(
        case((_is_of_pinterest, func.coalesce(column, _NOBODY)), else_=_NOBODY).label(column.name)
        for column in (credits.c.ad_id, credits.c.pin_id)
    ),
)
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
_told = {
    by: Query(
        AdCreditSum,
        select(*_line, *(func.sum(credits.c[name]).label(name) for name in _SUMS))
        .where(*is_of_days, _is_of_model, ~_is_untold)
        .group_by(*_line),
    )
    for by, is_of_days in _is_of_days.items()
}
_untold = {
    by: Query(
        UntoldAdCredit,
        select(
            credits.c.currency,
            credits.c.touch_key,
            *(credits.c[name] for name in _SUMS),
            func.coalesce(orders.c.path, _NOBODY).label("path"),
        )
        .select_from(credits.outerjoin(orders, orders.c.id == credits.c.order_id))
        .where(*is_of_days, _is_of_model, _is_untold),
    )
    for by, is_of_days in _is_of_days.items()
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


def sums(conn: Connection, span: CreditedSpan) -> list[AdCreditSum]:
    """Returns the credits of these days, but for those `untold` returns, by the ad and pin of their
    links; without either what is not Pinterest's."""
    return _told[span.report_by].all(conn, **span.parameters)


def untold(conn: Connection, span: CreditedSpan) -> list[UntoldAdCredit]:
    """Returns the credits of these days that an older release wrote, and of which it is to be found
    out to which ad and pin they belong."""
    return _untold[span.report_by].all(conn, **span.parameters)
