"""The span picker: which days a page shows, and the spans that one click chooses."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from api.dashboard.page import SPAN, PageRequest, span_of


@dataclass(frozen=True, slots=True)
class SpanChoice:
    """A span that a link of the picker leads to."""

    title: str
    address: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class SpanPicker:
    """The picker of a page: its choices, the chosen days, and what the form sends along."""

    choices: tuple[SpanChoice, ...]
    start_date: str
    end_date: str
    kept: tuple[tuple[str, str], ...]
    reset: str


def picker_of(asked: PageRequest) -> SpanPicker:
    """Returns the picker of a page that is asked for."""
    kept = [(k, v) for k, v in asked.arguments.items() if v and k not in SPAN]
    chosen = asked.span
    choices = tuple(
        SpanChoice(title, asked.address(**days), days == chosen)
        for title, start, end in _spans(asked.today)
        for days in [span_of(start, end)]
    )
    address = asked.page.address({**asked.path})
    return SpanPicker(choices, chosen["start_date"], chosen["end_date"], tuple(kept), address)


def _spans(today: date) -> Iterator[tuple[str, date, date]]:
    yield "Today", today, today
    for days in (7, 30, 90):
        yield f"{days} days", today - timedelta(days=days - 1), today
    month = today.replace(day=1)
    yield "This month", month, today
    last = month - timedelta(days=1)
    yield "Last month", last.replace(day=1), last
