"""The overview: figures against those before, by day and beside Pinterest's, set-up, alerts."""

import re
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from html import unescape
from typing import Any

import pytest

from app import assemble
from tests.actors import COLLECTOR_KEY, HOUR, NOW, Shop, deliver, instant, order, pinned
from tests.conftest import BuildService
from tests.dashboard import Owner, cells_in
from tests.servers import ROOT
from tests.standins.pinterest import FakePinterest
from tracking.report.earnings import step_of
from tracking.report.parameters import Days
from tracking.service import Service
from tracking.store import alerts, pinterest_figures, pinterest_readings, signs_of_life
from tracking.store.alerts import AlertRow
from tracking.store.pinterest_figures import PinterestFigures
from tracking.store.pinterest_readings import ReadingRow

DAY = 86_400
TODAY = instant(NOW)[:10]
HOSTILE = '"><script>alert(1)</script>'


ENV = {
    "PINTEREST_SEND": "all",
    "PINTEREST_ADS_TOKEN": "pina_ads",
    "COLLECTOR_KEY": COLLECTOR_KEY,
}


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service that reads spend, and whose pixel is on."""
    return build_service(sqlite_url, pinterest, **ENV)


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


@pytest.fixture
def owner(shop: Shop) -> Owner:
    return Owner(shop.client)


def sell(shop: Shop, id: int, days_ago: int = 0, **changes: Any) -> None:
    """Sell something to somebody who clicked a pin."""
    at = instant(NOW - days_ago * DAY - 60)
    placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
    shop.sends("orders/create", order(id=id, landing_site=pinned(), **placed, **changes))


def spend(shop: Shop, days_ago: int, amount: str) -> None:
    day = instant(NOW - days_ago * DAY)[:10]
    row = {"date": day, "campaign_id": "626735565838", "campaign": HOSTILE, "currency": "USD"}
    assert shop.spends({**row, "spend": amount}).status_code == 200


def tiles_in(page: str) -> dict[str, tuple[str, str]]:
    """The figures of a page by their titles, with the word below."""
    found = re.findall(
        r"<dt>(.*?)</dt>\s*<dd[^>]*>(.*?)</dd>\s*<dd[^>]*>(.*?)</dd>", page, re.DOTALL
    )
    return {
        title: (re.sub(r"<.*?>", "", value), re.sub(r"<.*?>", "", note))
        for title, value, note in found
    }


def test_the_figures_are_those_of_the_report_against_the_days_before(
    build_service: BuildService, database_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(database_url, pinterest, **ENV)
    shop = Shop(assemble(service).test_client())
    owner = Owner(shop.client)
    for id, days_ago in ((1, 0), (2, 3), (3, 31)):
        sell(shop, id, days_ago)
    somebody_else = {"email": "bob@example.com", "contact_email": None, "customer": {"id": 9_002}}
    shop.sends("orders/create", order(id=4, billing_address={}, **somebody_else))
    service.figures.finish()
    spend(shop, 2, "20.00")
    spend(shop, 40, "40.00")

    tiles = tiles_in(owner.page("/dashboard"))
    assert tiles["Revenue from Pinterest"] == ("80.00 USD", "\N{UPWARDS ARROW} 100%")
    assert tiles["Spend"] == ("20.00 USD", "\N{DOWNWARDS ARROW} 50%")
    assert tiles["ROAS"][0] == shop.reads("/roi-analysis")["roas"] == "4.00"
    assert tiles["Orders from Pinterest"] == ("2", "\N{UPWARDS ARROW} 100%")
    assert tiles["Cost per order"][0] == "10.00 USD"
    assert tiles["Orders in all"][0] == "3 in the shop"
    (campaign,) = (each for each in shop.reads("/roi-analysis")["campaigns"] if each["campaign_id"])
    assert tiles["Orders of new customers"][0] == str(campaign["new_orders"])


@pytest.mark.parametrize(
    "span",
    [("2000-01-01", "2000-01-01"), ("2000-01-02", "2000-01-03"), ("2000-01-01", "2200-12-31")],
)
def test_days_that_none_can_lie_before_are_shown_as_well(
    owner: Owner, span: tuple[str, str]
) -> None:
    start, end = span
    assert owner.page("/dashboard", start_date=start, end_date=end)


def test_a_customer_of_whom_nothing_is_known_is_not_taken_for_an_old_one(
    shop: Shop, owner: Owner
) -> None:
    sell(shop, 1)

    assert tiles_in(owner.page("/dashboard"))["Orders of new customers"] == (
        "\N{EN DASH}",
        "1 not known",
    )


def test_several_currencies_stand_side_by_side(shop: Shop, owner: Owner) -> None:
    sell(shop, 1)
    sell(shop, 2, currency="EUR")

    page = owner.page("/dashboard")
    assert re.findall(r"In (EUR|USD)</h2>", page) == ["EUR", "USD"]
    assert "Values of several currencies" in page


@pytest.mark.parametrize("start_date", ["2026-11-01", "2026-07-01"])
@pytest.mark.parametrize("are_summed", [False, True])
def test_the_days_add_up_to_the_figures(
    service: Service, shop: Shop, owner: Owner, start_date: str, are_summed: bool
) -> None:
    for id in range(1, 6):
        if id == 4 and are_summed:
            # What comes behind is not in the sums by day yet.
            service.figures.finish()
        sell(shop, id, days_ago=3 * id)
    spend(shop, 1, "12.34")
    spend(shop, 8, "5.66")

    days = {"start_date": start_date, "end_date": TODAY}
    rows = owner.table("/dashboard", "by-day-USD", **days)
    report = shop.reads("/roi-analysis", **days)
    assert sum(Decimal(row["revenue"]) for row in rows) == Decimal("200.00")
    assert sum(Decimal(row["spend"]) for row in rows) == Decimal(report["total_spend"])
    assert rows[0]["date"] == start_date


@pytest.mark.parametrize(("count", "step"), [(1, 1), (92, 1), (93, 7), (644, 7), (645, 28)])
def test_many_days_are_shown_by_weeks(count: int, step: int) -> None:
    first = date(2026, 1, 1)
    assert step_of(Days(first, first + timedelta(days=count - 1), 0, 0)) == step


def test_pinterests_figure_is_led_back_to_ours(
    service: Service, shop: Shop, owner: Owner, pinterest: FakePinterest
) -> None:
    sell(shop, 1)
    says = PinterestFigures(
        *(TODAY, "626735565838", "order_date", "USD", HOSTILE),
        *(3, 120_000_000, 2, 80_000_000, 1, 40_000_000, 3, 0, 30, 1, NOW),
        account=pinterest.account_id,
    )
    reading = ReadingRow(pinterest.account_id, "conversions", through=TODAY, read_at=NOW)
    service.store.commit(lambda conn: pinterest_figures.put(conn, [says]))
    service.store.commit(lambda conn: pinterest_readings.put(conn, reading))

    page = owner.page("/dashboard")
    assert cells_in(page, "sides") == [
        ["Orders", "3", "1", "1"],
        ["Value in USD", "120.00", "40.00", "40.00"],
    ]
    rows = cells_in(page, "difference")
    assert (rows[0][:2], rows[-1][:2]) == (["We credit to Pinterest", "1"], ["Pinterest says", "3"])
    assert '<a href="/dashboard/orders/1">#1001</a>' in page
    parts = [Decimal(row[1].replace(",", "")) for row in rows[1:-1]]
    assert 1 + sum(parts) == 3


def test_the_comparison_as_csv_has_figures_that_a_program_can_read(
    service: Service, shop: Shop, owner: Owner, pinterest: FakePinterest
) -> None:
    for id in (1, 2):
        sell(shop, id, subtotal_price="1200.00", total_price="1200.00")
    says = PinterestFigures(
        *(TODAY, "626735565838", "order_date", "USD", "autumn"),
        *(3, 3_600_000_000, 2, 2_400_000_000, 1, 1_200_000_000, 3, 0, 30, 1, NOW),
        account=pinterest.account_id,
    )
    reading = ReadingRow(pinterest.account_id, "conversions", through=TODAY, read_at=NOW)
    service.store.commit(lambda conn: pinterest_figures.put(conn, [says]))
    service.store.commit(lambda conn: pinterest_readings.put(conn, reading))

    _, value = owner.table("/dashboard", "sides")
    parts = owner.table("/dashboard", "difference")

    assert (value["pinterest"], value["sold"]) == ("3600.00", "2400.00")
    views = next(part for part in parts if part["part"].startswith("Views"))
    assert (views["orders"], views["value"]) == ("1", "1200.00")
    assert ["+1", "+1,200.00 USD"] in [
        row[1:3] for row in cells_in(owner.page("/dashboard"), "difference")
    ]


def test_a_single_day_has_figures_instead_of_a_line(shop: Shop, owner: Owner) -> None:
    sell(shop, 1)

    page = owner.page("/dashboard", start_date=TODAY, end_date=TODAY)

    assert '<div class="plot"' not in page
    assert re.search(r"<details open>\s*<summary>The figures of", page)
    assert '<div class="plot"' in owner.page("/dashboard")


def test_changes_against_one_day_name_it_once(shop: Shop, owner: Owner) -> None:
    sell(shop, 1)

    page = owner.page("/dashboard", start_date=TODAY, end_date=TODAY)

    assert f"Changes are against {instant(NOW - DAY)[:10]}." in page


def test_a_longer_span_than_can_be_compared_says_so(owner: Owner) -> None:
    page = owner.page("/dashboard", start_date="2024-01-01", end_date=TODAY)

    assert "Choose at most 366 days." in page


# --- Set-up


def steps_in(page: str) -> dict[str, str]:
    """The steps of the set-up list, and whether each is done."""
    found = re.findall(r"<li class=\"(done|open)\">.*?<strong>(.*?)</strong>", page, re.DOTALL)
    return {title: state for state, title in found}


def test_a_new_shop_sees_what_is_to_be_done(owner: Owner) -> None:
    page = owner.page("/dashboard")

    assert {state for title, state in steps_in(page).items() if title != "Webhook secret"} == {
        "open"
    }
    assert "No orders and no spend in these days." in page


def test_the_links_of_the_set_up_are_those_of_the_docs(owner: Owner) -> None:
    shown = re.search(r"<textarea[^>]*>([^<]*)</textarea>", owner.page("/dashboard"))

    assert shown is not None
    for page in ("README.md", "docs/install.md"):
        assert unescape(shown[1]) in (ROOT / page).read_text("utf-8").splitlines(), page


def test_a_step_is_done_once_it_was_seen(service: Service, shop: Shop, owner: Owner) -> None:
    event = {"id": "sh-0001-0001", "name": "page_viewed", "timestamp": instant(NOW)}
    event |= {"name": "product_viewed", "clientId": "visitor-number-1"}
    product = {"product": {"id": "1"}, "price": {"amount": 20, "currencyCode": "USD"}}
    call = {
        "key": COLLECTOR_KEY,
        "visitor": "visitor-number-1",
        "events": [{**event, "data": {"productVariant": product}}],
    }
    assert shop.client.post("/collect", json=call).status_code == 202
    sell(shop, 1)
    deliver(service)

    steps = steps_in(owner.page("/dashboard"))
    assert steps["First order from Shopify"] == "done"
    assert steps["Pixel in the shop"] == "done"
    assert steps["First event accepted by Pinterest"] == "done"
    assert steps["Webhooks of every kind"] == steps["Spend from Pinterest"] == "open"


def test_a_shop_that_pinterest_takes_nothing_of_for_a_while_is_not_new(
    service: Service, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs_of_life, "NEWEST", 3)
    sell(shop, 1)
    deliver(service)
    for id in range(2, 9):
        sell(shop, id)

    steps = steps_in(Owner(shop.client).page("/dashboard"))
    assert steps["First event accepted by Pinterest"] == "done"


def test_a_test_event_is_shown_to_pinterest_by_a_button(
    owner: Owner, pinterest: FakePinterest
) -> None:
    before = len(pinterest.calls)
    said = owner.posts("/dashboard/test-event").get_data(as_text=True)

    assert "Pinterest took the test event" in said
    assert len(pinterest.calls) == before + 1
    assert pinterest.events == {}


@pytest.mark.parametrize("mode", ["html", "empty", "unauthorized"])
def test_what_is_no_yes_of_pinterests_is_not_taken_for_one(
    owner: Owner, pinterest: FakePinterest, mode: str
) -> None:
    pinterest.mode = mode
    said = owner.posts("/dashboard/test-event").get_data(as_text=True)
    assert "Pinterest refused the test event" in said


def test_without_credentials_no_test_event_is_shown(
    build_service: BuildService, sqlite_url: str
) -> None:
    owner = Owner(assemble(build_service(sqlite_url)).test_client())

    assert "test-event" not in owner.page("/dashboard")
    assert "was not asked" in owner.posts("/dashboard/test-event").get_data(as_text=True)


# --- Alerts and delivery


def test_what_is_wrong_stands_first(service: Service, owner: Owner) -> None:
    assert 'id="alerts"' not in owner.page("/dashboard")
    standing = AlertRow("dead_letters", 1, NOW, stands=1, since=NOW, words=HOSTILE)
    service.store.commit(lambda conn: alerts.put_state(conn, standing, NOW))

    page = owner.page("/dashboard")
    assert page.index('id="alerts"') < page.index('id="setup"')
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_what_was_wrong_in_the_days_is_told_once_it_is_over(service: Service, owner: Owner) -> None:
    stood = AlertRow("late_events", 0, NOW - HOUR, stands=1, since=NOW - 4 * HOUR, words="Late.")
    back = AlertRow("low_disk", 1, NOW, since=NOW - 4 * HOUR, words="Nearly full.")
    for row in (stood, stood._replace(stands=0), back):
        service.store.commit(partial(alerts.put_state, row=row, now=NOW))

    told = cells_in(owner.page("/dashboard"), "ended-alerts")
    assert told == [["Events wait for long", "2026-11-20 08:00", "2026-11-20 11:00", "3 hours"]]
    earlier = owner.page("/dashboard", start_date="2026-11-01", end_date="2026-11-19")
    assert "ended-alerts" not in earlier


@pytest.mark.parametrize(
    ("name", "page"),
    [("dead_letters", "delivery"), ("fewer_emails", "match-quality"), ("low_disk", "health")],
)
def test_an_alert_leads_to_the_page_that_shows_what_it_is_about(
    service: Service, owner: Owner, name: str, page: str
) -> None:
    standing = AlertRow(name, 1, NOW, stands=1, since=NOW, words="Something is wrong.")
    service.store.commit(lambda conn: alerts.put_state(conn, standing, NOW))

    (alert,) = re.findall(r'<ul class="alerts">(.*?)</ul>', owner.page("/dashboard"), re.S)
    assert f'<a href="/dashboard/{page}' in alert


def test_the_state_of_delivery_leads_to_its_page(shop: Shop, owner: Owner) -> None:
    sell(shop, 1)

    page = owner.page("/dashboard")
    assert tiles_in(page)["Waiting to be sent"][0] == "1 event"
    assert 'href="/dashboard/delivery?start_date=' in page
