"""Pinterest's own figures are read as it tells them, restated, and within the calls of a day."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from app import assemble
from tests.actors import DAY, HOUR, NOW, Clock
from tests.conftest import BuildService
from tests.reading import Watch, until
from tests.standins.pinterest_ads import (
    ACCOUNT_ID,
    TOKEN,
    TRIAL_CALLS_A_DAY,
    Call,
    FakePinterestAds,
)
from tests.store_contents import rows
from tracking.clients.pinterest_ads import PinterestAds, PinterestAdsError
from tracking.domain.pinterest_windows import PinterestWindows
from tracking.receive.pinterest.sync import PinterestSync, SyncIncomplete
from tracking.receive.pinterest.sync_session import CALLS_A_DAY
from tracking.service import Service
from tracking.store import pinterest_calls, pinterest_readings

TODAY = date(2026, 11, 20)
# Noon of the day before, which is over at Pinterest as well.
YESTERDAY = NOW - DAY
MUG = 40_000_000


@pytest.fixture
def ads(clock: Clock) -> Iterator[FakePinterestAds]:
    with FakePinterestAds(clock) as server:
        yield server


@pytest.fixture
def single(build_service: BuildService, sqlite_url: str, ads: FakePinterestAds) -> Service:
    return build_service(sqlite_url, **ads.env)


def sync_of(service: Service) -> PinterestSync:
    assert service.pinterest_sync is not None
    return service.pinterest_sync


def read(service: Service, clock: Clock) -> dict[str, str]:
    """Reads everything, while pauses pass on the tests' clock; returns why some was not read."""
    outcomes = sync_of(service).sync_all(lambda s: clock.tick(seconds=s))
    return {o.kind: str(o.result) for o in outcomes if isinstance(o.result, SyncIncomplete)}


def figures(service: Service, report_by: str = "order_date") -> dict[tuple[str, str], Any]:
    """Orders, clicks, views, and value of each day and campaign."""
    return {
        (row["date"], row["campaign_id"]): (
            *(row["orders"], row["click_orders"], row["view_orders"]),
            row["value_micros"],
        )
        for row in rows(service.store, "pinterest_figures")
        if row["report_by"] == report_by
    }


def reading(service: Service, kind: str = "conversions") -> dict[str, Any]:
    with service.store.read() as conn:
        found = pinterest_readings.of_account(conn, ACCOUNT_ID)
    return next(row._asdict() for row in found if row.kind == kind)


def was_read(service: Service, kind: str, at: int) -> bool:
    with service.store.read() as conn:
        found = pinterest_readings.of_account(conn, ACCOUNT_ID)
    return any((row.kind, row.read_at) == (kind, at) for row in found)


def calls_used(service: Service, day: date = TODAY) -> int:
    with service.store.read() as conn:
        return pinterest_calls.of_day(conn, ACCOUNT_ID, day.isoformat())


# --- Conversions


def test_conversions_stand_on_the_day_of_the_order_and_on_the_day_of_the_click(
    build_service: BuildService, database_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    service = build_service(database_url, **ads.env)
    ads.counts("11", YESTERDAY, MUG, after_seconds=3 * DAY)
    ads.counts("11", YESTERDAY, 2 * MUG, after_seconds=HOUR, kind="VIEW_", is_offline=True)

    assert read(service, clock) == {}

    assert figures(service) == {("2026-11-19", "11"): (2, 1, 1, 3 * MUG)}
    assert figures(service, "click_date") == {
        ("2026-11-16", "11"): (1, 1, 0, MUG),
        ("2026-11-19", "11"): (1, 0, 1, 2 * MUG),
    }
    by_order = next(r for r in rows(service.store, "pinterest_figures") if r["orders"] == 2)
    assert {name: by_order[name] for name in ("click_micros", "view_micros", "web_orders")} == {
        "click_micros": MUG,
        "view_micros": 2 * MUG,
        "web_orders": 1,
    }
    assert (by_order["offline_orders"], by_order["currency"]) == (1, "USD")
    assert by_order["campaign"] == "campaign 11"


def test_pinterest_counts_with_the_nearest_windows_and_without_saves_and_close_ups(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    windows = {"CLICK_WINDOW_DAYS": "10", "VIEW_WINDOW_HOURS": "0"}
    service = build_service(sqlite_url, **ads.env, **windows)
    ads.counts("11", YESTERDAY, MUG, after_seconds=7 * DAY)
    ads.counts("11", YESTERDAY, MUG, after_seconds=7 * DAY + 1)
    ads.counts("11", YESTERDAY, MUG, kind="VIEW_")
    ads.counts("11", YESTERDAY, MUG, kind="ENGAGEMENT_")

    read(service, clock)

    assert figures(service) == {("2026-11-19", "11"): (1, 1, 0, MUG)}
    found = {
        (row["click_window_days"], row["view_window_days"])
        for row in rows(service.store, "pinterest_figures")
    }
    assert found == {(7, 0)}
    told = assemble(service).test_cli_runner().invoke(args=["doctor"]).output
    assert "counted 7 days after clicks and 0 after views, the nearest" in told


def test_with_other_windows_all_days_are_read_again(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.counts("11", NOW - 80 * DAY, MUG, after_seconds=40 * DAY)
    read(build_service(sqlite_url, **ads.env), clock)
    service = build_service(sqlite_url, **ads.env, CLICK_WINDOW_DAYS="60")
    assert figures(service) == {}

    read(service, clock)

    assert list(figures(service).values()) == [(1, 1, 0, MUG)]
    assert reading(service)["settings"] == "60/1"


def test_the_whole_click_window_is_read_again_and_older_days_once(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    for back in (0, 30, 31):
        ads.counts("11", NOW - back * DAY, MUG)
    read(single, clock)
    for back in (0, 30, 31):
        ads.counts("11", NOW - back * DAY, MUG)

    read(single, clock)

    assert [figures(single)[day][0] for day in sorted(figures(single))] == [1, 2, 2]


def test_what_pinterest_takes_back_brought_nothing(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.counts("11", YESTERDAY, MUG)
    read(single, clock)
    ads.checkouts.clear()

    read(single, clock)

    assert figures(single) == {("2026-11-19", "11"): (0, 0, 0, 0)}


def test_after_a_pause_the_days_in_between_are_read(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    read(single, clock)
    ads.counts("11", NOW + 3 * DAY, MUG)
    clock.tick(days=60)

    read(single, clock)

    assert list(figures(single).values()) == [(1, 1, 0, MUG)]
    assert reading(single)["through"] == (TODAY + timedelta(60)).isoformat()
    assert reading(single)["since"] == (TODAY - timedelta(89)).isoformat()


def test_conversions_of_many_campaigns_are_asked_for_250_at_a_time(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    for id in range(1, 302):
        ads.counts(str(id), YESTERDAY, MUG)

    assert read(single, clock) == {}

    asked = [q for q in ads.asked("/campaigns/analytics") if "conversion_report_time" in q]
    assert {len(query["campaign_ids"]) for query in asked} == {250, 51}
    assert len(figures(single)) == 301


def test_conversions_of_archived_and_renamed_campaigns_are_read_and_those_of_deleted_ones_stay(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    for id in ("11", "12", "13"):
        ads.counts(id, YESTERDAY, MUG)
    read(single, clock)
    ads.campaigns["11"].status = "ARCHIVED"
    ads.campaigns["12"].name = "Summer"
    del ads.campaigns["13"]
    ads.counts("11", YESTERDAY, MUG)

    read(single, clock)

    assert {key[1]: told[0] for key, told in figures(single).items()} == {"11": 2, "12": 1, "13": 1}
    names = {r["campaign_id"]: r["campaign"] for r in rows(single.store, "pinterest_figures")}
    assert names == {"11": "campaign 11", "12": "Summer", "13": "campaign 13"}


def test_conversions_are_in_the_currency_of_the_ad_account(
    build_service: BuildService, sqlite_url: str, clock: Clock
) -> None:
    with FakePinterestAds(clock, currency="JPY") as ads:
        ads.counts("11", YESTERDAY, 1_500_000_000)
        service = build_service(sqlite_url, **ads.env)
        read(service, clock)

    (row,) = [r for r in rows(service.store, "pinterest_figures") if r["report_by"] == "order_date"]
    assert (row["currency"], row["value_micros"]) == ("JPY", 1_500_000_000)


@pytest.mark.parametrize(
    "strange",
    [
        {"DATE": "2026-11-19", "CAMPAIGN_ID": "12", "TOTAL_CHECKOUT": 1},
        {"DATE": "2025-11-19", "CAMPAIGN_ID": "11", "TOTAL_CHECKOUT": 1},
        {"DATE": "2026-11-19", "CAMPAIGN_ID": "11", "TOTAL_CHECKOUT": -1},
        {"DATE": "2026-11-19", "CAMPAIGN_ID": "11", "TOTAL_CHECKOUT": "many"},
    ],
)
def test_an_answer_to_another_question_changes_no_figure(
    single: Service, ads: FakePinterestAds, clock: Clock, strange: dict[str, Any]
) -> None:
    ads.counts("11", YESTERDAY, MUG)
    read(single, clock)
    ads.meanwhile = after_spend(ads, *[(200, [strange], {})] * 4)

    assert list(read(single, clock)) == ["conversions"]

    assert list(figures(single).values()) == [(1, 1, 0, MUG)]


def after_spend(ads: FakePinterestAds, *answers: Any) -> Callable[[], None]:
    """Answer like this what is asked once spend has been read."""

    def prepare() -> None:
        if ads.calls and ads.calls[-1].path.endswith(f"{ACCOUNT_ID}/analytics"):
            ads.troubles.extend(answers)
            ads.meanwhile = lambda: None

    return prepare


_DAYS = {"start_date": "2026-11-19", "end_date": "2026-11-20", "granularity": "DAY"}
_ASKED = {**_DAYS, "campaign_ids": ["11"], "columns": "TOTAL_CHECKOUT"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": "TOTAL_CHECKOUTS"},
        {"columns": "TOTAL_OFFLINE_CHECKOUT_VALUE_IN_MICRO_DOLLAR"},
        {"columns": ["TOTAL_CHECKOUT", "SPEND_IN_DOLLAR"]},
        {"campaign_ids": ["11"] * 251},
        {"campaign_ids": "11,12"},
        {"start_date": "2026-08-21"},
        {"end_date": "2026-11-21"},
        {"granularity": "DAYS"},
        {"click_window_days": 28},
        {"view_window_days": 2},
        {"conversion_report_time": "TIME_OF_CLICK"},
        {"attribution": "last"},
    ],
)
def test_the_stand_in_refuses_what_pinterest_does(
    single: Service, ads: FakePinterestAds, wrong: dict[str, Any]
) -> None:
    with closing(PinterestAds(sync_of(single).access)) as client:
        client.get("/campaigns/analytics", _ASKED, list[Any])
        with pytest.raises(PinterestAdsError, match="HTTP 400"):
            client.get("/campaigns/analytics", {**_ASKED, **wrong}, list[Any])


# --- What one kind of figures means for the others


def test_a_scope_that_is_missing_for_one_kind_of_figures_stops_no_other(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", TODAY - timedelta(1), 5)
    ads.closed = {"/campaigns/analytics"}

    failed = read(single, clock)

    assert {"spend", "conversions"} <= failed.keys()
    assert "ads" not in failed
    assert "HTTP 403" in failed["conversions"]
    assert "ads:read" in reading(single)["failure"]


def test_too_many_calls_put_off_every_kind_of_figures(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.troubles.append((429, {"code": 8, "message": "too many"}, {"Retry-After": "1800"}))

    failed = read(single, clock)

    assert len(ads.calls) == 1
    assert set(failed.values()) == {"HTTP 429: too many"}
    assert reading(single, "spend")["next_at"] == reading(single)["next_at"] == NOW + 1_800


# --- The calls of a day


def test_every_call_is_counted_those_that_failed_as_well(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", TODAY, 5)
    ads.troubles.extend([503, "cut"])

    read(single, clock)

    assert calls_used(single) == len(ads.calls) > 2
    told = assemble(single).test_cli_runner().invoke(args=["doctor"]).output
    assert f"{len(ads.calls)} of {CALLS_A_DAY} of this UTC day are used" in told


def use_up(service: Service, most: int) -> None:
    """As many calls as that were sent today."""

    def count(conn: Any) -> None:
        for _ in range(most):
            pinterest_calls.count(conn, ACCOUNT_ID, TODAY.isoformat(), most)

    service.store.commit(count)


def test_spend_is_still_read_when_the_other_figures_have_used_their_part(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", TODAY, 5)
    use_up(single, 600)

    failed = read(single, clock)

    assert "spend" not in failed
    assert "600 calls were sent on this UTC day" in failed["conversions"]


def test_no_call_is_sent_beyond_those_of_a_day_and_the_next_day_has_its_own(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    use_up(single, CALLS_A_DAY)

    assert read(single, clock).keys() >= {"spend", "conversions"}
    assert (ads.calls, calls_used(single)) == ([], CALLS_A_DAY)

    clock.tick(hours=13)
    assert read(single, clock) == {}


def test_an_app_in_trial_access_is_told_when_its_calls_are_used_up(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.is_trial = True
    ads.costs("11", TODAY, 5)
    elsewhere = Call(NOW - HOUR, f"/v5/ad_accounts/{ACCOUNT_ID}/analytics", {}, 200)
    ads.calls.extend([elsewhere] * TRIAL_CALLS_A_DAY)

    failed = read(single, clock)

    assert "HTTP 429" in failed["spend"]
    assert reading(single, "spend")["next_at"] == NOW + HOUR


# --- By itself


def test_spend_is_read_every_hour_and_conversions_every_six(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", TODAY, 5)
    with Watch(sync_of(single)):
        for hour in range(7):
            now, last = NOW + hour * HOUR, NOW + hour // 6 * 6 * HOUR
            until(partial(was_read, single, "spend", now))
            until(partial(was_read, single, "conversions", last))
            clock.tick(hours=1)

    times = {c.at for c in ads.calls if "conversion_report_time" in c.query}
    assert {at for at in times if at < NOW + 7 * HOUR} == {NOW, NOW + 6 * HOUR}


def test_two_processes_read_each_kind_once(
    build_service: BuildService, database_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    service, other = (build_service(database_url, **ads.env) for _ in range(2))
    sync_of(service)._sync_safely(lambda s: None)
    first = len(ads.calls)
    sync_of(other)._sync_safely(lambda s: None)

    assert 0 < first == len(ads.calls)


# --- What the operator types


def test_sync_pinterest_says_what_it_read(single: Service, ads: FakePinterestAds) -> None:
    ads.counts("11", YESTERDAY, MUG)
    told = assemble(single).test_cli_runner().invoke(args=["sync-pinterest"])

    assert told.exit_code == 0
    lines = [" ".join(line.split()) for line in told.output.splitlines()]
    assert lines[1] == "ok spend 2026-08-23 to 2026-11-20 (UTC days): 0 rows, campaigns: 1"
    assert lines[2] == "ok conversions 2026-08-23 to 2026-11-20 (UTC days): 2 rows, campaigns: 1"


def test_sync_pinterest_fails_where_something_was_not_read(
    single: Service, ads: FakePinterestAds
) -> None:
    ads.access_tokens = set()
    told = assemble(single).test_cli_runner().invoke(args=["sync-pinterest"])

    assert told.exit_code == 1
    assert "PINTEREST_ADS_TOKEN is not accepted" in told.output
    assert TOKEN not in told.output


def test_without_a_token_the_command_and_doctor_say_what_is_missing(
    build_service: BuildService, sqlite_url: str
) -> None:
    run = assemble(build_service(sqlite_url)).test_cli_runner().invoke
    assert (
        "set PINTEREST_AD_ACCOUNT_ID and PINTEREST_ADS_TOKEN" in run(args=["sync-pinterest"]).output
    )
    assert "PINTEREST_ADS_TOKEN not set" in run(args=["doctor"]).output


def test_the_windows_asked_for_are_those_of_the_settings(single: Service) -> None:
    assert sync_of(single).options.windows == PinterestWindows(30, 1)
