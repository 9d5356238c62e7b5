"""Attribution to the second and to the cent, by hand-computed cases and by what always holds."""

import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.domain.attribution import (
    MODELS,
    SCOPES,
    Credit,
    Kind,
    Model,
    Rules,
    Scope,
    Touch,
    age,
    allocations_of,
    bit,
    credits_of,
    deduplicate,
    is_in_window,
    path_of,
    share_text,
    shares,
    split,
    touch_key,
)

ORDER_AT = 1_800_000_000
DAY = 86_400
HOUR = 3_600
RULES = Rules()
EVERY_BIT = (1 << 14) - 1


def touch(
    key: str = "t",
    seconds: int = 0,
    *,
    kind: Kind = "click",
    is_pinterest: bool = True,
    is_direct: bool = False,
) -> Touch:
    """A touch that many seconds before the order."""
    return Touch(key, ORDER_AT - seconds, kind, is_pinterest, is_direct)


def keys(path: Sequence[Touch]) -> list[str]:
    return [each.key for each in path]


def path(*touches: Touch, rules: Rules = RULES, scope: Scope = "pinterest") -> list[str]:
    return keys(path_of(touches, ORDER_AT, rules, scope))


def shares_of(model: Model, *touches: Touch) -> list[Fraction]:
    """Shares oldest first; the touches are given oldest first too."""
    found = path_of(touches, ORDER_AT, RULES, "all")
    assert keys(found) == keys(touches)
    return list(shares(found, ORDER_AT, model))


def journey(count: int) -> list[Touch]:
    return [touch(f"t{i}", (count - i) * HOUR) for i in range(count)]


# Windows


@pytest.mark.parametrize("seconds", [0, 1, 2_591_999, 2_592_000])
def test_a_click_counts_for_thirty_days_both_ends_included(seconds: int) -> None:
    assert path(touch(seconds=seconds)) == ["t"]


@pytest.mark.parametrize("seconds", [-1, 2_592_001, -30 * DAY])
def test_a_click_beyond_thirty_days_or_after_the_order_never_counts(seconds: int) -> None:
    assert path(touch(seconds=seconds)) == []


@pytest.mark.parametrize("seconds", [0, 1, 86_399, 86_400])
def test_a_view_counts_for_a_day_both_ends_included(seconds: int) -> None:
    assert path(touch(seconds=seconds, kind="view")) == ["t"]


@pytest.mark.parametrize("seconds", [-1, 86_401])
def test_a_view_beyond_a_day_or_after_the_order_never_counts(seconds: int) -> None:
    assert path(touch(seconds=seconds, kind="view")) == []


def test_the_operator_sets_windows_in_days_and_hours() -> None:
    assert Rules.of(click_days=7, view_hours=1) == Rules(click_window=604_800, view_window=3_600)
    assert Rules.of(30, 24) == Rules()


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_window_of_zero_switches_its_kind_off_even_for_the_same_second(seconds: int) -> None:
    no_clicks, no_views = Rules(click_window=0), Rules(view_window=0)
    click, view = touch("c", seconds), touch("v", seconds, kind="view")

    assert path(click, view, rules=no_clicks) == ["v"]
    assert path(click, view, rules=no_views) == ["c"]
    assert path(view, rules=no_views) == []


def test_the_shortest_window_is_a_second() -> None:
    assert path(touch(seconds=1), rules=Rules(click_window=1)) == ["t"]
    assert path(touch(seconds=2), rules=Rules(click_window=1)) == []


def test_the_age_of_a_touch_is_elapsed_seconds_and_negative_after_the_order() -> None:
    assert age(touch(seconds=61), ORDER_AT) == 61
    assert age(touch(seconds=-61), ORDER_AT) == -61


@pytest.mark.parametrize(
    ("clicked", "ordered", "counts"),
    [
        ("2026-10-01T12:00:00+02:00", "2026-10-31T11:00:00+01:00", True),
        ("2026-10-01T12:00:00+02:00", "2026-10-31T12:00:00+01:00", False),
        ("2026-03-01T12:00:00+01:00", "2026-03-31T13:00:00+02:00", True),
        ("2026-03-01T12:00:00+01:00", "2026-03-31T13:00:01+02:00", False),
    ],
)
def test_changing_the_clocks_does_not_change_the_window(
    clicked: str, ordered: str, counts: bool
) -> None:
    clicked_at = int(datetime.fromisoformat(clicked).timestamp())
    ordered_at = int(datetime.fromisoformat(ordered).timestamp())

    found = is_in_window(Touch("t", clicked_at, "click", True, False), ordered_at, RULES)

    assert found is counts


# Which touches count


def test_an_older_click_beats_a_newer_view() -> None:
    assert path(touch("click", 29 * DAY), touch("view", HOUR, kind="view")) == ["click"]


def test_a_click_one_second_too_old_leaves_the_order_to_the_view() -> None:
    assert path(touch("click", 30 * DAY + 1), touch("view", HOUR, kind="view")) == ["view"]


def test_a_click_of_another_source_beats_a_pinterest_view_only_over_all_sources() -> None:
    view = touch("view", HOUR, kind="view")
    mail = touch("mail", 2 * HOUR, is_pinterest=False)

    assert path(view, mail, scope="pinterest") == ["view"]
    assert path(view, mail, scope="all") == ["mail"]


def test_a_path_runs_from_the_oldest_touch_to_the_newest() -> None:
    assert path(touch("new", 1), touch("old", 3), touch("mid", 2)) == ["old", "mid", "new"]


def test_touches_of_one_second_are_sorted_by_key() -> None:
    assert path(touch("b", 5), touch("a", 5)) == ["a", "b"]


def test_a_touch_reported_twice_counts_once() -> None:
    assert path(touch("a", 5), touch("b", 4), touch("a", 5)) == ["a", "b"]


# Which touches are one visit

DETAILS = ("source", "medium", "campaign_id", "campaign", "pin_id", "ad_id", "click_id")


def report(key: str, at: int = 0, **changes: Any) -> Touch:
    """A report of a visit, so many seconds after the first one."""
    known = {"kind": "click", "is_pinterest": True, "is_direct": False, "visitor": "laptop"}
    return Touch(key, ORDER_AT + at, **{**known, **changes})


def own(order_id: str, at: int = 0, **changes: Any) -> Touch:
    """The report of a visit by the order that came of it."""
    return report(touch_key(order_id), at, **changes)


def test_the_touch_of_an_order_is_known_by_its_key() -> None:
    assert touch_key("5001") == "order:5001"
    assert own("5001").order_id == "5001"
    assert report("5001").order_id == ""


def test_what_a_report_does_not_know_is_empty() -> None:
    bare = Touch("t", ORDER_AT, "click", True, False)
    assert {getattr(bare, name) for name in (*DETAILS, "visitor")} == {""}


def test_no_touch_and_a_single_touch_stay_as_they_are() -> None:
    assert deduplicate([]) == ()
    assert deduplicate([report("a")]) == (report("a"),)


def test_a_visit_reported_again_within_half_an_hour_is_one_touch() -> None:
    assert deduplicate([report("a"), report("b", 1_800)]) == (report("a"),)


def test_after_half_an_hour_without_a_report_a_new_visit_begins() -> None:
    assert keys(deduplicate([report("a"), report("b", 1_801)])) == ["a", "b"]


def test_the_half_hour_counts_from_the_latest_report_of_the_visit() -> None:
    first, second = report("a"), report("b", 1_800)
    assert keys(deduplicate([first, second, report("c", 3_600)])) == ["a"]
    assert keys(deduplicate([first, second, report("c", 3_601)])) == ["a", "c"]


def test_touches_of_one_key_are_one_touch() -> None:
    assert keys(deduplicate([report("a", kind="view"), report("a", kind="view")])) == ["a"]


def test_visits_are_sorted_from_the_oldest_to_the_newest() -> None:
    reports = [report("c", 9_000), report("a"), report("b", 4_500), report("d", 4_500, visitor="x")]
    assert keys(deduplicate(reports)) == ["a", "b", "d", "c"]


@pytest.mark.parametrize("name", DETAILS)
def test_a_later_report_completes_the_visit(name: str) -> None:
    known: dict[str, Any] = {name: "known"}
    assert deduplicate([report("a"), report("b", 60, **known)]) == (report("a", **known),)


@pytest.mark.parametrize("name", DETAILS)
def test_a_later_report_without_a_detail_takes_nothing_away(name: str) -> None:
    known: dict[str, Any] = {name: "known"}
    assert deduplicate([report("a", **known), report("b", 60)]) == (report("a", **known),)


@pytest.mark.parametrize("name", DETAILS)
def test_reports_that_contradict_each_other_are_two_visits(name: str) -> None:
    one, other = ({name: value} for value in ("one", "other"))
    found = deduplicate([report("a", 0, **one), report("b", 60, **other)])
    assert keys(found) == ["a", "b"]


def test_details_come_from_several_reports() -> None:
    reports = [
        report("a", source="pinterest"),
        report("b", 60, pin_id="9"),
        report("c", 90, ad_id="4"),
    ]
    assert deduplicate(reports) == (report("a", source="pinterest", pin_id="9", ad_id="4"),)


def test_a_pinterest_click_and_another_are_two_visits() -> None:
    assert keys(deduplicate([report("a"), report("b", 60, is_pinterest=False)])) == ["a", "b"]


def test_a_direct_visit_and_another_are_two_visits() -> None:
    assert keys(deduplicate([report("a"), report("b", 60, is_direct=True)])) == ["a", "b"]


@pytest.mark.parametrize(
    "kinds", [("view", "view"), ("view", "click"), ("click", "view")], ids=" then ".join
)
def test_a_view_is_never_part_of_a_visit(kinds: tuple[Kind, Kind]) -> None:
    older, newer = (report(key, kind=kind) for key, kind in zip("ab", kinds, strict=True))
    assert keys(deduplicate([older, newer])) == ["a", "b"]


def test_two_visitors_are_two_visits() -> None:
    assert keys(deduplicate([report("a"), report("b", 60, visitor="phone")])) == ["a", "b"]


def test_a_click_id_stays_one_visit_on_any_day_and_in_any_browser() -> None:
    click = report("a", click_id="epik")
    assert deduplicate([click, report("b", 9 * DAY, click_id="epik")]) == (click,)
    assert deduplicate([click, report("b", 9 * DAY, visitor="phone", click_id="epik")]) == (click,)


def test_a_click_id_does_not_join_what_else_differs() -> None:
    reports = [
        report("a", click_id="epik", pin_id="1"),
        report("b", 60, click_id="epik", pin_id="2"),
    ]
    assert keys(deduplicate(reports)) == ["a", "b"]


def test_an_order_within_half_an_hour_of_the_landing_reports_the_same_visit() -> None:
    landing = report("landing")
    assert deduplicate([landing, own("1", 1_800)]) == (landing,)


@pytest.mark.parametrize("gap", [1_801, DAY, 20 * DAY])
def test_an_order_more_than_half_an_hour_after_a_visit_reports_another_one(gap: int) -> None:
    assert keys(deduplicate([report("landing"), own("1", gap)])) == ["landing", "order:1"]


def test_an_order_reports_the_visit_of_its_click_id_at_any_distance() -> None:
    landing = report("landing", click_id="epik")
    assert deduplicate([landing, own("1", 9 * DAY, click_id="epik")]) == (landing,)


def test_an_order_does_not_report_the_visit_of_another_visitor() -> None:
    found = deduplicate([report("landing"), own("1", 60, visitor="phone")])
    assert keys(found) == ["landing", "order:1"]


def test_the_visits_of_two_orders_are_two() -> None:
    assert keys(deduplicate([own("1"), own("2", 9 * DAY)])) == ["order:1", "order:2"]


def test_a_landing_days_after_an_order_is_another_visit() -> None:
    assert keys(deduplicate([own("1"), report("landing", 9 * DAY)])) == ["order:1", "landing"]


def test_a_report_belongs_to_the_newest_visit_that_it_fits() -> None:
    first, second = report("first", campaign_id="1"), report("second", 600, campaign_id="2")

    found = deduplicate([first, second, own("1", 1_200, pin_id="9")])

    assert found == (first, report("second", 600, campaign_id="2", pin_id="9"))


def test_a_report_passes_over_a_newer_visit_that_it_contradicts() -> None:
    first, second = report("first", campaign_id="1"), report("second", 600, campaign_id="2")

    found = deduplicate([first, second, own("1", 1_200, campaign_id="1", pin_id="9")])

    assert found == (report("first", campaign_id="1", pin_id="9"), second)


# Models


def test_first_touch_credits_the_oldest() -> None:
    assert shares_of("first_touch", *journey(3)) == [1, 0, 0]


def test_last_touch_credits_the_newest() -> None:
    assert shares_of("last_touch", *journey(3)) == [0, 0, 1]


def test_last_non_direct_credits_the_newest_touch_that_came_from_somewhere() -> None:
    pin, mail = touch("pin", 9), touch("mail", 6, is_pinterest=False)
    direct = touch("direct", 3, is_pinterest=False, is_direct=True)
    assert shares_of("last_non_direct", pin, mail, direct) == [0, 1, 0]


def test_last_non_direct_credits_the_newest_touch_if_all_were_direct() -> None:
    visits = [touch(k, s, is_pinterest=False, is_direct=True) for k, s in [("a", 9), ("b", 3)]]
    assert shares_of("last_non_direct", *visits) == [0, 1]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_linear_credits_all_alike(count: int) -> None:
    assert shares_of("linear", *journey(count)) == [Fraction(1, count)] * count


@pytest.mark.parametrize(
    ("count", "fifths"),
    [
        (1, [5]),
        (2, [Fraction(5, 2), Fraction(5, 2)]),
        (3, [2, 1, 2]),
        (4, [2, Fraction(1, 2), Fraction(1, 2), 2]),
        (7, [2, *[Fraction(1, 5)] * 5, 2]),
    ],
)
def test_position_based_credits_the_ends_with_forty_per_cent_each(
    count: int, fifths: list[Fraction]
) -> None:
    assert shares_of("position_based", *journey(count)) == [each / Fraction(5) for each in fifths]


@pytest.mark.parametrize("youngest", [0, 1, 3 * DAY + 5])
def test_time_decay_halves_the_credit_every_seven_days(youngest: int) -> None:
    touches = [touch(f"{days}", days * DAY + youngest) for days in (21, 14, 7, 0)]
    fifteenths = [share * 15 for share in shares_of("time_decay", *touches)]
    assert fifteenths == [1, 2, 4, 8]


def test_time_decay_runs_continuously_within_the_seven_days() -> None:
    older, newer = shares_of("time_decay", touch("a", 3 * DAY + DAY // 2), touch("b", 0))
    # Half a half-life is a factor of the square root of two.
    with localcontext(prec=45):
        ratio = Decimal((newer / older).numerator) / Decimal((newer / older).denominator)
        assert ratio == Decimal(2).sqrt()


def test_time_decay_distinguishes_touches_one_second_apart() -> None:
    older, newer = shares_of("time_decay", touch("a", 1), touch("b", 0))
    assert math.isclose(newer - older, math.log(2) / 604_800 / 2, rel_tol=1e-5)
    assert older + newer == 1


def test_time_decay_credits_touches_of_one_age_exactly_alike() -> None:
    assert shares_of("time_decay", *[touch(k, 12_345) for k in "abc"]) == [Fraction(1, 3)] * 3


def test_view_through_credits_the_newest_view() -> None:
    views = [touch(k, s, kind="view") for k, s in [("a", 9), ("b", 3)]]
    assert shares_of("view_through", *views) == [0, 1]


def test_view_through_credits_no_touch_where_a_click_counts() -> None:
    assert shares_of("view_through", *journey(2)) == [0, 0]


@pytest.mark.parametrize("model", MODELS)
def test_no_model_finds_credit_without_a_touch(model: Model) -> None:
    assert shares((), ORDER_AT, model) == ()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_a_lone_view_everything(model: Model) -> None:
    assert shares_of(model, touch(kind="view")) == [1]


def test_the_tables_hold_every_model_and_scope() -> None:
    assert tuple(MODELS) == get_args(Model)
    assert get_args(Scope) == SCOPES


def test_stored_masks_keep_their_meaning() -> None:
    assert [(model, bit("pinterest", model), bit("all", model)) for model in MODELS] == [
        ("first_touch", 1, 2),
        ("last_touch", 4, 8),
        ("last_non_direct", 16, 32),
        ("linear", 64, 128),
        ("position_based", 256, 512),
        ("time_decay", 1024, 2048),
        ("view_through", 4096, 8192),
    ]


# Money


@pytest.mark.parametrize(
    ("amount", "ratio", "parts"),
    [
        (100, (1, 1, 1), (34, 33, 33)),
        (101, (1, 1, 1), (34, 34, 33)),
        (1, (1, 1), (1, 0)),
        (5998, (2, 1, 2), (2399, 1200, 2399)),
        (9, (1, 4, 5), (1, 4, 4)),
        (10, (1, 2, 4), (1, 3, 6)),
        (7, (1,), (7,)),
        (0, (1, 1), (0, 0)),
    ],
)
def test_spare_cents_go_to_the_largest_remainders(
    amount: int, ratio: tuple[int, ...], parts: tuple[int, ...]
) -> None:
    assert split(amount, [Fraction(each, sum(ratio)) for each in ratio]) == parts


def test_tied_remainders_go_to_the_older_touch() -> None:
    quarters = [Fraction(1, 4)] * 4
    assert [split(amount, quarters) for amount in (1, 2, 3)] == [
        (1, 0, 0, 0),
        (1, 1, 0, 0),
        (1, 1, 1, 0),
    ]


def test_a_negative_amount_mirrors_the_positive_one() -> None:
    thirds = [Fraction(1, 3)] * 3
    assert split(-100, thirds) == (-34, -33, -33)


@pytest.mark.parametrize("amount", [100, -100])
def test_shares_of_zero_get_no_money(amount: int) -> None:
    assert split(amount, [Fraction(0)] * 2) == (0, 0)
    assert split(amount, []) == ()


# Credits and allocations of whole orders


def mask(*pairs: tuple[Scope, Model]) -> int:
    return sum(bit(scope, model) for scope, model in pairs)


VIEW_THROUGH = mask(*((scope, "view_through") for scope in SCOPES))
OVER_ALL = mask(*(("all", model) for model in MODELS))


def test_an_order_without_a_touch_is_credited_to_none() -> None:
    assert credits_of([], ORDER_AT, RULES) == (Credit(None, Fraction(1), EVERY_BIT),)


def test_a_touch_out_of_its_window_earns_nothing() -> None:
    late = touch(seconds=30 * DAY + 1)
    assert credits_of([late], ORDER_AT, RULES) == (Credit(None, Fraction(1), EVERY_BIT),)


def test_a_lone_pinterest_click_earns_all_but_view_through() -> None:
    pin = touch()
    assert credits_of([pin], ORDER_AT, RULES) == (
        Credit(pin, Fraction(1), EVERY_BIT ^ VIEW_THROUGH),
        Credit(None, Fraction(1), VIEW_THROUGH),
    )


def test_a_lone_pinterest_view_earns_everything() -> None:
    view = touch(kind="view")
    assert credits_of([view], ORDER_AT, RULES) == (Credit(view, Fraction(1), EVERY_BIT),)


def test_a_lone_direct_visit_earns_only_over_all_sources() -> None:
    visit = touch(is_pinterest=False, is_direct=True)
    earned = OVER_ALL & ~VIEW_THROUGH
    assert credits_of([visit], ORDER_AT, RULES) == (
        Credit(visit, Fraction(1), earned),
        Credit(None, Fraction(1), EVERY_BIT ^ earned),
    )


def test_equal_shares_of_a_touch_are_one_credit() -> None:
    pin = touch("pin", 7 * DAY)
    visit = touch("visit", 0, is_pinterest=False, is_direct=True)

    credits = credits_of([visit, pin], ORDER_AT, RULES)

    pin_alone = mask(*(("pinterest", model) for model in MODELS)) & ~VIEW_THROUGH
    assert credits == (
        Credit(
            pin,
            Fraction(1),
            pin_alone | mask(("all", "first_touch"), ("all", "last_non_direct")),
        ),
        Credit(pin, Fraction(1, 2), mask(("all", "linear"), ("all", "position_based"))),
        Credit(pin, Fraction(1, 3), mask(("all", "time_decay"))),
        Credit(visit, Fraction(1), mask(("all", "last_touch"))),
        Credit(visit, Fraction(1, 2), mask(("all", "linear"), ("all", "position_based"))),
        Credit(visit, Fraction(2, 3), mask(("all", "time_decay"))),
        Credit(None, Fraction(1), VIEW_THROUGH),
    )


def test_money_of_a_whole_credit_is_the_whole_money() -> None:
    pin = touch()
    rows = allocations_of(credits_of([pin], ORDER_AT, RULES), [5998, -100, 0])
    assert [(row.touch, row.amounts) for row in rows] == [
        (pin, (5998, -100, 0)),
        (None, (5998, -100, 0)),
    ]


def test_one_share_may_be_worth_other_cents_under_another_model() -> None:
    pins = [touch(f"pin{i}", (5 - i) * HOUR) for i in range(3)]
    mails = [touch(f"mail{i}", (2 - i) * HOUR, is_pinterest=False) for i in range(2)]

    rows = allocations_of(credits_of([*pins, *mails], ORDER_AT, RULES), [2])

    # A fifth for the second pin both times: as the middle of three it comes after both ends,
    # as one of five alike it comes before the three newer ones.
    fifths = [row for row in rows if row.touch == pins[1] and row.share == Fraction(1, 5)]
    assert [(row.mask, row.amounts) for row in fifths] == [
        (bit("pinterest", "position_based"), (0,)),
        (bit("all", "linear"), (1,)),
    ]


def test_a_part_refunded_order_loses_exactly_the_refund() -> None:
    credits = credits_of(journey(3), ORDER_AT, RULES)
    rows = [
        row.amounts
        for row in allocations_of(credits, [100, 99])
        if row.mask & bit("pinterest", "linear")
    ]
    assert rows == [(34, 33), (33, 33), (33, 33)]


# What holds for every journey

BITS = list(product(SCOPES, MODELS))

touches = st.builds(
    Touch,
    key=st.text("abcdefgh", min_size=1, max_size=3),
    # Around both ends of both windows, and where ties and half-lives lie.
    at=st.one_of(
        st.integers(-2 * HOUR, 31 * DAY),
        st.sampled_from([-1, 0, 1, DAY, DAY + 1, 7 * DAY, 14 * DAY, 30 * DAY, 30 * DAY + 1]),
        st.integers(0, DAY),
    ).map(lambda seconds: ORDER_AT - seconds),
    kind=st.sampled_from(get_args(Kind)),
    is_pinterest=st.booleans(),
    is_direct=st.booleans(),
)
journeys = st.lists(touches, max_size=6, unique_by=lambda each: each.key)
amounts = st.integers(-(10**9), 10**9)
rules = st.one_of(st.just(RULES), st.builds(Rules.of, st.integers(0, 60), st.integers(0, 72)))


@given(journeys, rules, st.sampled_from(SCOPES), st.sampled_from(list(MODELS)))
def test_shares_sum_to_exactly_one_or_to_nothing(
    journey: list[Touch], rules: Rules, scope: Scope, model: Model
) -> None:
    found = path_of(journey, ORDER_AT, rules, scope)
    given_out = shares(found, ORDER_AT, model)

    credits_nobody = not found or (model == "view_through" and found[0].kind == "click")
    assert sum(given_out) == (0 if credits_nobody else 1)
    assert len(given_out) == len(found)
    assert all(share >= 0 for share in given_out)


@given(journeys, rules, st.sampled_from(SCOPES))
def test_a_path_holds_all_eligible_clicks_or_else_all_eligible_views(
    journey: list[Touch], rules: Rules, scope: Scope
) -> None:
    def eligible(kind: Kind, window: int) -> list[Touch]:
        return [
            each
            for each in sorted(journey, key=lambda t: (t.at, t.key))
            if each.kind == kind
            and (scope == "all" or each.is_pinterest)
            and window
            and 0 <= ORDER_AT - each.at <= window
        ]

    expected = eligible("click", rules.click_window) or eligible("view", rules.view_window)
    assert list(path_of(journey, ORDER_AT, rules, scope)) == expected


@given(journeys, rules)
def test_credits_say_under_every_bit_what_the_model_says(
    journey: list[Touch], rules: Rules
) -> None:
    credits = credits_of(journey, ORDER_AT, rules)
    for scope, model in BITS:
        found = path_of(journey, ORDER_AT, rules, scope)
        given_out = zip(found, shares(found, ORDER_AT, model), strict=True)
        expected: list[tuple[Touch | None, Fraction]]
        expected = [(each, share) for each, share in given_out if share]

        told = [(c.touch, c.share) for c in credits if c.mask & bit(scope, model)]

        assert told == (expected or [(None, Fraction(1))])
        assert sum(share for _, share in told) == 1


@given(touches, rules)
def test_a_lone_touch_earns_the_same_with_a_late_one_beside_it(lone: Touch, rules: Rules) -> None:
    after_the_order = touch("late", -30 * DAY)
    assert credits_of([lone], ORDER_AT, rules) == credits_of(
        [lone, after_the_order], ORDER_AT, rules
    )


@given(st.data(), journeys)
def test_neither_order_nor_repetition_of_touches_matters(
    data: st.DataObject, journey: list[Touch]
) -> None:
    repeated = data.draw(st.lists(st.sampled_from(journey), max_size=3)) if journey else []
    shuffled = data.draw(st.permutations([*journey, *repeated]))
    assert credits_of(shuffled, ORDER_AT, RULES) == credits_of(journey, ORDER_AT, RULES)


@given(journeys)
def test_the_pinterest_scope_never_credits_another_source(journey: list[Touch]) -> None:
    over_pinterest = EVERY_BIT ^ OVER_ALL
    for credit in credits_of(journey, ORDER_AT, RULES):
        if credit.mask & over_pinterest and credit.touch:
            assert credit.touch.is_pinterest


@given(journeys, st.sampled_from(BITS))
def test_credits_under_one_bit_are_those_of_all_bits_that_have_it(
    journey: list[Touch], pair: tuple[Scope, Model]
) -> None:
    wanted = bit(*pair)
    of_all = allocations_of(credits_of(journey, ORDER_AT, RULES), [1001])
    of_one = allocations_of(credits_of(journey, ORDER_AT, RULES, wanted), [1001])
    assert {row.mask for row in of_one} == {wanted}
    assert [(row.touch, row.share, row.amounts) for row in of_one] == [
        (row.touch, row.share, row.amounts) for row in of_all if row.mask & wanted
    ]


@given(journeys)
def test_no_touch_and_share_stands_twice(journey: list[Touch]) -> None:
    credits = credits_of(journey, ORDER_AT, RULES)
    assert len({(c.touch, c.share) for c in credits}) == len(credits)


@given(journeys, st.lists(amounts, max_size=3))
def test_money_is_split_to_the_cent_under_every_bit(
    journey: list[Touch], figures: list[int]
) -> None:
    credits = credits_of(journey, ORDER_AT, RULES)
    rows = allocations_of(credits, figures)
    for scope, model in BITS:
        under = [row for row in rows if row.mask & bit(scope, model)]
        split_alone = [split(figure, [row.share for row in under]) for figure in figures]
        assert [list(column) for column in zip(*(row.amounts for row in under), strict=True)] == [
            list(parts) for parts in split_alone
        ]
        assert [sum(parts) for parts in split_alone] == figures


@given(journeys, amounts)
def test_money_rows_are_the_credits_and_stand_once(journey: list[Touch], figure: int) -> None:
    credits = credits_of(journey, ORDER_AT, RULES)
    rows = allocations_of(credits, [figure])

    told = {(row.touch, row.share, row.amounts): row.mask for row in rows}
    assert len(told) == len(rows)
    for credit in credits:
        masks = [
            m for (who, share, _), m in told.items() if (who, share) == (credit.touch, credit.share)
        ]
        assert sum(masks) == credit.mask


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.000000"), (1, "0.000001"), (333_333, "0.333333"), (1_000_000, "1.000000")],
)
def test_a_share_is_written_with_six_decimals(share: int, text: str) -> None:
    assert share_text(share) == text


@given(amounts, st.lists(st.integers(0, 10**6), min_size=1, max_size=8).filter(any))
def test_a_split_is_exact_and_never_a_whole_cent_off(amount: int, weights: list[int]) -> None:
    ratios = [Fraction(weight, sum(weights)) for weight in weights]
    parts = split(amount, ratios)
    assert sum(parts) == amount
    assert all(abs(part - amount * ratio) < 1 for part, ratio in zip(parts, ratios, strict=True))
    assert split(-amount, ratios) == tuple(-part for part in parts)


@given(st.integers(0, 10**9), st.integers(1, 12))
def test_among_equal_touches_the_older_never_gets_less(amount: int, count: int) -> None:
    parts = split(amount, [Fraction(1, count)] * count)
    assert list(parts) == sorted(parts, reverse=True)
    assert max(parts) - min(parts) <= 1
