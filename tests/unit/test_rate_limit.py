"""The slots of a rate limit that several processes share."""

from hypothesis import given
from hypothesis import strategies as st

from tests.actors import NOW
from tracking.domain.rate_limit import MICROS, next_slot

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


# At 60 calls a minute a tenth may come in one burst, and the others 1,111,111 microseconds apart.
NOON = NOW * 1_000_000
APART = 1_111_111
# Six such intervals less one lie in the burst: 6,666,666 - 1,111,111.
AHEAD = 5_555_555


def test_the_first_call_goes_at_once_and_takes_one_interval() -> None:
    assert next_slot(0, NOON, 60) == NOON + APART


def test_a_call_takes_the_slot_after_the_last_one_that_is_due() -> None:
    assert next_slot(NOON + 7, NOON, 60) == NOON + 7 + APART


def test_calls_run_ahead_of_the_even_pace_by_the_burst_and_no_further() -> None:
    assert next_slot(NOON + AHEAD, NOON, 60) == NOON + AHEAD + APART
    assert next_slot(NOON + AHEAD + 1, NOON, 60) is None


def test_slots_a_minute_ahead_are_kept_and_later_ones_are_of_a_clock_set_back() -> None:
    assert next_slot(NOON + 60_000_000, NOON, 60) is None
    assert next_slot(NOON + 60_000_001, NOON, 60) == NOON + APART


def test_one_call_a_minute_has_no_burst_and_may_be_due_in_more_than_a_minute() -> None:
    assert next_slot(NOON, NOON, 1) == NOON + 66_666_666
    assert next_slot(NOON + 1, NOON, 1) is None
    assert next_slot(NOON + 66_666_666, NOON, 1) is None
    assert next_slot(NOON + 66_666_667, NOON, 1) == NOON + 66_666_666


def test_instants_are_microseconds() -> None:
    assert MICROS == 1_000_000
