"""The comparison: Pinterest says, we credit, the shop sold, and why they differ."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from tracking.domain.attribution import MODELS, Model, bit, share_text
from tracking.domain.conversion import REASONS
from tracking.domain.pinterest_windows import PinterestWindows
from tracking.domain.validation import FieldError
from tracking.domain.withheld import REMEDIES
from tracking.report.accuracy import accuracy_by_day
from tracking.report.basis import ReportBasis
from tracking.report.campaigns import CampaignKey, CampaignLabel, CampaignNames
from tracking.report.compared_sums import compared_shares
from tracking.report.comparison_hints import hint, hints_of, overlap_hints
from tracking.report.comparison_lines import ComparisonLine
from tracking.report.credit_days import credits_by_day
from tracking.report.credit_sums import CreditSpan
from tracking.report.parameters import MOST_DAYS, Days, choice_of, days_of, raise_if_any
from tracking.report.share_sums import ComparedShares, ComparedSpan
from tracking.store import pinterest_figures, pinterest_readings, spend
from tracking.store.credit_figures import ReportDay
from tracking.store.engine.statement import Connection
from tracking.store.pinterest_figures import PinterestCampaign, PinterestDay

_DAY, _HOUR = 86_400, 3_600


@dataclass(frozen=True, slots=True)
class PinterestSource:
    """The ad account whose figures are compared, and the settings that are missing to read them.
    In test mode Pinterest counts no event."""

    account: str
    missing_settings: tuple[str, ...] = ()
    is_test_mode: bool = False


class _Asked(NamedTuple):
    days: Days
    model: Model
    report_by: ReportDay


@dataclass(slots=True)
class PinterestSays:
    """Pinterest's figures of the days asked for, and from which day to which one (ISO) they were
    read; `since` is "" where that is not known."""

    by_day: Sequence[PinterestDay]
    by_campaign: Sequence[PinterestCampaign]
    through: str
    failure: str
    since: str = ""

    @property
    def windows(self) -> list[PinterestWindows]:
        """The windows that Pinterest counted with."""
        return sorted(
            {PinterestWindows(row.click_window_days, row.view_window_days) for row in self.by_day}
        )

    def is_any_read(self, days: Days) -> bool:
        """Returns True if there are any figures of these days, or there could be."""
        return bool(self.by_day) or (bool(self.through) and self.since <= days.end.isoformat())

    def is_day_read(self, day: date) -> bool:
        """Returns True if the figures of a day were read."""
        text = day.isoformat()
        is_between = self.since <= text <= self.through
        return is_between or any(row.date == text for row in self.by_day)


@dataclass(slots=True)
class ComparisonLines:
    """The lines of the report, by what they are of."""

    totals: ComparisonLine = field(default_factory=ComparisonLine)
    days: dict[int, ComparisonLine] = field(default_factory=dict)
    campaigns: dict[CampaignKey, ComparisonLine] = field(default_factory=dict)


class Comparison:
    """Compares Pinterest's conversions with our credits."""

    def __init__(self, basis: ReportBasis, source: PinterestSource) -> None:
        self._basis = basis
        self._days = basis.days
        self._known = basis.known_rows
        self._source = source

    def report(
        self,
        start_date: str | None = None,
        end_date: str | None = None,
        report_by: str | None = None,
        model: str | None = None,
    ) -> dict[str, Any]:
        """Returns both figures and their difference, in total, by day and by campaign.

        Raises:
            ValidationError: a parameter is not accepted.
        """
        asked = self._asked(start_date, end_date, report_by, model)
        days = asked.days
        with self._basis.store.read() as conn:
            says = self._pinterest_says(conn, asked)
            found = compared_shares(
                conn,
                self._span(asked),
                self._days,
                self._basis.rules,
                self._basis.forgotten(),
                self._known,
            )
            lines = lines_of(days, found, self._names(conn, found, says), says)
            self._add_sold(conn, asked, lines)
            withheld = self._withheld(conn, days.start.toordinal(), days.end.toordinal())
            hints = [*hints_of(conn, days.since, days.before), *overlap_hints(conn)]
        return {
            **days.told(self._days.zone),
            "report_by": asked.report_by,
            "model": asked.model,
            "ad_account": self._source.account or None,
            "missing": self._missing(says, days),
            "windows": self._windows(says),
            **_told(lines, says, days),
            "withheld": withheld_report(withheld),
            "hints": [*self._own_hints(lines), *hints],
        }

    def withheld(self, days: int) -> dict[str, Any]:
        """Returns how many orders of the last shop days were not sent, by reason, with what it
        would take to send them."""
        today = self._days.day_of(int(self._basis.clock()))
        with self._basis.store.read() as conn:
            return withheld_report(self._withheld(conn, today - days + 1, today))

    def _withheld(self, conn: Connection, first: int, last: int) -> Counter[str]:
        by_day = accuracy_by_day(
            conn, first, last, self._days, self._basis.forgotten(), self._known
        )
        left_out: Counter[str] = Counter()
        for day in by_day.values():
            left_out.update(day.left_out)
        return left_out

    def _asked(
        self, start: str | None, end: str | None, report_by: str | None, model: str | None
    ) -> _Asked:
        errors: list[FieldError] = []
        days = days_of(start, end, self._days, self._basis.clock(), errors, MOST_DAYS)
        by: ReportDay = choice_of("report_by", report_by, ("order_date", "click_date"), errors)
        chosen: Model = choice_of("model", model, (self._basis.model, *MODELS), errors)
        raise_if_any(errors)
        return _Asked(days, chosen, by)

    def _span(self, asked: _Asked) -> ComparedSpan:
        first, last = asked.days.start.toordinal(), asked.days.end.toordinal()
        return ComparedSpan(first, last, bit("pinterest", asked.model), asked.report_by)

    def _pinterest_says(self, conn: Connection, asked: _Asked) -> PinterestSays:
        account = self._source.account
        span = account, asked.days.start.isoformat(), asked.days.end.isoformat(), asked.report_by
        readings = pinterest_readings.of_account(conn, account)
        reading = next((row for row in readings if row.kind == pinterest_figures.READING), None)
        return PinterestSays(
            by_day=self._known.of(conn, "pinterest_figures", pinterest_figures.by_day, *span),
            by_campaign=self._known.of(
                conn, "pinterest_figures", pinterest_figures.by_campaign, *span
            ),
            through=reading.through if reading else "",
            failure=reading.failure if reading else "",
            since=reading.since if reading else "",
        )

    def _names(self, conn: Connection, found: ComparedShares, says: PinterestSays) -> CampaignNames:
        """Returns the names of the campaigns: Pinterest's, or else that of the newest order."""
        ours = found.labels()
        theirs = [CampaignLabel(True, row.campaign_id, row.campaign) for row in says.by_campaign]
        known = {label.campaign_id for label in theirs}
        paid_for: list[CampaignLabel] = []
        if any(label.campaign_id not in known for label in ours):
            # The spend knows campaigns of other days, too; it takes longer to read.
            names = self._known.of(conn, "spend", spend.names)
            paid_for = [CampaignLabel(True, row.campaign_id, row.campaign) for row in names]
        return CampaignNames([*ours, *paid_for, *theirs])

    def _add_sold(self, conn: Connection, asked: _Asked, lines: ComparisonLines) -> None:
        compared, window = self._span(asked), self._basis.rules.longest_window
        span = CreditSpan(compared.first, compared.last, compared.bit, "order_date", window)
        for row in credits_by_day(conn, span, self._days, self._known):
            for line in (lines.days[row.day], lines.totals):
                line.add_sold(row.currency, row.share, row.net)

    def _missing(self, says: PinterestSays, days: Days) -> str | None:
        """Returns what is missing of Pinterest's figures; None if nothing is."""
        if self._source.missing_settings:
            names = " and ".join(self._source.missing_settings)
            verb = "is" if len(self._source.missing_settings) == 1 else "are"
            return f"Pinterest's figures are not read: {names} {verb} not set."
        if says.failure:
            return f"Pinterest's figures were not read to the end: {says.failure}"
        if not (says.through or says.by_day):
            return "Pinterest's figures were not read yet: sync-pinterest does it now."
        if says.through < days.end.isoformat():
            return f"Pinterest's figures were read up to {says.through or 'no day yet'}."
        if says.since > days.start.isoformat():
            return f"Pinterest's figures were read from {says.since} on."
        return None

    def _windows(self, says: PinterestSays) -> dict[str, Any]:
        rules = self._basis.rules
        ours = {"click_days": rules.click_window // _DAY, "view_hours": rules.view_window // _HOUR}
        theirs = [
            {"click_days": each.click_window_days, "view_days": each.view_window_days}
            for each in says.windows
        ]
        differ = any(
            (each["click_days"], each["view_days"] * 24) != (ours["click_days"], ours["view_hours"])
            for each in theirs
        )
        text = (
            f"Pinterest counts with {_windows_text(says.windows)}, this service with"
            f" {ours['click_days']} days after a click and {ours['view_hours']} hours after a view."
        )
        return {"ours": ours, "pinterest": theirs, "note": text if differ else None}

    def _own_hints(self, lines: ComparisonLines) -> Iterator[dict[str, Any]]:
        if self._source.is_test_mode:
            text = "PINTEREST_TEST_MODE is on: Pinterest counts no event that is sent."
            yield hint("test_mode", text)
        unnamed = sum(
            line.waterfall.credited.share
            for key, line in lines.campaigns.items()
            if not key.campaign_id
        )
        if unnamed:
            text = (
                f"{share_text(unnamed)} orders are credited to visits from Pinterest that name no"
                " campaign's id, pins that nobody paid for among them: Pinterest's figures are"
                " those of its campaigns."
            )
            yield hint("no_campaign", text)


def withheld_report(withheld: Mapping[str, int]) -> dict[str, Any]:
    """Returns how many orders were not sent, by reason, with what it would take."""
    ordered = sorted(withheld.items(), key=lambda item: (-item[1], item[0]))
    return {
        "orders": sum(withheld.values()),
        "reasons": [
            {
                "reason": reason,
                "text": REASONS[reason],
                "orders": orders,
                "remedy": REMEDIES.get(reason),
            }
            for reason, orders in ordered
        ],
    }


def lines_of(
    days: Days, found: ComparedShares, names: CampaignNames, says: PinterestSays
) -> ComparisonLines:
    """Returns the lines of these days, of what counts on one of them here or at Pinterest."""
    span = range(days.start.toordinal(), days.end.toordinal() + 1)
    lines = ComparisonLines(days={day: ComparisonLine() for day in span})
    lines.totals.sums = found.totals
    for day, sums in found.days.items():
        lines.days[day].sums = sums
    for label, sums in found.campaigns.items():
        lines.campaigns.setdefault(names.key_of(label), ComparisonLine()).sums.merge(sums)
    for day_row in says.by_day:
        lines.totals.add_pinterest(day_row)
        lines.days[date.fromisoformat(day_row.date).toordinal()].add_pinterest(day_row)
    for row in says.by_campaign:
        key = names.key_of(CampaignLabel(True, row.campaign_id, row.campaign))
        lines.campaigns.setdefault(key, ComparisonLine()).add_pinterest(row)
    return lines


def _told(lines: ComparisonLines, says: PinterestSays, days: Days) -> dict[str, Any]:
    currencies = lines.totals.all_currencies or {*lines.totals.sold}
    currency = min(currencies) if len(currencies) == 1 else ""
    is_read = says.is_any_read(days)
    return {
        "currency": currency or None,
        "note": _currency_note(currencies),
        "totals": _line_with_sold(lines.totals, currency, is_read=is_read),
        "days": [_day(day, line, currency, says) for day, line in lines.days.items()],
        "campaigns": _campaigns(lines, currency, is_read=is_read),
    }


def _currency_note(currencies: set[str]) -> str | None:
    if len(currencies) < 2:
        return None
    names = " and ".join(sorted(currencies))
    return f"Values in {names} are never subtracted from each other: such a value is null."


def _line_with_sold(line: ComparisonLine, currency: str, *, is_read: bool) -> dict[str, Any]:
    told = line.told(currency, is_read=is_read)
    difference = told.pop("difference")
    return {**told, "sold": line.told_sold(currency), "difference": difference}


def _day(day: int, line: ComparisonLine, currency: str, says: PinterestSays) -> dict[str, Any]:
    of = date.fromordinal(day)
    told = _line_with_sold(line, currency, is_read=says.is_day_read(of))
    return {"date": of.isoformat(), **told}


def _campaigns(lines: ComparisonLines, currency: str, *, is_read: bool) -> list[dict[str, Any]]:
    ordered = sorted(
        ((key, line) for key, line in lines.campaigns.items() if not line.is_empty),
        key=lambda item: (not item[0].campaign_id, -item[1].size, item[0]),
    )
    return [
        {
            "campaign_id": key.campaign_id,
            "campaign": key.campaign,
            **line.told(currency, is_read=is_read),
        }
        for key, line in ordered
    ]


def _windows_text(windows: Iterable[PinterestWindows]) -> str:
    each = (
        f"{row.click_window_days} days after a click and {row.view_window_days} after a view"
        for row in windows
    )
    return " or ".join(each)
