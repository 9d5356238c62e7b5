"""Pinterest counts with the windows it offers, the nearest to the shop's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.domain.pinterest_windows import OFFERED, PinterestWindows, nearest


@pytest.mark.parametrize(
    ("days", "hours", "found"),
    [
        (30, 24, (30, 1)),
        (28, 36, (30, 1)),
        (10, 96, (7, 7)),
        (22, 6, (30, 1)),
        (365, 8_760, (60, 60)),
        (0, 0, (0, 0)),
        (1, 1, (1, 1)),
    ],
)
def test_pinterest_is_asked_for_the_nearest_windows_that_it_offers(
    days: int, hours: int, found: tuple[int, int]
) -> None:
    assert nearest(days, hours) == PinterestWindows(*found)


@given(st.integers(0, 365), st.integers(0, 8_760))
def test_a_window_that_is_off_stays_off_and_one_that_is_on_stays_on(days: int, hours: int) -> None:
    clicks, views = nearest(days, hours)
    assert (clicks > 0, views > 0) == (days > 0, hours > 0)
    for window, ours in ((clicks, 24 * days), (views, hours)):
        assert not ours or abs(24 * window - ours) == min(abs(24 * n - ours) for n in OFFERED)
