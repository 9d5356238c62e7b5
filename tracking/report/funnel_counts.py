"""Reads the counts of the funnel: from the figures by day where there are some, else by SQL."""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from tracking.domain.shop_days import ShopDays
from tracking.report.campaigns import CampaignLabel, label_of
from tracking.report.figures_by_day import FiguresByDay
from tracking.report.funnel_span import FunnelSpan, StageCounts, order_of_label
from tracking.report.known_figures import KnownFigures
from tracking.report.open_days import OpenDays
from tracking.store import (
    StoreUnavailable,
    report_progress,
    reports,
)
from tracking.store.engine.statement import Connection
from tracking.store.report_progress import Progress
from tracking.store.reports import CampaignStageCount

# With more events that no figures count yet, SQL is faster.
_MOST_NEW_EVENTS = 50_000
# A report holds no more events in memory than these, half a kilobyte each.
_MOST_IN_MEMORY = 300_000


class FunnelCounts(Protocol):
    """The counts of a funnel."""

    def labels(self) -> Sequence[CampaignLabel]:
        """Returns the campaigns as events name them, the one with the newest event last."""

    def total(self) -> StageCounts:
        """Returns the counts of all events."""

    def of(self, labels: Sequence[CampaignLabel]) -> StageCounts:
        """Returns the counts of some campaigns together."""


def funnel_counts(
    conn: Connection,
    span: FunnelSpan,
    days: ShopDays,
    progress: Progress,
    known: KnownFigures,
    most_in_memory: int = _MOST_IN_MEMORY,
) -> FunnelCounts:
    """Returns the counts of a funnel, exact to the newest event.

    Raises:
        StoreUnavailable: there are closed days, and the figures of the others lack so many events
            that they would not fit in memory.
    """
    # Of the first open day a part may lie on another day of this zone.
    has_closed = OpenDays(days, progress).begin(span.first, "") != days.begin(span.first)
    is_made = progress.zone == days.zone.key
    if not is_made:
        progress = progress._replace(through=0)
    new = report_progress.newest_event(conn) - progress.through
    if has_closed or (is_made and new <= _MOST_NEW_EVENTS):
        figures = FiguresByDay(conn, span, days, progress, closed_alone=not is_made, known=known)
        if new + figures.counted_anew() <= most_in_memory:
            return figures
    if has_closed:
        raise StoreUnavailable("too many events are in no figures yet; ask again in some minutes")
    return CountedBySql(conn, span, days)


class CountedBySql:
    """The counts of the stored events, as SQL counts them."""

    def __init__(self, conn: Connection, span: FunnelSpan, days: ShopDays) -> None:
        self._conn = conn
        self._filters = (days.begin(span.first), days.begin(span.last + 1), span.all_traffic)

    def labels(self) -> Sequence[CampaignLabel]:
        """Returns the campaigns as events name them, the one with the newest event last."""
        rows = sorted(self._rows, key=lambda row: order_of_label(row.newest, label_of(row)))
        return list(reversed(dict.fromkeys(map(label_of, reversed(rows)))))

    def total(self) -> StageCounts:
        """Returns the counts of all events."""
        rows = reports.funnel(self._conn, *self._filters)
        return {row.stage: (row.events, row.visitors) for row in rows}

    def of(self, labels: Sequence[CampaignLabel]) -> StageCounts:
        """Returns the counts of some campaigns together."""
        wanted = {*labels}
        rows = [row for row in self._rows if label_of(row) in wanted]
        counts = {row.stage: (row.events, row.visitors) for row in rows}
        if len(counts) < len(rows):
            # Under two names: a visitor of both is one visitor.
            whole = reports.funnel_of_campaigns(self._conn, self._filters, rows)
            return {row.stage: (row.events, row.visitors) for row in whole}
        return counts

    @cached_property
    def _rows(self) -> list[CampaignStageCount]:
        return reports.funnel_by_campaign(self._conn, *self._filters)
