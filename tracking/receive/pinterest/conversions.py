"""The reading of Pinterest's own conversions, by campaign and day."""

from collections.abc import Sequence, Set
from datetime import date
from functools import partial
from typing import NamedTuple

from tracking.clients import pinterest_conversions
from tracking.clients.pinterest_conversions import MAX_ROWS, CampaignConversions, ReportBy
from tracking.receive.pinterest.days import DaysReading, chunks
from tracking.receive.pinterest.reading import ReadingOptions, ReadingResult
from tracking.store import pinterest_figures
from tracking.store.engine.statement import Connection
from tracking.store.pinterest_figures import PinterestFigures

_NOTHING = CampaignConversions()
_KINDS: tuple[ReportBy, ...] = ("order_date", "click_date")
_LEAST_AGAIN_DAYS = 31


class _FiguresKey(NamedTuple):
    date: str
    campaign_id: str
    currency: str


class ConversionsReading(DaysReading):
    """Reads what Pinterest says its campaigns brought, by the day of the order and of the click."""

    kind = pinterest_figures.READING
    most_rows = MAX_ROWS

    @property
    def again_days(self) -> int:
        """The whole of the longest window: in it each day's figures by click still grow."""
        return max(_LEAST_AGAIN_DAYS, max(self._options.windows) + 1)

    @classmethod
    def settings_of(cls, options: ReadingOptions) -> str:
        """Returns the windows: with others Pinterest counts others."""
        windows = options.windows
        return f"{windows.click_window_days}/{windows.view_window_days}"

    def read(self, since: date | None) -> ReadingResult:
        """Reads and stores the conversions from a day on.

        Raises:
            PinterestAdsError: a request failed for good.
            StoreUnavailable: the rest may not have been stored.
        """
        names = self._session.campaigns
        self._session.write(partial(_claim, self._session.account), sorted(names))
        start = self.read_days(since, len(names))
        summary = f"{self._days(start)}: {self.rows} rows, campaigns: {len(names)}"
        return ReadingResult(self.rows, summary)

    def read_window(self, first: date, last: date) -> None:
        """Reads and stores the conversions of these days."""
        for report_by in _KINDS:
            stored = self._stored_keys(first, last, report_by)
            for ids in chunks(sorted(self._session.campaigns)):
                self._read_some(first, last, report_by, ids, stored)

    def _read_some(
        self,
        first: date,
        last: date,
        report_by: ReportBy,
        ids: Sequence[str],
        stored: Set[_FiguresKey],
    ) -> None:
        ask = partial(
            pinterest_conversions.read,
            self._session.ads,
            ids,
            first,
            last,
            report_by,
            self._options.windows,
        )
        found = {
            _FiguresKey(day, id, self._session.currency): told
            for (day, id), told in self._session.call(ask).items()
        }
        # A campaign that Pinterest leaves out brought nothing, whatever it reported before.
        chunk = set(ids)
        gone = {key: _NOTHING for key in stored if key.campaign_id in chunk and key not in found}
        rows = [
            self._row_of(key, report_by, told) for key, told in sorted({**gone, **found}.items())
        ]
        self.rows += self._session.write(pinterest_figures.put, rows)

    def _row_of(
        self, key: _FiguresKey, report_by: ReportBy, told: CampaignConversions
    ) -> PinterestFigures:
        return PinterestFigures(
            **key._asdict(),
            report_by=report_by,
            campaign=self._session.campaigns[key.campaign_id],
            **told._asdict(),
            **self._options.windows._asdict(),
            recorded_at=self._session.now,
            account=self._session.account,
        )

    def _stored_keys(self, first: date, last: date, report_by: ReportBy) -> set[_FiguresKey]:
        """Returns day, campaign and currency of the stored figures that are not all zero."""
        asked = first.isoformat(), last.isoformat(), report_by
        rows = self._session.read(lambda conn: pinterest_figures.rows(conn, *asked))
        return {
            _FiguresKey(row.date, row.campaign_id, row.currency)
            for row in rows
            if row.orders or row.value_micros
        }


def _claim(account: str, conn: Connection, campaign_ids: Sequence[str]) -> None:
    pinterest_figures.claim(conn, account, campaign_ids)
