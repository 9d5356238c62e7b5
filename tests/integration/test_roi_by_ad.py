"""Orders belong to the ad and the pin of the link that earned them, and ads have their spend."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from functools import partial
from operator import add
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import NullPool, create_engine, text

from app import assemble
from commands.demo.pinterest_ads import Ad
from tests.actors import DAY, NOW, Clock, Shop, bearer, order, pinned, refund
from tests.conftest import BuildService
from tests.standins.pinterest_ads import ACCOUNT_ID, FakePinterestAds
from tests.store_contents import rows
from tracking.domain.shop_days import ShopDays
from tracking.report.ads import credits_by_ad
from tracking.report.credit_days import credits_by_day
from tracking.report.credit_sums import CreditSpan, credit_sums
from tracking.report.credit_writer import CreditWriter
from tracking.service import Service
from tracking.store import ad_credits, report_progress, touches
from tracking.store.ad_credits import CreditedSpan
from tracking.store.engine.statement import Connection
from tracking.store.touches import CreditRow

TODAY = date(2026, 11, 20)


@pytest.fixture
def ads(clock: Clock) -> Iterator[FakePinterestAds]:
    with FakePinterestAds(clock) as server:
        yield server


def read(service: Service, clock: Clock) -> None:
    assert service.pinterest_sync is not None
    for outcome in service.pinterest_sync.sync_all(lambda s: clock.tick(seconds=s)):
        assert not isinstance(outcome.result, Exception), outcome


def buyer(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "email": f"buyer-{number}@example.com",
        "contact_email": None,
        "customer": {"id": 9_000 + number},
        "billing_address": None,
    }


def lines(shop: Shop, group: str, **parameters: str) -> list[tuple[Any, ...]]:
    report = shop.reads("/roi-analysis", group_by=group, **parameters)
    names = (f"{group}_id", "name", "orders", "revenue", "spend", "roas")
    assert all(tuple(line) == names for line in report[f"{group}s"])
    return [tuple(line.values()) for line in report[f"{group}s"]]


def test_orders_meet_the_spend_of_their_ad_and_of_its_pin(
    build_service: BuildService, database_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", TODAY, 25_000_000)
    ads.promotes("501", TODAY, 10_000_000, name="Blue mug", pin_id="71")
    ads.promotes("502", TODAY, 5_000_000, name="Red mug", pin_id="72")
    service = build_service(database_url, **ads.env)
    read(service, clock)
    shop = Shop(assemble(service).test_client())
    by_ad = pinned("11", utm_ad_id="501", utm_pin_id="71")
    shop.sends("orders/create", order(**buyer(1), landing_site=by_ad))
    shop.sends("orders/create", order(**buyer(2), landing_site=pinned("11", utm_ad_id="502")))
    shop.sends("orders/create", order(**buyer(3), landing_site=pinned("11")))
    shop.sends("orders/create", order(**buyer(4)))
    shop.sends("refunds/create", refund(order_id=1))

    assert lines(shop, "ad") == [
        ("", "(no ad)", 1, "40.00", "10.00", "4.00"),
        ("502", "Red mug", 1, "40.00", "5.00", "8.00"),
        ("501", "Blue mug", 1, "30.00", "10.00", "3.00"),
        ("", "(not attributed)", 1, "40.00", "0.00", None),
    ]
    assert lines(shop, "pin", report_by="click_date") == [
        ("", "(no pin)", 1, "40.00", "10.00", "4.00"),
        ("72", "Red mug", 1, "40.00", "5.00", "8.00"),
        ("71", "Blue mug", 1, "30.00", "10.00", "3.00"),
        ("", "(not attributed)", 1, "40.00", "0.00", None),
    ]
    plain = shop.reads("/roi-analysis")
    assert "ads" not in plain
    assert plain == shop.reads("/roi-analysis", group_by="campaign")


def test_the_report_by_ad_is_a_file_as_well(build_service: BuildService, sqlite_url: str) -> None:
    client = assemble(build_service(sqlite_url)).test_client()
    Shop(client).sends("orders/create", order(landing_site=pinned("11", utm_ad_id="501")))

    found = client.get("/roi-analysis?group_by=ad&format=csv", headers=bearer()).get_data(True)

    (line,) = csv.DictReader(io.StringIO(found))
    assert (line["currency"], line["ad_id"], line["orders"], line["revenue"]) == (
        *("USD", "501"),
        *("1", "40.00"),
    )


def test_credits_of_an_older_release_are_found_by_their_touch(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    shop = Shop(assemble(service).test_client())
    link = pinned("11", utm_ad_id="501", utm_pin_id="71")
    shop.sends("orders/create", order(**buyer(1), landing_site=link))
    shop.sends("orders/create", order(**buyer(2), landing_site=pinned("11", utm_ad_id="502")))
    shop.sends("orders/create", order(**buyer(3)))
    asked = [{"report_by": by} for by in ("order_date", "click_date")]
    before = [[lines(shop, group, **each) for each in asked] for group in ("ad", "pin")]
    assert {line[0] for line in before[0][0]} == {"501", "502", ""}
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("UPDATE credits SET ad_id = NULL, pin_id = NULL"))
    engine.dispose()

    assert [[lines(shop, group, **each) for each in asked] for group in ("ad", "pin")] == before


def test_by_ad_every_credit_counts_once_whatever_the_model_and_the_kind_of_day(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    random, days = Random(7), ShopDays(ZoneInfo("America/New_York"))
    for number in range(60):
        some = [some_credit(random, f"o{number}", n) for n in range(random.choice((1, 2, 3)))]
        put = partial(touches.put_credits, order_id=f"o{number}", rows=some, known_at=None)
        service.store.commit(put)
    assert_as_the_rows(service, days)

    writer = CreditWriter(service.store, days, 30 * DAY)
    finish(writer)
    assert_as_the_rows(service, days)
    for number in range(0, 80, 3):
        known = [row for row in rows(service.store, "credits") if row["order_id"] == f"o{number}"]
        some = [some_credit(random, f"o{number}", n) for n in range(len(known), len(known) + 2)]
        put = partial(
            touches.put_credits,
            order_id=f"o{number}",
            rows=some,
            known_at=known[0]["placed_at"] if known else None,
        )
        service.store.commit(put)
    assert_as_the_rows(service, days)
    finish(writer)
    assert_as_the_rows(service, days)


def test_figures_of_a_release_that_knows_no_ads_are_not_used(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    days = ShopDays(ZoneInfo("UTC"))
    put = partial(touches.put_credits, order_id="1", rows=[some_credit(Random(1), "1", 0)])
    service.store.commit(partial(put, known_at=None))
    finish(CreditWriter(service.store, days, 30 * DAY))

    def last_release(conn: Connection) -> None:
        known = report_progress.of(conn, "credits")
        assert report_progress.advance(conn, "credits", known, known)
        conn.cursor.execute("DELETE FROM ad_days")

    service.store.commit(last_release)
    assert_as_the_rows(service, days)
    finish(CreditWriter(service.store, days, 30 * DAY))
    assert rows(service.store, "ad_days")
    assert_as_the_rows(service, days)


def finish(writer: CreditWriter) -> None:
    while writer.step():
        pass


def assert_as_the_rows(service: Service, days: ShopDays) -> None:
    """By ad the credits are those of the raw rows, and sum to the totals, whatever is asked for."""
    known = service.reports.basis.known_rows
    # The last ones are added up in two parts.
    for back, ahead in ((9, -1), (23, 9), (44, 29)):
        first, last = days.day_of(NOW - back * DAY), days.day_of(NOW + ahead * DAY)
        for by in ("order_date", "click_date"):
            for chosen in (1, 2, 4):
                span = CreditSpan(first, last, chosen, by, 30 * DAY)
                bounds = days.begin(first), days.begin(last + 1)
                raw = CreditedSpan(*bounds, chosen, span.report_by, span.longest_window)
                with service.store.read() as conn:
                    of_all = credit_sums(conn, span, days)
                    found = credits_by_ad(conn, span, days, of_all, known)
                    of_links = ad_credits.sums(conn, raw)
                    by_day = [*credits_by_day(conn, span, days, known)]
                assert totals(found) == totals(of_all)
                if by == "order_date":
                    assert net_by_currency(by_day) == net_by_currency(of_all)
                assert by_link(row for row in found if row.is_pinterest) == by_link(of_links)


def net_by_currency(sums: Iterable[Any]) -> Counter[tuple[str, bool, str]]:
    """The shares and the revenue of each currency, of Pinterest's credits and of the others."""
    found: Counter[tuple[str, bool, str]] = Counter()
    for row in sums:
        for name in ("share", "net"):
            key = (row.currency, bool(row.is_pinterest), name)
            found[key] += int(getattr(row, name))
    return +found


def by_link(sums: Iterable[Any]) -> dict[tuple[Any, ...], Counter[str]]:
    """The sums of each currency, ad and pin that are not nothing."""
    found: dict[tuple[Any, ...], Counter[str]] = {}
    for row in sums:
        counts = found.setdefault((row.currency, row.ad_id, row.pin_id), Counter())
        for name in ("share", "gross", "net", "cancellations"):
            counts[name] += int(getattr(row, name))
    return {key: counts for key, counts in found.items() if any(counts.values())}


def some_credit(random: Random, order_id: str, n: int) -> CreditRow:
    placed_at = int(NOW) - random.randrange(10 * DAY)
    ad_id, pin_id = random.choice(((None, None), ("", ""), ("501", ""), ("501", "71")))
    return CreditRow(
        placed_at=placed_at,
        order_id=order_id,
        n=n,
        mask=random.randrange(8),
        credited_at=placed_at - random.randrange(20 * DAY),
        currency=random.choice(("USD", "EUR")),
        touch_key=random.choice(("", "a touch")),
        is_pinterest=random.choice((0, 1, 1)),
        campaign_id="11",
        campaign="",
        share=random.randrange(1_000_000),
        gross=random.randrange(100_00),
        net=random.randrange(100_00),
        cancellations=random.randrange(2),
        ad_id=ad_id,
        pin_id=pin_id,
    )


def totals(sums: Iterable[Any]) -> dict[tuple[str, int], tuple[int, ...]]:
    """The sums of each currency, of Pinterest's credits and of the others."""
    found: dict[tuple[str, int], tuple[int, ...]] = {}
    for row in sums:
        key = row.currency, row.is_pinterest
        told = (row.share, row.gross, row.net, row.cancellations)
        found[key] = tuple(map(add, found.get(key, (0, 0, 0, 0)), map(int, told)))
    return found


def test_an_unknown_group_is_refused_by_name(build_service: BuildService, sqlite_url: str) -> None:
    client = assemble(build_service(sqlite_url)).test_client()
    refused = client.get("/roi-analysis?group_by=keyword", headers=bearer())
    assert refused.status_code == 400
    assert refused.get_json()["errors"][0]["field"] == "group_by"


# --- Reading the ads


def test_ads_are_listed_and_asked_for_250_at_a_time_and_archived_ones_as_well(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    for number in range(1, 302):
        ads.promotes(str(number), TODAY, number, status="ARCHIVED" if number % 2 else "PAUSED")
    service = build_service(sqlite_url, **ads.env)

    read(service, clock)

    assert {len(query["ad_ids"]) for query in ads.asked("/ads/analytics")} == {250, 51}
    assert len(rows(service.store, "pinterest_ads")) == 301
    assert sum(row["micros"] for row in rows(service.store, "ad_spend")) == sum(range(302))


def test_ads_take_new_names_and_spend_that_is_restated(
    build_service: BuildService, database_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.promotes("501", TODAY, 10, name=None)
    ads.promotes("502", TODAY, 10)
    service = build_service(database_url, **ads.env)
    read(service, clock)
    ads.ads["501"] = Ad("Blue\nmug", "11", "71", spend={TODAY: 0})
    del ads.ads["502"]

    read(service, clock)

    found = {
        row["ad_id"]: (row["name"], row["pin_id"]) for row in rows(service.store, "pinterest_ads")
    }
    assert found == {"501": ("Blue mug", "71"), "502": ("ad 502", "9502")}
    spend = {row["ad_id"]: row["micros"] for row in rows(service.store, "ad_spend")}
    assert spend == {"501": 0, "502": 10}


def test_ads_that_may_not_be_read_stop_no_other_figures(
    build_service: BuildService, sqlite_url: str, ads: FakePinterestAds, clock: Clock
) -> None:
    ads.costs("11", TODAY, 5)
    ads.counts("11", NOW - DAY, 40_000_000)
    ads.closed = {f"{ACCOUNT_ID}/ads"}
    service = build_service(sqlite_url, **ads.env)
    assert service.pinterest_sync is not None

    outcomes = service.pinterest_sync.sync_all(lambda s: clock.tick(seconds=s))

    assert [o.kind for o in outcomes if isinstance(o.result, Exception)] == ["ads"]
    assert len(rows(service.store, "pinterest_figures")) == 2
