"""The days that can be counted anew, and those of which the figures alone are left."""

from datetime import date
from zoneinfo import ZoneInfo

from tracking.domain.shop_days import ShopDays
from tracking.store.report_progress import Progress

_STAYS = "purchase"


class OpenDays:
    """Shop days, of which the first ones may be closed: the storefront's events of a closed day are
    deleted. Purchases stay, so they have no closed days.

    A closed day is one of the zone in which it was closed. What another zone has on the last of
    them, but was not counted in it, counts on the first day that is open.
    """

    def __init__(self, days: ShopDays, progress: Progress) -> None:
        self._days = days
        self.closed = progress.closed
        self.zone = ZoneInfo(progress.closed_zone) if progress.closed_zone else None
        closed_days = ShopDays(self.zone) if self.zone else days
        # The last closed day, as an ordinal; 0 if there is none.
        self.last_closed = closed_days.day_of(progress.closed) - 1 if progress.closed else 0

    def closed_part(self, first: int) -> dict[str, str]:
        """Returns the last closed day of a report that begins on the day `first`, and the time zone
        of the closed days; nothing if it has none."""
        if first > self.last_closed or self.zone is None:
            return {}
        last = date.fromordinal(self.last_closed).isoformat()
        return {"closed_through": last, "closed_timezone": self.zone.key}

    def is_closed(self, day: int, stage: str) -> bool:
        """Returns True if a day's events of a stage cannot be counted anew."""
        return day <= self.last_closed and stage != _STAYS

    def has(self, at: int, stage: str) -> bool:
        """Returns True if an event of an instant (seconds UTC) can be counted anew."""
        return at >= self.closed or stage == _STAYS

    def day_of(self, at: int, stage: str) -> int:
        """Returns the open day (an ordinal) that an event of an instant counts on."""
        day = self._days.day_of(at)
        return self.last_closed + 1 if self.is_closed(day, stage) else day

    def begin(self, day: int, stage: str) -> int:
        """Returns the instant from which on events count on an open day."""
        if self.is_closed(day - 1, stage):
            return self.closed
        begin = self._days.begin(day)
        return begin if stage == _STAYS else max(begin, self.closed)
