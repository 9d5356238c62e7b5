"""The days of a shop, which begin at midnight in its time zone."""

from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

# No zone has begun a day within one since 1972, so all its instants have one day.
QUARTER_HOUR = 900


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
        midnight = datetime.combine(date.fromordinal(day), time.min, self.zone)
        return int(midnight.timestamp())

    def _found_day_of(self, quarter: int) -> int:
        at = datetime.fromtimestamp(quarter * QUARTER_HOUR, self.zone)
        return at.date().toordinal()
