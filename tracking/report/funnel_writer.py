"""Writes the funnel's figures by day: counts new events, and days anew in which some changed."""

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from pyroaring import BitMap

from tracking.domain.shop_days import WEEK, ShopDays
from tracking.report.campaigns import CampaignLabel, label_of
from tracking.report.open_days import OpenDays
from tracking.report.shared_figures import SharedFigures
from tracking.report.visitor_counts import Numbering, Tally
from tracking.store import Store, funnel_events, funnel_figures, funnel_weeks, report_progress
from tracking.store.engine.statement import Connection
from tracking.store.funnel_events import CountedEvent
from tracking.store.funnel_figures import CampaignDay, DayTotal
from tracking.store.funnel_weeks import CampaignWeek, WeekTotal
from tracking.store.report_progress import Progress

logger = logging.getLogger(__name__)

# So many events are counted at once: a few milliseconds of the write lock. After an upgrade there
# are millions, of which more are counted at once.
EVENTS = 5_000
_TIMES_WHEN_BEHIND = 4
_BEHIND = 20 * EVENTS
_MARKS = 20_000
# A campaign of which the id is remembered saves a query for each batch of events.
_REMEMBERED = 20_000
# How long transactions that began before are waited for, and how often they are looked at.
WAIT_SECONDS = 5.0
_LOOKS_EVERY_SECONDS = 0.02

_Stages = Collection[tuple[int, str]]


class FunnelWriter:
    """Brings the funnel's figures up to date, step by step.

    Each step reads a snapshot, counts without any lock, and writes what it counted, unless the
    figures changed meanwhile.
    """

    def __init__(
        self,
        store: Store,
        days: ShopDays,
        events: int = EVENTS,
        patience: float = WAIT_SECONDS,
        remembered: int = _REMEMBERED,
    ) -> None:
        """Counts for these shop days, so many events in one step.

        It waits for so many seconds for transactions that began before, and remembers the ids of
        so many campaigns from step to step.
        """
        self._remembered = remembered
        self._patience = patience
        self._store = store
        self._figures = SharedFigures(store, "funnel")
        self._days = days
        self._events = events
        self._ids: dict[CampaignLabel, int] = {}

    def restart(self) -> None:
        """Has the next steps make all figures anew.

        Raises:
            StoreUnavailable: they will not.
        """
        self._figures.restart()

    def step(self) -> bool:
        """Writes the next figures; returns False if there was nothing to do.

        Raises:
            StoreUnavailable: nothing was written.
        """
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            newest = report_progress.newest_event(conn)
            marks = report_progress.marks(conn, 1)
        if progress.zone != self._days.zone.key:
            return self._begin_anew(progress)
        if marks:
            return self._count_days_anew()
        if newest > progress.through:
            return self._count_new(newest)
        return self._sum_up_week()

    def _begin_anew(self, progress: Progress) -> bool:
        """Deletes the figures of other days a day at a time, and begins those of this zone."""
        if progress.zone:
            text = "the figures by day are made anew for %s; they were for %s"
            logger.warning(text, self._days.zone.key, progress.zone)
        closed = OpenDays(self._days, progress).last_closed

        def drop(conn: Connection, day: int) -> None:
            funnel_figures.drop_day(conn, day, closed)
            funnel_weeks.drop_week_of(conn, day)

        newest_day = partial(funnel_figures.newest_day, closed=closed)
        self._figures.begin_anew(progress, self._days.zone.key, newest_day, drop)
        return True

    def _count_new(self, newest: int) -> bool:
        """Counts the next events, up to the number `newest`, all of which are committed."""
        if not self._is_settled():
            return False
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            if newest <= progress.through:
                return True
            is_behind = newest - progress.through > _BEHIND
            count = self._events * (_TIMES_WHEN_BEHIND if is_behind else 1)
            until = min(newest, progress.through + count)
            events = funnel_events.events_after(conn, progress.through, until, progress.closed)
        numbering = Numbering(progress.numbers)
        counted = _Counted(OpenDays(self._days, progress), numbering)
        counted.add(events)
        ids = self._campaign_ids(counted.labels())
        # Should these figures change meanwhile, nothing is written.
        with self._store.read() as conn:
            counted.add_stored(conn, ids)
        self._write(progress, progress._replace(through=until), counted, numbering)
        return True

    def _count_days_anew(self) -> bool:
        """Counts the marked stages of days anew, until there are enough events for one step."""
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            days = OpenDays(self._days, progress)
            marks = report_progress.marks(conn, _MARKS)
            # Nothing can be counted anew of a closed day.
            done = [mark.id for mark in marks if not days.has(mark.at, mark.stage)]
            marked: dict[tuple[int, str], list[int]] = defaultdict(list)
            for mark in marks:
                if days.has(mark.at, mark.stage):
                    marked[days.day_of(mark.at, mark.stage), mark.stage].append(mark.id)
            numbering = Numbering(progress.numbers)
            counted = _Counted(days, numbering)
            anew: list[tuple[int, str]] = []
            for (day, stage), ids in sorted(marked.items()):
                if counted.events > self._events:
                    break
                anew.append((day, stage))
                done += ids
                begin, end = days.begin(day, stage), days.begin(day + 1, stage)
                counted.add(
                    funnel_events.events_of_stage(conn, stage, begin, end, progress.through)
                )
        self._write(progress, progress, counted, numbering, anew=anew, marks=done)
        return True

    def _sum_up_week(self) -> bool:
        """Sums up a week that has no figures of its own; returns False if there is none."""
        with self._store.read() as conn:
            progress = self._figures.progress(conn)
            week = funnel_weeks.missing(conn)
            if week is None:
                return False
            days = [(week.week * WEEK + n, week.stage) for n in range(WEEK)]
            by_day = [total for day in days for total in funnel_figures.totals(conn, *day)]
            parts = [part for day in days for part in funnel_figures.by_campaign(conn, *day)]
        totals: dict[int, Tally] = defaultdict(Tally)
        campaigns: dict[int, Tally] = defaultdict(Tally)
        for total in by_day:
            totals[total.id].merge(total.events, BitMap.deserialize(total.visitors))
        for part in parts:
            campaigns[part.id].merge(part.events, BitMap.deserialize(part.visitors), part.newest)
        of_week = [WeekTotal(*week, key, t.events, t.stored()) for key, t in totals.items()]
        of_campaigns = [
            CampaignWeek(*week, key, tally.events, tally.newest, tally.stored())
            for key, tally in sorted(campaigns.items())
        ]

        put = partial(funnel_weeks.put, of=week, totals=of_week, campaigns=of_campaigns)
        self._figures.write(progress, progress, put)
        return True

    def _write(
        self,
        known: Progress,
        new: Progress,
        counted: "_Counted",
        numbering: Numbering,
        anew: _Stages = (),
        marks: Sequence[int] = (),
    ) -> None:
        ids = self._campaign_ids(counted.labels())
        totals, campaigns = counted.rows(ids)
        new = new._replace(numbers=numbering.count)

        def put(conn: Connection) -> None:
            for day, stage in anew:
                funnel_figures.drop_stage(conn, day, stage)
            report_progress.drop_marks(conn, marks)
            funnel_figures.put_visitors(conn, numbering.new)
            funnel_figures.put(conn, totals, campaigns)
            funnel_weeks.drop(conn, {*anew, *((row.day, row.stage) for row in totals)})

        self._figures.write(known, new, put)

    def _campaign_ids(self, labels: Iterable[CampaignLabel]) -> Mapping[CampaignLabel, int]:
        """Returns the ids of campaigns, which stay the same for ever."""
        wanted = {*labels}
        if len(self._ids.keys() | wanted) > self._remembered:
            self._ids.clear()
        missing = sorted(wanted - self._ids.keys())
        if missing:
            self._ids |= self._store.commit(partial(report_progress.campaign_ids, labels=missing))
        return self._ids

    def _is_settled(self) -> bool:
        """Waits for the transactions that write events now; returns False if one of them is slow.

        Each may have a number that is lower than the newest one, and not have committed it yet.
        """
        with self._store.read() as conn:
            writers = report_progress.writers(conn)
        deadline = time.monotonic() + self._patience
        while writers:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOKS_EVERY_SECONDS)
            with self._store.read() as conn:
                writers &= report_progress.writers(conn)
        return True


class _Counted:
    """Some events, counted by day, stage and campaign."""

    def __init__(self, days: OpenDays, numbering: Numbering) -> None:
        self.events = 0
        self._days = days
        self._numbering = numbering
        self._totals: dict[tuple[int, str, int], Tally] = defaultdict(Tally)
        self._campaigns: dict[tuple[int, str, CampaignLabel], Tally] = defaultdict(Tally)

    def add(self, events: Iterable[CountedEvent]) -> None:
        """Counts some more events."""
        for event in events:
            number = self._numbering.of(event)
            day = self._days.day_of(event.at, event.stage)
            self.events += 1
            self._totals[day, event.stage, event.is_pinterest].add(number, event.at)
            self._campaigns[day, event.stage, label_of(event)].add(number, event.at)

    def labels(self) -> set[CampaignLabel]:
        """Returns the campaigns of the events."""
        return {label for _, _, label in self._campaigns}

    def add_stored(self, conn: Connection, ids: Mapping[CampaignLabel, int]) -> None:
        """Adds the figures that are stored of the same days, stages and campaigns."""
        for (day, stage, is_pinterest), tally in self._totals.items():
            total = funnel_figures.total_of(conn, day, stage, is_pinterest)
            if total is not None:
                tally.merge(total.events, BitMap.deserialize(total.visitors))
        for (day, stage, label), tally in self._campaigns.items():
            part = funnel_figures.campaign_of(conn, day, stage, ids[label])
            if part is not None:
                visitors = BitMap.deserialize(part.visitors)
                tally.merge(part.events, visitors, part.newest)

    def rows(self, ids: Mapping[CampaignLabel, int]) -> tuple[list[DayTotal], list[CampaignDay]]:
        """Returns the figures as rows."""
        totals = [
            DayTotal(day, stage, is_pinterest, tally.events, tally.stored())
            for (day, stage, is_pinterest), tally in self._totals.items()
        ]
        campaigns = [
            CampaignDay(day, stage, ids[label], tally.events, tally.newest, tally.stored())
            for (day, stage, label), tally in self._campaigns.items()
        ]
        return totals, campaigns
