"""Adds up the figures of days and weeks to a funnel, with the events that they lack.

These are read a page at a time, and become bitmaps of visitors at once: there may be millions where
figures are made for the first time, or anew.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from tracking.domain.conversion import STAGES
from tracking.domain.shop_days import WEEK, ShopDays, whole_weeks
from tracking.report.campaigns import CampaignLabel, label_of
from tracking.report.funnel_span import FunnelSpan, StageCounts, order_of_label
from tracking.report.known_figures import Figures, KnownFigures
from tracking.report.open_days import OpenDays
from tracking.report.visitor_counts import Tally
from tracking.store import funnel_events, funnel_figures, funnel_weeks, report_progress
from tracking.store.engine.statement import Connection
from tracking.store.funnel_events import NumberedEvent
from tracking.store.funnel_figures import StageDay, StoredFigures
from tracking.store.funnel_weeks import StageWeek
from tracking.store.report_progress import Progress


class Period(NamedTuple):
    """A stage on one day, or in one week: the period of this number, of so many days each."""

    length: int
    number: int
    stage: str

    @property
    def days(self) -> range:
        """The days (ordinals) of the period."""
        return range(self.number * self.length, (self.number + 1) * self.length)


# The stages that are read together.
_PURCHASE = frozenset({"purchase"})
_KINDS: tuple[Set[str], ...] = (_PURCHASE, frozenset(STAGES) - _PURCHASE)
# An event's stage and what it says of its campaign are its last columns.
_LABEL = NumberedEvent._fields.index("stage")

_Read = Callable[[Connection, Period], Iterable[StoredFigures]]


class FiguresByDay:
    """The counts as the figures by day sum them up, with the events that are not in them yet."""

    def __init__(
        self,
        conn: Connection,
        span: FunnelSpan,
        days: ShopDays,
        progress: Progress,
        known: KnownFigures | None = None,
    ) -> None:
        """Adds up days. Figures that are `known` are not read again.

        Of figures for other days than these, those of closed days alone are of use: all other
        events are counted.
        """
        is_made = progress.zone == days.zone.key
        self._conn = conn
        self._span = span
        self._days = OpenDays(days, progress)
        self._progress = progress
        self._through = progress.through if is_made else report_progress.newest_event(conn)
        self._is_made = is_made
        self._known = KnownFigures() if known is None else known
        since = min(days.begin(span.first), self._days.begin(span.first, ""))
        self._bounds = since, days.begin(span.last + 1)
        marked = report_progress.marked(conn, *self._bounds)
        self._marked = {
            (self._days.day_of(row.at, row.stage), row.stage)
            for row in marked
            if self._is_in_span(row.at, row.stage) and self._days.has(row.at, row.stage) and is_made
        }

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
        for stage, figures in self._stored(_totals if self._span.all_traffic else _pinterests):
            for _, events, _, visitors in zip(*figures, strict=True):
                tallies[stage].merge(events, visitors)
        for (_, stage), new in self._new.items():
            tallies[stage].merge(new.events, new.visitors)
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
    def _new(self) -> dict[tuple[CampaignLabel, str], Tally]:
        """The events that the figures lack, by campaign and stage."""
        new: dict[tuple[CampaignLabel, str], Tally] = defaultdict(Tally)
        for page in self._uncounted():
            for some in _by_label(page):
                new[label_of(some[0]), some[0].stage].add_all(some)
        return new

    @cached_property
    def _campaigns(self) -> dict[CampaignLabel, dict[str, Tally]]:
        labels = {
            row.id: label_of(row)
            for row in funnel_figures.campaigns(self._conn)
            if row.is_pinterest or self._span.all_traffic
        }
        found: dict[CampaignLabel, dict[str, Tally]] = defaultdict(_tallies)
        for stage, figures in self._stored(_by_campaign):
            for campaign, events, newest, visitors in zip(*figures, strict=True):
                if campaign in labels:
                    found[labels[campaign]][stage].merge(events, visitors, newest)
        for (label, stage), new in self._new.items():
            found[label][stage].merge(new.events, new.visitors, new.newest)
        return found

    def _stored(self, read: _Read) -> Iterator[tuple[str, Figures]]:
        """Yields the figures of each stage, in two parts: of the older days, and of the last two of
        the span, which often change."""
        last, before = self._span.last, self._span.last - 2
        versions = funnel_figures.versions(self._conn, self._span.first, last)
        for stage in STAGES:
            periods = self._periods(stage)
            older = tuple(period for period in periods if period.days[-1] <= before)
            for some in (older, tuple(periods[len(older) :])):
                version = sum(versions.get((day, stage), 0) for part in some for day in part.days)
                rows = chain.from_iterable(read(self._conn, period) for period in some)
                yield stage, self._known.of((read, *some), version, rows)

    def _periods(self, stage: str) -> list[Period]:
        """Returns the whole weeks of which no day changed, and the other days without marks that
        have figures: a span may have tens of thousands of days without any."""
        weeks = [Period(WEEK, week, stage) for week, each in self._whole if each == stage]
        days = [
            Period(1, day, stage)
            for day, each in self._days_with_figures
            if each == stage and StageWeek(day // WEEK, stage) not in self._whole
        ]
        valid = (period for period in days if self._is_valid(period.number, stage))
        return sorted([*weeks, *valid], key=lambda period: period.days.start)

    @cached_property
    def _days_with_figures(self) -> set[StageDay]:
        return funnel_figures.days(self._conn, self._span.first, self._span.last)

    @cached_property
    def _whole(self) -> set[StageWeek]:
        """The weeks, by stage, of which no day changed since they were summed up."""
        inside = whole_weeks(self._span.first, self._span.last)
        changed = {(day // WEEK, stage) for day, stage in self._marked}
        return {
            week
            for week in funnel_weeks.whole(self._conn, inside.start, inside.stop - 1)
            if week not in changed and self._is_valid(week.week * WEEK + WEEK - 1, week.stage)
        }

    def _is_valid(self, day: int, stage: str) -> bool:
        if not self._is_made:
            return self._days.is_closed(day, stage)
        return (day, stage) not in self._marked

    def _is_in_span(self, at: int, stage: str) -> bool:
        return self._span.first <= self._days.day_of(at, stage) <= self._span.last

    def _uncounted(self) -> Iterator[list[NumberedEvent]]:
        """Yields the events that the figures lack, or count as what they are no longer."""
        if not self._is_made:
            for kind in _KINDS:
                yield from self._between(self._span.first, self._span.last, kind)
            return
        for page in funnel_events.new_events(
            self._conn,
            self._progress.through,
            self._bounds,
            self._days.closed,
            self._progress.numbers,
            all_traffic=self._span.all_traffic,
        ):
            yield [event for event in page if self._is_in_span(event.at, event.stage)]
        for day in sorted({day for day, _ in self._marked}):
            for kind in _KINDS:
                stages = {stage for stage in kind if (day, stage) in self._marked}
                if stages:
                    yield from self._between(day, day, stages)

    def _between(self, first: int, last: int, stages: Set[str]) -> Iterator[list[NumberedEvent]]:
        """Yields the events of some stages, the purchase or others, on the open days [first,
        last]; without those that came after the figures."""
        a_stage = next(iter(stages))
        pages = funnel_events.events_between(
            self._conn,
            (self._days.begin(first, a_stage), self._days.begin(last + 1, a_stage)),
            self._through,
            self._progress.numbers,
            purchases=stages == _PURCHASE,
            all_traffic=self._span.all_traffic,
        )
        for page in pages:
            yield [event for event in page if event.stage in stages]


def _by_label(events: Iterable[NumberedEvent]) -> Iterable[list[NumberedEvent]]:
    """Returns the events of each campaign and stage."""
    groups: dict[tuple[object, ...], list[NumberedEvent]] = defaultdict(list)
    for event in events:
        groups[event[_LABEL:]].append(event)
    return groups.values()


def _tallies() -> dict[str, Tally]:
    return defaultdict(Tally)


def _totals(conn: Connection, period: Period) -> Iterator[StoredFigures]:
    # One set of all visitors is faster to count than Pinterest's and the others'.
    return (figures._replace(id=0) for figures in _by_traffic(conn, period))


def _pinterests(conn: Connection, period: Period) -> Iterator[StoredFigures]:
    return (figures for figures in _by_traffic(conn, period) if figures.id)


def _by_traffic(conn: Connection, period: Period) -> list[StoredFigures]:
    read = funnel_weeks.totals if period.length == WEEK else funnel_figures.totals
    return read(conn, period.number, period.stage)


def _by_campaign(conn: Connection, period: Period) -> list[StoredFigures]:
    read = funnel_weeks.by_campaign if period.length == WEEK else funnel_figures.by_campaign
    return read(conn, period.number, period.stage)
