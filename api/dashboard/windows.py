"""The what-if on the page of campaigns: other attribution windows, beside the real figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from api.dashboard.page import PageRequest
from tracking.domain.attribution import Rules
from tracking.domain.validation import FieldError
from tracking.report.credit_sums import CreditSpan
from tracking.report.parameters import raise_if_any, whole_number_of
from tracking.report.what_if import WhatIfReport

WINDOWS = ("click_days", "view_hours")
# The sliders go so far at least, if touches are kept as long.
_DAYS, _HOURS = 90, 168
COMPARED = ("orders", "revenue", "roas")


@dataclass(frozen=True, slots=True)
class WindowSlider:
    """A slider for an attribution window: its parameter, title and unit, from 0 to `most`."""

    name: str
    title: str
    unit: str
    value: int
    configured: int
    most: int


@dataclass(frozen=True, slots=True)
class OtherWindows:
    """The sliders as they stand, and what was computed; None by the configured windows."""

    sliders: tuple[WindowSlider, WindowSlider]
    found: WhatIfReport | None = None

    @property
    def report(self) -> Mapping[str, Any] | None:
        """Returns the report with these windows, if there is one."""
        return self.found.report if self.found else None

    @property
    def is_too_many(self) -> bool:
        """Returns True if it is not computed, for more orders than it is computed for."""
        return self.found is not None and self.found.report is None


def other_windows(asked: PageRequest, span: CreditSpan) -> OtherWindows:
    """Returns the figures with the windows that the address tells.

    Raises:
        ValidationError: a window is no number within its slider's span.
    """
    settings = asked.service.settings
    days, hours = settings.click_window_days, settings.view_window_hours
    kept = settings.retention_days
    errors: list[FieldError] = []
    sliders = (
        _slider(asked, errors, "click_days", "Clicks", "days", days, min(kept, max(days, _DAYS))),
        _slider(
            asked, errors, "view_hours", "Views", "hours", hours, min(24 * kept, max(hours, _HOURS))
        ),
    )
    raise_if_any(errors)
    click, view = sliders
    if (click.value, view.value) == (days, hours):
        return OtherWindows(sliders)
    rules = Rules.of(click.value, view.value)
    return OtherWindows(sliders, asked.service.what_if.report(asked.days, span, rules))


def _slider(
    asked: PageRequest,
    errors: list[FieldError],
    name: str,
    title: str,
    unit: str,
    configured: int,
    most: int,
) -> WindowSlider:
    # A window that is longer than touches are kept is still that of the service.
    most = max(most, configured)
    value = whole_number_of(name, asked.arguments[name], configured, (0, most), errors)
    return WindowSlider(name, title, unit, value, configured, most)


def compared(
    real: Mapping[str, Any], what_if: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each currency's part of the real report, with `what_if_…` figures in its lines and
    totals; a campaign that earns by the other windows alone has real figures of 0."""
    parts = {each["currency"]: each for each in what_if["currencies"]}
    known = {each["currency"]: each for each in real["currencies"]}
    for currency in sorted({*parts, *known}):
        own, other = known.get(currency), parts.get(currency)
        whole = own or _nothing(other or {}, currency)
        beside = other or _nothing(whole, currency)
        others = {_place(line): line for line in beside["campaigns"]}
        lines = [
            _with_figures(line, others.pop(_place(line), None) or _nothing(line, currency))
            for line in whole["campaigns"]
        ]
        lines += [_with_figures(_nothing(line, currency), line) for line in others.values()]
        totals = _with_figures(_totals(whole), _totals(beside))
        yield currency, {**whole, **totals, "campaigns": lines}


def _place(line: Mapping[str, Any]) -> str:
    return line["campaign_id"] or f"name:{line['campaign']}"


def _totals(each: Mapping[str, Any]) -> dict[str, Any]:
    return {"orders": each["orders"], "revenue": each["total_revenue"], "roas": each["roas"]}


def _nothing(each: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Returns a line, or a currency's part of a report, without orders and money."""
    zero = dict.fromkeys(("revenue", "spend", "total_revenue", "total_spend"), "0.00")
    return {
        **each,
        **{name: zero[name] for name in zero if name in each},
        **{name: 0 for name in ("orders", "new_orders") if name in each},
        **{name: None for name in ("roas", "cpa") if name in each},
        **({"campaigns": []} if "campaigns" in each else {}),
    }


def _with_figures(line: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {**line, **{f"what_if_{name}": other[name] for name in COMPARED}}
