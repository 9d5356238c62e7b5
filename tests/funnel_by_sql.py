"""The funnel as SQL counts the stored events: what every report of it must tell."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from tracking.domain.shop_days import ShopDays
from tracking.report.campaigns import CampaignLabel
from tracking.report.funnel_span import FunnelSpan, StageCounts, order_of_label
from tracking.store.engine.statement import Connection

_LABEL = "is_pinterest, campaign_id, campaign"
_COUNTS = "stage, count(*), count(DISTINCT visitor)"


class _LabelStage(NamedTuple):
    label: CampaignLabel
    stage: str
    events: int
    visitors: int
    newest: int


class CountedBySql:
    """The counts of the events of a span."""

    def __init__(self, conn: Connection, span: FunnelSpan, days: ShopDays) -> None:
        self._conn = conn
        self._condition = (
            f"at >= {days.begin(span.first)} AND at < {days.begin(span.last + 1)}"
            f" AND is_counted = 1 AND is_pinterest >= {int(not span.all_traffic)}"
        )

    def labels(self) -> Sequence[CampaignLabel]:
        """The campaigns as events name them, the one with the newest event last."""
        rows = sorted(self._rows, key=lambda row: order_of_label(row.newest, row.label))
        return list(reversed(dict.fromkeys(row.label for row in reversed(rows))))

    def total(self) -> StageCounts:
        """The counts of all events."""
        return self._counts("")

    def of(self, labels: Sequence[CampaignLabel]) -> StageCounts:
        """The counts of some campaigns together."""
        wanted = {*labels}
        rows = [row for row in self._rows if row.label in wanted]
        counts = {row.stage: (row.events, row.visitors) for row in rows}
        if len(counts) == len(rows):
            return counts
        # Under two names: a visitor of both is one visitor.
        mark = "?" if self._conn.dialect == "sqlite" else "%s"
        among = " OR ".join([f"({_LABEL}) = ({mark}, {mark}, {mark})"] * len(wanted))
        values = [part for label in wanted for part in (int(label[0]), *label[1:])]
        return self._counts(f" AND ({among})", values)

    @cached_property
    def _rows(self) -> list[_LabelStage]:
        rows = self._read(f"{_LABEL}, {_COUNTS}, max(at)", f"GROUP BY {_LABEL}, stage")
        return [_LabelStage(CampaignLabel(bool(row[0]), row[1], row[2]), *row[3:]) for row in rows]

    def _counts(self, condition: str, values: Sequence[object] = ()) -> StageCounts:
        rows = self._read(_COUNTS, f"{condition} GROUP BY stage", values)
        return {stage: (events, visitors) for stage, events, visitors in rows}

    def _read(self, columns: str, rest: str, values: Sequence[object] = ()) -> list[Any]:
        text = f"SELECT {columns} FROM conversions WHERE {self._condition} {rest}"  # noqa: S608
        self._conn.cursor.execute(text, values)
        rows: list[Any] = self._conn.cursor.fetchall()
        return rows
