"""Reads the shares of the comparison: from the sums by day where they are complete, else by row."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from tracking.domain.attribution import Rules
from tracking.domain.shop_days import ShopDays
from tracking.domain.waterfall import ComparedShare, kind_of
from tracking.report.campaigns import CampaignLabel
from tracking.report.compared_shares import (
    MaskedShare,
    OrderShare,
    order_shares,
    shares_of_marked,
)
from tracking.report.known_rows import KnownRows, SummedDays, parts_of
from tracking.report.share_sums import ComparedShares, ComparedSpan
from tracking.report.shared_figures import is_of_this_release
from tracking.store import compared_figures, report_progress
from tracking.store.compared_figures import ComparedDay, ComparedSum, SummedCredit, days_around
from tracking.store.credit_figures import FOREVER, ReportDay
from tracking.store.engine.statement import Connection

UTC_DAYS = ShopDays(ZoneInfo("UTC"))
_EVERY_MARK = 2**62
# The day of sums of several.
_SEVERAL = 0
# A line with its parts, and the orders that they name, takes the room of so many rows of a table.
_ROWS_A_LINE = 10


@dataclass(frozen=True, slots=True)
class _SummedPart:
    """The sums of a part of a span, and the campaigns that they are of by their ids."""

    shares: ComparedShares
    labels: Mapping[int, CampaignLabel]

    def __len__(self) -> int:
        return _ROWS_A_LINE * len(self.shares)


def compared_shares(
    conn: Connection,
    span: ComparedSpan,
    days: ShopDays,
    rules: Rules,
    forgotten: int,
    known: KnownRows,
) -> ComparedShares:
    """Returns the shares that count on some days here or at Pinterest, exact to the newest order.
    Deliveries settled before the instant `forgotten` have been deleted."""
    progress = report_progress.of(conn, "comparison")
    # An older release knows no sums of weeks.
    is_whole = progress.through == FOREVER and is_of_this_release(progress)
    if progress.zone == days.zone.key and is_whole:
        return _summed(conn, span, days, rules, forgotten, known)
    found = ComparedShares()
    for share in _rows(conn, span, days, rules, forgotten):
        found.add(span, share.label, share.currency, dated(share, span.report_by, days))
    return found


def dated(share: OrderShare, report_by: ReportDay, days: ShopDays) -> ComparedShare:
    """Returns a share on the day of its order, or on that of its touch: the UTC and the shop
    day."""
    at = share.placed_at if report_by == "order_date" else share.credited_at
    return ComparedShare(
        utc_day=UTC_DAYS.day_of(at),
        shop_day=days.day_of(at),
        kind=share.kind,
        share=share.share,
        net=share.net,
        value=share.value,
        order_ids=(share.order_id,),
    )


def _rows(
    conn: Connection, span: ComparedSpan, days: ShopDays, rules: Rules, forgotten: int
) -> list[OrderShare]:
    since = min(each.begin(span.first) for each in (UTC_DAYS, days))
    before = max(each.begin(span.last + 1) for each in (UTC_DAYS, days))
    if span.report_by == "click_date":
        # A touch is credited only with orders within its window.
        before += rules.longest_window
    return order_shares(conn, (since, before), span.bit, rules, forgotten)


def _summed(
    conn: Connection,
    span: ComparedSpan,
    days: ShopDays,
    rules: Rules,
    forgotten: int,
    known: KnownRows,
) -> ComparedShares:
    old: list[SummedCredit] = []
    new: list[MaskedShare] = []
    if compared_figures.marks(conn, 1):
        old = compared_figures.of_marked(conn, _EVERY_MARK)
        new = shares_of_marked(conn, _EVERY_MARK, rules, forgotten)
    changed = {row.order_id for row in old}
    found = ComparedShares()
    labels: dict[int, CampaignLabel] = {}
    # The newest orders first, as some of them are named.
    for utc_days in reversed(parts_of(days_around(span.first, span.last))):
        asked = SummedDays("comparison", span.report_by, utc_days)
        part = known.of_sums(conn, asked, _part, span, utc_days)
        labels |= part.labels
        found.merge(part.shares, changed)
    pending = [one for one in (*map(_taken_off, old), *new) if one.mask & span.bit]
    found.newest = _newest(conn, span, labels, {one.share.label for one in pending})
    for one, _ in pending:
        found.add(span, one.label, one.currency, _pending(one, span.report_by, days))
    return found


def _part(conn: Connection, span: ComparedSpan, utc_days: range) -> _SummedPart:
    """Returns the sums of the UTC days that are part of a span."""
    by, model = span.report_by, span.bit
    found = ComparedShares()
    for day in compared_figures.days(conn, by, model, utc_days):
        found.add_to_days(span, day.currency, _share_of(day, day.utc_day, day.shop_day))
    rows = compared_figures.campaigns(conn, by, model, span.first, span.last, utc_days)
    one_of_each = {row.campaign: row for row in rows}
    labels = {campaign: _label(row) for campaign, row in one_of_each.items()}
    for row in rows:
        if row.in_utc or row.in_shop:
            found.add_to_campaign(
                labels[row.campaign],
                row.currency,
                _share_of(row, _SEVERAL, _SEVERAL),
                in_utc=bool(row.in_utc),
                in_shop=bool(row.in_shop),
            )
    return _SummedPart(found, labels)


def _share_of(row: ComparedDay | ComparedSum, utc_day: int, shop_day: int) -> ComparedShare:
    return ComparedShare(
        utc_day,
        shop_day,
        kind_of(row.kind),
        int(row.share),
        int(row.net),
        int(row.value),
        tuple(row.order_ids.split()),
    )


def _newest(
    conn: Connection,
    span: ComparedSpan,
    labels: Mapping[int, CampaignLabel],
    pending: Collection[CampaignLabel],
) -> dict[CampaignLabel, int]:
    """Returns the newest UTC day, in the sums, of each campaign that has several names in these or
    in what is pending."""
    names = Counter(label.campaign_id for label in {*labels.values(), *pending})
    key = (span.report_by, span.bit, span.first, span.last)
    return {
        label: compared_figures.newest_day(conn, *key, campaign)
        for campaign, label in labels.items()
        if names[label.campaign_id] > 1
    }


def _label(row: ComparedSum | SummedCredit) -> CampaignLabel:
    return CampaignLabel(bool(row.is_pinterest), row.campaign_id, row.name)


def _taken_off(row: SummedCredit) -> MaskedShare:
    """Returns what is summed up of an order that changed, to be taken off."""
    share = OrderShare(
        order_id="",
        placed_at=row.placed_at,
        credited_at=row.credited_at,
        label=_label(row),
        currency=row.currency,
        kind=kind_of(row.kind),
        share=-row.share,
        net=-row.net,
        value=-row.value,
    )
    return MaskedShare(share, row.mask)


def _pending(share: OrderShare, report_by: ReportDay, days: ShopDays) -> ComparedShare:
    found = dated(share, report_by, days)
    return found if share.order_id else found._replace(order_ids=())
