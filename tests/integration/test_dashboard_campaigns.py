"""The campaigns of the dashboard: figures as the API has them, sorted, filtered, and one by one."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from api.dashboard.formats import NOTHING
from app import assemble
from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    NOW,
    Clock,
    Shop,
    Storefront,
    instant,
    notes,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.dashboard import Owner, cells_in, csv_links_in
from tests.standins.pinterest import FakePinterest
from tracking.domain.attribution import MODELS
from tracking.report.what_if import WhatIf
from tracking.service import Service
from tracking.store import ad_spend
from tracking.store.ad_spend import AdRow, AdSpendRow

HOSTILE = '"><script>alert(1)</script> //.. مبيعات'
MINE = {"start_date": "2026-11-01", "end_date": "2026-11-20"}
PAGE = "/dashboard/campaigns"


@pytest.fixture
def service(
    request: pytest.FixtureRequest, build_service: BuildService, pinterest: FakePinterest
) -> Service:
    """A shop's service: on each database where a test asks for both, else on SQLite."""
    is_on_both = "database_url" in request.fixturenames
    url = request.getfixturevalue("database_url" if is_on_both else "sqlite_url")
    return build_service(url, pinterest)


on_both = pytest.mark.usefixtures("database_url")


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


@pytest.fixture
def owner(shop: Shop) -> Owner:
    return Owner(shop.client)


def sell(shop: Shop, id: int, landing_site: str, days_ago: int = 1, **changes: Any) -> None:
    at = instant(NOW - days_ago * DAY)
    placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
    buyer = {
        "email": f"n{id}@example.com",
        "contact_email": None,
        "customer": {"id": id},
        "billing_address": None,
    }
    body = order(id=id, landing_site=landing_site, **{**placed, **buyer, **changes})
    shop.sends("orders/create", body)


def spend(shop: Shop, campaign_id: str, amount: str, name: str = "", days_ago: int = 1) -> None:
    day = instant(NOW - days_ago * DAY)[:10]
    row = {"date": day, "campaign_id": campaign_id, "campaign": name, "currency": "USD"}
    assert shop.spends({**row, "spend": amount}).status_code == 200


def sell_of_three_campaigns(shop: Shop) -> None:
    """Sell by three campaigns and by nobody, in two currencies, with spend."""
    sell(shop, 1, pinned("11", utm_campaign="autumn"), 1)
    sell(shop, 2, pinned("11", utm_campaign="autumn"), 9)
    sell(shop, 3, pinned("22", utm_campaign="Spring"), 3)
    sell(shop, 4, pinned("22", utm_campaign="Spring"), 3, currency="EUR")
    sell(shop, 5, "/", 2)
    spend(shop, "11", "20.00", "autumn")
    spend(shop, "22", "5.00", "Spring")
    spend(shop, "33", "7.50", "never clicked")


def lines_of(report: Any) -> list[tuple[str, ...]]:
    """The lines of an ROI report as the table shows them, currency after currency."""
    return [
        (line["campaign"], str(line["orders"]), _money(line["revenue"], each["currency"]))
        for each in report["currencies"]
        for line in each["campaigns"]
    ]


def _money(amount: str, currency: str) -> str:
    return f"{Decimal(amount):,} {currency}"


WEIGHED = "weigh the spend against what Pinterest earned, not against the other orders."


def shown_in(page: str) -> list[tuple[str, ...]]:
    rows = cells_in(page, "campaigns")
    return [(row[0], row[2], row[4]) for row in rows if row[0] != "All orders"]


def test_the_line_of_all_orders_is_explained_where_it_is_shown(shop: Shop, owner: Owner) -> None:
    assert WEIGHED not in owner.page(PAGE, **MINE)

    sell_of_three_campaigns(shop)

    assert WEIGHED in owner.page(PAGE, **MINE)


@on_both
@pytest.mark.parametrize("is_summed", [False, True], ids=["by SQL", "by day"])
def test_campaigns_are_those_of_the_report_in_each_currency(
    service: Service, shop: Shop, owner: Owner, is_summed: bool
) -> None:
    sell_of_three_campaigns(shop)
    if is_summed:
        service.figures.finish()
        sell(shop, 6, pinned("22", utm_campaign="Spring"), 4)

    page = owner.page(PAGE, **MINE)
    report = shop.reads("/roi-analysis", **MINE)

    assert shown_in(page) == lines_of(report)
    totals = [row for row in cells_in(page, "campaigns") if row[0] == "All orders"]
    assert [(row[2], row[4], row[5]) for row in totals] == [
        (
            str(each["orders"]),
            _money(each["total_revenue"], each["currency"]),
            _money(each["total_spend"], each["currency"]),
        )
        for each in report["currencies"]
    ]


@pytest.mark.parametrize("model", MODELS)
def test_each_model_can_be_picked_and_either_day_and_scope(
    shop: Shop, owner: Owner, model: str
) -> None:
    sell_of_three_campaigns(shop)
    picked = {"model": model, "report_by": "click_date", "scope": "all", **MINE}

    assert shown_in(owner.page(PAGE, **picked)) == lines_of(shop.reads("/roi-analysis", **picked))


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("revenue", ["autumn", "Spring", "never clicked"]),
        ("-revenue", ["never clicked", "Spring", "autumn"]),
        ("spend", ["autumn", "never clicked", "Spring"]),
        # Without an order there is no ROAS: it comes last either way.
        ("cpa", ["autumn", "Spring", "never clicked"]),
        ("-cpa", ["Spring", "autumn", "never clicked"]),
        ("campaign", ["autumn", "never clicked", "Spring"]),
        ("-campaign", ["Spring", "never clicked", "autumn"]),
        ("-campaign_id", ["never clicked", "Spring", "autumn"]),
    ],
)
def test_the_table_sorts_and_what_is_not_attributed_stays_last(
    shop: Shop, owner: Owner, sort: str, first: list[str]
) -> None:
    sell_of_three_campaigns(shop)

    rows = cells_in(owner.page(PAGE, **MINE, sort=sort), "campaigns")

    in_dollars = [row[0] for row in rows if "USD" in row[4]]
    assert in_dollars == [*first, "(not attributed)", "All orders"]


def test_a_title_sorts_by_its_column_and_once_more_the_other_way(owner: Owner, shop: Shop) -> None:
    sell_of_three_campaigns(shop)
    page = owner.page(PAGE, **MINE, model="linear")

    assert re.search(r'aria-sort="descending"><a class="sort" href="[^"]*sort=-revenue', page)
    assert re.search(r'<a class="sort" href="[^"]*sort=campaign&amp;model=linear', page)
    page = owner.page(PAGE, **MINE, sort="-revenue")
    assert re.search(r'aria-sort="ascending"><a class="sort" href="[^"]*sort=revenue', page)


def test_a_filter_finds_campaigns_by_a_part_of_name_or_id(shop: Shop, owner: Owner) -> None:
    sell_of_three_campaigns(shop)

    for text in ("SPRI", "22"):
        assert {row[0] for row in shown_in(owner.page(PAGE, **MINE, q=text))} == {"Spring"}
    assert "No campaign is called so." in owner.page(PAGE, **MINE, q="winter")


def test_the_csv_has_the_rows_of_the_table(shop: Shop, owner: Owner) -> None:
    sell_of_three_campaigns(shop)

    rows = owner.table(PAGE, "campaigns", **MINE, sort="spend")
    page = owner.page(PAGE, **MINE, sort="spend")

    assert [row["title"] for row in rows] == [row[0] for row in cells_in(page, "campaigns")]
    report = shop.reads("/roi-analysis", **MINE)
    for each in report["currencies"]:
        of_currency = [row for row in rows if row["currency"] == each["currency"]]
        for line in each["campaigns"]:
            (row,) = [r for r in of_currency if r["title"] == line["campaign"]]
            assert (row["revenue"], row["spend"]) == (line["revenue"], line["spend"])
            assert (row["roas"] or None, row["cpa"] or None) == (line["roas"], line["cpa"])


@pytest.mark.parametrize("query", [{"sort": "size"}, {"model": "best"}, {"scope": "none"}])
def test_a_wrong_parameter_is_named(owner: Owner, query: dict[str, str]) -> None:
    answer = owner.gets(PAGE, **MINE, **query)

    assert answer.status_code == 400
    assert next(iter(query)) in answer.get_data(as_text=True)


def test_a_campaign_leads_to_its_page_with_days_and_pickers(shop: Shop, owner: Owner) -> None:
    sell_of_three_campaigns(shop)

    page = owner.page(PAGE, **MINE, model="linear")

    link = f"{PAGE}/11?start_date=2026-11-01&amp;end_date=2026-11-20&amp;model=linear"
    assert f'<a href="{link}">autumn</a>' in page


@on_both
@pytest.mark.parametrize("is_summed", [False, True], ids=["by SQL", "by day"])
def test_the_days_of_a_campaign_sum_to_its_line(
    service: Service, shop: Shop, owner: Owner, is_summed: bool
) -> None:
    sell_of_three_campaigns(shop)
    if is_summed:
        service.figures.finish()
        sell(shop, 6, pinned("11", utm_campaign="autumn"), 4)
    (line,) = [
        line
        for line in shop.reads("/roi-analysis", **MINE)["currencies"][1]["campaigns"]
        if line["campaign_id"] == "11"
    ]

    rows = owner.table(f"{PAGE}/11", "by-day-USD", **MINE)

    for name in ("revenue", "spend"):
        assert sum(Decimal(row[name]) for row in rows) == Decimal(line[name])
    by_day = {row["date"]: row["revenue"] for row in rows}
    assert (by_day["2026-11-19"], by_day["2026-11-11"]) == ("40.00", "40.00")
    assert len(rows) == 20


@on_both
def test_the_ads_and_pins_of_a_campaign_sum_to_its_line(
    service: Service, shop: Shop, owner: Owner
) -> None:
    link = {"utm_campaign": "autumn", "utm_ad_id": "7001", "utm_pin_id": "9001"}
    sell(shop, 1, pinned("11", **link))
    sell(shop, 2, pinned("11", utm_campaign="autumn"))
    sell(shop, 3, pinned("22", **{**link, "utm_ad_id": "7002"}))
    spend(shop, "11", "20.00", "autumn")
    ad = AdRow("7001", "an ad", "11", "9001", NOW)
    cost = AdSpendRow("2026-11-19", "7001", "USD", 12_000_000, NOW)
    service.store.commit(lambda conn: ad_spend.put_ads(conn, [ad]))
    service.store.commit(lambda conn: ad_spend.put(conn, [cost]))

    page = owner.page(f"{PAGE}/11", **MINE)

    assert [row[:5] for row in cells_in(page, "ads")] == [
        ["(no ad)", NOTHING, "1", "40.00 USD", "8.00 USD"],
        ["an ad", "7001", "1", "40.00 USD", "12.00 USD"],
    ]
    assert [row[:4] for row in cells_in(page, "pins")] == [
        ["(no pin)", NOTHING, "1", "40.00 USD"],
        ["an ad", "9001", "1", "40.00 USD"],
    ]


@on_both
def test_a_campaigns_newest_orders_lead_to_why(shop: Shop, owner: Owner) -> None:
    sell(shop, 6001, pinned("11", utm_campaign="autumn"), 3, name="#1")
    # This link tells the campaign's name alone.
    sell(shop, 6002, "/?utm_source=pinterest&utm_campaign=autumn", 2, name="#2")
    sell(shop, 6003, pinned("22"), 1, name="#3")

    page = owner.page(f"{PAGE}/11", **MINE)

    assert [row[0] for row in cells_in(page, "orders")] == ["#2", "#1"]
    assert 'href="/dashboard/orders/6002"' in page


@pytest.mark.parametrize("name", [HOSTILE, "..", "by-name", "a/b?c=d&e#f", "//x"])
def test_whatever_a_campaign_is_called_its_page_opens(shop: Shop, owner: Owner, name: str) -> None:
    sell(shop, 1, f"/?utm_source=pinterest&utm_campaign={quote(name, safe='')}")

    page = owner.page(PAGE, **MINE)
    (link,) = re.findall(rf'<th scope="row"><bdi><a href="({PAGE}/[^"]+)"', page)
    its = owner.page(link.replace("&amp;", "&"))

    assert "<script>alert" not in page + its
    assert name in {row[0] for row in cells_in(page, "campaigns")}
    assert [row[3] for row in cells_in(its, "orders")] == ["40.00 USD"]


def test_a_campaign_without_figures_in_these_days_has_a_page(owner: Owner) -> None:
    page = owner.page(f"{PAGE}/11", **MINE)

    assert "No orders and no spend in these days." in page
    assert set(csv_links_in(page)) == set()


# --- What if the windows were others


def sell_after_a_week(storefront: Storefront, clock: Clock) -> None:
    """Sell to somebody who clicked a pin eight days before, and to one who did just now."""
    storefront.service.figures.finish()
    clock.tick(days=-8)
    storefront.sees("page_viewed", "visitor-0001", ago=60, page=pinned("11", utm_campaign="autumn"))
    clock.tick(days=8)
    sell(storefront.shop, 1, "/", 0, note_attributes=notes(pin_vid="visitor-0001"))
    sell(storefront.shop, 2, pinned("22", utm_campaign="Spring"), 0)


@pytest.fixture
def storefront(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    """A shop with a pixel that counts clicks for a week, and views for a day."""
    service = build_service(
        sqlite_url, pinterest, COLLECTOR_KEY=COLLECTOR_KEY, CLICK_WINDOW_DAYS="7"
    )
    return Storefront(service, pinterest, clock)


def test_other_windows_stand_beside_the_real_figures(storefront: Storefront, clock: Clock) -> None:
    sell_after_a_week(storefront, clock)
    owner = Owner(storefront.client)
    before = storefront.shop.reads("/roi-analysis", **MINE)

    page = owner.page(PAGE, **MINE, click_days="9", sort="what_if_revenue")

    assert "nothing is changed or sent by these windows" in page
    assert "The credits of 2 orders were computed again." in page
    assert [row[:5] for row in cells_in(page, "campaigns")] == [
        ["Spring", "1", "1", "40.00 USD", "40.00 USD"],
        ["autumn", "0", "1", "0.00 USD", "40.00 USD"],
        ["(not attributed)", "1", "0", "40.00 USD", "0.00 USD"],
        ["All orders", "2", "2", "80.00 USD", "80.00 USD"],
    ]
    assert storefront.shop.reads("/roi-analysis", **MINE) == before
    rows = owner.table(PAGE, "campaigns", **MINE, click_days="9", sort="what_if_revenue")
    assert [row["what_if_revenue"] for row in rows] == ["40.00", "40.00", "0.00", "80.00"]


def test_without_clicks_nothing_is_credited_to_them(storefront: Storefront, clock: Clock) -> None:
    sell_after_a_week(storefront, clock)

    page = Owner(storefront.client).page(PAGE, **MINE, click_days="0", view_hours="0")

    assert [row[:5] for row in cells_in(page, "campaigns")][:2] == [
        ["Spring", "1", "0", "40.00 USD", "0.00 USD"],
        ["(not attributed)", "1", "2", "40.00 USD", "80.00 USD"],
    ]


def test_the_windows_of_the_service_are_no_what_if(storefront: Storefront, clock: Clock) -> None:
    sell_after_a_week(storefront, clock)

    page = Owner(storefront.client).page(PAGE, **MINE, click_days="7", view_hours="24")

    assert "nothing is changed or sent" not in page
    assert 'max="90" value="7"' in page


def test_for_more_orders_than_can_be_computed_fewer_days_are_asked_for(
    storefront: Storefront, clock: Clock
) -> None:
    sell_after_a_week(storefront, clock)
    service = storefront.service
    of_one = WhatIf(service.reports.basis, most_orders=1)
    owner = Owner(assemble(replace(service, what_if=of_one)).test_client())

    page = owner.page(PAGE, **MINE, click_days="9")

    assert "More than 1 orders would be computed again. Choose fewer days." in page
    assert [row[2] for row in cells_in(page, "campaigns")] == ["1", "1", "2"]


@pytest.mark.parametrize(("name", "value"), [("click_days", "91"), ("view_hours", "-1")])
def test_a_window_outside_of_its_slider_is_refused(owner: Owner, name: str, value: str) -> None:
    answer = owner.gets(PAGE, **MINE, **{name: value})

    assert answer.status_code == 400
    assert name in answer.get_data(as_text=True)
