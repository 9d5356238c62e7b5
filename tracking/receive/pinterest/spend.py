"""The reading of spend, by campaign and day."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial

from tracking.clients.pinterest_ads import MAX_ROWS, PinterestAdsError
from tracking.receive.pinterest.days import DaysReading, chunks
from tracking.receive.pinterest.reading import ReadingResult
from tracking.receive.pinterest.sync_session import CALLS_A_DAY
from tracking.store import pinterest_readings, spend
from tracking.store.spend import SpendRow

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 3_600
# Pinterest restates the last days; its partners read three of them again, or seven to be safe.
RESTATED_DAYS = 7


@dataclass(frozen=True, slots=True)
class SpendResult(ReadingResult):
    """The UTC days that were read, both included, and the spend of the campaigns on them.

    `unexplained` is the difference between the account's own totals and those of its campaigns,
    summed over the days that are over, in millionths.
    """

    start: date
    end: date
    campaigns: int
    currency: str
    micros: int
    unexplained: int


class SpendReading(DaysReading):
    """Reads the spend of all campaigns."""

    kind = pinterest_readings.SPEND
    interval_seconds = INTERVAL_SECONDS
    most_calls = CALLS_A_DAY
    most_rows = MAX_ROWS
    remedy = "upload it with import-spend"
    again_days = RESTATED_DAYS

    _micros = 0
    _unexplained = 0

    def read(self, since: date | None) -> SpendResult:
        """Reads and stores the spend from a day on.

        Raises:
            PinterestAdsError: a request failed for good.
            StoreUnavailable: the rest may not have been stored.
        """
        currency, names = self._session.currency, self._session.campaigns
        start = self.read_days(since, len(names))
        if self._unexplained:
            logger.warning("spend: the campaigns do not sum to the account's own total")
        summary = f"{self._days(start)}: {self.rows} rows, campaigns: {len(names)}"
        return SpendResult(
            self.rows,
            summary,
            start,
            self._session.today,
            len(names),
            currency,
            self._micros,
            self._unexplained,
        )

    def read_window(self, first: date, last: date) -> None:
        """Reads and stores the spend of these days."""
        names, currency = self._session.campaigns, self._session.currency
        stored = self._stored_keys(first, last)
        by_day: dict[str, int] = {}
        for ids in chunks(sorted(names)):
            costs = self._session.call(partial(self._session.ads.spend, ids, first, last))
            cost = {(day, id, currency): micros for (day, id), micros in costs.items()}
            # A campaign that Pinterest leaves out cost nothing, whatever it reported before.
            chunk = set(ids)
            gone = {key: 0 for key in stored if key[1] in chunk and key not in cost}
            self._store({**cost, **gone}, names)
            for (day, _), micros in costs.items():
                by_day[day] = by_day.get(day, 0) + micros
        self._micros += sum(by_day.values())
        self._compare(first, last, by_day)

    def _compare(self, first: date, last: date, by_day: Mapping[str, int]) -> None:
        """Compares the campaigns with the account's own total, if Pinterest returns one."""
        try:
            totals = self._session.call(partial(self._session.ads.total, first, last))
        except PinterestAdsError as failure:
            logger.warning("the total of %s to %s was not read: %s", first, last, failure)
            return
        # Today's spend still grows between two calls.
        for day in {*totals, *by_day} - {self._session.today.isoformat()}:
            self._unexplained += abs(totals.get(day, 0) - by_day.get(day, 0))

    def _stored_keys(self, first: date, last: date) -> set[tuple[str, str, str]]:
        """Returns day, campaign and currency of the stored spend that is not zero."""
        days = first.isoformat(), last.isoformat()
        rows = self._session.read(lambda conn: spend.rows(conn, *days))
        return {(row.date, row.campaign_id, row.currency) for row in rows if row.micros}

    def _store(self, costs: Mapping[tuple[str, str, str], int], names: Mapping[str, str]) -> None:
        """Stores the millionths of each day, campaign and currency."""
        now = self._session.now
        rows = [
            SpendRow(
                date=day,
                campaign_id=id,
                currency=currency,
                campaign=names[id],
                micros=micros,
                recorded_at=now,
            )
            for (day, id, currency), micros in sorted(costs.items())
        ]
        self.rows += self._session.write(spend.put, rows)
