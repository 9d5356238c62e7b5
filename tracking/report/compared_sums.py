"""Reads the shares of the comparison: from the sums by day where they are complete, else by row."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
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
from tracking.report.shared_figures import is_of_this_release
from tracking.store import compared_figures, report_progress
from tracking.store.compared_figures import ComparedSum, SummedCredit
from tracking.store.credit_figures import FOREVER, ReportDay
from tracking.store.engine.statement import Connection

UTC_DAYS = ShopDays(ZoneInfo("UTC"))
_EVERY_MARK = 2**62
# The day of sums of several.
_SEVERAL = 0


@dataclass(frozen=True, slots=True)
class ComparedSpan:
    """The days [first, last] (as ordinals) that are compared, the model as a bit, and by which date
    an order counts."""

    first: int
    last: int
    bit: int
    report_by: ReportDay

    def holds(self, day: int) -> bool:
        """Returns True if a day is one of them."""
        return self.first <= day <= self.last


class CampaignShare(NamedTuple):
    """Shares of a campaign, as a touch named it, that count in the UTC days, in the shop days, or
    in both."""

    label: CampaignLabel
    currency: str
    found: ComparedShare
    in_utc: bool
    in_shop: bool


@dataclass(slots=True)
class ComparedShares:
    """The shares of all campaigns by day (with their currencies), and of each campaign."""

    by_day: list[tuple[str, ComparedShare]] = field(default_factory=list)
    by_campaign: list[CampaignShare] = field(default_factory=list)
    # The newest UTC day of each campaign that has several names.
    newest: dict[CampaignLabel, int] = field(default_factory=dict)

    def labels(self) -> list[CampaignLabel]:
        """Returns the campaigns as touches named them, of several names the newest one last."""
        labels = {share.label for share in self.by_campaign}
        return sorted(labels, key=lambda label: (self.newest.get(label, 0), label))

    def add(
        self, span: ComparedSpan, label: CampaignLabel, currency: str, found: ComparedShare
    ) -> None:
        """Adds a share that counts on one of the days, on either side."""
        in_utc, in_shop = span.holds(found.utc_day), span.holds(found.shop_day)
        if in_utc or in_shop:
            self.by_day.append((currency, found))
            self.by_campaign.append(CampaignShare(label, currency, found, in_utc, in_shop))
            self.newest[label] = max(found.utc_day, self.newest.get(label, found.utc_day))


def compared_shares(
    conn: Connection, span: ComparedSpan, days: ShopDays, rules: Rules, forgotten: int
) -> ComparedShares:
    """Returns the shares that count on some days here or at Pinterest, exact to the newest order.
    Deliveries settled before the instant `forgotten` have been deleted."""
    progress = report_progress.of(conn, "comparison")
    # An older release knows no sums of weeks.
    is_whole = progress.through == FOREVER and is_of_this_release(progress)
    if progress.zone == days.zone.key and is_whole:
        return _summed(conn, span, days, rules, forgotten)
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
        before += max(rules.click_window, rules.view_window)
    return order_shares(conn, (since, before), span.bit, rules, forgotten)


def _summed(
    conn: Connection, span: ComparedSpan, days: ShopDays, rules: Rules, forgotten: int
) -> ComparedShares:
    key = (span.report_by, span.bit, span.first, span.last)
    old: list[SummedCredit] = []
    new: list[MaskedShare] = []
    if compared_figures.marks(conn, 1):
        old = compared_figures.of_marked(conn, _EVERY_MARK)
        new = shares_of_marked(conn, _EVERY_MARK, rules, forgotten)
    changed = {row.order_id for row in old}
    found = ComparedShares()
    for day in compared_figures.days(conn, *key):
        share = ComparedShare(
            day.utc_day,
            day.shop_day,
            kind_of(day.kind),
            day.share,
            day.net,
            day.value,
            _ids(day.order_ids, changed),
        )
        if span.holds(day.utc_day) or span.holds(day.shop_day):
            found.by_day.append((day.currency, share))
    rows = compared_figures.campaigns(conn, *key)
    one_of_each = {row.campaign: row for row in rows}
    labels = {campaign: _label(row) for campaign, row in one_of_each.items()}
    found.by_campaign = [*_of_campaigns(rows, labels, changed)]
    pending = [one for one in (*map(_taken_off, old), *new) if one.mask & span.bit]
    found.newest = _newest(conn, span, labels, {one.share.label for one in pending})
    for one, _ in pending:
        found.add(span, one.label, one.currency, _pending(one, span.report_by, days))
    return found


def _of_campaigns(
    rows: Iterable[ComparedSum], labels: Mapping[int, CampaignLabel], changed: set[str]
) -> Iterator[CampaignShare]:
    for row in rows:
        if row.in_utc or row.in_shop:
            found = ComparedShare(
                _SEVERAL,
                _SEVERAL,
                kind_of(row.kind),
                int(row.share),
                int(row.net),
                int(row.value),
                _ids(row.order_ids, changed),
            )
            yield CampaignShare(
                labels[row.campaign], row.currency, found, bool(row.in_utc), bool(row.in_shop)
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


def _ids(text: str, changed: set[str]) -> tuple[str, ...]:
    ids = text.split()
    return tuple(id for id in ids if id not in changed) if changed else tuple(ids)
