"""The orders of the dashboard, and the page that says of one why it was credited and sent."""

import re

import pytest

from api.dashboard.formats import NOTHING
from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    Clock,
    Storefront,
    deliver,
    instant,
    notes,
    pinned,
)
from tests.conftest import BuildService
from tests.dashboard import Owner, cells_in
from tests.standins.pinterest import FakePinterest
from tracking.domain.conversion import REASONS

HOSTILE = '<script>alert("1")</script> مبيعات'
MINE = {"start_date": "2026-11-01", "end_date": "2026-11-20"}


@pytest.fixture
def storefront(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> Storefront:
    service = build_service(
        database_url,
        pinterest,
        COLLECTOR_KEY=COLLECTOR_KEY,
        SHOPIFY_STORE_URL="mugs.myshopify.com",
    )
    return Storefront(service, pinterest, clock)


@pytest.fixture
def owner(storefront: Storefront) -> Owner:
    return Owner(storefront.client)


def sell(storefront: Storefront, number: int, **changes: object) -> None:
    """Sell an order, the later the larger its number, of a browser of its own."""
    at = instant(NOW - DAY + number * HOUR)
    placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
    about = {"id": 6000 + number, "name": f"#{1000 + number}"}
    email = dict.fromkeys(("email", "contact_email"), f"n{number}@example.com")
    buyer = {"customer": {"id": 900 + number}, "billing_address": {"country_code": "US"}}
    storefront.sells(**{**placed, **about, **email, **buyer, **changes})


def sell_three(storefront: Storefront) -> None:
    """Sell one order by a pin that is sent, one by nobody, and one whose buyer refused."""
    sell(storefront, 1, landing_site=pinned("11", utm_campaign="autumn"))
    sell(storefront, 2)
    sell(storefront, 3, landing_site=pinned("22"), note_attributes=notes(pin_consent="no"))
    deliver(storefront.service)


def names(page: str) -> list[str]:
    return [row[0] for row in cells_in(page, "orders")]


def test_the_newest_order_stands_first_with_its_credit_and_its_fate(
    storefront: Storefront, owner: Owner
) -> None:
    sell_three(storefront)

    rows = cells_in(owner.page("/dashboard/orders", **MINE), "orders")

    assert [(row[0], row[3], row[4], row[5]) for row in rows] == [
        ("#1003", "40.00 USD", "22", REASONS["consent_refused"]),
        ("#1002", "40.00 USD", NOTHING, REASONS["not_attributed"]),
        ("#1001", "40.00 USD", "autumn", "Sent"),
    ]


@pytest.mark.parametrize("text", ["#1002", "1002", "6002", " 1002 "])
def test_an_order_is_found_by_its_number_or_id_whatever_the_days(
    storefront: Storefront, owner: Owner, text: str
) -> None:
    sell_three(storefront)
    days = {"start_date": "2026-01-01", "end_date": "2026-01-02"}

    page = owner.page("/dashboard/orders", **days, q=text)

    assert names(page) == ["#1002"]
    assert "whenever they were placed" in page


@pytest.mark.parametrize("text", ["11", "autumn"])
def test_orders_are_found_by_the_campaign_that_earned_them(
    storefront: Storefront, owner: Owner, text: str
) -> None:
    sell_three(storefront)

    assert names(owner.page("/dashboard/orders", **MINE, q=text)) == ["#1001"]


@pytest.mark.parametrize(
    ("fate", "found"),
    [
        ("sent", ["#1001"]),
        ("not_sent", ["#1003", "#1002"]),
        ("consent_refused", ["#1003"]),
        ("waiting", []),
    ],
)
def test_orders_are_filtered_by_what_became_of_them(
    storefront: Storefront, owner: Owner, fate: str, found: list[str]
) -> None:
    sell_three(storefront)

    assert names(owner.page("/dashboard/orders", **MINE, fate=fate)) == found


def test_older_orders_are_on_the_pages_behind(storefront: Storefront) -> None:
    # Some are placed in one second: none may be left out or come twice between two pages.
    for number in range(120):
        at = instant(NOW - DAY + number // 40)
        placed = dict.fromkeys(("created_at", "processed_at", "updated_at"), at)
        sell(storefront, number, **placed)
    orders = storefront.service.order_list

    pages = [orders.page(**MINE)]
    while pages[-1]["next"]:
        pages.append(orders.page(**MINE, after=pages[-1]["next"]))

    found = [order["name"] for page in pages for order in page["orders"]]
    assert [len(page["orders"]) for page in pages] == [50, 50, 20]
    assert found == [f"#{1000 + number}" for number in reversed(range(120))]


@pytest.mark.parametrize("query", [{"fate": "gone"}, {"after": "yesterday"}, {"page": "2"}])
def test_a_wrong_parameter_of_the_list_is_named(owner: Owner, query: dict[str, str]) -> None:
    answer = owner.gets("/dashboard/orders", **MINE, **query)

    assert answer.status_code == 400
    assert next(iter(query)) in answer.get_data(as_text=True)


def test_a_search_that_finds_nothing_says_so_and_shows_the_words_as_text(owner: Owner) -> None:
    page = owner.page("/dashboard/orders", **MINE, q=HOSTILE)

    assert "No order or campaign is called so." in page
    assert "<script>alert" not in page


def test_the_page_of_an_order_says_why_in_the_words_of_its_journey(
    storefront: Storefront, owner: Owner
) -> None:
    storefront.sees("page_viewed", "visitor-0001", 3 * HOUR, page=pinned("11", utm_campaign="mugs"))
    storefront.sells(note_attributes=notes(pin_vid="visitor-0001"))
    deliver(storefront.service)
    journey = storefront.journey()

    page = owner.page("/dashboard/orders/5001")

    assert journey["why"] in page
    touches = cells_in(page, "touches")
    assert [row[7] for row in touches] == ["credited", "not Pinterest's"]
    assert touches[0][1:4] == ["3 hours", "Pinterest click", "mugs"]
    credited = {row[0]: row[1:] for row in cells_in(page, "credits")}
    assert credited["Last touch (chosen)"] == ["mugs", "100%", "40.00 USD"]
    assert [row[1:3] for row in cells_in(page, "attempts")] == [["Pinterest", "sent"]]
    assert 'href="https://admin.shopify.com/store/mugs/orders/5001"' in page


def test_what_of_the_buyer_could_not_be_used_is_named_in_words(
    storefront: Storefront, owner: Owner
) -> None:
    storefront.sells(phone="12", billing_address={"zip": "SW1A 1AA", "country_code": "GB"})
    assert sorted(storefront.journey()["unusable_fields"]) == ["ph", "zp"]

    page = owner.page("/dashboard/orders/5001")

    told = re.search(r"<dt>Left out as unusable</dt><dd[^>]*>([^<]*)</dd>", page)
    assert told is not None
    assert sorted(told[1].split(", ")) == ["phone number", "postal code"]


def test_an_attempt_that_pinterest_refused_is_called_so(
    storefront: Storefront, owner: Owner, pinterest: FakePinterest
) -> None:
    pinterest.mode, pinterest.poisoned = "partial", frozenset({"checkout-5001"})
    storefront.sells(landing_site=pinned("11"))
    deliver(storefront.service)

    (attempt,) = cells_in(owner.page("/dashboard/orders/5001"), "attempts")

    assert attempt[1:3] == ["Pinterest", "refused"]


def test_the_page_of_an_order_that_waits_for_a_late_click_says_until_when(
    storefront: Storefront, owner: Owner, clock: Clock
) -> None:
    storefront.sells(landing_site="/", note_attributes=notes(pin_vid="visitor-0001"))
    assert storefront.journey()["held_until"] == "2026-11-20T13:00:00Z"

    page = owner.page("/dashboard/orders/5001")

    told = re.search(r"<dt>May still be sent until</dt><dd[^>]*>([^<]*)</dd>", page)
    assert told is not None
    assert told[1] == "2026-11-20 13:00"
    clock.tick(hours=2)
    assert "May still be sent until" not in owner.page("/dashboard/orders/5001")


def test_a_click_that_is_told_again_is_called_the_same_visit(
    storefront: Storefront, owner: Owner
) -> None:
    page = pinned("11", epik="dj0yJnU9ZVRL")
    for ago in (5 * HOUR, 2 * HOUR):
        storefront.sees("page_viewed", "visitor-0001", ago, page=page)
    storefront.sells(note_attributes=notes(pin_vid="visitor-0001"))

    touches = cells_in(owner.page("/dashboard/orders/5001"), "touches")

    verdicts = [row[7] for row in touches]
    assert verdicts == ["credited", "the same visit again", "not Pinterest's"]


def test_the_event_on_the_page_has_digests_alone(storefront: Storefront, owner: Owner) -> None:
    storefront.sells(landing_site=pinned("11"))
    deliver(storefront.service)

    page = owner.page("/dashboard/orders/5001")

    assert "checkout-5001" in page
    assert "ada@example.com" not in page
    assert "203.0.113.7" not in page


def test_names_in_an_order_are_shown_as_text(storefront: Storefront, owner: Owner) -> None:
    storefront.sells(name=HOSTILE, landing_site=pinned("11"))

    for address in ("/dashboard/orders", "/dashboard/orders/5001"):
        assert "<script>alert" not in owner.page(address)


def test_an_id_that_no_database_can_hold_is_an_error_of_the_caller(owner: Owner) -> None:
    for answer in (
        owner.gets("/dashboard/orders/5001%00"),
        owner.posts("/dashboard/delivery/replay", event_id="checkout-5001\x00"),
    ):
        assert answer.status_code == 400
        assert "holds a control character" in answer.get_data(as_text=True)


def test_an_order_that_nobody_told_is_not_found(owner: Owner) -> None:
    assert owner.gets("/dashboard/orders/99").status_code == 404
