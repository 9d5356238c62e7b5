"""The made-up month of the demo."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from commands.demo.month import zone_at

YEAR = 366 * 86_400


@given(st.integers(1_767_225_600, 1_767_225_600 + 10 * YEAR))
def test_the_day_of_the_demos_shop_is_pinterests_at_every_hour(now: int) -> None:
    in_shop = datetime.fromtimestamp(now, zone_at(now))

    assert in_shop.date() == datetime.fromtimestamp(now, UTC).date()
