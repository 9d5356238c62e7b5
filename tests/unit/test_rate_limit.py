"""The slots of a rate limit that several processes share."""

from hypothesis import given
from hypothesis import strategies as st

from tests.actors import NOW
from tracking.domain.rate_limit import next_slot

MINUTE = 60_000_000


@given(
    st.integers(1, 6000),
    st.lists(st.integers(0, MINUTE) | st.integers(0, 20_000), min_size=1, max_size=200),
)
def test_no_minute_holds_more_calls_than_the_limit(limit: int, gaps: list[int]) -> None:
    now, due = NOW * 1_000_000, 0
    calls: list[int] = []
    for gap in gaps:
        now += gap
        later = next_slot(due, now, limit)
        if later is not None:
            calls.append(now)
            due = later
    for i, begin in enumerate(calls):
        assert sum(at < begin + MINUTE for at in calls[i:]) <= limit


@given(st.integers(1, 5000))
def test_a_crowd_that_asks_without_pause_gets_nearly_the_whole_limit_and_no_more(
    limit: int,
) -> None:
    step = max(1, MINUTE // (4 * limit))
    due, calls = 0, 0
    for now in range(NOW * 1_000_000, NOW * 1_000_000 + MINUTE, step):
        later = next_slot(due, now, limit)
        if later is not None:
            calls, due = calls + 1, later
    assert 0.85 * limit - 1 <= calls <= limit


@given(st.integers(1, 5000), st.integers(0, 10**9))
def test_a_clock_that_was_set_back_does_not_stop_the_calls(limit: int, seconds: int) -> None:
    due = next_slot(0, NOW * 1_000_000, limit)
    assert due is not None
    back = NOW - seconds
    seen = range(back, back + 68)
    assert any(next_slot(due, now * 1_000_000, limit) is not None for now in seen)
