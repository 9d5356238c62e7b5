"""The figures that the rules judge are those of what really happened."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app import assemble
from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    Clock,
    Shop,
    Storefront,
    deliver,
    instant,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.standins.pinterest_ads import FakePinterestAds
from tests.store_contents import rows
from tracking.domain.match_quality import WHOLE
from tracking.operate.alerts.rules import (
    Deadlines,
    EventShare,
    Overlap,
    PixelSilence,
    ReadingAge,
    ShareChange,
    TokenTime,
    WaitingTime,
    WebhookSilence,
)
from tracking.receive.pinterest.sync import SyncIncomplete
from tracking.service import Service
from tracking.store import arrivals, match_verdicts, pinterest_readings
from tracking.store.match_verdicts import ComponentRow, LookbackVerdicts
from tracking.store.pinterest_readings import ReadingRow

WEEK = 7 * DAY


@pytest.fixture
def ads(clock: Clock) -> Iterator[FakePinterestAds]:
    with FakePinterestAds(clock) as server:
        yield server


def figures(service: Service, rule: str) -> Any:
    """The figures of a rule, now."""
    return service.alerts.figures[rule](int(service.clock()))


def sells(service: Service, count: int, first: int = 1) -> None:
    """Orders come in, one webhook each."""
    shop = Shop(assemble(service).test_client())
    for number in range(first, first + count):
        assert shop.sends("orders/create", order(id=number)).status_code == 200
    service.arrivals.write()


def test_silence_is_compared_with_the_same_stretch_of_the_weeks_before(
    service: Service, clock: Clock
) -> None:
    assert figures(service, "no_webhooks") is None
    clock.now = NOW - 4 * WEEK + HOUR
    for number in range(4):
        sells(service, number, first=10 * number)
        clock.tick(days=7)
    clock.now = NOW
    sells(service, 1, first=99)

    clock.tick(hours=2)

    assert figures(service, "no_webhooks") == WebhookSilence(2 * HOUR, (3, 2, 1, 0))


def test_what_a_release_before_this_one_stored_counts_too(service: Service, clock: Clock) -> None:
    clock.now = NOW - WEEK
    sells(service, 3)
    service.store.commit(lambda conn: conn.cursor.execute("DELETE FROM arrivals"))
    clock.now = NOW - HOUR
    sells(service, 1, first=9)
    clock.now = NOW

    before = WebhookSilence(HOUR, (0, 0, 0, 0))
    assert figures(service, "no_webhooks") == before
    clock.tick(days=7)
    assert figures(service, "no_webhooks").seconds == WEEK + HOUR
    clock.now = NOW - HOUR - 60
    (last,) = {row["last_at"] for row in rows(service.store, "arrivals") if row["slot"] > NOW - DAY}
    assert last == NOW - HOUR
    with service.store.read() as conn:
        assert arrivals.between(conn, "webhook", NOW - WEEK - HOUR, NOW - WEEK + HOUR) == 3


def test_counts_are_forgotten_after_five_weeks(service: Service, clock: Clock) -> None:
    sells(service, 1)
    clock.tick(days=36)
    sells(service, 1, first=2)

    assert [row["slot"] for row in rows(service.store, "arrivals")] == [NOW + 36 * DAY]


def test_the_silence_of_the_pixel_is_that_of_its_calls(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    without = build_service(sqlite_url, pinterest=pinterest)
    service = build_service(sqlite_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY)
    storefront = Storefront(service, pinterest, clock)
    for number in range(3):
        storefront.sees("page_viewed", f"visitor-{number}0000000")
    service.arrivals.write()
    clock.tick(days=1)

    assert figures(service, "no_pixel_events") == PixelSilence(DAY, 3)
    assert figures(without, "no_pixel_events") is None


def test_what_waits_what_is_refused_and_what_is_lost(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    sells(service, 4)
    clock.tick(hours=1)
    assert figures(service, "late_events") == WaitingTime(4, HOUR)
    assert figures(service, "low_accuracy") == EventShare(0, 0)
    assert figures(service, "dead_letters") == 0

    pinterest.mode, pinterest.poisoned = "partial", frozenset({"checkout-1"})
    deliver(service)

    assert figures(service, "late_events") == WaitingTime(0, 0)
    assert figures(service, "low_accuracy") == EventShare(3, 4)
    assert figures(service, "dead_letters") == 1
    change = ShareChange(EventShare(1, 4), EventShare(0, 0))
    assert figures(service, "more_rejects") == change
    clock.tick(hours=3)
    assert figures(service, "more_rejects") == ShareChange(change.before, change.now)


def test_the_shares_since_yesterday_are_compared_with_those_of_the_two_weeks_before(
    service: Service, clock: Clock
) -> None:
    epik = "dj0yJnU9b2JwcTV2cjl5VjN1"
    shop = Shop(assemble(service).test_client())
    for number, (days, page, email) in enumerate(
        [
            (16, pinned(epik=epik), "ada@example.com"),
            (15, pinned(epik=epik), "ada@example.com"),
            (2, "/", "carl@example.com"),
            (1, "/", "bob@example.com"),
            (0, pinned(epik=epik), None),
        ]
    ):
        clock.now = NOW - days * DAY
        placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(clock.now))
        buyer = {"email": email, "contact_email": email, "customer": None, "billing_address": None}
        shop.sends("orders/create", order(id=number, landing_site=page, **placed, **buyer))
        assert deliver(service) == 1

    clicks = ShareChange(EventShare(1, 2), EventShare(1, 2))
    assert figures(service, "fewer_click_ids") == clicks
    assert figures(service, "fewer_emails") == ShareChange(EventShare(1, 2), EventShare(2, 2))


def test_the_overlap_is_that_of_purchases_that_should_share_their_id(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    env = {"COLLECTOR_KEY": COLLECTOR_KEY, "PINTEREST_SEND": "all"}
    service = build_service(database_url, pinterest=pinterest, PINTEREST_APP="beside", **env)
    front = Storefront(service, pinterest, clock)
    front.checks_out("visitor-10000000", ago=0)
    front.sells(id=1, checkout_token=CHECKOUT_TOKEN)
    front.sells(id=2, checkout_token="another-checkout-0123456789")
    front.sells(id=3, source_name="pos")
    clock.tick(seconds=180)
    assert len(front.sent()) == 3

    assert figures(service, "low_overlap") == Overlap(None, EventShare(1, 2))
    alone = build_service(database_url, pinterest=pinterest, **env)
    assert figures(alone, "low_overlap") is None

    # Pinterest itself says, for each lookback, how much came from the tag as well.
    sources = (("CONVERSIONS_API", 650_000), ("TAG", None))
    for lookback, more in (("14d", 100_000), ("1d", 0)):
        told = [
            ComponentRow(
                lookback,
                "WEB",
                source,
                "checkout",
                "external_event_id",
                WHOLE,
                None if overlap is None else overlap + more,
                "[]",
            )
            for source, overlap in sources
        ]
        newest = [LookbackVerdicts(lookback, [], told)]
        service.store.commit(partial(match_verdicts.put, newest=newest))
    known = EventShare(650_000, WHOLE)
    assert figures(service, "low_overlap") == Overlap(known, EventShare(1, 2))
    assert figures(alone, "low_overlap") == Overlap(known, None)


def test_a_token_that_pinterest_refuses_is_noticed_until_it_takes_one(
    service: Service, pinterest: FakePinterest, clock: Clock
) -> None:
    sells(service, 1)
    pinterest.mode = "unauthorized"
    deliver(service)
    assert figures(service, "token_refused") == ("pinterest",)

    pinterest.mode = "ok"
    clock.tick(hours=1)
    deliver(service)

    assert figures(service, "token_refused") == ()


def test_the_token_for_spend_is_noticed_when_it_is_refused_and_before_it_ends(
    build_service: BuildService, database_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    service = build_service(database_url, **ads.env)
    assert figures(service, "token_ends") == TokenTime(30 * DAY, "PINTEREST_ADS_TOKEN")
    clock.tick(days=25)
    assert figures(service, "token_ends") == TokenTime(5 * DAY, "PINTEREST_ADS_TOKEN")

    ads.access_tokens.clear()
    assert service.pinterest_sync is not None
    with pytest.raises(SyncIncomplete):
        service.pinterest_sync.sync_spend(pause=lambda seconds: clock.tick(seconds=seconds))

    assert figures(service, "token_refused") == ("Pinterest's Ads API",)
    assert figures(service, "stale_spend") is None


def test_a_token_that_renews_itself_ends_sixty_days_after_it_was_renewed(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    service = build_service(sqlite_url, **ads.renewing)
    assert figures(service, "token_ends") is None
    ads.access_tokens.clear()
    assert service.pinterest_sync is not None
    service.pinterest_sync.sync_spend(pause=lambda seconds: clock.tick(seconds=seconds))
    clock.tick(days=2)

    assert figures(service, "token_ends").setting == "PINTEREST_REFRESH_TOKEN"
    assert 57 * DAY < figures(service, "token_ends").seconds <= 58 * DAY
    assert 2 * DAY <= figures(service, "stale_spend").seconds < 2 * DAY + 60


def test_pinterests_figures_are_as_old_as_the_oldest_kind(
    build_service: BuildService, database_url: str, ads: FakePinterestAds
) -> None:
    service = build_service(database_url, **ads.env)
    assert figures(service, "stale_figures") is None
    account = service.settings.pinterest_ad_account_id
    for kind, read_at in (
        ("conversions", NOW - DAY),
        ("clicks", NOW - HOUR),
        ("new", 0),
        ("quality", 1),
    ):
        row = ReadingRow(account, kind, read_at=read_at)
        service.store.commit(partial(pinterest_readings.put, row=row))

    assert figures(service, "stale_figures") == ReadingAge(DAY)


def test_a_request_for_data_is_due_thirty_days_after_it_came(
    service: Service, clock: Clock
) -> None:
    sells(service, 1)
    asked = {
        "shop_id": 1,
        "shop_domain": "kiln.myshopify.com",
        "orders_requested": [1],
        "customer": {"id": 9001, "email": "ada@example.com"},
        "data_request": {"id": 9999},
    }
    assert figures(service, "privacy_due") == Deadlines(0, 0)
    shop = Shop(assemble(service).test_client())
    assert shop.sends("customers/data_request", asked).status_code == 200
    clock.tick(days=24)

    assert figures(service, "privacy_due") == Deadlines(1, 6 * DAY)


def test_the_disk_is_that_of_the_database(build_service: BuildService, sqlite_url: str) -> None:
    service = build_service(sqlite_url, FREE_SPACE_FLOOR_MB="300")
    free = shutil.disk_usage(Path(sqlite_url.removeprefix("sqlite:///")).parent).free

    found = figures(service, "low_disk")

    assert found.floor == 300_000_000
    assert abs(found.free - free) < 1_000_000_000
