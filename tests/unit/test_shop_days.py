"""Every instant that can be stored has a shop day, and every day begins at an instant."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tracking.domain.shop_days import ShopDays

FIRST = int(
    (datetime.min.replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC)) / timedelta(seconds=1)
)
LAST = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York"])
@pytest.mark.parametrize("at", [FIRST, FIRST + 86_400, 0, LAST - 86_400, LAST])
def test_an_instant_lies_within_its_day_however_far_it_is(zone: str, at: int) -> None:
    days = ShopDays(ZoneInfo(zone))
    day = days.day_of(at)
    assert at < days.begin(day + 1)
    assert days.begin(day) <= at or day == 1
