"""The reading of ads: their names, the pins they promote, and what they cost by day."""

from collections.abc import Set
from datetime import date
from functools import cached_property, partial

from tracking.clients import pinterest_ad_figures
from tracking.clients.pinterest_ad_figures import ListedAd
from tracking.clients.pinterest_ads import MAX_ROWS
from tracking.receive.pinterest.days import DaysReading, chunks
from tracking.receive.pinterest.reading import ReadingResult
from tracking.receive.pinterest.spend import RESTATED_DAYS
from tracking.store import ad_spend
from tracking.store.ad_spend import AdRow, AdSpendRow


class AdsReading(DaysReading):
    """Reads the ads and their spend."""

    kind = "ads"
    most_rows = MAX_ROWS
    again_days = RESTATED_DAYS

    def read(self, since: date | None) -> ReadingResult:
        """Reads and stores the ads, and their spend from a day on.

        Raises:
            PinterestAdsError: a request failed for good.
            StoreUnavailable: the rest may not have been stored.
        """
        ads = self._ads
        now = self._session.now
        rows = [AdRow(one.id, one.name, one.campaign_id, one.pin_id, now) for one in ads.values()]
        self._session.write(ad_spend.put_ads, rows)
        start = self.read_days(since, len(ads))
        return ReadingResult(self.rows, f"{self._days(start)}: {self.rows} rows, ads: {len(ads)}")

    def read_window(self, first: date, last: date) -> None:
        """Reads and stores the spend of these days."""
        stored = self._stored_keys(first, last)
        for ids in chunks(sorted(self._ads)):
            ask = partial(pinterest_ad_figures.spend, self._session.ads, ids, first, last)
            costs = {
                (day, id, self._session.currency): micros
                for (day, id), micros in self._session.call(ask).items()
            }
            # An ad that Pinterest leaves out cost nothing, whatever it reported before.
            chunk = set(ids)
            gone = {key: 0 for key in stored if key[1] in chunk and key not in costs}
            now = self._session.now
            rows = [
                AdSpendRow(*key, micros, now) for key, micros in sorted({**costs, **gone}.items())
            ]
            self.rows += self._session.write(ad_spend.put, rows)

    @cached_property
    def _ads(self) -> dict[str, ListedAd]:
        pages = self._session.pages(partial(pinterest_ad_figures.page, self._session.ads))
        return {one.id: one for page in pages for one in page.ads}

    def _stored_keys(self, first: date, last: date) -> Set[tuple[str, str, str]]:
        """Returns day, ad and currency of the stored spend that is not zero."""
        days = first.isoformat(), last.isoformat()
        rows = self._session.read(lambda conn: ad_spend.rows(conn, *days))
        return {(row.date, row.ad_id, row.currency) for row in rows if row.micros}
