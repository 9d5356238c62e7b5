"""A length of time is told in its largest unit."""

import pytest

from tracking.domain.durations import duration_text

HOUR, DAY = 3_600, 86_400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (2 * HOUR - 1, "119 minutes"),
        (2 * HOUR, "2 hours"),
        (2 * DAY - 1, "47 hours"),
        (2 * DAY, "2 days"),
        (1234 * DAY, "1,234 days"),
    ],
)
def test_a_duration_is_told_in_the_largest_unit_of_which_it_has_two(
    seconds: int, text: str
) -> None:
    assert duration_text(seconds) == text
