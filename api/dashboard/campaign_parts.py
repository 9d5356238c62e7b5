"""The parts of the pages of campaigns: their pickers, and the span of their figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.dashboard.order import MODEL_TITLES
from api.dashboard.page import PageRequest
from tracking.domain.attribution import Model, Scope, bit
from tracking.report.credit_sums import CreditSpan
from tracking.store.credit_figures import ReportDay

PICKERS = ("model", "report_by", "scope")


@dataclass(frozen=True, slots=True)
class CampaignPicker:
    """A choice between values of a parameter: (value, title, True if chosen)."""

    name: str
    title: str
    options: tuple[tuple[str, str, bool], ...]


def pickers_of(asked: PageRequest) -> list[CampaignPicker]:
    """Returns the pickers of the model, of the date that counts, and of the scope."""
    own = asked.service.reports.basis.model
    models = {model: title for model, title in MODEL_TITLES.items() if model != own}
    return [
        _picker(asked, "model", "Model", {"": f"{MODEL_TITLES[own]} (chosen)", **models}),
        _picker(
            asked,
            "report_by",
            "Counted on",
            {"": "the day of the order", "click_date": "the day of the click"},
        ),
        _picker(
            asked,
            "scope",
            "Credits",
            {"": "of Pinterest alone", "all": "of all sources"},
        ),
    ]


def _picker(
    asked: PageRequest, name: str, title: str, options: Mapping[str, str]
) -> CampaignPicker:
    chosen = asked.arguments[name] or ""
    if chosen not in options:
        # It names the default itself.
        chosen = ""
    shown = tuple((value, text, value == chosen) for value, text in options.items())
    return CampaignPicker(name, title, shown)


def picked(asked: PageRequest) -> dict[str, str | None]:
    """Returns what the pickers say, as parameters of the ROI report."""
    return {name: asked.arguments[name] for name in PICKERS}


def span_asked(asked: PageRequest, report: Mapping[str, Any]) -> CreditSpan:
    """Returns the span of figures that an ROI report, which has checked the pickers, is of."""
    model: Model = report["model"]
    by: ReportDay = report["report_by"]
    scope: Scope = "all" if asked.arguments["scope"] == "all" else "pinterest"
    return CreditSpan(
        first=asked.days.start.toordinal(),
        last=asked.days.end.toordinal(),
        bit=bit(scope, model),
        report_by=by,
        longest_window=asked.service.reports.basis.rules.longest_window,
    )
