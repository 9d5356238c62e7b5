"""The time line of an order: its buyer's touches up to the order, and the attribution windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracking.domain.durations import duration_text

# The units of a drawing, whatever size it is shown at; a lane's marks stand in its middle.
WIDTH, LANE_HEIGHT = 1000, 40
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class TouchMark:
    """A touch at its place from 0 (the oldest instant shown) to WIDTH (the order)."""

    x: float
    is_in_window: bool


@dataclass(frozen=True, slots=True)
class TimelineLane:
    """The touches of one kind, and where the window that counts for them begins; None without."""

    title: str
    marks: tuple[TouchMark, ...]
    window_x: float | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The lanes over one span, and the length of the span in words."""

    lanes: tuple[TimelineLane, ...]
    begins: str


def timeline_of(
    touches: Sequence[Mapping[str, Any]], click_window: int, view_window: int
) -> Timeline:
    """Returns the time line of a journey's touches; windows are seconds, 0 for none.

    It reaches as far back as the longer window and the oldest touch.
    """
    before = [touch for touch in touches if touch["age_seconds"] >= 0]
    span = max(_DAY, click_window, view_window, *(touch["age_seconds"] for touch in before))
    ours = [touch for touch in before if touch["is_pinterest"]]
    kinds = (
        ("Pinterest clicks", [t for t in ours if t["kind"] == "click"], click_window),
        ("Pinterest views", [t for t in ours if t["kind"] == "view"], view_window),
        ("Other visits", [t for t in before if not t["is_pinterest"]], 0),
    )
    lanes = tuple(
        TimelineLane(
            title,
            tuple(TouchMark(_x(t["age_seconds"], span), t["in_window"]) for t in found),
            _x(window, span) if window else None,
        )
        for title, found, window in kinds
    )
    return Timeline(lanes, f"{duration_text(span)} before")


def age_text(seconds: int) -> str:
    """Returns in words how long before the order something was: "3 days"."""
    if seconds < 0:
        return "after it"
    return duration_text(seconds) if seconds >= 60 else "in its visit"


def _x(age: int, span: int) -> float:
    return round(WIDTH * (1 - age / span), 1)
