"""The match quality: what our events have of the fields that Pinterest scores, and its verdict."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from tracking.domain.instants import instant
from tracking.domain.match_quality import FIELDS, WHOLE, advice_for, overlap_advice, share_of
from tracking.domain.shop_days import ShopDays
from tracking.domain.validation import FieldError
from tracking.report.comparison import PinterestSource
from tracking.report.parameters import days_of, raise_if_any
from tracking.store import Store, match_quality, match_verdicts, pinterest_readings
from tracking.store.engine.statement import Connection
from tracking.store.match_quality import EXAMPLES, EventKind, LackingOrder, MatchDay
from tracking.store.match_verdicts import ComponentRow, VerdictRow

_DAYS = ShopDays(ZoneInfo("UTC"))
# Of so many orders that lack a field the channels are counted.
_LOOKED_AT = 50
_IN_TEST_MODE = (
    "PINTEREST_TEST_MODE is true: Pinterest records no event of ours, and so judges none"
)
_NOT_READ_YET = "it was not read yet; it is read every six hours"
# The sources that Pinterest has for our events, by their action_source.
_PLATFORMS = {
    "web": ("WEB",),
    "offline": ("OFFLINE", "POINT_OF_SALE"),
    "app_android": ("MOBILE_ANDROID", "MOBILE"),
    "app_ios": ("MOBILE_IOS", "MOBILE"),
}
_API = "CONVERSIONS_API"

_Having = Mapping[EventKind, Mapping[str, int]]


class MatchQuality:
    """The report on match quality. Its days are of UTC, as Pinterest's.

    With `sends_all` purchases that Pinterest did not cause are sent too.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        source: PinterestSource,
        *,
        sends_all: bool = False,
    ) -> None:
        self.store = store
        self.clock = clock
        self._source = source
        self._sends_all = sends_all

    def report(self, start_date: str | None = None, end_date: str | None = None) -> dict[str, Any]:
        """Returns the coverage of each field by event and day, Pinterest's verdict, and advice.

        Raises:
            ValidationError: a parameter is not accepted.
        """
        errors: list[FieldError] = []
        span = days_of(start_date, end_date, _DAYS, self.clock(), errors)
        raise_if_any(errors)
        first, last = span.start.toordinal(), span.end.toordinal()

        with self.store.read() as conn:
            rows = match_quality.days(conn, first, last)
            since = match_quality.first_day(conn)
            verdicts = match_verdicts.verdicts(conn)
            components = match_verdicts.components(conn)
            missing = self._missing(conn, is_read=bool(verdicts))
            having = _sums(rows)
            advice = [*self._advice(conn, having, first, last), *_overlap_advice(conn)]
        return {
            **span.told(_DAYS.zone),
            "counted_since": None if since is None else date.fromordinal(since).isoformat(),
            "events": [_of_kind(kind, having[kind], components) for kind in sorted(having)],
            "days": [_of_day(row) for row in rows],
            "advice": advice,
            "pinterest": {"missing": missing, "verdicts": _verdicts(verdicts, components)},
        }

    def _advice(
        self, conn: Connection, having: _Having, first: int, last: int
    ) -> Iterable[dict[str, Any]]:
        """Yields the advice for each weak field, with orders that lack it."""
        for kind in sorted(having):
            counts = having[kind]
            for field in FIELDS:
                told = advice_for(
                    *kind, field, counts["events"], counts[field], sends_all=self._sends_all
                )
                if told:
                    some = match_quality.lacking(conn, kind, field, first, last, _LOOKED_AT)
                    coverage = _percent(share_of(counts[field], counts["events"]))
                    yield _advice_line(kind, field, told, coverage, some)

    def _missing(self, conn: Connection, *, is_read: bool) -> str | None:
        """Returns what is missing of Pinterest's verdict; None if nothing is."""
        if self._source.missing_settings:
            return f"not set: {', '.join(self._source.missing_settings)}"
        if self._source.is_test_mode:
            return _IN_TEST_MODE
        rows = pinterest_readings.of_account(conn, self._source.account)
        failure = next((row.failure for row in rows if row.kind == match_verdicts.READING), "")
        if failure:
            return f"it was not read to its end: {failure}"
        return None if is_read else _NOT_READ_YET


def _verdicts(
    verdicts: Sequence[VerdictRow], components: Iterable[ComponentRow]
) -> list[dict[str, Any]]:
    by_source: dict[tuple[str, ...], list[ComponentRow]] = defaultdict(list)
    for row in components:
        by_source[row[:3]].append(row)
    return [_of_source(row, by_source[row[:3]]) for row in verdicts]


def _sums(rows: Iterable[MatchDay]) -> dict[EventKind, dict[str, int]]:
    """Returns the counts of all days together: the events, and how many have each field."""
    sums: dict[EventKind, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts = sums[EventKind(row.event_name, row.action_source)]
        counts["events"] += row.events
        for field, having in zip(FIELDS, row.having, strict=True):
            counts[field] += having
    return {kind: dict(counts) for kind, counts in sums.items()}


def _of_kind(
    kind: EventKind, counts: Mapping[str, int], components: Iterable[ComponentRow]
) -> dict[str, Any]:
    platforms = _PLATFORMS.get(kind.action_source, ())
    told = {
        (row.lookback, row.component): row.coverage
        for row in components
        if row.event_name == kind.event_name
        and row.ingestion_source == _API
        and row.source_platform in platforms
    }
    return {
        **kind._asdict(),
        "events": counts["events"],
        "fields": [
            {
                "field": field,
                "events": counts[field],
                "coverage": _percent(share_of(counts[field], counts["events"])),
                "pinterest_1d": _percent(told.get(("1d", field))),
                "pinterest_14d": _percent(told.get(("14d", field))),
            }
            for field in FIELDS
        ],
    }


def _of_day(row: MatchDay) -> dict[str, Any]:
    return {
        "date": date.fromordinal(row.day).isoformat(),
        "event_name": row.event_name,
        "action_source": row.action_source,
        "events": row.events,
        **{
            field: _percent(share_of(having, row.events))
            for field, having in zip(FIELDS, row.having, strict=True)
        },
    }


def _advice_line(
    kind: EventKind,
    field: str,
    told: str,
    coverage: float | None,
    lacking: Sequence[LackingOrder] = (),
    overlap: float | None = None,
) -> dict[str, Any]:
    channels = Counter(order.source_name or "unknown" for order in lacking)
    return {
        **kind._asdict(),
        "field": field,
        "coverage": coverage,
        "overlap": overlap,
        "advice": told,
        "order_ids": [order.order_id for order in lacking[:EXAMPLES]],
        "origins": [
            {"source_name": name, "orders": count} for name, count in channels.most_common()
        ],
    }


def _overlap_advice(conn: Connection) -> Iterable[dict[str, Any]]:
    """Yields the advice for purchases that two senders tell, by the longest lookback there is."""
    rows = match_verdicts.overlaps(conn)
    row = next((row for row in rows if row.lookback == "14d"), next(iter(rows), None))
    told = "" if row is None or row.overlap is None else overlap_advice(row.overlap)
    if row is not None and told:
        kind = EventKind(row.event_name, "web")
        overlap = _percent(row.overlap)
        yield _advice_line(kind, row.component, told, _percent(row.coverage), overlap=overlap)


def _of_source(row: VerdictRow, components: Iterable[ComponentRow]) -> dict[str, Any]:
    return {
        "lookback": row.lookback,
        "source_platform": row.source_platform,
        "ingestion_source": row.ingestion_source,
        "overall_status": row.overall_status,
        "read_at": instant(row.read_at),
        "components": [
            {
                "event_name": each.event_name,
                "component": each.component,
                "coverage": _percent(each.coverage),
                "overlap": _percent(each.overlap),
                "issues": msgspec.json.decode(each.issues or "[]"),
            }
            for each in components
        ],
    }


def _percent(share: int | None) -> float | None:
    """Returns millionths as a percentage, which is Pinterest's form."""
    return None if share is None else share * 100 / WHOLE
