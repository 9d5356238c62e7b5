"""Adds up the figures of days and weeks to a funnel, with the events that they lack."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TypeVar

from tracking.domain.conversion import STAGES
from tracking.domain.shop_days import WEEK, ShopDays, whole_weeks
from tracking.report.campaigns import CampaignLabel, label_of
from tracking.report.funnel_span import FunnelSpan, StageCounts, order_of_label
from tracking.report.open_days import OpenDays
from tracking.report.visitor_counts import Numbering, Tally
from tracking.store import funnel_figures, funnel_weeks, report_progress
from tracking.store.engine.statement import Connection
from tracking.store.funnel_figures import CampaignDay, CountedEvent, DayTotal
from tracking.store.funnel_weeks import CampaignWeek, WeekTotal
from tracking.store.report_progress import Progress

_D = TypeVar("_D", DayTotal, CampaignDay)
_W = TypeVar("_W", WeekTotal, CampaignWeek)


class FiguresByDay:
    """The counts as the figures by day sum them up, with the events that are not in them yet."""

    def __init__(
        self,
        conn: Connection,
        span: FunnelSpan,
        days: ShopDays,
        progress: Progress,
        *,
        closed_alone: bool = False,
    ) -> None:
        """Adds up days; with `closed_alone` the figures of closed days alone are of use."""
        self._conn = conn
        self._span = span
        self._days = OpenDays(days, progress)
        self._through = progress.through
        self._closed_alone = closed_alone
        since = min(days.begin(span.first), self._days.begin(span.first, ""))
        self._bounds = since, days.begin(span.last + 1)
        marked = report_progress.marked(conn, *self._bounds)
        self._marked = {
            (self._days.day_of(row.at, row.stage), row.stage)
            for row in marked
            if self._is_in_span(row.at, row.stage)
            and self._days.has(row.at, row.stage)
            and not closed_alone
        }
        self._numbering = Numbering(progress.numbers)

    def counted_anew(self) -> int:
        """Returns how many events have the days that changed, as far as the figures know."""
        return sum(
            row.events
            for day in {day for day, _ in self._marked}
            for row in funnel_figures.totals(self._conn, day, day, all_traffic=True)
            if (day, row.stage) in self._marked
        )

    def labels(self) -> Sequence[CampaignLabel]:
        """Returns the campaigns as events name them, the one with the newest event last."""
        newest = {
            label: max(tally.newest for tally in stages.values())
            for label, stages in self._campaigns.items()
        }
        return sorted(newest, key=lambda label: order_of_label(newest[label], label))

    def total(self) -> StageCounts:
        """Returns the counts of all events."""
        tallies: dict[str, Tally] = defaultdict(Tally)
        for row in self._stored(funnel_figures.totals, funnel_weeks.totals):
            tallies[row.stage].merge(row.events, row.visitors)
        for event, number in self._new:
            tallies[event.stage].add(number, event.at)
        return {stage: tally.counts() for stage, tally in tallies.items()}

    def of(self, labels: Sequence[CampaignLabel]) -> StageCounts:
        """Returns the counts of some campaigns together."""
        tallies: dict[str, list[Tally]] = defaultdict(list)
        for label in labels:
            for stage, tally in self._campaigns[label].items():
                tallies[stage].append(tally)
        return {
            stage: (some[0] if len(some) == 1 else Tally.together(some)).counts()
            for stage, some in tallies.items()
        }

    @cached_property
    def _new(self) -> list[tuple[CountedEvent, int]]:
        return [(event, self._numbering.of(event)) for event in self._uncounted()]

    @cached_property
    def _campaigns(self) -> dict[CampaignLabel, dict[str, Tally]]:
        labels = {row.id: label_of(row) for row in funnel_figures.campaigns(self._conn)}
        tallies: dict[tuple[int, str], Tally] = defaultdict(Tally)
        for _, stage, campaign, events, newest, visitors in self._stored(
            funnel_figures.by_campaign, funnel_weeks.by_campaign
        ):
            tallies[campaign, stage].merge(events, visitors, newest)
        found: dict[CampaignLabel, dict[str, Tally]] = defaultdict(_tallies)
        for (campaign, stage), tally in tallies.items():
            found[labels[campaign]][stage] = tally
        for event, number in self._new:
            found[label_of(event)][event.stage].add(number, event.at)
        return found

    def _stored(
        self, by_day: Callable[..., list[_D]], by_week: Callable[..., list[_W]]
    ) -> Iterator[_D | _W]:
        """Yields the figures of whole weeks, and of the days before, after and between them."""

        all_traffic = self._span.all_traffic

        def of_days(first: int, last: int, *stage: str) -> Iterator[_D]:
            rows = by_day(self._conn, first, last, *stage, all_traffic=all_traffic)
            return (row for row in rows if self._is_valid(row.day, row.stage))

        first, last = self._span.first, self._span.last
        inside = whole_weeks(first, last)
        if not inside:
            yield from of_days(first, last)
            return
        yield from of_days(first, inside.start * WEEK - 1)
        yield from of_days(inside.stop * WEEK, last)
        whole = self._unchanged(inside)
        weeks = by_week(self._conn, inside.start, inside.stop - 1, all_traffic=all_traffic)
        yield from (row for row in weeks if (row.week, row.stage) in whole)
        for week in inside:
            for stage in STAGES:
                if (week, stage) not in whole:
                    yield from of_days(week * WEEK, week * WEEK + WEEK - 1, stage)

    def _unchanged(self, weeks: range) -> set[tuple[int, str]]:
        """Returns those of the weeks, by stage, of which no day changed."""
        changed = {(day // WEEK, stage) for day, stage in self._marked}
        return {
            (week, stage)
            for week, stage in funnel_weeks.whole(self._conn, weeks.start, weeks.stop - 1)
            if (week, stage) not in changed and self._is_valid(week * WEEK + WEEK - 1, stage)
        }

    def _is_valid(self, day: int, stage: str) -> bool:
        if self._closed_alone:
            return self._days.is_closed(day, stage)
        return (day, stage) not in self._marked

    def _is_in_span(self, at: int, stage: str) -> bool:
        return self._span.first <= self._days.day_of(at, stage) <= self._span.last

    def _uncounted(self) -> list[CountedEvent]:
        """Returns the events that the figures lack, or count as what they are no longer."""
        all_traffic = self._span.all_traffic
        events = funnel_figures.new_events(
            self._conn, self._through, self._bounds, self._days.closed, all_traffic=all_traffic
        )
        events = [event for event in events if self._is_in_span(event.at, event.stage)]
        for day, stage in sorted(self._marked):
            begin, end = self._days.begin(day, stage), self._days.begin(day + 1, stage)
            events += funnel_figures.events_of_stage(
                self._conn, stage, begin, end, self._through, all_traffic=all_traffic
            )
        return events


def _tallies() -> dict[str, Tally]:
    return defaultdict(Tally)
