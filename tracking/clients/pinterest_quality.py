"""Pinterest's event quality score: what it finds of each field in the events that it got."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

import msgspec

from tracking.clients.pinterest_ads import PinterestAds, Unreadable
from tracking.clients.responses import sanitized
from tracking.domain.match_quality import FIELDS, WHOLE, event_name_in

Lookback = Literal["1d", "14d"]
LOOKBACKS: tuple[Lookback, ...] = get_args(Lookback)

# Nine platforms with five sources each, some twenty names of events: more is no verdict.
_MOST_SOURCES, _MOST_EVENTS, _MOST_ISSUES = 50, 30, 20
_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class QualityIssue:
    """A fault that Pinterest finds, in its words."""

    id: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class QualityComponent:
    """Pinterest's findings on a field in the events of one name. Shares are millionths."""

    event_name: str
    field: str
    coverage: int
    overlap: int | None
    issues: tuple[QualityIssue, ...]


@dataclass(frozen=True, slots=True)
class QualityVerdict:
    """Pinterest's verdict on one source of events."""

    source_platform: str
    ingestion_source: str
    overall_status: str
    components: tuple[QualityComponent, ...]


class _Issue(msgspec.Struct):
    id: str | int | None = None
    name: str | None = None
    reason: str | None = None


class _Details(msgspec.Struct):
    coverage: Decimal | None = None
    overlap: Decimal | None = None
    issues: list[_Issue] | None = None


class _Score(msgspec.Struct):
    source_platform: str
    ingestion_source: str
    overall_status: str
    lookback_period: str
    quality_components: dict[str, dict[str, _Details] | None] | None = None


def verdicts(ads: PinterestAds, lookback: Lookback) -> tuple[QualityVerdict, ...]:
    """Reads the verdict over the last day, or the last fourteen, on each source.

    Raises:
        PinterestAdsError: it cannot be read.
    """
    scores = ads.get("/conversion_eqs", {"lookback_period": lookback}, list[_Score])
    if len(scores) > _MOST_SOURCES or any(each.lookback_period != lookback for each in scores):
        raise Unreadable("Pinterest answered with a verdict that was not asked for")
    return tuple(
        QualityVerdict(
            _text(score.source_platform),
            _text(score.ingestion_source),
            _text(score.overall_status),
            tuple(_components(score.quality_components or {})),
        )
        for score in scores
    )


def _components(
    told: Mapping[str, Mapping[str, _Details] | None],
) -> Iterator[QualityComponent]:
    """Yields the components that are known, each event once in one spelling."""
    for field in FIELDS:
        by_event = told.get(field) or {}
        if len(by_event) > _MOST_EVENTS:
            raise Unreadable("Pinterest answered with more events than there are")
        names = {event_name_in(_text(name)): details for name, details in by_event.items()}
        for event_name, details in names.items():
            coverage = _share(details.coverage)
            if coverage is not None:
                issues = tuple(map(_issue, (details.issues or ())[:_MOST_ISSUES]))
                overlap = _share(details.overlap)
                yield QualityComponent(event_name, field, coverage, overlap, issues)


def _share(percent: Decimal | None) -> int | None:
    if percent is None:
        return None
    if not percent.is_finite() or not 0 <= percent <= 100:
        raise Unreadable("Pinterest answered with a coverage that is no percentage")
    return int((percent * WHOLE / 100).to_integral_value())


def _issue(issue: _Issue) -> QualityIssue:
    return QualityIssue(
        _text(str(issue.id or "")), _text(issue.name or ""), sanitized(issue.reason or "")
    )


def _text(told: str) -> str:
    return sanitized(told)[:_NAME_LENGTH]
