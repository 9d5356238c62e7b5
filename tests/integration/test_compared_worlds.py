"""Pinterest's figure and ours differ by known parts, and by what nobody can explain."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from tracking.domain.attribution import WHOLE_ORDER, bit
from tracking.domain.conversion import REASONS
from tracking.domain.shop_days import ShopDays
from tracking.domain.waterfall import PARTS, PinterestSums
from tracking.report.campaigns import CampaignNames
from tracking.report.compared_shares import naming_of, shares_of
from tracking.report.compared_sums import dated
from tracking.report.comparison import ComparisonLines, PinterestSays, lines_of
from tracking.report.comparison_lines import ComparisonLine
from tracking.report.parameters import Days, days_of
from tracking.report.share_sums import ComparedShares, ComparedSpan
from tracking.store.compared_orders import CreditedRow, NamingDelivery
from tracking.store.credit_figures import ReportDay
from tracking.store.packed_payloads import packed
from tracking.store.pinterest_figures import PinterestCampaign, PinterestDay

FIRST, LAST = date(2026, 3, 27), date(2026, 3, 31)
NOON = int(datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp())
DAY = 86_400
ZONES = ("UTC", "America/Los_Angeles", "Europe/Berlin", "Pacific/Kiritimati", "Asia/Kathmandu")
CAMPAIGNS = ("11", "22", "")
MODEL = bit("pinterest", "last_touch")
CLICK, VIEW = MODEL, MODEL | bit("pinterest", "view_through")


@dataclass(frozen=True)
class Told:
    """An order of a made-up world, and what became of its event."""

    n: int
    placed_at: int
    touched_at: int
    campaign: str
    is_view: bool
    gross: int
    given_back: int
    state: str | None
    reason: str
    sent_value: int
    is_told_by_other: bool

    @property
    def is_sent(self) -> bool:
        return self.state == "sent"

    def at(self, report_by: ReportDay) -> int:
        return self.placed_at if report_by == "order_date" else self.touched_at

    def row(self) -> CreditedRow:
        fate = "lost" if self.state in ("dead", "discarded") else self.state or ""
        own = (self.reason or fate, self.state, packed(_payload(self.sent_value)))
        if self.is_told_by_other:
            own = ("told_before", "withdrawn", b"")
        return CreditedRow(
            self.placed_at,
            str(self.n),
            VIEW if self.is_view else CLICK,
            self.touched_at,
            "USD",
            self.campaign,
            "",
            WHOLE_ORDER,
            self.gross,
            self.gross - self.given_back,
            *own,
            told_value="",
            told_currency="",
        )


@st.composite
def told_orders(draw: st.DrawFn) -> Sequence[Told]:
    return [draw(_told(n)) for n in range(draw(st.integers(0, 12)))]


def _told(n: int) -> st.SearchStrategy[Told]:
    seconds = st.integers(-4 * DAY, 4 * DAY)
    return st.builds(
        _made,
        st.just(n),
        seconds,
        st.integers(0, 2 * DAY),
        st.sampled_from(CAMPAIGNS),
        st.booleans(),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
        st.sampled_from(("sent", "sent", "sent", "waiting", "dead", "discarded", "held", None)),
        st.sampled_from(sorted(REASONS.keys() - {"", "told_before", "told_by_order"})),
        st.integers(0, 12_000),
        st.booleans(),
    )


def _made(n: int, at: int, age: int, campaign: str, is_view: bool, *rest: Any) -> Told:
    gross, back, state, reason, sent, is_told_by_other = rest
    given_back = min(gross, back) if back % 2 else 0
    reason = "" if state in ("sent", "waiting", "dead", "discarded") else reason
    value = gross if sent % 3 else sent
    is_told_by_other = is_told_by_other and state == "sent"
    placed = NOON + at
    return Told(
        n, placed, placed - age, campaign, is_view, gross, given_back, state, reason, value,
        is_told_by_other,
    )  # fmt: skip


def _payload(value: int) -> bytes:
    told = {"currency": "USD", "value": f"{value // 100}.{value % 100:02d}"}
    return json.dumps({"event_name": "checkout", "custom_data": told}).encode()


@dataclass(frozen=True)
class Attributed:
    """A checkout that Pinterest counts for a campaign, on its UTC day."""

    day: date
    campaign: str
    is_view: bool
    value: int


def counted_by_pinterest(orders: Iterable[Told], report_by: ReportDay) -> list[Attributed]:
    """All that Pinterest counts: whatever it was told, for good, on the UTC day."""
    return [
        Attributed(_utc(order.at(report_by)), order.campaign, order.is_view, order.sent_value)
        for order in orders
        if order.is_sent
    ]


def _utc(at: int) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def compared(
    orders: Sequence[Told], attributed: Sequence[Attributed], zone: str, report_by: ReportDay
) -> ComparisonLines:
    """The lines of the report on a world, in which Pinterest counts these checkouts."""
    shop_days = ShopDays(ZoneInfo(zone))
    errors: list[Any] = []
    days: Days = days_of(FIRST.isoformat(), LAST.isoformat(), shop_days, NOON, errors)
    rows = [order.row() for order in sorted(orders, key=lambda order: (order.placed_at, order.n))]
    naming = naming_of(
        NamingDelivery(str(order.n), "sent", _payload(order.sent_value), "", "")
        for order in orders
        if order.is_told_by_other
    )
    span = ComparedSpan(FIRST.toordinal(), LAST.toordinal(), MODEL, report_by)
    found = ComparedShares()
    for _, share in shares_of(rows, naming, [MODEL]):
        found.add(span, share.label, share.currency, dated(share, report_by, shop_days))
    return lines_of(days, found, CampaignNames([]), says(attributed))


def says(attributed: Sequence[Attributed]) -> PinterestSays:
    inside = [one for one in attributed if FIRST <= one.day <= LAST]
    by_day = [
        PinterestDay._make(
            [day.isoformat(), "USD", *_sums([one for one in inside if one.day == day]), 30, 1]
        )
        for day in sorted({one.day for one in inside})
    ]
    by_campaign = [
        PinterestCampaign(id, "", "USD", *_sums([one for one in inside if one.campaign == id]))
        for id in sorted({one.campaign for one in inside})
    ]
    return PinterestSays(by_day, by_campaign, LAST.isoformat(), "")


def _sums(found: Sequence[Attributed]) -> tuple[int, ...]:
    clicks = [one for one in found if not one.is_view]
    views = [one for one in found if one.is_view]
    pairs = [
        (len(some), sum(one.value for one in some) * 10_000) for some in (found, clicks, views)
    ]
    return (*pairs[0], *pairs[1], *pairs[2], len(found), 0)


def every_line(lines: ComparisonLines) -> list[ComparisonLine]:
    return [lines.totals, *lines.days.values(), *lines.campaigns.values()]


def amounts(line: ComparisonLine) -> dict[str, tuple[int, int]]:
    """The parts of a line's difference, which are checked to sum to it."""
    sums = line.pinterest.get("USD", PinterestSums())
    parts = line.waterfall.parts(sums)
    whole = (sum(part.share for part in parts), sum(part.value for part in parts))
    assert whole == line.waterfall.difference(sums)
    assert [part.name for part in parts] == [*PARTS]
    return {part.name: (part.share, part.value) for part in parts}


BY = st.sampled_from(("order_date", "click_date"))
FEW = settings(max_examples=40)


@FEW
@given(told_orders(), st.sampled_from(ZONES), BY)
def test_all_is_explained_where_pinterest_counts_what_it_was_told(
    orders: Sequence[Told], zone: str, report_by: ReportDay
) -> None:
    lines = compared(orders, counted_by_pinterest(orders, report_by), zone, report_by)
    for line in every_line(lines):
        assert amounts(line)["not_explained"] == (0, 0)


@FEW
@given(
    told_orders(),
    st.sampled_from(ZONES),
    BY,
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(CAMPAIGNS), st.integers(0, 5_000))),
)
def test_views_that_only_pinterest_knows_are_told_as_views(
    orders: Sequence[Told], zone: str, report_by: ReportDay, views: list[tuple[int, str, int]]
) -> None:
    counted = counted_by_pinterest(orders, report_by)
    more = [
        Attributed(date.fromordinal(FIRST.toordinal() + n), campaign, True, value)
        for n, campaign, value in views
    ]
    before = amounts(compared(orders, counted, zone, report_by).totals)
    lines = compared(orders, [*counted, *more], zone, report_by)
    for line in every_line(lines):
        assert amounts(line)["not_explained"] == (0, 0)
    grown = [after - known for after, known in zip(
        amounts(lines.totals)["views"], before["views"], strict=True
    )]  # fmt: skip
    assert grown == [len(more) * WHOLE_ORDER, sum(one.value for one in more)]


@FEW
@given(
    told_orders(),
    st.sampled_from(ZONES),
    BY,
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(CAMPAIGNS), st.integers(0, 5_000))),
    st.integers(0, 3),
)
def test_what_nobody_explains_is_told_to_the_cent(
    orders: Sequence[Told],
    zone: str,
    report_by: ReportDay,
    clicks: list[tuple[int, str, int]],
    lost: int,
) -> None:
    counted = counted_by_pinterest(orders, report_by)
    inside = [one for one in counted if FIRST <= one.day <= LAST and not one.is_view]
    gone, more = inside[:lost], [
        Attributed(date.fromordinal(FIRST.toordinal() + n), campaign, False, value)
        for n, campaign, value in clicks
    ]  # fmt: skip
    kept = list(counted)
    for one in gone:
        kept.remove(one)
    lines = compared(orders, [*kept, *more], zone, report_by)
    unexplained = (
        (len(more) - len(gone)) * WHOLE_ORDER,
        sum(one.value for one in more) - sum(one.value for one in gone),
    )
    assert amounts(lines.totals)["not_explained"] == unexplained
    for lines_of_kind in (lines.days.values(), lines.campaigns.values()):
        rest = [amounts(line)["not_explained"] for line in lines_of_kind]
        assert tuple(map(sum, zip((0, 0), *rest, strict=True))) == unexplained
