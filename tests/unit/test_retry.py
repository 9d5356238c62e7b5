"""The verdict on a delivery attempt, the backoff, and the circuit breaker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.clients.outcome import (
    Accepted,
    Answered,
    BatchRefused,
    Outcome,
    Paused,
    Refused,
    TryLater,
)
from tracking.deliver.retry import (
    GIVE_UP_AFTER,
    Breaker,
    Verdict,
    backoff,
    expired,
    is_expired,
    pause_for,
    verdict,
)

NOW = 1_790_000_000
ANSWERED = Answered((Accepted(),))
SILENCE = TryLater("no answer")
JITTER = st.floats(0, 1, exclude_max=True)


def after_failures(count: int, at: int = NOW) -> Breaker:
    breaker = Breaker()
    for _ in range(count):
        breaker = breaker.after(SILENCE, at)
    return breaker


def test_an_accepted_event_is_sent_with_the_remark_made_on_it() -> None:
    found = verdict(Accepted("click_id is missing"), 0, NOW, NOW, 0.5)
    assert found == Verdict("sent", "click_id is missing", NOW, uses_attempt=True)


@pytest.mark.parametrize("fate", [Refused("Invalid value"), BatchRefused("Invalid value")])
def test_a_refused_event_is_dead_in_the_destinations_words(fate: Refused | BatchRefused) -> None:
    assert verdict(fate, 0, NOW, NOW, 0.5) == Verdict("dead", "Invalid value", NOW, True)


def test_a_paused_account_costs_its_events_no_attempt() -> None:
    found = verdict(Paused("slow down", seconds=90), 3, NOW, NOW, 0.5)
    assert found == Verdict("waiting", "slow down", NOW + 90, uses_attempt=False)


@given(st.integers(0, 10_000), JITTER)
def test_a_failed_call_is_tried_again_within_a_quarter_of_an_hour(
    attempts: int, jitter: float
) -> None:
    found = verdict(SILENCE, attempts, NOW, NOW, jitter)
    assert (found.state, found.uses_attempt) == ("waiting", True)
    assert NOW < found.due_at <= NOW + 900


@pytest.mark.parametrize(
    ("attempts", "longest"), [(0, 10), (1, 20), (2, 40), (6, 640), (7, 900), (5000, 900)]
)
def test_the_wait_doubles_and_jitter_spreads_it_over_its_whole_length(
    attempts: int, longest: int
) -> None:
    assert backoff(attempts, 0.0) == 1
    assert backoff(attempts, 0.9999999) == longest


def test_an_event_is_given_up_two_hours_before_pinterest_would_refuse_it() -> None:
    assert GIVE_UP_AFTER == 7 * 86_400 - 2 * 3_600
    assert not is_expired(NOW - GIVE_UP_AFTER + 1, NOW, was_tried=True)
    assert is_expired(NOW - GIVE_UP_AFTER, NOW, was_tried=True)


def test_an_event_that_was_never_tried_has_the_whole_seven_days() -> None:
    assert not is_expired(NOW - 7 * 86_400 + 1, NOW, was_tried=False)
    assert is_expired(NOW - 7 * 86_400, NOW, was_tried=False)


@pytest.mark.parametrize("fate", [SILENCE, Paused("401", is_credentials=True)])
def test_an_event_that_got_too_old_while_it_waited_is_dead_as_expired(
    fate: Paused | TryLater,
) -> None:
    found = verdict(fate, 40, NOW - GIVE_UP_AFTER, NOW, 0.5)
    assert (found.state, found.reason) == ("dead", f"expired: {fate.reason}")


def test_an_event_that_is_too_old_before_its_first_attempt_uses_none() -> None:
    assert expired("", NOW) == Verdict("dead", "expired: never sent in time", NOW, False)


@given(st.sampled_from([Accepted(), Refused("no")]), st.integers(0, 2 * GIVE_UP_AFTER))
def test_an_answer_counts_however_old_the_event_is(fate: Accepted | Refused, age: int) -> None:
    assert not verdict(fate, 0, NOW - age, NOW, 0.5).reason.startswith("expired")


@pytest.mark.parametrize(
    ("paused", "seconds"),
    [
        (Paused("429"), 60),
        (Paused("429", seconds=5), 60),
        (Paused("429", seconds=58 * 3), 174),
        (Paused("429", seconds=86_400), 900),
        (Paused("401", is_credentials=True), 300),
        (Paused("403", seconds=1, is_credentials=True), 300),
    ],
)
def test_a_pause_lasts_as_long_as_asked_within_reason(paused: Paused, seconds: int) -> None:
    assert pause_for(paused) == seconds


def test_a_new_breaker_counts_no_failure_and_was_never_opened() -> None:
    assert (Breaker().failures, Breaker().opened) == (0, 0)


def test_four_failed_calls_leave_the_breaker_closed() -> None:
    breaker = after_failures(4)
    assert breaker == Breaker(failures=4, opened=0)
    assert breaker.seconds_open == 0
    assert not breaker.is_open(NOW)
    assert breaker.allowance(1000, NOW) == 1000


@pytest.mark.parametrize(("failures", "seconds"), [(5, 30), (6, 45), (7, 45), (4000, 45)])
def test_from_the_fifth_failed_call_on_the_breaker_opens_for_less_than_a_minute(
    failures: int, seconds: int
) -> None:
    breaker = after_failures(failures)
    assert breaker.is_open(NOW)
    assert breaker.is_open(NOW + seconds - 1)
    assert breaker.allowance(1000, NOW + seconds - 1) == 0
    assert not breaker.is_open(NOW + seconds)


def test_after_its_time_the_breaker_lets_a_single_event_probe() -> None:
    assert after_failures(5).allowance(1000, NOW + 30) == 1


def test_an_answer_closes_the_breaker() -> None:
    breaker = after_failures(12).after(ANSWERED, NOW + 900)
    assert breaker == Breaker()
    assert breaker.allowance(1000, NOW + 900) == 1000


def test_a_failed_probe_opens_the_breaker_anew_from_then_on() -> None:
    breaker = after_failures(5).after(SILENCE, NOW + 40)
    assert breaker.is_open(NOW + 40 + 44)
    assert not breaker.is_open(NOW + 40 + 45)


@pytest.mark.parametrize("outcome", [Paused("429"), BatchRefused("400")])
def test_a_pause_or_a_refused_batch_says_nothing_about_the_destinations_health(
    outcome: Outcome,
) -> None:
    assert after_failures(4).after(outcome, NOW) == after_failures(4)


def test_a_clock_set_back_does_not_keep_the_breaker_open() -> None:
    assert not after_failures(30).is_open(NOW - 7 * 86_400)


def test_an_hour_without_answer_costs_few_calls() -> None:
    breaker, calls, now = Breaker(), 0, NOW
    while now < NOW + 3600:
        if breaker.allowance(1000, now):
            breaker, calls = breaker.after(SILENCE, now), calls + 1
        now += 1
    assert calls < 90
