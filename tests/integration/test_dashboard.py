"""The dashboard's frame: days in the address, figures as the API has them, hostile names, CSV.

Each page has a test of its own kind in here or beside it: log in as `Owner`, open the page, and
hold what stands there (`cells_in`) and its CSV (`Owner.table`) against the API.
"""

import gzip
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from api.dashboard.pages import PAGES
from api.dashboard.static_files import static_address
from app import assemble
from tests.actors import COLLECTOR_KEY, Clock, Storefront, pinned
from tests.conftest import BuildService
from tests.dashboard import Owner, cells_in, csv_links_in, form_token_in
from tests.standins.pinterest import FakePinterest

DAYS = {"start_date": "2026-07-01", "end_date": "2026-07-31"}
HOSTILE = '<script>alert("1")</script> \' onload=x & مبيعات =1'

MUG = {"productVariant": {"product": {"id": "1"}, "price": {"amount": 20, "currencyCode": "USD"}}}


@pytest.fixture
def storefront(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    """A shop with a pixel, and a time zone of its own."""
    service = build_service(
        sqlite_url, pinterest, COLLECTOR_KEY=COLLECTOR_KEY, SHOP_TIMEZONE="Asia/Tokyo"
    )
    return Storefront(service, pinterest, clock)


@pytest.fixture
def owner(storefront: Storefront) -> Owner:
    """The owner of that shop."""
    return Owner(storefront.client)


def test_the_days_of_a_page_get_into_its_address(owner: Owner) -> None:
    answer = owner.client.get("/dashboard/funnel?traffic=all")

    assert answer.status_code == 303
    assert re.fullmatch(
        r"/dashboard/funnel\?start_date=\d{4}-\d\d-\d\d&end_date=\d{4}-\d\d-\d\d&traffic=all",
        answer.location,
    )


def test_the_days_stay_from_page_to_page(owner: Owner) -> None:
    page = owner.page("/dashboard/funnel", **DAYS)

    assert 'href="/dashboard?start_date=2026-07-01&amp;end_date=2026-07-31"' in page
    assert '<input type="date" name="start_date" value="2026-07-01" required>' in page


def test_a_shop_without_visitors_is_told_where_they_come_from(owner: Owner) -> None:
    page = owner.page("/dashboard/funnel", **DAYS)

    assert "of the visitors bought something" not in page
    assert "No visitors in these days." in page


def test_of_purchases_without_visits_no_share_of_the_visitors_is_told(
    storefront: Storefront, owner: Owner
) -> None:
    storefront.sells(landing_site=pinned("11"))

    page = owner.page("/dashboard/funnel")

    assert "of the visitors bought something" not in page
    assert "Of these days purchases alone are known." in page


def test_a_wrong_day_is_named_once(owner: Owner) -> None:
    answer = owner.client.get("/dashboard/funnel?start_date=soon&end_date=2026-07-31")

    assert answer.get_data(as_text=True).count("not a date") == 1


def test_the_picker_keeps_what_was_chosen_besides(owner: Owner) -> None:
    page = owner.page("/dashboard/funnel", **DAYS, traffic="all")

    assert '<input type="hidden" name="traffic" value="all">' in page
    choices = re.findall(r'<a href="([^"]*)"[^>]*>7 days</a>', page)
    assert choices
    assert "traffic=all" in choices[0]


def test_a_page_tells_as_of_when_its_figures_are_in_the_shops_time(
    owner: Owner, clock: Clock
) -> None:
    page = owner.page("/dashboard/funnel")

    assert re.search(r"As of <time>\d{4}-\d\d-\d\d \d\d:\d\d</time>", page)
    assert "Asia/Tokyo" in page


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(
            ("start_date=soon", "start_date"),
            ("start_date=2026-08-01&end_date=2026-07-01", "after"),
        ),
        *(("traffic=x&start_date=2026-07-01&end_date=2026-07-31", "traffic"), ("x=1", "x")),
        *(("campaign=%00", "campaign"), ("format=xml", "format")),
        ("start_date=2026-07-01&end_date=2026-07-31&format=csv&table=x", "table"),
    ],
)
def test_a_wrong_parameter_is_named_on_a_page(owner: Owner, query: str, field: str) -> None:
    answer = owner.gets(f"/dashboard/funnel?{query}")

    assert (answer.status_code, answer.mimetype) == (400, "text/html")
    assert field in answer.get_data(as_text=True)


def test_a_database_that_does_not_answer_is_told_on_a_page(
    build_service: BuildService, tmp_path: Path
) -> None:
    service = build_service(f"sqlite:///{tmp_path}/missing/tracking.db")
    answer = Owner(assemble(service).test_client()).gets("/dashboard/funnel")

    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert answer.headers["Retry-After"] == "10"


def test_an_address_that_is_none_is_told_on_a_page(owner: Owner) -> None:
    answer = owner.gets("/dashboard/nowhere/at/all")

    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "There is no such page." in answer.get_data(as_text=True)


def test_the_address_with_a_slash_leads_to_the_dashboard(owner: Owner) -> None:
    assert owner.gets("/dashboard/").status_code == 200


@pytest.mark.parametrize("page", [page for page in PAGES if "<" not in page.rule])
def test_every_page_opens_in_an_empty_shop(owner: Owner, page: Any) -> None:
    html = owner.page(f"/dashboard{page.rule}")

    assert f"<title>{page.title} · " in html
    assert f'aria-current="page">{page.title}</a>' in html


# --- The funnel


def sell(storefront: Storefront) -> None:
    """Have three people come by pins of two campaigns, of whom one buys."""
    for number, campaign in enumerate(("11", "11", "22")):
        page = pinned(campaign, utm_campaign=quote(HOSTILE))
        storefront.sees("product_viewed", f"visitor-number-{number}", ago=60, page=page, data=MUG)
    storefront.sells(landing_site=pinned("22"), id=6001)


def test_the_funnel_is_that_of_the_api(storefront: Storefront, owner: Owner) -> None:
    sell(storefront)
    report = storefront.shop.reads("/conversion-funnel")
    page = owner.page("/dashboard/funnel")

    shown = cells_in(page, "stages")
    assert [(row[2], row[4]) for row in shown] == [
        (str(stage["visitors"]), str(stage["events"])) for stage in report["stages"]
    ]
    assert f"<strong>{report['conversion_rate']}</strong>" in page
    assert len(cells_in(page, "campaigns")) == len(report["by_campaign"])


def test_a_table_has_a_csv_with_the_same_figures(storefront: Storefront, owner: Owner) -> None:
    sell(storefront)
    page = owner.page("/dashboard/funnel", traffic="all")

    assert set(csv_links_in(page)) == {"stages", "campaigns"}
    rows = owner.table("/dashboard/funnel", "campaigns", traffic="all")
    shown = cells_in(page, "campaigns")
    assert [row[2:6] for row in shown] == [list(row.values())[2:6] for row in rows]


def test_a_name_that_somebody_made_up_is_shown_as_text(
    storefront: Storefront, owner: Owner
) -> None:
    sell(storefront)
    page = owner.page("/dashboard/funnel")

    assert "<script>alert" not in page
    assert HOSTILE in {row[0] for row in cells_in(page, "campaigns")}
    # Its letters that run from right to left must not turn the figures beside it.
    assert '<th scope="row"><bdi>' in page


def test_a_campaign_is_chosen_by_its_name(storefront: Storefront, owner: Owner) -> None:
    sell(storefront)
    page = owner.page("/dashboard/funnel", campaign="22")

    assert [row[1] for row in cells_in(page, "campaigns")] == ["22"]


# --- Files


def test_a_file_may_be_kept_for_ever_and_comes_compressed(owner: Owner) -> None:
    address = static_address("dashboard.css")
    plain = owner.client.get(address)
    packed = owner.client.get(address, headers={"Accept-Encoding": "gzip, br"})

    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.get_data()) == plain.get_data()


def test_a_file_of_another_release_is_sent_but_not_kept(owner: Owner) -> None:
    answer = owner.client.get("/dashboard/static/0123456789ab/dashboard.css")

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "name", ["nothing.css", "uPlot.LICENSE", "../routes.py", "..%2froutes.py", "%00"]
)
def test_no_other_file_is_sent(owner: Owner, name: str) -> None:
    assert owner.client.get(f"/dashboard/static/0123456789ab/{name}").status_code == 404


def test_every_file_that_a_page_names_is_there(owner: Owner) -> None:
    page = owner.page("/dashboard/funnel")
    named = set(re.findall(r'"(/dashboard/static/[^"]+)"', page))

    assert len(named) > 2
    for address in named:
        assert owner.client.get(address).headers["Cache-Control"].endswith("immutable"), address


def test_a_page_comes_compressed_and_its_form_token_is_no_other_pages(owner: Owner) -> None:
    path = owner.client.get("/dashboard/funnel").location
    pages = [owner.client.get(path, headers={"Accept-Encoding": "gzip"}) for _ in range(2)]

    assert [page.headers["Content-Encoding"] for page in pages] == ["gzip"] * 2
    tokens = {form_token_in(gzip.decompress(page.get_data()).decode()) for page in pages}
    assert len(tokens) == 2
    assert owner.client.post("/dashboard/logout", data={"form_token": tokens.pop()}).location
