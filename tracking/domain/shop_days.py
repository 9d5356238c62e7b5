"""The days of a shop, which begin at midnight in its time zone."""

from datetime import UTC, date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

# No zone has begun a day within one since 1972, so all its instants have one day.
QUARTER_HOUR = 900
# A week is seven ordinals of days, from one that can be divided by seven on.
WEEK = 7
# The first and the last day that a date can have, and an instant after the last one in every zone.
_FIRST, _LAST = date.min.toordinal(), date.max.toordinal()
_END = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) + 3 * 86_400


class ShopDays:
    """The days of a time zone, as ordinals (`date.toordinal`)."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._day_of = lru_cache(maxsize=20_000)(self._found_day_of)

    def day_of(self, at: int) -> int:
        """Returns the day of an instant (seconds UTC)."""
        return self._day_of(at // QUARTER_HOUR)

    def begin(self, day: int) -> int:
        """Returns the instant (seconds UTC) at which a day begins."""
        if day > _LAST:
            return _END
        midnight = datetime.combine(date.fromordinal(max(day, _FIRST)), time.min, self.zone)
        return int(midnight.timestamp())

    def _found_day_of(self, quarter: int) -> int:
        try:
            at = datetime.fromtimestamp(quarter * QUARTER_HOUR, self.zone)
        except (OverflowError, ValueError):
            # In this zone it is another year than any that a date can have.
            return _FIRST if quarter < 0 else _LAST
        return at.date().toordinal()


def whole_weeks(first: int, last: int) -> range:
    """Returns the weeks (each a seventh of its first day) that lie wholly in the days [first,
    last]."""
    return range(-(-first // WEEK), (last + 1) // WEEK)
