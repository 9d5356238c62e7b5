"""The windows that Pinterest counts conversions with, nearest to our own."""

from typing import NamedTuple

# Days that Pinterest's analytics can be asked for, beside 0.
OFFERED = (1, 7, 14, 30, 60)


class PinterestWindows(NamedTuple):
    """The windows, in days, that Pinterest counts conversions with; 0 switches a kind off."""

    click_window_days: int = 30
    view_window_days: int = 1


def nearest(click_days: int, view_hours: int) -> PinterestWindows:
    """Returns the windows that Pinterest offers nearest to ours, of two as near the longer.

    A window that is on with us stays on.
    """
    return PinterestWindows(_nearest(24 * click_days), _nearest(view_hours))


def _nearest(hours: int) -> int:
    return min(OFFERED, key=lambda days: (abs(24 * days - hours), -days)) if hours else 0
