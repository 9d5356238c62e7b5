"""The reading of Pinterest's verdict on the quality of the events that it got."""

from datetime import date
from functools import partial

import msgspec

from tracking.clients import pinterest_quality
from tracking.clients.pinterest_quality import LOOKBACKS, QualityVerdict
from tracking.receive.pinterest.reading import Reading, ReadingResult
from tracking.store import match_verdicts
from tracking.store.match_verdicts import ComponentRow, LookbackVerdicts, VerdictRow


class QualityReading(Reading):
    """Reads the newest verdict over the last day, and over the last fourteen."""

    kind = match_verdicts.READING

    def read(self, since: date | None) -> ReadingResult:
        """Reads the verdicts and stores them in place of the ones before.

        Raises:
            PinterestAdsError: a request failed for good.
            StoreUnavailable: the rest may not have been stored.
        """
        for lookback in LOOKBACKS:
            ask = partial(pinterest_quality.verdicts, self._session.ads, lookback)
            found = _rows_of(lookback, self._session.call(ask), self._session.now)
            self._session.write(match_verdicts.put, [found])
            self.rows += len(found.components)
        days = " and ".join(lookback.removesuffix("d") for lookback in LOOKBACKS)
        return ReadingResult(self.rows, f"the verdict over {days} days: {self.rows} fields")


def _rows_of(lookback: str, verdicts: tuple[QualityVerdict, ...], now: int) -> LookbackVerdicts:
    rows = LookbackVerdicts(lookback, [], [])
    for told in verdicts:
        source = lookback, told.source_platform, told.ingestion_source
        rows.verdicts.append(VerdictRow(*source, told.overall_status, now))
        for each in told.components:
            issues = msgspec.json.encode(each.issues).decode() if each.issues else ""
            share = each.coverage, each.overlap
            rows.components.append(
                ComponentRow(*source, each.event_name, each.field, *share, issues)
            )
    return rows
