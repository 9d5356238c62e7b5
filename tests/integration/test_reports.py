"""The numbers a shop reads: exact, in its own days and currencies, and for its owner alone."""

import csv
import io
import json
import shutil
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app import PUBLIC, assemble
from tests.actors import (
    DAY,
    HOUR,
    NOW,
    Clock,
    Shop,
    bearer,
    deliver,
    instant,
    notes,
    order,
    pinned,
    refund,
)
from tests.conftest import BuildService
from tests.openapi import is_page
from tests.standins.pinterest import FakePinterest
from tracking.domain.attribution import MODELS, SCOPES
from tracking.domain.conversion import STAGES, Content, Stage
from tracking.python_api import PinterestConversionTracker
from tracking.service import Service

REPORTS = ("/conversion-funnel", "/roi-analysis", "/comparison", "/events", "/spend")
RATIOS = {"roas", "roi", "cpa"}
CUSTOMERS = {"new_orders", "new_revenue", "new_customer_cpa", "unknown"}
FIGURES = {
    "orders",
    "gross_revenue",
    "refunds",
    "cancellations",
    "total_revenue",
    "total_spend",
    "campaigns",
    *RATIOS,
    *CUSTOMERS,
}


@pytest.fixture
def single(build_service: BuildService, sqlite_url: str) -> Service:
    """A service on SQLite alone, for what is worked out after the rows are read."""
    return build_service(sqlite_url)


@pytest.fixture
def owner(single: Service) -> Shop:
    return shop_of(single)


def shop_of(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def sell(shop: Shop, number: int, at: float = NOW, **changes: Any) -> None:
    """Take in an order of another buyer than the last, placed at an instant."""
    when = {"created_at": instant(at), "processed_at": instant(at), "updated_at": instant(at)}
    buyer = {"email": f"buyer-{number}@example.com", "contact_email": None, "customer": None}
    body = order(id=number, billing_address=None, **{**when, **buyer, **changes})
    assert shop.sends("orders/create", body).status_code == 200


def costing(amount: str) -> dict[str, Any]:
    return {"subtotal_price": amount, "total_price": amount, "total_tax": "0"}


def see(service: Service, stage: Stage, visitor: str, **told: str) -> None:
    """A visitor does something in the storefront."""
    tracker = PinterestConversionTracker(service)
    content = Content("111", "Mug", "", "20.00", 1)
    tracker.track_stage(stage, (content,), "20.00", {"visitor_id": visitor, **told})


def by_pin(campaign: str = "summer") -> dict[str, str]:
    return {"utm_source": "pinterest", "utm_medium": "cpc", "utm_campaign": campaign}


def spent(campaign_id: str, amount: str, **more: str) -> dict[str, str]:
    row = {"date": "2026-11-20", "campaign_id": campaign_id, "spend": amount, "currency": "USD"}
    return row | more


def lines(report: Any) -> dict[str, Any]:
    return {line["campaign_id"] or line["campaign"]: line for line in report["campaigns"]}


# --- The form of the reports


def test_a_funnel_has_the_keys_of_its_contract(single: Service, owner: Shop) -> None:
    see(single, "product_view", "visitor-1", **by_pin())
    found = owner.reads("/conversion-funnel")
    stages = {"total_events", "conversion_rate", "stages"}
    assert set(found) == {"start_date", "end_date", "timezone", "traffic", "by_campaign", *stages}
    assert [stage["stage"] for stage in found["stages"]] == list(STAGES)
    (group,) = found["by_campaign"]
    assert set(group) == {"campaign_id", "campaign", *stages}
    for stage in (*found["stages"], *group["stages"]):
        assert set(stage) == {"stage", "events", "visitors", "rate_from_previous"}


def test_an_roi_report_has_the_keys_of_its_contract(owner: Shop) -> None:
    sell(owner, 1, landing_site=pinned("11"))
    found = owner.reads("/roi-analysis")
    span = {"start_date", "end_date", "timezone", "model", "report_by", "currency", "currencies"}
    assert set(found) == span | FIGURES
    (book,) = found["currencies"]
    assert set(book) == {"currency", *FIGURES}
    line = {"campaign_id", "campaign", "orders", "revenue", "spend", *RATIOS, *CUSTOMERS}
    assert all(set(one) == line for one in (*found["campaigns"], *book["campaigns"]))


def test_the_delivery_log_has_the_keys_of_its_description(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    shop = shop_of(build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all"))
    sell(shop, 1)
    found = shop.reads("/events")
    assert set(found) == {"events", "next"}
    (event,) = found["events"]
    assert set(event) == {
        "id",
        "event_id",
        "sent_as",
        "stage",
        "order_id",
        "event_time",
        "state",
        "reason",
        "detail",
        "deliveries",
    }
    (delivery,) = event["deliveries"]
    assert set(delivery) == {
        "destination",
        "state",
        "attempts",
        "reason",
        "due_at",
        "settled_at",
    }


def test_spend_on_record_has_the_keys_of_its_description(owner: Shop) -> None:
    assert owner.spends(spent("11", "12.50", campaign="Summer")).json == {"stored": 1}
    assert owner.reads("/spend") == {
        "start_date": "2026-10-22",
        "end_date": "2026-11-20",
        "timezone": "UTC",
        "rows": [{**spent("11", "12.50"), "campaign": "Summer"}],
    }


@pytest.mark.parametrize("path", ["/conversion-funnel", "/roi-analysis", "/spend"])
def test_a_report_covers_the_last_thirty_shop_days_unless_it_is_told_otherwise(
    build_service: BuildService, sqlite_url: str, path: str
) -> None:
    shop = shop_of(build_service(sqlite_url, SHOP_TIMEZONE="Pacific/Auckland"))
    found = shop.reads(path)
    # Noon UTC is one o'clock of the next morning in Auckland's summer.
    days = (found["start_date"], found["end_date"], found["timezone"])
    assert days == ("2026-10-23", "2026-11-21", "Pacific/Auckland")
    found = shop.reads(path, end_date="2026-01-31")
    assert found["start_date"] == "2026-01-02"
    found = shop.reads(path, start_date="2026-11-21")
    assert (found["start_date"], found["end_date"]) == ("2026-11-21", "2026-11-21")


# --- The funnel


def test_a_funnel_counts_events_and_visitors_from_view_to_purchase(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    for visitor in ("visitor-1", "visitor-1", "visitor-2", "visitor-3"):
        see(service, "product_view", visitor, **by_pin())
    for visitor in ("visitor-1", "visitor-2"):
        see(service, "add_to_cart", visitor, **by_pin())
    see(service, "checkout_initiation", "visitor-1", **by_pin())
    shop = shop_of(service)
    sell(
        shop,
        1,
        landing_site=pinned(utm_campaign="summer"),
        note_attributes=notes(pin_vid="visitor-1"),
    )
    found = shop.reads("/conversion-funnel")
    assert found["total_events"] == 8
    assert found["conversion_rate"] == "33.33%"
    assert [tuple(stage.values()) for stage in found["stages"]] == [
        ("product_view", 4, 3, None),
        ("add_to_cart", 2, 2, "66.7%"),
        ("checkout_initiation", 1, 1, "50.0%"),
        ("purchase", 1, 1, "100.0%"),
    ]


def test_without_any_visit_a_funnel_converts_nothing(owner: Shop) -> None:
    found = owner.reads("/conversion-funnel")
    assert (found["total_events"], found["conversion_rate"]) == (0, "0%")
    assert [stage["rate_from_previous"] for stage in found["stages"]] == [None] * 4
    assert found["by_campaign"] == []


def test_where_views_are_not_told_the_first_stage_that_is_counts_as_the_whole(
    single: Service, owner: Shop
) -> None:
    for number in range(4):
        see(single, "add_to_cart", f"visitor-{number}", **by_pin())
    sell(owner, 1, landing_site=pinned(), note_attributes=notes(pin_vid="visitor-0"))
    found = owner.reads("/conversion-funnel")
    assert found["conversion_rate"] == "25.00%"


def test_a_funnel_is_pinterests_unless_all_traffic_is_asked_for(
    single: Service, owner: Shop
) -> None:
    see(single, "product_view", "visitor-1", **by_pin())
    see(single, "product_view", "visitor-2", utm_source="google", utm_medium="cpc")
    see(single, "product_view", "visitor-3")
    assert owner.reads("/conversion-funnel")["total_events"] == 1
    found = owner.reads("/conversion-funnel", traffic="all")
    assert (found["traffic"], found["total_events"]) == ("all", 3)


@pytest.mark.parametrize(("campaign", "orders"), [("11", 1), ("summer", 2), ("nothing", 0)])
def test_a_funnel_of_one_campaign_is_asked_for_by_id_or_name(
    owner: Shop, campaign: str, orders: int
) -> None:
    sell(owner, 1, landing_site=pinned("11", utm_campaign="summer"))
    sell(owner, 2, landing_site=pinned("22", utm_campaign="summer"))
    sell(owner, 3, landing_site=pinned("33", utm_campaign="winter"))
    assert owner.reads("/conversion-funnel", campaign=campaign)["total_events"] == orders


def test_two_networks_campaigns_of_one_name_stay_apart_and_nothing_is_lost(
    single: Service, owner: Shop
) -> None:
    see(single, "product_view", "visitor-1", **by_pin("summer"))
    see(single, "product_view", "visitor-2", **{**by_pin("summer"), "utm_source": "google"})
    found = owner.reads("/conversion-funnel", traffic="all")
    groups = [(group["campaign"], group["total_events"]) for group in found["by_campaign"]]
    assert groups == [("summer", 1), ("summer", 1)]


def test_a_renamed_campaign_is_one_line_under_its_newest_name(single: Service, owner: Shop) -> None:
    for number, (name, hours) in enumerate([("summer", 2), ("Summer sale", 1)], 1):
        landing = pinned("11", utm_campaign=name.replace(" ", "+"))
        sell(owner, number, NOW - hours * HOUR, landing_site=landing)
    (group,) = owner.reads("/conversion-funnel")["by_campaign"]
    assert (group["campaign_id"], group["campaign"], group["total_events"]) == (
        "11",
        "Summer sale",
        2,
    )
    (line,) = owner.reads("/roi-analysis")["campaigns"]
    assert (line["campaign_id"], line["campaign"], line["orders"]) == ("11", "Summer sale", 2)
    owner.spends(spent("11", "5.00", campaign="Summer, all"))
    assert owner.reads("/conversion-funnel")["by_campaign"][0]["campaign"] == "Summer, all"


@pytest.mark.parametrize("wanted", ["summer", "Summer sale", "Summer, all", "11"])
def test_every_name_of_a_campaign_finds_all_of_it(
    single: Service, owner: Shop, wanted: str
) -> None:
    for visitor, name in (("visitor-1", "summer"), ("visitor-2", "Summer sale")):
        see(single, "product_view", visitor, utm_campaign_id="11", **by_pin(name))
    see(single, "product_view", "visitor-3", utm_campaign_id="22", **by_pin("winter"))
    owner.spends(spent("11", "5.00", campaign="Summer, all"))
    found = owner.reads("/conversion-funnel", campaign=wanted)
    assert found["stages"][0]["visitors"] == 2
    (group,) = found["by_campaign"]
    assert (group["campaign_id"], group["campaign"]) == ("11", "Summer, all")


def test_a_name_from_before_the_requested_days_finds_its_campaign(owner: Shop) -> None:
    for number, (name, days) in enumerate((("summer", 40), ("winter", 40), ("sale", 1)), 1):
        id = "22" if name == "winter" else "11"
        landing = pinned(id, utm_campaign=name)
        sell(owner, number, NOW - days * DAY, landing_site=landing)
    (group,) = owner.reads("/conversion-funnel", campaign="summer")["by_campaign"]
    assert (group["campaign_id"], group["campaign"], group["total_events"]) == ("11", "sale", 1)
    assert owner.reads("/conversion-funnel", campaign="winter")["total_events"] == 0


def test_traffic_that_tells_a_name_alone_is_of_the_one_campaign_of_this_name(
    single: Service, owner: Shop
) -> None:
    for visitor, id in (("visitor-1", "11"), ("visitor-2", ""), ("visitor-3", "")):
        see(single, "product_view", visitor, utm_campaign_id=id, **by_pin("summer"))
    (group,) = owner.reads("/conversion-funnel")["by_campaign"]
    assert (group["campaign_id"], group["total_events"]) == ("11", 3)
    assert group["stages"][0]["visitors"] == 3
    assert owner.reads("/conversion-funnel", campaign="11")["stages"][0]["visitors"] == 3

    see(single, "product_view", "visitor-4", utm_campaign_id="22", **by_pin("summer"))
    groups = owner.reads("/conversion-funnel")["by_campaign"]
    assert {g["campaign_id"]: g["total_events"] for g in groups} == {"": 2, "11": 1, "22": 1}


def test_an_order_that_tells_a_name_alone_earns_for_the_one_campaign_of_this_name(
    owner: Shop,
) -> None:
    sell(owner, 1, NOW - 2 * HOUR, landing_site=pinned("", utm_campaign="summer"))
    sell(owner, 2, NOW - HOUR, landing_site=pinned("11", utm_campaign="summer"))
    (line,) = owner.reads("/roi-analysis")["campaigns"]
    assert (line["campaign_id"], line["campaign"], line["orders"]) == ("11", "summer", 2)
    (credit,) = owner.reads("/orders/1/journey")["credits"]["last_touch"]
    assert credit["campaign_id"] == "11"


def test_the_journey_names_a_renamed_campaign_as_the_reports_do(owner: Shop) -> None:
    for number, name in enumerate(("summer", "Summer+sale"), 1):
        landing = pinned("11", utm_campaign=name)
        sell(owner, number, NOW - (4 - number) * HOUR, landing_site=landing)

    def named() -> tuple[str, bool]:
        journey = owner.reads("/orders/1/journey")
        (credit,) = journey["credits"]["last_touch"]
        return credit["campaign"], f"campaign {credit['campaign']} " in journey["why"]

    assert named() == ("Summer sale", True)
    owner.spends(spent("11", "5.00", campaign="Summer, all"))
    assert named() == ("Summer, all", True)
    assert [t["campaign"] for t in owner.reads("/orders/1/journey")["touches"]] == ["summer"]


def test_a_visitor_of_a_campaign_under_both_its_names_is_one_visitor(
    single: Service, owner: Shop
) -> None:
    for name in ("summer", "sale"):
        see(single, "product_view", "visitor-1", utm_campaign_id="11", **by_pin(name))
    (group,) = owner.reads("/conversion-funnel")["by_campaign"]
    assert (group["stages"][0]["events"], group["stages"][0]["visitors"]) == (2, 1)


def test_all_traffic_names_the_campaign_of_every_stage_by_one_rule(
    single: Service, owner: Shop
) -> None:
    see(single, "product_view", "visitor-1", utm_source="google", utm_campaign="brand")
    sell(owner, 1, landing_site="/?utm_source=google&utm_campaign=brand")
    (group,) = owner.reads("/conversion-funnel", traffic="all")["by_campaign"]
    assert group["campaign"] == "brand"
    assert [stage["events"] for stage in group["stages"]] == [1, 0, 0, 1]


def test_orders_that_are_no_purchases_are_not_in_the_funnel(owner: Shop) -> None:
    sell(owner, 1, landing_site=pinned(), test=True)
    assert owner.reads("/conversion-funnel")["total_events"] == 0


# --- Days

ZONES = {
    "UTC": ["2026-11-01"],
    "Pacific/Auckland": ["2026-04-05", "2026-09-27", "2026-11-20"],
    "America/Los_Angeles": ["2026-03-08", "2026-11-01"],
    "Asia/Kathmandu": ["2026-06-30"],
    "America/Sao_Paulo": ["2018-11-04"],
}


@pytest.mark.parametrize(("zone", "day"), [(z, day) for z, days in ZONES.items() for day in days])
def test_a_day_is_the_shops_own_from_its_first_second_to_its_last(
    build_service: BuildService, sqlite_url: str, clock: Clock, zone: str, day: str
) -> None:
    """Some of these days have 23 hours, some 25, and one begins at one o'clock."""
    shop = shop_of(build_service(sqlite_url, SHOP_TIMEZONE=zone))
    here = ZoneInfo(zone)
    midnights = [
        datetime.combine(date.fromisoformat(day) + timedelta(days=n), time.min, here).timestamp()
        for n in (0, 1)
    ]
    inside = [midnights[0], midnights[1] - 1]
    outside = [midnights[0] - 1, midnights[1]]
    days = [datetime.fromtimestamp(at, here).date().isoformat() for at in (*inside, *outside)]
    assert [found == day for found in days] == [True, True, False, False]
    for number, at in enumerate((*inside, *outside)):
        sell(shop, number + 1, at, **costing(f"{2**number}.00"))
    found = shop.reads("/roi-analysis", start_date=day, end_date=day)
    assert (found["orders"], found["total_revenue"]) == (2, "3.00")
    assert (
        shop.reads("/conversion-funnel", traffic="all", start_date=day, end_date=day)[
            "total_events"
        ]
        == 2
    )


def test_both_ends_of_a_span_are_inside_for_orders_and_spend(owner: Shop) -> None:
    for number in range(5):
        sell(owner, number + 1, NOW - number * DAY, landing_site=pinned("11"))
        day = f"2026-11-{20 - number}"
        owner.spends(spent("11", "1.00", date=day))
    found = owner.reads("/roi-analysis", start_date="2026-11-17", end_date="2026-11-19")
    assert (found["orders"], found["total_revenue"], found["total_spend"]) == (3, "120.00", "3.00")


def test_an_order_is_booked_on_its_own_day_or_on_the_day_of_the_click(owner: Shop) -> None:
    clicked = notes(track_ai_timestamp=instant(NOW - 5 * DAY))
    sell(owner, 1, landing_site=pinned("11"), note_attributes=clicked)
    days = {"start_date": "2026-11-15", "end_date": "2026-11-15"}
    assert owner.reads("/roi-analysis", **days)["orders"] == 0
    assert owner.reads("/roi-analysis", **days, report_by="click_date")["orders"] == 1
    days = {"start_date": "2026-11-20", "end_date": "2026-11-20"}
    assert owner.reads("/roi-analysis", **days)["orders"] == 1
    assert owner.reads("/roi-analysis", **days, report_by="click_date")["orders"] == 0


# --- Money


def money(report: Any) -> tuple[str, ...]:
    names = ("gross_revenue", "refunds", "cancellations", "total_revenue")
    return tuple(report[name] for name in names)


def test_revenue_is_what_is_left_after_refunds_and_cancellations(
    build_service: BuildService, database_url: str
) -> None:
    shop = shop_of(build_service(database_url))
    sell(shop, 1)
    assert money(shop.reads("/roi-analysis")) == ("40.00", "0.00", "0.00", "40.00")
    shop.sends("refunds/create", refund(order_id=1))
    assert money(shop.reads("/roi-analysis")) == ("40.00", "10.00", "0.00", "30.00")
    shop.sends("refunds/create", refund(id=7_002, order_id=1))
    assert money(shop.reads("/roi-analysis")) == ("40.00", "20.00", "0.00", "20.00")
    sell(shop, 1, NOW + HOUR, cancelled_at=instant(NOW + HOUR), created_at=instant(NOW))
    assert money(shop.reads("/roi-analysis")) == ("40.00", "20.00", "20.00", "0.00")


def test_more_than_was_earned_is_never_given_back(owner: Shop) -> None:
    sell(owner, 1)
    for number in range(6):
        owner.sends("refunds/create", refund(id=number + 1, order_id=1))
    assert money(owner.reads("/roi-analysis")) == ("40.00", "40.00", "0.00", "0.00")


def test_a_refund_that_comes_before_its_order_is_not_forgotten(owner: Shop) -> None:
    owner.sends("refunds/create", refund(order_id=1))
    assert owner.reads("/roi-analysis")["orders"] == 0
    sell(owner, 1)
    assert money(owner.reads("/roi-analysis")) == ("40.00", "10.00", "0.00", "30.00")


SALE = st.fixed_dictionaries(
    {
        "buyer": st.integers(0, 2),
        "hours_ago": st.integers(0, 40 * 24),
        "landing": st.sampled_from(
            [
                "/",
                pinned("11"),
                pinned("22", utm_campaign="summer"),
                "/?utm_source=pinterest",
                "/?utm_source=google&utm_medium=cpc&utm_campaign=summer",
            ]
        ),
        "cents": st.integers(0, 99_999),
        "refund": st.none() | st.integers(1, 99_999),
        "is_cancelled": st.booleans(),
    }
)


@given(st.lists(SALE, min_size=1, max_size=6))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_campaigns_sum_to_the_totals_under_every_model_and_scope(
    build_service: BuildService,
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    sales: list[dict[str, Any]],
) -> None:
    path = tmp_path_factory.mktemp("sums") / "tracking.db"
    shutil.copy(sqlite_template, path)
    service = build_service(f"sqlite:///{path}")
    for number, sale in enumerate(sales, start=1):
        service.tracker.receive_order(body_of(number, sale), "orders/create")
        if sale["refund"]:
            amount = f"{sale['refund'] / 100:.2f}"
            back = {"kind": "refund", "status": "success", "amount": amount, "currency": "USD"}
            given = refund(order_id=number, refund_line_items=[], transactions=[back])
            service.tracker.receive_refund(json.dumps(given).encode(), "refunds/create")

    span = ("2026-10-01", "2026-11-20")
    gross = sum(sale["cents"] for sale in sales)
    for model in MODELS:
        for scope in SCOPES:
            found = service.reports.roi(*span, model=model, scope=scope)
            assert cents(found["gross_revenue"]) == gross
            assert found["orders"] == len(sales)
            parts = ("total_revenue", "refunds", "cancellations")
            assert sum(cents(found[name]) for name in parts) == gross
            revenues = [cents(line["revenue"]) for line in found["campaigns"]]
            assert sum(revenues) == cents(found["total_revenue"])
            assert all(revenue >= 0 for revenue in revenues)
            orders = sum(Decimal(str(line["orders"])) for line in found["campaigns"])
            assert orders == found["orders"]


def body_of(number: int, sale: dict[str, Any]) -> bytes:
    at = instant(NOW - sale["hours_ago"] * HOUR)
    body = order(
        id=number,
        created_at=at,
        processed_at=at,
        updated_at=at,
        landing_site=sale["landing"],
        email=f"buyer-{sale['buyer']}@example.com",
        contact_email=None,
        customer=None,
        billing_address=None,
        cancelled_at=at if sale["is_cancelled"] else None,
        **costing(f"{sale['cents'] // 100}.{sale['cents'] % 100:02d}"),
    )
    return json.dumps(body).encode()


def cents(text: str) -> int:
    return int(Decimal(text) * 100)


def test_currencies_are_never_added_to_one_another(
    build_service: BuildService, database_url: str
) -> None:
    shop = shop_of(build_service(database_url))
    sell(shop, 1, landing_site=pinned("11"), **costing("10.00"))
    sell(shop, 2, landing_site=pinned("11"), currency="EUR", **costing("20.00"))
    shop.spends(spent("11", "4.00", currency="EUR"))
    found = shop.reads("/roi-analysis")
    assert (found["currency"], found["orders"]) == (None, 2)
    counts = {"orders", "new_orders", "unknown", "campaigns"}
    assert {found[name] for name in FIGURES - counts} == {None}
    (line,) = found["campaigns"]
    assert (line["orders"], line["revenue"], line["spend"], line["roas"]) == (2, None, None, None)
    books = {book["currency"]: book for book in found["currencies"]}
    assert list(books) == ["EUR", "USD"]
    assert (books["EUR"]["total_revenue"], books["EUR"]["total_spend"]) == ("20.00", "4.00")
    assert (books["USD"]["total_revenue"], books["USD"]["total_spend"]) == ("10.00", "0.00")
    assert (books["EUR"]["roas"], books["USD"]["roas"]) == ("5.00", None)


@pytest.mark.parametrize(
    ("currency", "price", "read"),
    [("JPY", "4000", "4000"), ("KWD", "4.125", "4.125"), ("USD", "4", "4.00")],
)
def test_money_has_the_digits_of_its_currency(
    owner: Shop, currency: str, price: str, read: str
) -> None:
    sell(owner, 1, landing_site=pinned("11"), currency=currency, **costing(price))
    owner.spends(spent("11", "2", currency=currency))
    found = owner.reads("/roi-analysis")
    assert (found["currency"], found["total_revenue"]) == (currency, read)
    assert lines(found)["11"]["revenue"] == read
    assert found["total_spend"] == {"JPY": "2", "KWD": "2.000", "USD": "2.00"}[currency]
    assert found["cpa"] == found["total_spend"]


# --- Spend and what came of it


def test_return_on_spend_is_worked_out_on_what_pinterest_earned(owner: Shop) -> None:
    sell(owner, 1, landing_site=pinned("11"))
    sell(owner, 2, landing_site=pinned("11"), **costing("20.00"))
    sell(owner, 3, **costing("1000.00"))
    owner.spends(spent("11", "24.00"))
    found = owner.reads("/roi-analysis")
    assert (found["orders"], found["total_revenue"]) == (3, "1060.00")
    assert (found["roas"], found["roi"], found["cpa"]) == ("2.50", "1.50", "12.00")
    campaign = lines(found)["11"]
    assert (campaign["orders"], campaign["revenue"], campaign["spend"]) == (2, "60.00", "24.00")
    assert (campaign["roas"], campaign["roi"], campaign["cpa"]) == ("2.50", "1.50", "12.00")
    rest = lines(found)["(not attributed)"]
    assert (rest["revenue"], rest["spend"], rest["roas"]) == ("1000.00", "0.00", None)


@pytest.mark.parametrize(
    "landing",
    [
        pinned("11"),
        pinned("", utm_campaign="Summer"),
        pinned("", utm_campaign="summer"),
        pinned("", utm_campaign="11"),
    ],
    ids=["by id", "by name", "by name in any case", "by the id where the name should be"],
)
def test_spend_finds_its_campaign(owner: Shop, landing: str) -> None:
    sell(owner, 1, landing_site=landing)
    owner.spends(spent("11", "10.00", campaign="Summer"))
    (line,) = owner.reads("/roi-analysis")["campaigns"]
    assert (line["campaign_id"], line["campaign"]) == ("11", "Summer")
    assert (line["revenue"], line["spend"], line["roas"]) == ("40.00", "10.00", "4.00")


def test_another_networks_campaign_of_the_same_name_has_no_part_in_the_spend(owner: Shop) -> None:
    landing = "/?utm_source=google&utm_medium=cpc&utm_campaign=Summer"
    sell(owner, 1, landing_site=landing)
    owner.spends(spent("11", "10.00", campaign="Summer"))
    found = owner.reads("/roi-analysis", scope="all")
    spends = [(line["campaign"], line["revenue"], line["spend"]) for line in found["campaigns"]]
    assert sorted(spends) == [("Summer", "0.00", "10.00"), ("Summer", "40.00", "0.00")]
    assert found["roas"] == "0.00"


def test_spend_without_orders_and_orders_without_spend_are_both_shown(owner: Shop) -> None:
    sell(owner, 1, landing_site=pinned("11"))
    owner.spends(spent("22", "5.00"))
    found = lines(owner.reads("/roi-analysis"))
    ratios = {name: tuple(line[r] for r in ("roas", "roi", "cpa")) for name, line in found.items()}
    assert ratios == {"11": (None, None, None), "22": ("0.00", "-1.00", None)}
    assert found["22"]["orders"] == 0


def test_nothing_sold_and_nothing_spent_is_a_report_of_zeros(owner: Shop) -> None:
    found = owner.reads("/roi-analysis")
    assert (found["currency"], found["orders"]) == (None, 0)
    assert money(found) == ("0.00", "0.00", "0.00", "0.00")
    assert (found["campaigns"], found["currencies"], found["roas"]) == ([], [], None)


def test_the_model_is_the_shops_unless_another_is_asked_for(
    build_service: BuildService, sqlite_url: str
) -> None:
    shop = shop_of(build_service(sqlite_url, ATTRIBUTION_MODEL="first_touch"))
    assert shop.reads("/roi-analysis")["model"] == "first_touch"
    assert shop.reads("/roi-analysis", model="linear")["model"] == "linear"


def test_an_order_that_two_campaigns_share_is_a_part_of_an_order_for_each(owner: Shop) -> None:
    same: dict[str, Any] = {"email": "ada@example.com"}
    sell(owner, 1, NOW - 2 * DAY, landing_site=pinned("11"), **same)
    sell(owner, 2, landing_site=pinned("22"), **same)
    days = {"start_date": "2026-11-20", "end_date": "2026-11-20"}
    found = owner.reads("/roi-analysis", model="linear", **days)
    assert found["orders"] == 1
    assert {name: line["orders"] for name, line in lines(found).items()} == {"11": 0.5, "22": 0.5}


# --- The delivery log


def test_the_log_is_read_page_by_page_without_losing_or_repeating_an_event(
    build_service: BuildService, database_url: str
) -> None:
    shop = shop_of(build_service(database_url))
    for number in range(1, 7):
        sell(shop, number)
    seen, after = [], "0"
    for _ in range(3):
        page = shop.reads("/events", limit="2", after=after)
        seen += [event["order_id"] for event in page["events"]]
        after = str(page["next"])
    assert seen == ["1", "2", "3", "4", "5", "6"]
    assert after == "None"


@pytest.mark.parametrize(
    ("state", "ids"),
    [("sent", ["1"]), ("waiting", ["2"]), ("withdrawn", ["3"]), ("not_sent", ["4"]), ("dead", [])],
)
def test_the_log_shows_the_events_of_one_state(
    build_service: BuildService,
    sqlite_url: str,
    clock: Clock,
    state: str,
    ids: list[str],
) -> None:
    with FakePinterest("pina_test_token", "549755885175", clock=clock) as pinterest:
        service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")
        shop = shop_of(service)
        sell(shop, 1)
        deliver(service)
    sell(shop, 2)
    sell(shop, 3)
    sell(shop, 3, NOW + 1, cancelled_at=instant(NOW + 1), created_at=instant(NOW))
    sell(shop, 4, test=True)
    found = shop.reads("/events", state=state)["events"]
    assert [event["order_id"] for event in found] == ids
    assert {event["state"] for event in found} <= {state}


# --- CSV


def read_csv(response: TestResponse) -> list[dict[str, str]]:
    assert response.status_code == 200
    assert response.content_type == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.get_data(as_text=True), newline="")))


def as_csv(shop: Shop, path: str) -> list[dict[str, str]]:
    return read_csv(shop.client.get(path, headers={**bearer(), "Accept": "text/csv"}))


@pytest.mark.parametrize(
    ("accept", "format", "is_csv"),
    [
        ("text/csv", "", True),
        ("*/*", "csv", True),
        ("text/csv", "json", False),
        ("application/json", "", False),
        ("application/json;q=0.5, text/csv", "", True),
        ("*/*", "", False),
        ("text/html", "", False),
    ],
)
@pytest.mark.parametrize("path", [*REPORTS, "/orders/1/journey"])
def test_every_report_has_a_twin_for_spreadsheets(
    owner: Shop, path: str, accept: str, format: str, is_csv: bool
) -> None:
    sell(owner, 1, landing_site=pinned("11"))
    query = {"format": format} if format else {}
    headers = {**bearer(), "Accept": accept}
    found = owner.client.get(path, query_string=query, headers=headers)
    assert found.status_code == 200
    expected = "text/csv; charset=utf-8" if is_csv else "application/json"
    assert found.content_type == expected


def test_the_spreadsheet_of_the_roi_has_a_line_for_each_currency_and_campaign(owner: Shop) -> None:
    sell(owner, 1, landing_site=pinned("11"))
    sell(owner, 2, currency="EUR")
    found = as_csv(owner, "/roi-analysis")
    assert [(line["currency"], line["campaign"], line["revenue"]) for line in found] == [
        ("EUR", "(not attributed)", "40.00"),
        ("USD", "", "40.00"),
    ]
    assert found[1]["roas"] == ""


def test_the_spreadsheet_of_the_funnel_has_a_line_for_each_campaign_and_stage(owner: Shop) -> None:
    sell(owner, 1, landing_site=pinned("11", utm_campaign="summer"))
    found = as_csv(owner, "/conversion-funnel")
    assert [line["campaign"] for line in found] == ["(all)"] * 4 + ["summer"] * 4
    assert [line["events"] for line in found] == ["0", "0", "0", "1"] * 2


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "＝", "＠"])  # noqa: RUF001
@pytest.mark.parametrize("rest", ["HYPERLINK(1)", "-1"])
def test_a_campaigns_name_is_no_formula(owner: Shop, begin: str, rest: str) -> None:
    name = f"{begin}{rest}"
    owner.spends(spent("11", "10.00", campaign=name), spent(name, "1.00"))
    found = as_csv(owner, "/spend")
    assert {line["campaign"] for line in found} == {f"'{name}", ""}
    assert {line["campaign_id"] for line in found} == {"11", f"'{name}"}


@pytest.mark.parametrize("dressed", ['="=1+1"', "'@A1"])
def test_a_text_without_a_spreadsheets_marks_is_no_formula(owner: Shop, dressed: str) -> None:
    owner.spends(spent(dressed, "10.00", campaign=dressed))
    (line,) = as_csv(owner, "/spend")
    assert line["campaign"].startswith("'")
    assert line["campaign_id"].startswith("'")


def test_a_negative_number_stays_a_number(owner: Shop) -> None:
    owner.spends(spent("11", "10.00"))
    (line,) = as_csv(owner, "/roi-analysis")
    assert line["roi"] == "-1.00"


# --- What is refused

BAD = {
    "/conversion-funnel?start_date=20.11.2026": "start_date",
    "/conversion-funnel?start_date=2026-02-30": "start_date",
    "/conversion-funnel?end_date=20261120": "end_date",
    "/conversion-funnel?end_date=9999-12-31": "end_date",
    "/conversion-funnel?end_date=0001-01-01": "end_date",
    "/conversion-funnel?start_date=2026-11-02&end_date=2026-11-01": "start_date",
    "/conversion-funnel?traffic=google": "traffic",
    "/conversion-funnel?model=linear": "model",
    "/conversion-funnel?format=xml": "format",
    "/roi-analysis?model=best": "model",
    "/roi-analysis?scope=everything": "scope",
    "/roi-analysis?report_by=moon": "report_by",
    "/roi-analysis?start_date=' OR 1=1 --": "start_date",
    "/roi-analysis?startdate=2026-11-20": "startdate",
    "/events?state=lost": "state",
    "/events?after=-1": "after",
    "/events?after=99999999999999999999": "after",
    "/events?limit=1000000000": "limit",
    "/events?limit=ten": "limit",
    "/events?limit=0": "limit",
    "/events?limit=1001": "limit",
    "/events?limit=%D9%A1": "limit",
    "/spend?start_date=yesterday": "start_date",
    "/orders/1/journey?scope=none": "scope",
}


@pytest.mark.parametrize("path", BAD)
def test_a_wrong_parameter_is_refused_by_name(owner: Shop, path: str) -> None:
    found = owner.client.get(path, headers=bearer())
    assert found.status_code == 400
    assert found.content_type == "application/problem+json"
    assert found.json is not None
    assert [error["field"] for error in found.json["errors"]] == [BAD[path]]
    assert found.json["status"] == 400
    assert found.json["request_id"]


def test_every_wrong_parameter_is_named_at_once(owner: Shop) -> None:
    path = "/roi-analysis?start_date=x&end_date=y&model=z"
    found = owner.client.get(path, headers=bearer())
    assert found.json is not None
    assert {error["field"] for error in found.json["errors"]} == {
        "start_date",
        "end_date",
        "model",
    }


def test_an_order_nobody_knows_has_no_journey(owner: Shop) -> None:
    found = owner.client.get("/orders/404/journey", headers=bearer())
    assert found.status_code == 404
    assert found.content_type == "application/problem+json"


def routes(service: Service) -> list[tuple[str, str]]:
    """Every method and address of the service but the public ones."""
    rules = assemble(service).url_map.iter_rules()
    return [
        (method, rule.rule.replace("<order_id>", "1"))
        for rule in rules
        if rule.endpoint not in PUBLIC
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


Opens = Callable[[Shop, str, str, dict[str, str]], TestResponse]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("a-wrong-token"),
        bearer("a-token-of-the-tests-onl"),
        {"Authorization": "Basic YTpi"},
        {"Authorization": "a-token-of-the-tests-only"},
        bearer(""),
    ],
    ids=str,
)
def test_every_route_asks_who_you_are(
    single: Service, owner: Shop, headers: dict[str, str]
) -> None:
    asked = routes(single)
    assert len(asked) >= 6
    for n, (method, path) in enumerate(asked):
        # Too many wrong tokens from one address would be refused as such.
        caller = {"REMOTE_ADDR": f"203.0.113.{n}"}
        found = owner.client.open(path, method=method, headers=headers, environ_overrides=caller)
        assert found.status_code == 401, f"{method} {path}"
        if is_page(path):
            assert 'name="token"' in found.get_data(as_text=True)
            continue
        assert found.headers["WWW-Authenticate"] == "Bearer"
        assert found.content_type == "application/problem+json"


def test_a_token_in_the_address_opens_nothing(owner: Shop) -> None:
    found = owner.client.get("/roi-analysis?token=a-token-of-the-tests-only")
    assert found.status_code == 401


def test_without_a_configured_token_every_route_is_closed(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url, API_TOKEN="")
    client = assemble(service).test_client()
    for method, path in routes(service):
        for headers in ({}, bearer(), bearer("")):
            found = client.open(path, method=method, headers=headers)
            assert found.status_code == 503, f"{method} {path}"
            title = "Not configured" if is_page(path) else '"title":"Not configured"'
            assert title in found.get_data(as_text=True)
    assert client.get("/health").status_code == 200
