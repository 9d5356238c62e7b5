"""The state of an alert over time: what holds begins and ends it, what flaps does not."""

from hypothesis import given
from hypothesis import strategies as st

from tracking.operate.alerts.rules import Fine, Trouble, Unknown, Verdict
from tracking.operate.alerts.states import BEGINS_AFTER, ENDS_AFTER, AlertState

START = 1_000_000
BAD, GOOD, SILENT = Trouble("It is bad."), Fine(), Unknown()


def played(*steps: tuple[int, Verdict]) -> AlertState:
    """The state after verdicts, each so many seconds after the start."""
    state = AlertState()
    for seconds, verdict in steps:
        state = state.after(verdict, START + seconds)
    return state


def test_trouble_stands_once_it_has_held_and_counts_from_its_beginning() -> None:
    assert not played((0, BAD), (BEGINS_AFTER - 1, BAD)).stands

    state = played((0, GOOD), (60, BAD), (60 + BEGINS_AFTER, Trouble("It is worse.")))

    assert (state.stands, state.since, state.words) == (True, START + 60, "It is worse.")


def test_an_alert_is_over_once_all_has_been_well_for_long_enough() -> None:
    begun = ((0, BAD), (BEGINS_AFTER, BAD))

    assert played(*begun, (1_000, GOOD), (999 + ENDS_AFTER, GOOD)).stands
    over = played(*begun, (1_000, GOOD), (1_000 + ENDS_AFTER, GOOD))
    assert (over.stands, over.words) == (False, "It is bad.")


def test_figures_that_say_nothing_leave_everything_as_it_was() -> None:
    begun = ((0, BAD), (BEGINS_AFTER, BAD))

    assert played(*begun, (9_999, SILENT)) == played(*begun)


@given(st.lists(st.sampled_from((BAD, GOOD, SILENT)), max_size=60))
def test_what_changes_at_every_turn_of_the_minute_never_turns_the_alert(
    verdicts: list[Verdict],
) -> None:
    """Of any verdicts, minute by minute: it turns only where the same held for long enough."""
    state, held = AlertState(changed_at=START), 0
    for minute, verdict in enumerate(verdicts):
        before, state = state, state.after(verdict, START + 60 * minute)
        if isinstance(verdict, Unknown):
            assert state == before
            continue
        held = 60 * minute + START - state.changed_at
        if state.stands != before.stands:
            assert held >= (BEGINS_AFTER if state.stands else ENDS_AFTER)
            assert state.stands == isinstance(verdict, Trouble)


def test_a_clock_that_is_set_back_begins_no_alert_early_and_loses_none() -> None:
    ahead = AlertState(is_trouble=True, changed_at=START + 9_999)

    state = ahead.after(BAD, START)

    assert not state.stands
    assert state.after(BAD, START + BEGINS_AFTER).stands
