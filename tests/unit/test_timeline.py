"""The time line of an order's page."""

from typing import Any

import pytest

from api.dashboard.timeline import WIDTH, age_text, timeline_of

DAY, HOUR = 86_400, 3_600


def touch(age: int, kind: str = "click", *, is_pinterest: bool = True) -> dict[str, Any]:
    return {"age_seconds": age, "kind": kind, "is_pinterest": is_pinterest, "in_window": True}


def test_the_line_reaches_back_as_far_as_the_click_window() -> None:
    found = timeline_of([touch(15 * DAY)], 30 * DAY, DAY)

    clicks, views, others = found.lanes
    assert found.begins == "30 days before"
    assert [mark.x for mark in clicks.marks] == [WIDTH / 2]
    assert (clicks.window_x, views.window_x) == (0, round(WIDTH * 29 / 30, 1))
    assert others.window_x is None


def test_a_touch_before_the_window_makes_the_line_longer() -> None:
    found = timeline_of([touch(60 * DAY)], 30 * DAY, DAY)

    assert found.begins == "60 days before"
    assert found.lanes[0].marks[0].x == 0
    assert found.lanes[0].window_x == WIDTH / 2


def test_a_touch_after_the_order_is_not_drawn() -> None:
    found = timeline_of([touch(-5)], 30 * DAY, DAY)

    assert [lane.marks for lane in found.lanes] == [(), (), ()]


def test_without_touches_and_windows_a_day_is_shown() -> None:
    found = timeline_of([], 0, 0)

    assert found.begins == "24 hours before"
    assert [lane.window_x for lane in found.lanes] == [None, None, None]


def test_each_kind_of_touch_has_a_lane() -> None:
    found = timeline_of([touch(1), touch(1, "view"), touch(1, is_pinterest=False)], 30 * DAY, DAY)

    assert [len(lane.marks) for lane in found.lanes] == [1, 1, 1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "after it"), (0, "in its visit"), (60, "60 seconds"), (30 * DAY, "30 days")],
)
def test_it_is_told_how_long_before_the_order_a_touch_was(seconds: int, text: str) -> None:
    assert age_text(seconds) == text
