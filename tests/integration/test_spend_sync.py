"""Spend is what Pinterest says it is: whole, exact, restated, and read by one process at a time."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import assemble
from tests.actors import DAY, NOW, Clock, Shop, instant, order, pinned
from tests.conftest import BuildService
from tests.reading import Watch, until
from tests.standins.pinterest_ads import (
    ACCOUNT_ID,
    APP_SECRET,
    CALLS_A_MINUTE,
    CONVERSION_TOKEN,
    REFRESH_TOKEN,
    TOKEN,
    FakePinterestAds,
)
from tests.store_contents import rows
from tracking.clients.pinterest_ads import MAX_DAYS, MAX_IDS, MAX_ROWS, PinterestAds
from tracking.domain.validation import ValidationError
from tracking.receive.pinterest.days import windows
from tracking.receive.pinterest.spend import INTERVAL_SECONDS, RESTATED_DAYS, SpendResult
from tracking.receive.pinterest.sync import PinterestSync, SyncBusy, SyncIncomplete
from tracking.receive.pinterest.sync_session import LEASE_SECONDS, SyncSession
from tracking.service import Service
from tracking.store import ad_accounts

TODAY = date(2026, 11, 20)
YESTERDAY = date(2026, 11, 19)
BEARER_SECRETS = (TOKEN, REFRESH_TOKEN, APP_SECRET)


@pytest.fixture
def ads(clock: Clock) -> Iterator[FakePinterestAds]:
    with FakePinterestAds(clock) as server:
        yield server


@pytest.fixture
def single(build_service: BuildService, sqlite_url: str, ads: FakePinterestAds) -> Service:
    """A service on SQLite that can read the spend, and cannot renew its token."""
    return build_service(sqlite_url, **ads.env)


@pytest.fixture
def renewing(build_service: BuildService, sqlite_url: str, ads: FakePinterestAds) -> Service:
    """The same, with what renews the token."""
    return build_service(sqlite_url, **ads.renewing)


Sync = Callable[..., SpendResult]


@pytest.fixture
def syncs_with(clock: Clock) -> Callable[[Service], Sync]:
    """Reading at once, by a service; pauses pass on the tests' clock."""

    def of(service: Service) -> Sync:
        return lambda since=None: reader_of(service).sync_spend(
            since, lambda s: clock.tick(seconds=s)
        )

    return of


@pytest.fixture
def sync(single: Service, syncs_with: Callable[[Service], Sync]) -> Sync:
    return syncs_with(single)


def reader_of(service: Service) -> PinterestSync:
    assert service.pinterest_sync is not None
    return service.pinterest_sync


def on_record(service: Service) -> dict[tuple[str, str, str], int]:
    return {
        (row["date"], row["campaign_id"], row["currency"]): row["micros"]
        for row in rows(service.store, "spend")
    }


def state_of(service: Service) -> dict[str, Any]:
    (row,) = rows(service.store, "syncs")
    return row


def figure(day: date = YESTERDAY, id: str = "11", currency: str = "USD") -> tuple[str, str, str]:
    return day.isoformat(), id, currency


# --- What is read


def test_spend_is_read_with_the_names_of_its_campaigns(
    build_service: BuildService,
    database_url: str,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    ads.costs("626735565838", YESTERDAY, 12_345_678, name="Summer  mugs\n")
    ads.costs("11", TODAY, 1)
    service = build_service(database_url, **ads.env)

    synced = syncs_with(service)()

    assert (synced.rows, synced.campaigns, synced.micros) == (2, 2, 12_345_679)
    assert on_record(service) == {
        figure(id="626735565838"): 12_345_678,
        figure(TODAY): 1,
    }
    assert {row["campaign"] for row in rows(service.store, "spend")} == {
        "Summer mugs",
        "campaign 11",
    }


@pytest.mark.parametrize(
    ("told", "micros"),
    [
        (b"30000000", 30_000_000),
        (b"30000000.0", 30_000_000),
        (b"3e7", 30_000_000),
        (b"999999999999999", 999_999_999_999_999),
        (b"1e15", 10**15),
        (b"0.5000001", 1),
        (b"null", 0),
    ],
)
def test_a_figure_is_kept_exactly_in_whatever_form_it_is_told(
    single: Service, sync: Sync, ads: FakePinterestAds, told: bytes, micros: int
) -> None:
    ads.costs("11", YESTERDAY, 1)
    row = b'[{"DATE":"2026-11-19","CAMPAIGN_ID":11,"SPEND_IN_MICRO_DOLLAR":%s}]' % told
    ads.meanwhile = only_for(ads, "/campaigns", (200, row, {}))

    sync()

    assert on_record(single) == {figure(): micros}


@pytest.mark.parametrize("told", [b"1000000000000001", b"-1e16", b"1e300"])
def test_a_figure_no_campaign_can_cost_is_not_believed(
    single: Service, sync: Sync, ads: FakePinterestAds, told: bytes
) -> None:
    ads.costs("11", YESTERDAY, 1)
    row = b'[{"DATE":"2026-11-19","CAMPAIGN_ID":11,"SPEND_IN_MICRO_DOLLAR":%s}]' % told
    ads.meanwhile = only_for(ads, "/campaigns", *[(200, row, {})] * 4)

    with pytest.raises(SyncIncomplete, match="no amount"):
        sync()
    assert on_record(single) == {}


def only_for(ads: FakePinterestAds, after: str, *answers: Any) -> Callable[[], None]:
    """Once the last call was to an address that ends so, answer the next ones like this."""

    def prepare() -> None:
        if ads.calls and ads.calls[-1].path.endswith(after):
            ads.troubles.extend(answers)
            ads.meanwhile = lambda: None

    return prepare


def test_spend_is_in_the_currency_of_the_ad_account(
    build_service: BuildService,
    sqlite_url: str,
    clock: Clock,
    syncs_with: Callable[[Service], Sync],
) -> None:
    with FakePinterestAds(clock, currency="JPY") as ads:
        ads.costs("11", YESTERDAY, 1_500_000_000)
        service = build_service(sqlite_url, **ads.env)
        syncs_with(service)()

        (row,) = Shop(assemble(service).test_client()).reads("/spend")["rows"]
        assert (row["spend"], row["currency"]) == ("1500", "JPY")


@pytest.mark.parametrize("currency", ["UNK", "", "dollars"])
def test_without_a_known_currency_nothing_is_stored(
    single: Service, sync: Sync, ads: FakePinterestAds, currency: str
) -> None:
    ads.costs("11", YESTERDAY, 5)
    ads.currency = currency

    with pytest.raises(SyncIncomplete, match="currency"):
        sync()
    assert on_record(single) == {}


def test_campaigns_that_are_paused_or_archived_are_read_as_well(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    for id, status in (("1", "ACTIVE"), ("2", "PAUSED"), ("3", "ARCHIVED")):
        ads.costs(id, YESTERDAY, 7, status=status)

    assert sync().unexplained == 0
    assert {id for _, id, _ in on_record(single)} == {"1", "2", "3"}


@pytest.mark.parametrize("ends_with_null", [True, False])
def test_bookmarks_are_followed_to_the_end(
    single: Service, sync: Sync, ads: FakePinterestAds, ends_with_null: bool
) -> None:
    ads.page_size, ads.ends_with_null = 2, ends_with_null
    for id in range(1, 6):
        ads.costs(str(id), YESTERDAY, id)

    assert sync().campaigns == 5
    assert len(on_record(single)) == 5
    assert len(ads.asked("/campaigns")) == 3


def test_a_list_of_campaigns_that_never_ends_is_given_up(sync: Sync, ads: FakePinterestAds) -> None:
    page: Any = (200, {"items": [], "bookmark": "page-0"}, {})
    ads.meanwhile = only_for(ads, ACCOUNT_ID, page, page)

    with pytest.raises(SyncIncomplete, match="leads back"):
        sync()


def test_many_campaigns_are_asked_for_250_at_a_time(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    for id in range(1, 602):
        ads.costs(str(id), YESTERDAY, id)

    synced = sync(TODAY - timedelta(6))

    assert (synced.campaigns, synced.rows, synced.micros) == (601, 601, 601 * 602 // 2)
    sizes = [len(query["campaign_ids"]) for query in ads.asked("/campaigns/analytics")]
    assert sizes == [250, 250, 101]


def test_an_empty_account_is_read_without_a_fault(single: Service, sync: Sync) -> None:
    assert sync().campaigns == 0
    assert state_of(single)["through"] == "2026-11-20"


def test_what_no_campaign_explains_is_told(sync: Sync, ads: FakePinterestAds) -> None:
    ads.costs("11", YESTERDAY, 5_000_000)
    ads.unlisted[YESTERDAY] = 250_000
    ads.unlisted[TODAY] = 99

    assert sync().unexplained == 250_000


def test_days_that_differ_do_not_make_up_for_one_another(sync: Sync, ads: FakePinterestAds) -> None:
    ads.costs("11", YESTERDAY, 5_000_000)
    ads.unlisted[YESTERDAY] = 250_000
    ads.unlisted[YESTERDAY - timedelta(1)] = -250_000

    assert sync().unexplained == 500_000


# --- Which days


@given(st.integers(0, 400), st.integers(0, 1_000))
def test_windows_cover_every_day_once_and_fit_into_a_call(span: int, campaigns: int) -> None:
    start = TODAY - timedelta(span)

    found = list(windows(start, TODAY, campaigns, MAX_ROWS))

    days = [first + timedelta(n) for first, last in found for n in range((last - first).days + 1)]
    assert days == [start + timedelta(n) for n in range(span + 1)]
    for first, last in found:
        length = (last - first).days + 1
        assert length <= MAX_DAYS
        assert length * min(campaigns, MAX_IDS) <= MAX_ROWS


def test_the_first_reading_goes_back_as_far_as_pinterest_tells(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    ads.costs("11", TODAY - timedelta(89), 3)

    sync()

    assert on_record(single) == {figure(TODAY - timedelta(89)): 3}


def test_the_next_reading_reads_the_last_days_again(
    single: Service, sync: Sync, ads: FakePinterestAds, clock: Clock
) -> None:
    for back in (0, RESTATED_DAYS - 1, RESTATED_DAYS):
        ads.costs("11", TODAY - timedelta(back), 10)
    sync()
    for back in (0, RESTATED_DAYS - 1, RESTATED_DAYS):
        ads.costs("11", TODAY - timedelta(back), 20)

    synced = sync()

    assert synced.start == TODAY - timedelta(RESTATED_DAYS - 1)
    assert [on_record(single)[figure(TODAY - timedelta(n))] for n in (0, 6, 7)] == [20, 20, 10]


def test_after_a_long_pause_the_days_in_between_are_read(
    single: Service, sync: Sync, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", YESTERDAY, 1)
    sync()
    ads.costs("11", TODAY + timedelta(3), 5)
    clock.tick(days=30)

    sync()

    assert on_record(single)[figure(TODAY + timedelta(3))] == 5


@pytest.mark.parametrize("away", [90, 91, 96, 97, 150])
def test_after_a_pause_of_any_length_the_reading_gets_back_in_step(
    single: Service, sync: Sync, clock: Clock, away: int
) -> None:
    sync()
    clock.tick(days=away)

    sync()

    assert state_of(single)["through"] == (TODAY + timedelta(away)).isoformat()
    assert sync().start == TODAY + timedelta(away - RESTATED_DAYS + 1)


@pytest.mark.parametrize(
    ("away", "skipped"),
    [
        (90, []),
        (91, ["2026-11-21 to 2026-11-21"]),
        (150, ["2026-11-21 to 2027-01-19"]),
    ],
)
def test_the_days_that_a_pause_lost_are_told_once(
    sync: Sync,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    away: int,
    skipped: list[str],
) -> None:
    sync()
    clock.tick(days=away)

    sync()
    sync()

    told = [r.getMessage() for r in caplog.records if "import-spend" in r.getMessage()]
    assert [text.split(" of ", 1)[1].split(" was")[0] for text in told] == skipped


def test_days_are_those_of_utc(single: Service, sync: Sync, clock: Clock) -> None:
    clock.tick(hours=11.999)
    assert sync().end == TODAY
    clock.tick(hours=0.002)
    assert sync().end == TODAY + timedelta(1)


@pytest.mark.parametrize("back", [0, 89, 90])
def test_a_day_that_pinterest_still_tells_can_be_asked_for(sync: Sync, back: int) -> None:
    assert sync(TODAY - timedelta(back)).start == TODAY - timedelta(back)


@pytest.mark.parametrize("back", [-1, 91, 10_000])
def test_a_day_that_pinterest_does_not_tell_is_refused(
    sync: Sync, ads: FakePinterestAds, back: int
) -> None:
    with pytest.raises(ValidationError, match="90 days"):
        sync(TODAY - timedelta(back))
    assert ads.calls == []


def test_a_few_days_asked_for_first_do_not_hide_the_others(
    sync: Sync, ads: FakePinterestAds, single: Service
) -> None:
    ads.costs("11", TODAY - timedelta(40), 8)
    sync(TODAY)
    assert on_record(single) == {}

    sync()

    assert on_record(single) == {figure(TODAY - timedelta(40)): 8}


# --- What is restated


def test_a_day_that_pinterest_leaves_out_now_cost_nothing(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    ads.costs("11", YESTERDAY, 5)
    sync()
    ads.costs("11", YESTERDAY, 0)

    sync()

    assert on_record(single) == {figure(): 0}


def test_a_day_that_never_cost_anything_has_no_row(single: Service, sync: Sync) -> None:
    sync()
    assert on_record(single) == {}


def test_reading_again_changes_nothing(single: Service, sync: Sync, ads: FakePinterestAds) -> None:
    for n in range(20):
        ads.costs(str(n % 3 + 1), TODAY - timedelta(n), 100 + n)
    sync()
    before = on_record(single)

    sync()
    sync(TODAY - timedelta(90))

    assert on_record(single) == before


def test_what_was_handed_in_for_other_campaigns_stays(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    shop = Shop(assemble(single).test_client())
    told = {"date": "2026-11-19", "spend": "3.00", "currency": "USD"}
    shop.spends(told | {"campaign_id": "by-hand"}, told | {"campaign_id": "11"})
    ads.costs("11", YESTERDAY - timedelta(1), 1)

    sync()

    assert on_record(single)[figure(id="by-hand")] == 3_000_000
    assert on_record(single)[figure()] == 0


def test_spend_in_another_currency_than_before_is_not_counted_twice(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    ads.costs("11", YESTERDAY, 5)
    sync()
    ads.currency = "EUR"

    sync()

    assert on_record(single) == {figure(): 0, figure(currency="EUR"): 5}


# --- What goes wrong


@pytest.mark.parametrize(
    "trouble",
    [500, 503, "cut", (200, b"<html>", {}), (200, [{"DATE": "19/11/2026"}], {})],
)
def test_trouble_that_passes_costs_nothing(
    single: Service, sync: Sync, ads: FakePinterestAds, trouble: Any
) -> None:
    ads.costs("11", YESTERDAY, 5)
    ads.meanwhile = only_for(ads, "/campaigns", trouble, trouble)

    sync()

    assert on_record(single) == {figure(): 5}


@pytest.mark.parametrize(
    "strange",
    [
        {"DATE": "2025-11-19", "CAMPAIGN_ID": "11"},
        {"DATE": "2026-11-19T00:00:00", "CAMPAIGN_ID": "11"},
        {"DATE": "2026-11-19", "CAMPAIGN_ID": "12"},
        {"DATE": "2026-11-19", "CAMPAIGN_ID": "11", "SPEND_IN_MICRO_DOLLAR": "Infinity"},
        {"DATE": "2026-11-19", "CAMPAIGN_ID": "11", "SPEND_IN_MICRO_DOLLAR": "1e999999"},
    ],
)
def test_an_answer_to_another_question_turns_nothing_into_zeros(
    single: Service, sync: Sync, ads: FakePinterestAds, strange: dict[str, str]
) -> None:
    ads.costs("11", YESTERDAY, 5)
    sync()
    ads.meanwhile = only_for(ads, "/campaigns", *[(200, [strange], {})] * 4)

    with pytest.raises(SyncIncomplete):
        sync()
    assert on_record(single) == {figure(): 5}


def test_what_was_read_before_the_trouble_is_kept_and_the_next_reading_goes_on_from_there(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    for id in range(1, 202):
        ads.costs(str(id), TODAY - timedelta(80), 1)
        ads.costs(str(id), TODAY, 2)
    ads.meanwhile = only_for(ads, f"{ACCOUNT_ID}/analytics", *[503] * 4)

    with pytest.raises(SyncIncomplete, match="HTTP 503") as told:
        sync()
    assert told.value.rows == len(on_record(single)) == 201
    reached = date.fromisoformat(state_of(single)["through"])
    assert TODAY - timedelta(80) <= reached < TODAY

    assert sync().start == reached - timedelta(RESTATED_DAYS - 1)
    assert len(on_record(single)) == 402


def test_a_total_that_is_not_told_stops_nothing(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    ads.costs("11", YESTERDAY, 5)
    ads.meanwhile = only_for(ads, "/campaigns/analytics", 400)

    assert sync().rows == 1
    assert state_of(single)["failure"] == ""


@pytest.mark.parametrize(
    ("headers", "waited"), [({"Retry-After": "7"}, 7), ({"X-RateLimit-Reset": "58"}, 58), ({}, 60)]
)
def test_a_short_wait_that_pinterest_asks_for_is_kept(
    sync: Sync, ads: FakePinterestAds, clock: Clock, headers: dict[str, str], waited: int
) -> None:
    ads.troubles.append((429, {"code": 8, "message": "too many"}, headers))

    sync()

    assert clock.now - NOW == waited


def test_a_long_wait_ends_the_reading_until_then(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    ads.troubles.append((429, {"code": 8, "message": "too many"}, {"X-RateLimit-Reset": "1800"}))

    with pytest.raises(SyncIncomplete, match="HTTP 429: too many"):
        sync()
    assert state_of(single)["next_at"] == NOW + 1_800


def test_readings_together_never_call_more_often_than_pinterest_allows(
    single: Service, clock: Clock
) -> None:
    reader = reader_of(single)
    until = NOW + LEASE_SECONDS
    single.store.commit(lambda conn: ad_accounts.claim(conn, ACCOUNT_ID, "ours", NOW, until))
    times: list[float] = []
    with closing(PinterestAds(reader.access)) as one, closing(PinterestAds(reader.access)) as two:
        sessions = [
            SyncSession(
                single.store, ads, reader.access, "ours", clock, lambda s: clock.tick(seconds=s)
            )
            for ads in (one, two)
        ]
        for n in range(2 * CALLS_A_MINUTE):
            sessions[n % 2].call(lambda: times.append(clock.now))

    assert max(sum(at <= t < at + 60 for t in times) for at in times) <= CALLS_A_MINUTE
    assert times[-1] - NOW < 150


# --- Keys


def test_a_token_that_is_not_accepted_says_what_to_do(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    ads.access_tokens = set()

    with pytest.raises(SyncIncomplete, match="PINTEREST_ADS_TOKEN is not accepted: make a new one"):
        sync()
    assert state_of(single)["next_at"] == NOW + INTERVAL_SECONDS


def test_the_conversion_token_opens_no_spend(
    build_service: BuildService,
    sqlite_url: str,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    service = build_service(sqlite_url, **{**ads.env, "PINTEREST_ADS_TOKEN": CONVERSION_TOKEN})
    with pytest.raises(SyncIncomplete, match="not accepted"):
        syncs_with(service)()


def test_an_account_that_the_token_may_not_read_is_told(
    build_service: BuildService,
    sqlite_url: str,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    service = build_service(sqlite_url, **{**ads.env, "PINTEREST_AD_ACCOUNT_ID": "999"})
    with pytest.raises(SyncIncomplete, match=r"HTTP 403.*ads:read"):
        syncs_with(service)()


def test_a_token_that_ended_is_renewed_in_the_middle(
    renewing: Service, ads: FakePinterestAds, syncs_with: Callable[[Service], Sync]
) -> None:
    ads.costs("11", YESTERDAY, 5)
    ads.meanwhile = lambda: ads.access_tokens.discard(TOKEN) if len(ads.calls) == 2 else None

    syncs_with(renewing)()

    assert (ads.renewals, on_record(renewing)) == (1, {figure(): 5})


def test_a_renewed_token_is_used_again_as_long_as_the_process_lives(
    renewing: Service, ads: FakePinterestAds, syncs_with: Callable[[Service], Sync]
) -> None:
    ads.access_tokens = set()
    sync = syncs_with(renewing)
    sync()
    sync()
    assert ads.renewals == 1


def test_a_refresh_token_alone_will_do(
    build_service: BuildService,
    sqlite_url: str,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    service = build_service(sqlite_url, **{**ads.renewing, "PINTEREST_ADS_TOKEN": ""})
    syncs_with(service)()
    assert ads.renewals == 1


def test_the_next_refresh_token_outlives_the_process(
    build_service: BuildService,
    database_url: str,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    ads.access_tokens = set()
    syncs_with(build_service(database_url, **ads.renewing))()
    ads.access_tokens = set()

    syncs_with(build_service(database_url, **ads.renewing))()

    assert ads.renewals == 2


def test_a_refresh_token_that_was_set_anew_is_tried_at_once(
    build_service: BuildService,
    sqlite_url: str,
    renewing: Service,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    ads.access_tokens = set()
    syncs_with(renewing)()
    ads.access_tokens, ads.refresh_token = set(), "pinr_another_refresh_token"
    with pytest.raises(SyncIncomplete, match="authorize the app again"):
        syncs_with(build_service(sqlite_url, **ads.renewing))()

    env = {**ads.renewing, "PINTEREST_REFRESH_TOKEN": ads.refresh_token}
    syncs_with(build_service(sqlite_url, **env))()

    assert ads.renewals == 2


def test_no_secret_is_told_logged_or_noted(
    renewing: Service,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    ads.access_tokens, ads.refresh_token = set(), "another"

    with pytest.raises(SyncIncomplete) as told:
        syncs_with(renewing)()

    noted = [str(told.value), repr(reader_of(renewing).access), str(rows(renewing.store, "syncs"))]
    for text in (caplog.text, *noted):
        assert not any(secret in text for secret in BEARER_SECRETS)


def test_only_the_refresh_token_is_kept_and_known_by_a_digest(
    renewing: Service, ads: FakePinterestAds, syncs_with: Callable[[Service], Sync]
) -> None:
    ads.access_tokens = set()
    syncs_with(renewing)()

    (kept,) = rows(renewing.store, "tokens")
    assert kept["token"] == ads.refresh_token
    assert len(kept["origin"]) == 64
    assert TOKEN not in str(kept)


# --- One at a time


def test_of_two_processes_one_reads(
    build_service: BuildService,
    database_url: str,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    ads.costs("11", YESTERDAY, 5)
    other = syncs_with(build_service(database_url, **ads.env))
    met: list[type[Exception]] = []

    def meanwhile() -> None:
        ads.meanwhile = lambda: None
        try:
            other()
        except SyncBusy as busy:
            met.append(type(busy))

    ads.meanwhile = meanwhile
    service = build_service(database_url, **ads.env)
    syncs_with(service)()

    assert met == [SyncBusy]
    assert len(ads.asked(f"/{ACCOUNT_ID}")) == 1
    assert state_of(service)["claim"] == ""


def test_a_process_that_died_holds_the_others_up_no_longer_than_its_lease(
    single: Service, sync: Sync, clock: Clock
) -> None:
    until = NOW + LEASE_SECONDS
    single.store.commit(lambda conn: ad_accounts.claim(conn, ACCOUNT_ID, "dead", NOW, until))
    with pytest.raises(SyncBusy):
        sync()

    clock.tick(seconds=LEASE_SECONDS)

    assert sync().end == TODAY


def test_a_reader_whose_lease_went_to_another_writes_nothing(
    single: Service, sync: Sync, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", YESTERDAY, 5)

    def meanwhile() -> None:
        if ads.calls and ads.calls[-1].path.endswith("/campaigns"):
            ads.meanwhile = lambda: None
            now = int(clock.now) + 2 * LEASE_SECONDS
            single.store.commit(
                lambda conn: ad_accounts.claim(conn, ACCOUNT_ID, "other", now, now + 60)
            )

    ads.meanwhile = meanwhile

    with pytest.raises(SyncBusy):
        sync()
    assert on_record(single) == {}
    assert state_of(single)["claim"] == "other"


def test_a_reading_that_is_interrupted_gives_its_lease_back(
    single: Service, ads: FakePinterestAds
) -> None:
    ads.troubles.append(503)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reader_of(single).sync_spend(pause=interrupted)
    assert state_of(single)["leased_until"] == 0


# --- By itself


def test_the_spend_is_read_once_an_hour_by_itself(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    with Watch(reader_of(single)):
        until(lambda: ads.calls != [] and state_of(single)["synced_at"] == NOW)
        clock.tick(seconds=INTERVAL_SECONDS - 1)
        clock.tick(seconds=1)
        until(lambda: state_of(single)["synced_at"] == NOW + INTERVAL_SECONDS)
    assert len(ads.asked(f"/{ACCOUNT_ID}/analytics")) == 2


def test_a_thread_that_was_told_to_stop_does_not_wait_its_pause_out(
    single: Service, ads: FakePinterestAds
) -> None:
    ads.troubles.append((429, {"code": 8, "message": "too many"}, {"Retry-After": "60"}))
    with Watch(reader_of(single)):
        until(lambda: ads.calls != [])
    assert state_of(single)["leased_until"] == 0


def test_after_a_failure_the_thread_tries_again_sooner(
    single: Service, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.troubles.append((429, {"code": 8, "message": "too many"}, {"Retry-After": "900"}))
    with Watch(reader_of(single)):
        until(lambda: ads.calls != [] and state_of(single)["failure"] != "")
        clock.tick(seconds=900)
        until(lambda: state_of(single)["synced_at"] == NOW + 900)
    assert state_of(single)["failure"] == ""


def test_a_clock_that_was_set_back_does_not_stop_the_reading(
    single: Service, sync: Sync, clock: Clock
) -> None:
    sync()
    clock.tick(days=-30)
    with Watch(reader_of(single)):
        until(lambda: state_of(single)["synced_at"] == NOW - 30 * DAY)
    assert sync().end == TODAY - timedelta(30)


def test_the_running_service_reads_the_spend_where_it_can_be_read(
    build_service: BuildService, sqlite_url: str, single: Service, ads: FakePinterestAds
) -> None:
    assert build_service(sqlite_url).pinterest_sync is None
    maintenance = single.maintenance()
    maintenance.start()
    until(lambda: ads.calls != [] and state_of(single)["synced_at"] == NOW)
    maintenance.stop()


# --- What the reports make of it


def test_orders_meet_their_spend_by_campaign_id_and_by_name(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    ads.costs("11", YESTERDAY, 10_000_000, name="Summer")
    ads.costs("22", YESTERDAY, 5_000_000, name="Winter")
    sync()
    shop = Shop(assemble(single).test_client())
    shop.sends("orders/create", order(id=1, landing_site=pinned("11")))
    by_name = "/?utm_source=pinterest&utm_medium=cpc&utm_campaign=winter"
    bob: dict[str, Any] = {"email": "bob@example.com", "contact_email": None}
    bob |= {"customer": {"id": 9_002}, "billing_address": None}
    shop.sends("orders/create", order(id=2, landing_site=by_name, **bob))

    found = shop.reads("/roi-analysis")["campaigns"]

    assert [(c["campaign_id"], c["campaign"], c["spend"], c["roas"]) for c in found] == [
        ("11", "Summer", "10.00", "4.00"),
        ("22", "Winter", "5.00", "8.00"),
    ]


def test_spend_in_another_currency_than_the_orders_gives_no_return(
    build_service: BuildService,
    sqlite_url: str,
    clock: Clock,
    syncs_with: Callable[[Service], Sync],
) -> None:
    with FakePinterestAds(clock, currency="EUR") as ads:
        ads.costs("11", YESTERDAY, 10_000_000)
        service = build_service(sqlite_url, **ads.env)
        syncs_with(service)()
        shop = Shop(assemble(service).test_client())
        shop.sends("orders/create", order(landing_site=pinned("11")))

        found = shop.reads("/roi-analysis")

    assert (found["currency"], found["roas"], found["total_spend"]) == (None, None, None)


def test_by_click_date_the_order_counts_on_the_day_of_the_click_as_pinterest_counts_it(
    single: Service, sync: Sync, ads: FakePinterestAds
) -> None:
    clicked = NOW - 3 * DAY
    ads.costs("11", TODAY - timedelta(3), 10_000_000)
    sync()
    shop = Shop(assemble(single).test_client())
    note = [{"name": "track_ai_timestamp", "value": instant(clicked)}]
    shop.sends("orders/create", order(landing_site=pinned("11"), note_attributes=note))

    def roas(report_by: str, back: int) -> Any:
        day = (TODAY - timedelta(back)).isoformat()
        asked = {"start_date": day, "end_date": day, "report_by": report_by}
        return shop.reads("/roi-analysis", **asked)["roas"]

    assert [roas("click_date", 3), roas("click_date", 0)] == ["4.00", None]
    assert [roas("order_date", 3), roas("order_date", 0)] == ["0.00", None]


def test_a_campaign_that_was_renamed_stays_one_campaign(
    build_service: BuildService,
    database_url: str,
    ads: FakePinterestAds,
    syncs_with: Callable[[Service], Sync],
) -> None:
    service = build_service(database_url, **ads.env)
    ads.costs("11", TODAY - timedelta(20), 10_000_000, name="Winter")
    ads.costs("11", YESTERDAY, 10_000_000)
    syncs_with(service)()
    ads.campaigns["11"].name = "Summer"
    syncs_with(service)()
    shop = Shop(assemble(service).test_client())
    for id, name in ((1, "winter"), (2, "summer")):
        landing = f"/?utm_source=pinterest&utm_medium=cpc&utm_campaign={name}"
        bob = {"email": f"bob-{id}@example.com", "contact_email": None, "customer": None}
        shop.sends("orders/create", order(id=id, landing_site=landing, billing_address=None, **bob))

    (found,) = shop.reads("/roi-analysis")["campaigns"]

    assert (found["campaign_id"], found["campaign"], found["orders"]) == ("11", "Summer", 2)
    assert (found["spend"], found["roas"]) == ("20.00", "4.00")


# --- What the operator types and reads


def types(service: Service, *words: str) -> Any:
    return assemble(service).test_cli_runner().invoke(args=words)


def test_sync_spend_says_what_it_read(single: Service, ads: FakePinterestAds) -> None:
    ads.costs("11", YESTERDAY, 12_345_678)
    result = types(single, "sync-spend", "--days", "2")
    said = "2026-11-19 to 2026-11-20 (UTC days): 1 row of 1 campaign, 12.35 USD\n"
    assert (result.exit_code, result.output) == (0, said)


def test_sync_spend_takes_the_first_day(single: Service, ads: FakePinterestAds) -> None:
    ads.costs("11", YESTERDAY, 1_000_000)
    ads.unlisted[YESTERDAY] = 500_000
    result = types(single, "sync-spend", "--since", "2026-11-01")
    assert result.exit_code == 0
    assert result.stdout.startswith("2026-11-01 to 2026-11-20 (UTC days)")
    assert result.stderr == "the account's own total differs by 0.50 USD\n"


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, "set PINTEREST_AD_ACCOUNT_ID and PINTEREST_ADS_TOKEN"),
        ({"PINTEREST_AD_ACCOUNT_ID": "1"}, "set PINTEREST_ADS_TOKEN"),
        ({"PINTEREST_ADS_TOKEN": "pina"}, "set PINTEREST_AD_ACCOUNT_ID"),
        (
            {"PINTEREST_AD_ACCOUNT_ID": "1", "PINTEREST_REFRESH_TOKEN": "pinr"},
            "set PINTEREST_APP_ID and PINTEREST_APP_SECRET",
        ),
    ],
)
def test_sync_spend_without_its_keys_says_what_is_missing(
    build_service: BuildService, sqlite_url: str, env: dict[str, str], wanted: str
) -> None:
    result = types(build_service(sqlite_url, **env), "sync-spend")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].endswith(wanted)


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"),
        ("--days", "0"),
        ("--days", "91"),
        ("--since", "2026-11-01", "--days", "3"),
    ],
)
def test_sync_spend_refuses_what_it_cannot_read(single: Service, words: tuple[str, ...]) -> None:
    assert types(single, "sync-spend", *words).exit_code == 2


def test_sync_spend_tells_of_trouble_in_one_line(single: Service, ads: FakePinterestAds) -> None:
    ads.access_tokens = set()
    result = types(single, "sync-spend")
    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (1, "")
    assert line.endswith("(0 rows stored before that; run it again to go on)")
    assert TOKEN not in line


def test_sync_spend_beside_another_reader_says_so(single: Service) -> None:
    single.store.commit(lambda conn: ad_accounts.claim(conn, ACCOUNT_ID, "x", NOW, NOW + 60))
    result = types(single, "sync-spend")
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: ad account {ACCOUNT_ID} is being read already\n",
    )


def of_spend(service: Service) -> str:
    lines = types(service, "doctor").output.splitlines()
    return " ".join(next(line for line in lines if line.split()[1] == "spend").split())


def test_the_doctor_tells_of_the_last_reading(
    single: Service, sync: Sync, ads: FakePinterestAds, clock: Clock
) -> None:
    assert of_spend(single).startswith("note spend not read from Pinterest yet")
    sync()
    assert of_spend(single) == (
        "ok spend read at 2026-11-20T12:00:00Z up to 2026-11-20, in USD;"
        " the token ends 30 days after it was made"
    )
    clock.tick(hours=25)
    assert of_spend(single).startswith("FAIL spend read at 2026-11-20T12:00:00Z")
    ads.access_tokens = set()
    with pytest.raises(SyncIncomplete):
        sync()
    assert of_spend(single).startswith("FAIL spend not read from Pinterest to its end: HTTP 401")
